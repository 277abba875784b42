"""The pod garbage collector: pods that no kubelet will ever finish.

Source: `pkg/controller/podgc/gc_controller.go`: pods of a node that has gone, and terminating pods that no node has.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers import pods
from kubesim.controllers.controller import Controller
from kubesim.controllers.nodelifecycle import node_names
from kubesim.machinery import objects

# quarantineTime: a node that is deleted and comes back at once keeps its pods.
QUARANTINE = 40.0


class PodGCController(Controller):
    name = "pod-garbage-collector"

    def start(self) -> None:
        self._nodes = self.informers.of("nodes")
        self._nodes.on_event(self._node_changed)
        self._pods = self.informers.of("pods")
        self._pods.index("node", node_names)
        self._pods.on_event(self._pod_changed)

    def _node_changed(self, kind: str, node: Object, _before: Object | None) -> None:
        if kind == "DELETED":
            for pod in self._pods.by("node", objects.name(node)):
                self.enqueue_after(objects.key(pod), QUARANTINE)

    def _pod_changed(self, kind: str, pod: Object, _before: Object | None) -> None:
        if kind != "DELETED" and objects.deleting(pod) and not pod["spec"].get("nodeName"):
            self.enqueue(objects.key(pod))

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        pod = self.client.find("pods", name, namespace)
        if pod is None:
            return
        node_name = pod["spec"].get("nodeName")
        orphaned = bool(node_name) and self.client.find("nodes", node_name) is None
        if orphaned and pods.phase(pod) not in pods.FINISHED:
            patch = {"status": {"phase": "Failed"}}
            self.client.patch("pods", name, namespace, patch, "merge", "status")
        if orphaned or (not node_name and objects.deleting(pod)):
            self.client.delete("pods", name, namespace, grace_period_seconds=0, uid=objects.uid(pod))
