"""What is there before anybody asks, and comes back when it is deleted.

Sources: `pkg/controlplane/controller/{systemnamespaces,kubernetesservice,defaultservicecidr}`, `pkg/controlplane/reconcilers`,
`pkg/registry/scheduling/rest/storage_scheduling.go`.  Upstream looks every ten seconds; so does this, and at once after a
deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import http, ids
from kubesim.apiserver.controllers import bootstraproles, registration
from kubesim.errors import ApiError
from kubesim.store.store import Event

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
# kubernetesservice.Controller's interval, seconds.
INTERVAL = 10.0
PRIORITY_CLASSES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)
LABELS = {"component": "apiserver", "provider": "kubernetes"}


def start(server: ApiServer) -> None:
    Bootstrap(server).start()


class Bootstrap:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._world = server.world
        self._settings = server.settings
        self._client = server.client(http.User(name="system:apiserver", groups=("system:masters",)))
        self._client._manager = "kube-apiserver"

    def start(self) -> None:
        self.reconcile()
        for resource, obj in registration.objects_of(self._server):
            self._ensure(resource, obj)
        bootstraproles.store(self._server)
        for resource in ("namespaces", "services", "endpoints"):
            self._client._registry.store.watch(resource, self._deleted)
        self._world.call_later(INTERVAL, self._tick, background=True)

    def _tick(self) -> None:
        self.reconcile()
        self._world.call_later(INTERVAL, self._tick, background=True)

    def _deleted(self, event: Event) -> None:
        metadata = event.obj["metadata"]
        ours = (metadata["name"] == "kubernetes" and metadata.get("namespace") == "default") or metadata[
            "name"
        ] in NAMESPACES
        if event.type == "DELETED" and ours:
            # Upstream notices at its next round.
            self._world.call_later(INTERVAL, self.reconcile)

    def reconcile(self) -> None:
        for name in NAMESPACES:
            self._ensure("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if self._settings.minor >= 16:
            for name, value, description in PRIORITY_CLASSES:
                self._ensure(
                    "priorityclasses.scheduling.k8s.io",
                    {"metadata": {"name": name}, "value": value, "description": description},
                )
        if self._settings.minor >= 33:
            self._service_cidr()
        self._ensure("services", self._service())
        self._ensure("endpoints", self._endpoints())
        if self._settings.minor >= 17:
            self._ensure("endpointslices.discovery.k8s.io", self._slice())

    def _ensure(self, resource: str, obj: Object) -> None:
        metadata = obj["metadata"]
        if self._client.find(resource, metadata["name"], metadata.get("namespace", "")) is None:
            try:
                self._client.create(resource, obj)
            except ApiError as error:
                # A namespace that is still going away: next time.
                if error.reason not in ("Forbidden", "NotFound"):
                    raise

    def _service_cidr(self) -> None:
        """The default ServiceCIDR; its finalizer and its readiness are written by servicecidrs.Controller."""
        name = "servicecidrs.networking.k8s.io"
        if self._client.find(name, "kubernetes") is not None:
            return
        cidrs = [str(network) for network in self._settings.networks]
        self._client.create(name, {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}})
        ready = {"type": "Ready", "status": "True"}
        self._apply_status(name, "kubernetes", "kubernetes-service-cidr-controller", [ready])
        manager = self._server.client("kube-controller-manager")
        finalizers = ["networking.k8s.io/service-cidr-finalizer"]
        manager.patch(name, "kubernetes", "", {"metadata": {"finalizers": finalizers}})
        told = {
            "lastTransitionTime": ids.timestamp(self._world.now),
            "reason": "",
            "message": "Kubernetes Service CIDR is ready",
        }
        self._apply_status(name, "kubernetes", "service-cidr-controller", [{**ready, **told}])

    def _apply_status(self, resource: str, name: str, manager: str, conditions: list[Object]) -> None:
        """A server-side apply of conditions, as these controllers do it."""
        from kubesim.apiserver import apply
        from kubesim.apiserver.call import Call

        registry = self._server.registry
        found = registry.resource(resource)
        call = Call(
            user=self._client.user, resource=found, version="v1", name=name, subresource="status", manager=manager
        )
        patch = {"metadata": {"name": name}, "status": {"conditions": conditions}}
        registry.update(call, lambda old: registry.decode(call, apply.merged_with(call, old, patch, force=True)))

    def _service(self) -> Object:
        return {
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": LABELS},
            "spec": {
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": self._settings.port}],
                "clusterIP": self._settings.api_address,
                "type": "ClusterIP",
                "sessionAffinity": "None",
                **({"ipFamilyPolicy": "SingleStack"} if self._settings.minor >= 20 else {}),
            },
        }

    def _endpoints(self) -> Object:
        labels = {"endpointslice.kubernetes.io/skip-mirror": "true"} if self._settings.minor >= 17 else {}
        return {
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "subsets": [
                {
                    "addresses": [{"ip": self._settings.public_address}],
                    "ports": [{"name": "https", "port": self._settings.port, "protocol": "TCP"}],
                }
            ],
        }

    def _slice(self) -> Object:
        return {
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self._settings.public_address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": self._settings.port, "protocol": "TCP"}],
        }
