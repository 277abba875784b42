"""ReplicaSet: as many pods as it says, made from its template.

Source: `pkg/controller/replicaset/replica_set.go`; the order in which pods go is `controller_utils.go`'s
ActivePodsWithRanks.
"""

from __future__ import annotations

import math
from typing import ClassVar

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers import claims, pods
from kubesim.controllers.controller import Controller
from kubesim.errors import ApiError
from kubesim.machinery import objects

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class ReplicaSetController(Controller):
    name = "replicaset-controller"
    resource: ClassVar[str] = "replicasets.apps"
    kind: ClassVar[str] = "ReplicaSet"

    def start(self) -> None:
        self._sets = self.watch(self.resource)
        self._sets.index("owner", owner_uid)
        self._sets.index("namespace", pods.namespaces)
        self._pods = self.watch_owned("pods", self.kind)
        self._pods.index("labels", pods.label_values)
        self._pods.index("namespace", pods.namespaces)
        self._pods.on_event(self._orphan_changed)

    def _orphan_changed(self, kind: str, pod: Object, _before: Object | None) -> None:
        if kind != "DELETED" and objects.owner(pod) is None:
            for each in self._sets.by("namespace", objects.namespace(pod)):
                if claims.selects(self.selector(each), pod):
                    self.enqueue(objects.key(each))

    def selector(self, obj: Object) -> Object:
        """Its LabelSelector."""
        return obj["spec"]["selector"]

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        found = self.client.find(self.resource, name, namespace)
        if found is None:
            return
        mine = claims.claim(self.client, self._pods, "pods", found, self.selector(found))
        active = [each for each in mine if pods.is_active(each)]
        terminating = sum(pods.is_terminating(each) for each in mine)
        failure: ApiError | None = None
        if not objects.deleting(found):
            failure = self._manage(found, active)
        status = self._status(found, active, terminating, failure, len(active))
        if status != found.get("status"):
            found = self.client.update(self.resource, {**found, "status": status}, "status")
        if failure is not None:
            raise failure
        pause = found["spec"].get("minReadySeconds") or 0
        ready, available = status.get("readyReplicas", 0), status.get("availableReplicas", 0)
        if pause and ready == found["spec"]["replicas"] and available != ready:
            self.enqueue_after(key, pause)

    def _manage(self, found: Object, active: list[Object]) -> ApiError | None:
        """Make or remove pods; the error that stopped it."""
        wanted = found["spec"].get("replicas", 1)
        namespace = objects.namespace(found)
        if len(active) < wanted:
            for _ in range(wanted - len(active)):
                pod = pods.from_template(found["spec"]["template"], found, namespace)
                try:
                    made = self.client.create("pods", pod, namespace)
                except ApiError as error:
                    # The namespace is going: nothing can be made there, and nobody needs to be told.
                    if any(
                        cause.get("reason") == "NamespaceTerminating"
                        for cause in (error.details or {}).get("causes", ())
                    ):
                        return None
                    self.recorder.event(found, "Warning", "FailedCreate", f"Error creating: {error.message}")
                    return error
                self.recorder.event(found, "Normal", "SuccessfulCreate", f"Created pod: {objects.name(made)}")
        elif len(active) > wanted:
            for pod in self._to_delete(found, active)[: len(active) - wanted]:
                try:
                    self.client.delete("pods", objects.name(pod), namespace, uid=objects.uid(pod))
                except ApiError as error:
                    if error.code == 404:
                        continue
                    self.recorder.event(found, "Warning", "FailedDelete", f"Error deleting: {error.message}")
                    return error
                self.recorder.event(found, "Normal", "SuccessfulDelete", f"Deleted pod: {objects.name(pod)}")
        return None

    def _to_delete(self, found: Object, active: list[Object]) -> list[Object]:
        """In the order in which they should go.  Pods that share a node with siblings of their Deployment go first."""
        siblings = active
        owner = objects.owner(found)
        if owner is not None:
            siblings = [
                pod
                for each in self._sets.by("owner", owner["uid"])
                for pod in self._pods.by("owner", objects.uid(each))
                if pods.is_active(pod)
            ]
        crowd: dict[str, int] = {}
        for pod in siblings:
            node = pod["spec"].get("nodeName", "")
            crowd[node] = crowd.get(node, 0) + 1
        return sorted(
            active, key=lambda pod: deletion_order(pod, crowd.get(pod["spec"].get("nodeName", ""), 0), self.world.now)
        )

    def _status(
        self, found: Object, active: list[Object], terminating: int, failure: ApiError | None, count: int
    ) -> Object:
        spec = found["spec"]
        template_labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        pause = spec.get("minReadySeconds") or 0
        numbers = {
            "fullyLabeledReplicas": sum(template_labels.items() <= objects.labels(each).items() for each in active),
            "readyReplicas": sum(pods.is_ready(each) for each in active),
            "availableReplicas": sum(pods.is_available(each, pause, self.world.now) for each in active),
        }
        status: Object = {"replicas": count, **{key: value for key, value in numbers.items() if value}}
        if self.kind == "ReplicaSet" and self.minor >= 33:
            status["terminatingReplicas"] = terminating
        status["observedGeneration"] = found["metadata"].get("generation", 1)
        before = found.get("status") or {}
        conditions = list(before.get("conditions") or ())
        failed = [each for each in conditions if each["type"] == "ReplicaFailure"]
        if failure is not None and not failed:
            conditions.append(
                {
                    "type": "ReplicaFailure",
                    "status": "True",
                    "lastTransitionTime": ids.timestamp(self.world.now),
                    "reason": "FailedCreate" if count < spec.get("replicas", 1) else "FailedDelete",
                    "message": failure.message,
                }
            )
        elif failure is None and failed:
            conditions = [each for each in conditions if each["type"] != "ReplicaFailure"]
        if conditions:
            status["conditions"] = conditions
        return status


def owner_uid(obj: Object) -> list[str]:
    """The index "owner" of ReplicaSets: the uid of their Deployment."""
    reference = objects.owner(obj)
    return [reference["uid"]] if reference is not None else []


def deletion_order(pod: Object, crowd: int, now: float) -> tuple[object, ...]:
    """Smaller goes first: not placed, pending, unready, cheap, crowded, ready for a shorter time, restarted, younger.

    Times of readiness and of birth count by powers of two of seconds, so that among pods of about an age the one that
    goes is not always the youngest (KEP-2185).
    """
    ready = pods.is_ready(pod)
    cost = objects.annotations(pod).get(DELETION_COST, "0")
    since = (pods.condition(pod, "Ready") or {}).get("lastTransitionTime") if ready else None
    restarts = sum(each.get("restartCount", 0) for each in (pod.get("status") or {}).get("containerStatuses") or ())
    return (
        bool(pod["spec"].get("nodeName")),
        {"Pending": 0, "Unknown": 1}.get(pods.phase(pod), 2),
        ready,
        int(cost) if cost.lstrip("+-").isdecimal() else 0,
        -crowd,
        _magnitude(since, now) if since else 0,
        -restarts,
        _magnitude(pod["metadata"].get("creationTimestamp"), now),
        objects.uid(pod),
    )


def _magnitude(time: str | None, now: float) -> int:
    age = max(0.0, now - ids.parse_timestamp(time)) if time else 0.0
    return int(math.log2(age)) if age >= 1 else 0
