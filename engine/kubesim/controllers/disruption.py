"""PodDisruptionBudgets: how many of their pods may be evicted now.

Source: `pkg/controller/disruption/disruption.go`.
"""

from __future__ import annotations

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers import pods
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects, selectors

RESOURCE = "poddisruptionbudgets.policy"
# DeletionTimeout: an eviction whose pod is still there after so long is not counted as one any more.
FORGET = 120.0
# Who says how many pods there should be, by the kind of a pod's owner.
SCALES = {
    "ReplicaSet": "replicasets.apps",
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}


class DisruptionController(Controller):
    name = "disruption-controller"

    def start(self) -> None:
        self._budgets = self.watch(RESOURCE)
        self._pods = self.informers.of("pods")
        self._pods.index("namespace", pods.namespaces)
        self._pods.on_event(self._pod_changed)
        for resource in SCALES.values():
            self.informers.of(resource).on_event(self._scale_changed)

    def _pod_changed(self, _kind: str, pod: Object, before: Object | None) -> None:
        for budget in self._budgets.list():
            if objects.namespace(budget) != objects.namespace(pod):
                continue
            selector = selectors.from_label_selector(budget["spec"].get("selector"))
            if any(selector.matches(objects.labels(each)) for each in (pod, before) if each is not None):
                self.enqueue(objects.key(budget))

    def _scale_changed(self, _kind: str, found: Object, _before: Object | None) -> None:
        for budget in self._budgets.list():
            if objects.namespace(budget) == objects.namespace(found):
                self.enqueue(objects.key(budget))

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        budget = self.client.find(RESOURCE, name, namespace)
        if budget is None:
            return
        selector = selectors.from_label_selector(budget["spec"].get("selector"))
        mine = [pod for pod in self._pods.by("namespace", namespace) if selector.matches(objects.labels(pod))]
        if not mine:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        before = budget.get("status") or {}
        disrupted = self._still_going(key, before.get("disruptedPods") or {}, mine)
        healthy = sum(
            pods.is_ready(pod) and not objects.deleting(pod) and objects.name(pod) not in disrupted for pod in mine
        )
        expected, desired = self._expected(budget, mine)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status: Object = {
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"].get("generation", 1),
            "conditions": [self._condition(before, allowed, budget)],
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        if status != before:
            self.client.update(RESOURCE, {**budget, "status": status}, "status")

    def _still_going(self, key: str, disrupted: Object, mine: list[Object]) -> Object:
        """buildDisruptedPodMap: evicted, and neither gone nor marked for deletion yet."""
        there = {objects.name(pod) for pod in mine if not objects.deleting(pod)}
        kept = {}
        for name, since in disrupted.items():
            left = ids.parse_timestamp(since) + FORGET - self.world.now
            if name in there and left > 0:
                kept[name] = since
                self.enqueue_after(key, left, background=True)
        return kept

    def _condition(self, before: Object, allowed: int, budget: Object) -> Object:
        value = "True" if allowed else "False"
        known = next((each for each in before.get("conditions") or () if each["type"] == "DisruptionAllowed"), None)
        since = known["lastTransitionTime"] if known and known["status"] == value else ids.timestamp(self.world.now)
        return {
            "type": "DisruptionAllowed",
            "status": value,
            "observedGeneration": budget["metadata"].get("generation", 1),
            "lastTransitionTime": since,
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }

    def _expected(self, budget: Object, mine: list[Object]) -> tuple[int, int]:
        """How many pods there should be, and how many must be healthy (getExpectedPodCount)."""
        spec = budget["spec"]
        if "maxUnavailable" in spec:
            expected = self._scale(mine)
            return expected, max(0, expected - _share(spec["maxUnavailable"], expected))
        wanted = spec.get("minAvailable", 1)
        if isinstance(wanted, int):
            return len(mine), wanted
        expected = self._scale(mine)
        return expected, _share(wanted, expected)

    def _scale(self, mine: list[Object]) -> int:
        """The sum of what the pods' controllers, each once, are told to run (getExpectedScale)."""
        scales: dict[str, int] = {}
        for pod in mine:
            found = self._controller(pod)
            if found is not None:
                scales[objects.uid(found)] = found["spec"].get("replicas", 1)
        return sum(scales.values())

    def _controller(self, pod: Object) -> Object | None:
        """The topmost controller of a pod that has a scale."""
        found, obj = None, pod
        while (owner := objects.owner(obj)) is not None and owner["kind"] in SCALES:
            above = self.client.find(SCALES[owner["kind"]], owner["name"], objects.namespace(pod))
            if above is None or objects.uid(above) != owner["uid"]:
                break
            found = obj = above
        return found


def _share(value: int | str, of: int) -> int:
    """A number, or a percentage rounded up."""
    if isinstance(value, int):
        return value
    return -(-int(value.rstrip("%")) * of // 100)
