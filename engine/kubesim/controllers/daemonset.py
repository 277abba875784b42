"""DaemonSet: one pod on every node that it may run on.

Source: `pkg/controller/daemon/daemon_controller.go`, `update.go`, `util/daemonset_util.go`.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers import claims, history, pods
from kubesim.controllers import deploymentutil as util
from kubesim.controllers.controller import Controller, owner_uids
from kubesim.errors import ApiError
from kubesim.machinery import objects
from kubesim.scheduler import matching

RESOURCE = "daemonsets.apps"
GENERATION = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
PREFIX = "node.kubernetes.io/"

# AddOrUpdateDaemonPodTolerations: its pods stay where others would have to go.
TOLERATIONS = [
    {"key": PREFIX + key, "operator": "Exists", "effect": effect}
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
]
ON_HOST_NETWORK = {"key": PREFIX + "network-unavailable", "operator": "Exists", "effect": "NoSchedule"}


def pod_for(found: Object, node_name: str, revision_hash: str) -> Object:
    """The pod of a DaemonSet for a node: the scheduler binds it, told by an affinity to the node's name."""
    pod = pods.from_template(found["spec"]["template"], found, objects.namespace(found))
    labels = pod["metadata"].setdefault("labels", {})
    labels[history.HASH] = revision_hash
    labels[GENERATION] = objects.annotations(found).get(
        GENERATION_ANNOTATION, str(found["metadata"].get("generation", 1))
    )
    spec = pod["spec"]
    affinity = spec.setdefault("affinity", {})
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name]}]}
    required = affinity.setdefault("nodeAffinity", {}).setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    # Every term of its own affinity would have to hold on that node: the name alone decides now.
    required["nodeSelectorTerms"] = [term]
    tolerations = spec.setdefault("tolerations", [])
    for each in [*TOLERATIONS, *([ON_HOST_NETWORK] if spec.get("hostNetwork") else [])]:
        if each not in tolerations:
            tolerations.append(dict(each))
    return pod


def placement(found: Object, node: Object) -> tuple[bool, bool]:
    """NodeShouldRunDaemonPod: (should a pod be there, may one that is there stay)."""
    spec = found["spec"]["template"]["spec"]
    if spec.get("nodeName") and spec["nodeName"] != objects.name(node):
        return False, False
    pod: Object = {"spec": spec}
    if not matching.selects_node(pod, node):
        return False, False
    tolerations = [
        *(spec.get("tolerations") or []),
        *TOLERATIONS,
        *([ON_HOST_NETWORK] if spec.get("hostNetwork") else []),
    ]
    taints = matching.taints(node)
    if matching.untolerated(taints, tolerations) is None:
        return True, True
    return False, matching.untolerated(taints, tolerations, ("NoExecute",)) is None


class DaemonSetController(Controller):
    name = "daemonset-controller"

    def start(self) -> None:
        self._sets = self.watch(RESOURCE)
        self._pods = self.watch_owned("pods", "DaemonSet")
        self._nodes = self.informers.of("nodes")
        self._nodes.on_event(self._node_changed)
        self._revisions = self.informers.of(history.RESOURCE)
        self._revisions.index("owner", owner_uids)

    def _node_changed(self, _kind: str, node: Object, before: Object | None) -> None:
        if before is not None:
            same = objects.labels(before) == objects.labels(node) and matching.taints(before) == matching.taints(node)
            if same:
                return
        for each in self._sets.list():
            self.enqueue(objects.key(each))

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        found = self.client.find(RESOURCE, name, namespace)
        if found is None or objects.deleting(found):
            return
        template_labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        revision, known = history.current(self.client, self._revisions, found, template_labels, history.HASH)
        revision_hash = objects.labels(revision)[history.HASH]
        by_node = self._by_node(found)
        create, delete = self._manage(found, by_node)
        if (
            not create
            and not delete
            and found["spec"].get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
        ):
            delete = self._roll(found, by_node, revision_hash)
        failure = self._execute(found, create, delete, revision_hash)
        live = {objects.labels(pod).get(history.HASH) for each in by_node.values() for pod in each}
        in_use = {objects.name(each) for each in known if objects.labels(each).get(history.HASH) in live}
        history.trim(
            self.client, known, {*in_use, objects.name(revision)}, found["spec"].get("revisionHistoryLimit", 10)
        )
        self._report(found, self._by_node(found), revision_hash)
        if failure is not None:
            raise failure

    def _by_node(self, found: Object) -> dict[str, list[Object]]:
        mine: dict[str, list[Object]] = {}
        for pod in claims.claim(self.client, self._pods, "pods", found, found["spec"]["selector"]):
            mine.setdefault(node_of(pod), []).append(pod)
        return mine

    def _manage(self, found: Object, by_node: dict[str, list[Object]]) -> tuple[list[str], list[Object]]:
        """podsShouldBeOnNode, for every node: (nodes that want a pod, pods that must go)."""
        create, delete = [], []
        nodes = {objects.name(each): each for each in self._nodes.list()}
        for name, node in nodes.items():
            should, may_stay = placement(found, node)
            mine = by_node.get(name, [])
            failed = [pod for pod in mine if pods.phase(pod) in pods.FINISHED and not objects.deleting(pod)]
            running = [pod for pod in mine if pods.phase(pod) not in pods.FINISHED and not objects.deleting(pod)]
            for pod in failed:
                message = f"Found failed daemon pod {objects.key(pod)} on node {name}, will try to kill it"
                self.recorder.event(found, "Warning", "FailedDaemonPod", message)
                delete.append(pod)
            if should and not mine:
                create.append(name)
            elif not may_stay:
                delete += running
            elif len(running) > 1:
                # One more than the rollout wants came about: the oldest stays.
                delete += sorted(running, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))[1:]
        for name in sorted(set(by_node) - set(nodes)):
            # The node has gone; the pod garbage collector takes those that were placed, this loop those that never were.
            delete += [pod for pod in by_node[name] if not pod["spec"].get("nodeName") and not objects.deleting(pod)]
        return create, delete

    def _roll(self, found: Object, by_node: dict[str, list[Object]], revision_hash: str) -> list[Object]:
        """Old pods that may go now: those that serve nobody, and of the others as many as may be missing (maxUnavailable)."""
        rolling = found["spec"].get("updateStrategy", {}).get("rollingUpdate") or {}
        pause = found["spec"].get("minReadySeconds") or 0
        wanted = [
            name for name in by_node if (node := self._nodes.get("", name)) is not None and placement(found, node)[0]
        ]
        room = max(1, util.scaled(rolling.get("maxUnavailable", 1), len(wanted), round_up=True))
        useless, serving = [], []
        for name in sorted(wanted):
            live = [pod for pod in by_node[name] if not objects.deleting(pod)]
            old = [pod for pod in live if objects.labels(pod).get(history.HASH) != revision_hash]
            if not any(pods.is_available(pod, pause, self.world.now) for pod in live):
                room -= 1 if not old else 0
                useless += old
            else:
                serving += old
        return [*useless, *serving[: max(0, room - len(useless))]]

    def _execute(self, found: Object, create: list[str], delete: list[Object], revision_hash: str) -> ApiError | None:
        namespace = objects.namespace(found)
        for node_name in create:
            try:
                made = self.client.create("pods", pod_for(found, node_name, revision_hash), namespace)
            except ApiError as error:
                self.recorder.event(found, "Warning", "FailedCreate", f"Error creating: {error.message}")
                return error
            self.recorder.event(found, "Normal", "SuccessfulCreate", f"Created pod: {objects.name(made)}")
        for pod in delete:
            try:
                self.client.delete("pods", objects.name(pod), namespace, uid=objects.uid(pod))
            except ApiError as error:
                if error.code != 404:
                    return error
                continue
            self.recorder.event(found, "Normal", "SuccessfulDelete", f"Deleted pod: {objects.name(pod)}")
        return None

    def _report(self, found: Object, by_node: dict[str, list[Object]], revision_hash: str) -> None:
        pause = found["spec"].get("minReadySeconds") or 0
        desired = current = misplaced = ready = available = updated = 0
        for node in self._nodes.list():
            mine = by_node.get(objects.name(node), [])
            if placement(found, node)[0]:
                desired += 1
                if not mine:
                    continue
                current += 1
                pod = min(mine, key=lambda each: each["metadata"].get("creationTimestamp", ""))
                if pods.is_ready(pod):
                    ready += 1
                    available += pods.is_available(pod, pause, self.world.now)
                updated += objects.labels(pod).get(history.HASH) == revision_hash
            elif mine:
                misplaced += 1
        optional = {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": desired - available,
        }
        status: Object = {
            "currentNumberScheduled": current,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            "observedGeneration": found["metadata"].get("generation", 1),
            **{field: value for field, value in optional.items() if value},
        }
        for field in ("collisionCount", "conditions"):
            if (found.get("status") or {}).get(field):
                status[field] = found["status"][field]
        if status != found.get("status"):
            self.client.update(RESOURCE, {**found, "status": status}, "status")
        if pause and ready != available:
            self.enqueue_after(objects.key(found), pause)


def node_of(pod: Object) -> str:
    """GetTargetNodeName: where it is, or where its affinity says that it will be."""
    if pod["spec"].get("nodeName"):
        return pod["spec"]["nodeName"]
    required = matching.node_affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if each["key"] == "metadata.name" and each["operator"] == "In" and len(each["values"]) == 1:
                return each["values"][0]
    return ""
