"""The scheduling loop: pods without a node, one at a time, each to the best node that takes it.

Source: `pkg/scheduler/schedule_one.go`.  A pod that nothing takes waits until something changes that might help.
"""

from __future__ import annotations

from collections import Counter

from kubesim import ids
from kubesim.client import Client, Object
from kubesim.controllers import pods
from kubesim.errors import ApiError
from kubesim.informer import Informers
from kubesim.machinery import objects
from kubesim.recorder import Recorder
from kubesim.scheduler import filters, scores, volumes
from kubesim.scheduler.snapshot import NodeInfo
from kubesim.world import World

NAME = "default-scheduler"
POSTFILTER = "preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."


class Scheduler:
    """Binds the pods whose schedulerName is `name`.  `minor` is 36 of v1.36.2: its words have changed over the releases."""

    def __init__(self, world: World, client: Client, name: str = NAME, minor: int = 36, host: str = "") -> None:
        self.world = world
        self.client = client
        self.name = name
        self.minor = minor
        self._instance = f"{name}-{host}" if host else name
        self._recorder = Recorder(world, client, name)
        self._queue: dict[tuple[str, str], None] = {}
        self._unschedulable: dict[tuple[str, str], None] = {}
        self._told: dict[str, str] = {}
        self._awake = False
        self._running = False

    def start(self) -> Scheduler:
        self._running = True
        self._informers = Informers(self.client)
        # What each node's pods ask for, kept up to date by news instead of being summed up for every pod.
        self._nodes: dict[str, NodeInfo] = {}
        self._placed: dict[tuple[str, str], str] = {}
        nodes = self._informers.of("nodes")
        nodes.on_event(self._node_changed)
        self._pods = self._informers.of("pods")
        self._pods.on_event(self._pod_changed)
        self._volumes = volumes.Claims(self._informers, self.minor)
        self._volumes.claims.on_event(self._claim_changed)
        return self

    def stop(self) -> None:
        """kube-scheduler has gone: new pods stay pending."""
        self._running = False
        self._informers.stop()

    # -- news -----------------------------------------------------------------------------------------------

    def _node_changed(self, kind: str, node: Object, before: Object | None) -> None:
        name = objects.name(node)
        if kind == "DELETED":
            self._nodes.pop(name, None)
            return
        known = self._nodes.get(name)
        if known is None:
            self._nodes[name] = info = NodeInfo(node)
            for pod in self._pods.list() if hasattr(self, "_pods") else ():
                if pod["spec"].get("nodeName") == name and pods.phase(pod) not in pods.FINISHED:
                    info.add(pod)
        else:
            known.node = node
        if before is None or _suitability(before) != _suitability(node):
            self._retry()

    def _claim_changed(self, _kind: str, claim: Object, before: Object | None) -> None:
        if before is None or volumes.state(before) != volumes.state(claim):
            self._retry()

    def _pod_changed(self, kind: str, pod: Object, before: Object | None) -> None:
        key = (objects.namespace(pod), objects.name(pod))
        node_name = pod["spec"].get("nodeName")
        here = node_name if kind != "DELETED" and node_name and pods.phase(pod) not in pods.FINISHED else None
        there = self._placed.get(key)
        if here != there or (here and before is not None and objects.labels(before) != objects.labels(pod)):
            if here:
                self._placed[key] = here
            else:
                self._placed.pop(key, None)
            for name in {here, there} - {None}:
                self._recount(str(name))
            if there and not here:
                self._retry()
        if kind == "DELETED" or node_name or objects.deleting(pod):
            self._queue.pop(key, None)
            self._unschedulable.pop(key, None)
            self._told.pop(objects.uid(pod), None)
        elif pod["spec"].get("schedulerName", NAME) == self.name and key not in self._unschedulable:
            self._queue[key] = None
            self._wake()

    def _recount(self, name: str) -> None:
        info = self._nodes.get(name)
        if info is None:
            return
        fresh = NodeInfo(info.node)
        for namespace, pod_name in sorted(key for key, place in self._placed.items() if place == name):
            pod = self._pods.get(namespace, pod_name)
            if pod is not None:
                fresh.add(pod)
        self._nodes[name] = fresh

    def _retry(self) -> None:
        """MoveAllToActiveOrBackoffQueue: something changed, so what could not be placed is tried again."""
        self._queue.update(self._unschedulable)
        self._unschedulable.clear()
        self._wake()

    def _wake(self) -> None:
        if self._queue and not self._awake:
            self._awake = True
            self.world.call_soon(self._next)

    # -- one pod --------------------------------------------------------------------------------------------

    def _next(self) -> None:
        self._awake = False
        if not self._running or not self._queue:
            return
        key = min(self._queue, key=self._order)
        del self._queue[key]
        pod = self.client.find("pods", key[1], key[0])
        if pod is not None and not pod["spec"].get("nodeName") and not objects.deleting(pod):
            if pod["spec"].get("schedulingGates"):
                self._unschedulable[key] = None
            else:
                self._schedule(key, pod)
        self._wake()

    def _order(self, key: tuple[str, str]) -> tuple[object, ...]:
        """PrioritySort: by priority, then by age."""
        pod = self._pods.get(*key)
        priority = pod["spec"].get("priority") or 0 if pod is not None else 0
        return (
            -priority,
            pod["metadata"].get("creationTimestamp", "") if pod is not None else "",
            list(self._queue).index(key),
        )

    def _schedule(self, key: tuple[str, str], pod: Object) -> None:
        everywhere = [self._nodes[name] for name in sorted(self._nodes)]
        problem = self._volumes.problem(pod)
        if problem:
            self._fail(key, pod, len(everywhere), problem)
            return
        feasible, refused = [], Counter[str]()
        for info in everywhere:
            reason = filters.why_not(pod, info, everywhere) or self._volumes.why_not(pod, info.node)
            if reason:
                refused[reason] += 1
            else:
                feasible.append(info)
        if not feasible:
            listed = ", ".join(sorted(f"{count} {reason}" for reason, count in refused.items()))
            self._fail(key, pod, len(everywhere), listed)
            return
        chosen = self._choose(pod, feasible)
        if self._volumes.choose(self.client, pod, chosen.name):
            # PreBind: it is bound once its volumes are, and they will be on that node.
            self._unschedulable[key] = None
            return
        try:
            self.client.bind(objects.name(pod), objects.namespace(pod), chosen.name)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            # Gone, or placed by another in the meantime: the news will tell.
            return
        # Assume it there before the news comes, or the next pod would find the place still free.
        self._placed[key] = chosen.name
        chosen.add({**pod, "spec": {**pod["spec"], "nodeName": chosen.name}})
        message = f"Successfully assigned {objects.key(pod)} to {chosen.name}"
        self._tell(pod, "Normal", "Scheduled", "Binding", message)

    def _choose(self, pod: Object, feasible: list[NodeInfo]) -> NodeInfo:
        """The best; one of the best by lot, as selectHost does."""
        if len(feasible) == 1:
            return feasible[0]
        ranks = scores.rank(pod, feasible)
        best = max(ranks)
        return self.world.rng("scheduler").choice(
            [info for info, rank in zip(feasible, ranks, strict=True) if rank == best]
        )

    def _fail(self, key: tuple[str, str], pod: Object, total: int, why: str) -> None:
        self._unschedulable[key] = None
        message = self._message(total, why)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": ids.timestamp(self.world.now),
            "reason": "Unschedulable",
            "message": message,
        }
        if self.minor >= 34:
            condition["observedGeneration"] = pod["metadata"].get("generation", 1)
        before = pods.condition(pod, "PodScheduled")
        if before is not None and before["status"] == "False":
            condition["lastTransitionTime"] = before.get("lastTransitionTime")
        others = [each for each in (pod.get("status") or {}).get("conditions") or () if each["type"] != "PodScheduled"]
        if before != condition:
            patch = {"status": {"conditions": [*others, condition]}}
            self.client.patch("pods", objects.name(pod), objects.namespace(pod), patch, "merge", "status")
        if self._told.get(objects.uid(pod)) != message:
            self._told[objects.uid(pod)] = message
            self._tell(pod, "Warning", "FailedScheduling", "Scheduling", message)

    def _message(self, total: int, why: str) -> str:
        """FitError.Error: what holds for all nodes, or the reasons with how many nodes they hold for."""
        if not total:
            return "no nodes available to schedule pods"
        message = f"0/{total} nodes are available: {why}."
        return f"{message} {POSTFILTER.format(total=total)}" if self.minor >= 24 else message

    def _tell(self, pod: Object, kind: str, reason: str, action: str, message: str) -> None:
        self._recorder.action(pod, kind, reason, action, message, self._instance)


def _suitability(node: Object) -> tuple[object, ...]:
    """What of a node can make a pod fit that did not."""
    spec, status = node["spec"], node.get("status") or {}
    return spec.get("taints"), spec.get("unschedulable"), objects.labels(node), status.get("allocatable")
