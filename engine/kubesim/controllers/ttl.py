"""TTL: every node says for how long its kubelet may go on with the secrets and config maps that it has read.

Source: `pkg/controller/ttl/ttl_controller.go`.  The more nodes, the longer, so that many of them do not ask too often; the
bounds overlap so that a cluster at the edge does not flap.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects

ANNOTATION = "node.alpha.kubernetes.io/ttl"
# (at least so many nodes, at most so many, seconds)
BOUNDS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, None, 300))


class TTLController(Controller):
    name = "ttl-controller"

    def start(self) -> None:
        self._step = 0
        self._nodes = self.informers.of("nodes")
        self._count = len(self._nodes.list())
        self._nodes.on_event(self._changed)

    def _changed(self, kind: str, node: Object, _before: Object | None) -> None:
        self._count += {"ADDED": 1, "DELETED": -1}.get(kind, 0)
        most = BOUNDS[self._step][1]
        if most is not None and self._count > most:
            self._step += 1
        elif self._count < BOUNDS[self._step][0]:
            self._step -= 1
        if kind != "DELETED":
            self.enqueue(objects.name(node))

    def reconcile(self, key: str) -> None:
        node = self.client.find("nodes", key)
        wanted = str(BOUNDS[self._step][2])
        if node is not None and objects.annotations(node).get(ANNOTATION) != wanted:
            self.client.patch("nodes", key, "", {"metadata": {"annotations": {ANNOTATION: wanted}}})
