"""Node lifecycle: a node that is no longer heard of is unknown, tainted, and its pods go elsewhere.

Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`, `pkg/controller/tainteviction`.

A kubelet renews its Lease every 10 s.  After 40 s of silence (50 s since 1.32) its node's conditions become Unknown and
it gets the taint `unreachable`; pods on it are no longer ready, so their Services leave them out at once; and they are
deleted when their toleration of the taint is over, 300 s later by default (admission gives every pod that toleration).
"""

from __future__ import annotations

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers import pods
from kubesim.controllers.controller import Controller
from kubesim.errors import ApiError
from kubesim.machinery import objects
from kubesim.scheduler import matching
from kubesim.world import Timer

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
# --node-monitor-grace-period.
GRACE = 40.0
GRACE_SINCE_132 = 50.0
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
# What the kubelet would report, and nobody can know any more.
CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# Condition of a node: taint with NoSchedule while it is True (nodeConditionToTaintKeyStatusMap).
PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
# Labels that older clients still look at: the present label's value under the old name (labelReconcileInfo).
OLD_LABELS = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
OURS = frozenset((NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()))


def wanted_taints(node: Object, now: str) -> list[Object]:
    """The taints a node should have: those that are somebody else's, and what its conditions ask for."""
    before = matching.taints(node)
    ready = (pods.condition(node, "Ready") or {}).get("status", "Unknown")
    keys: list[tuple[str, str]] = []
    if ready != "True":
        key = NOT_READY if ready == "False" else UNREACHABLE
        keys += [(key, "NoSchedule"), (key, "NoExecute")]
    keys += [
        (key, "NoSchedule")
        for kind, key in PRESSURES.items()
        if (pods.condition(node, kind) or {}).get("status") == "True"
    ]
    if node["spec"].get("unschedulable"):
        keys.append((UNSCHEDULABLE, "NoSchedule"))
    kept = [each for each in before if each["key"] not in OURS or (each["key"], each["effect"]) in keys]
    known = {(each["key"], each["effect"]) for each in kept}
    return kept + [
        {"key": key, "effect": effect, "timeAdded": now} for key, effect in keys if (key, effect) not in known
    ]


def toleration_seconds(pod: Object, taints: list[Object]) -> float | None:
    """How long a pod may stay under these NoExecute taints: 0 not at all, None for ever (GetMinTolerationTime)."""
    shortest: float | None = None
    for taint in taints:
        matching_ones = [each for each in matching.tolerations(pod) if matching.tolerates(each, taint)]
        if not matching_ones:
            return 0.0
        for each in matching_ones:
            seconds = each.get("tolerationSeconds")
            if seconds is not None:
                seconds = max(0.0, float(seconds))
                shortest = seconds if shortest is None else min(shortest, seconds)
    return shortest


class NodeLifecycleController(Controller):
    name = "node-controller"

    def start(self) -> None:
        self.grace = GRACE_SINCE_132 if self.minor >= 32 else GRACE
        self._heard: dict[str, float] = {}
        self._ready: dict[str, bool] = {}
        self._evictions: dict[str, Timer] = {}
        self._nodes = self.informers.of("nodes")
        self._nodes.on_event(self._node_changed)
        self.informers.of(LEASES).on_event(self._lease_changed)
        self._pods = self.informers.of("pods")
        self._pods.index("node", node_names)
        self._pods.on_event(self._pod_changed)

    def _lease_changed(self, kind: str, lease: Object, _before: Object | None) -> None:
        if objects.namespace(lease) == LEASE_NAMESPACE and kind != "DELETED":
            self._hear(objects.name(lease))

    def _hear(self, name: str) -> None:
        if self._nodes.get("", name) is not None:
            self._heard[name] = self.world.now
            # A live kubelet always comes in time, so that this wait is nobody's.
            self.enqueue_after(name, self.grace, background=True)

    def _node_changed(self, kind: str, node: Object, before: Object | None) -> None:
        name = objects.name(node)
        if kind == "DELETED":
            self._heard.pop(name, None)
            self._ready.pop(name, None)
            for pod in self._pods.by("node", name):
                self._cancel(pod)
            return
        heartbeats = [
            (pods.condition(each, "Ready") or {}).get("lastHeartbeatTime") if each is not None else None
            for each in (before, node)
        ]
        if kind == "ADDED" or heartbeats[0] != heartbeats[1]:
            self._hear(name)
        self.enqueue(name)

    def _pod_changed(self, kind: str, pod: Object, before: Object | None) -> None:
        node_name = pod["spec"].get("nodeName")
        if kind == "DELETED":
            self._cancel(pod)
        elif node_name and (before is None or before["spec"].get("nodeName") != node_name):
            node = self._nodes.get("", node_name)
            if node is not None and any(each["effect"] == "NoExecute" for each in matching.taints(node)):
                self.enqueue(node_name)

    def reconcile(self, key: str) -> None:
        node = self.client.find("nodes", key)
        if node is None:
            return
        silent = self.world.now - self._heard.get(key, self.world.now)
        if silent >= self.grace:
            node = self._unknown(node)
        else:
            # A look that came too early to find it silent must not be the last.
            self.enqueue_after(key, self.grace - silent, background=True)
        node = self._label(node)
        now = ids.timestamp(self.world.now)
        taints = wanted_taints(node, now)
        if taints != matching.taints(node):
            node = self.client.patch("nodes", key, "", {"spec": {"taints": taints or None}})
        self._evict(node)
        ready = (pods.condition(node, "Ready") or {}).get("status") == "True"
        # Only a node that was well takes its pods with it: what never reported is not known to have been.
        if self._ready.get(key) and not ready:
            self._mark_pods(node)
        self._ready[key] = ready

    def _label(self, node: Object) -> Object:
        """reconcileNodeLabels."""
        labels = objects.labels(node)
        wanted = {
            old: labels[new] for new, old in OLD_LABELS.items() if new in labels and labels.get(old) != labels[new]
        }
        if not wanted:
            return node
        return self.client.patch("nodes", objects.name(node), "", {"metadata": {"labels": wanted}})

    def _unknown(self, node: Object) -> Object:
        """What is not reported any more is unknown (tryUpdateNodeHealth)."""
        now = ids.timestamp(self.world.now)
        known = {each["type"]: each for each in (node.get("status") or {}).get("conditions") or ()}
        if all(known.get(kind, {}).get("status") == "Unknown" for kind in CONDITIONS):
            return node
        for kind in CONDITIONS:
            before = known.get(kind)
            if before is None or before["status"] == "Unknown":
                reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            else:
                reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            if before is None or before["status"] != "Unknown":
                heartbeat = (before or {}).get("lastHeartbeatTime") or node["metadata"].get("creationTimestamp", now)
                known[kind] = {
                    "type": kind,
                    "status": "Unknown",
                    "lastHeartbeatTime": heartbeat,
                    "lastTransitionTime": now,
                    "reason": reason,
                    "message": message,
                }
        status = {**(node.get("status") or {}), "conditions": list(known.values())}
        name = objects.name(node)
        node = self.client.update("nodes", {**node, "status": status}, "status")
        self.recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return node

    def _mark_pods(self, node: Object) -> None:
        """MarkPodsNotReady: nobody can say that they still serve."""
        for pod in self._pods.by("node", objects.name(node)):
            ready = pods.condition(pod, "Ready")
            if ready is None or ready["status"] != "True":
                continue
            now = ids.timestamp(self.world.now)
            conditions = [
                {**each, "status": "False", "lastTransitionTime": now} if each["type"] == "Ready" else each
                for each in pod["status"]["conditions"]
            ]
            patch = {"status": {"conditions": conditions}}
            self.client.patch("pods", objects.name(pod), objects.namespace(pod), patch, "merge", "status")
            self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    # -- eviction by taint ------------------------------------------------------------------------------------

    def _evict(self, node: Object) -> None:
        taints = [each for each in matching.taints(node) if each["effect"] == "NoExecute"]
        for pod in self._pods.by("node", objects.name(node)):
            if not taints:
                self._cancel(pod)
                continue
            seconds = toleration_seconds(pod, taints)
            uid = objects.uid(pod)
            if seconds is None:
                self._cancel(pod)
            elif seconds == 0:
                self._cancel(pod)
                self._delete(pod)
            elif uid not in self._evictions:
                since = min(
                    ids.parse_timestamp(each["timeAdded"]) if each.get("timeAdded") else self.world.now
                    for each in taints
                )
                wait = max(0.0, since + seconds - self.world.now)
                # A cluster with a dead node has come to rest before its pods are moved: five minutes are nobody's wait.
                self._evictions[uid] = self.world.call_later(wait, self._delete, pod, background=True)

    def _cancel(self, pod: Object) -> None:
        timer = self._evictions.pop(objects.uid(pod), None)
        if timer is not None:
            timer.cancel()

    def _delete(self, pod: Object) -> None:
        self._evictions.pop(objects.uid(pod), None)
        self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {objects.key(pod)}")
        try:
            self.client.delete("pods", objects.name(pod), objects.namespace(pod), uid=objects.uid(pod))
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def node_names(pod: Object) -> list[str]:
    """The index "node" of pods."""
    name = pod["spec"].get("nodeName")
    return [name] if name else []
