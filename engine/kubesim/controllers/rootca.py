"""Every namespace has a ConfigMap `kube-root-ca.crt`, by which its pods know the API server.

Source: `pkg/controller/certificates/rootcacertpublisher/publisher.go`.  The certificate itself is whatever
kube-controller-manager was given as --root-ca-file.
"""

from __future__ import annotations

from kubesim.client import Client, Object
from kubesim.controllers.controller import Controller
from kubesim.informer import Informers
from kubesim.machinery import objects
from kubesim.world import World

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCAPublisher(Controller):
    name = "root-ca-cert-publisher"

    def __init__(
        self, world: World, client: Client, informers: Informers, minor: int = 36, certificate: str = ""
    ) -> None:
        super().__init__(world, client, informers, minor)
        self._data = {"ca.crt": certificate}

    def start(self) -> None:
        self.watch("namespaces")
        self.informers.of("configmaps").on_event(self._map_changed)

    def _map_changed(self, kind: str, found: Object, before: Object | None) -> None:
        if objects.name(found) == NAME and (kind == "DELETED" or before is not None):
            self.enqueue(objects.namespace(found))

    def reconcile(self, key: str) -> None:
        namespace = self.client.find("namespaces", key)
        if namespace is None or objects.deleting(namespace):
            return
        found = self.client.find("configmaps", NAME, key)
        annotations = {"kubernetes.io/description": DESCRIPTION}
        if found is None:
            made = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": key, "annotations": annotations},
                "data": self._data,
            }
            self.client.create("configmaps", made, key)
        elif found.get("data") != self._data or not annotations.items() <= objects.annotations(found).items():
            metadata = {**found["metadata"], "annotations": {**objects.annotations(found), **annotations}}
            self.client.update("configmaps", {**found, "metadata": metadata, "data": self._data})
