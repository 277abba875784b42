"""The cloud's service controller: gives Services of type LoadBalancer a load balancer, and takes it back.

Source: `staging/src/k8s.io/cloud-provider/controllers/service/controller.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.client import Client, Object
from kubesim.controllers.controller import Controller
from kubesim.informer import Informers
from kubesim.loadbalancer.balancer import PROXY_HEALTH, Forwarding
from kubesim.machinery import objects
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.loadbalancer.balancer import Balancer
    from kubesim.loadbalancer.clouds import Cloud

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


class ServiceController(Controller):
    """See the module."""

    name = "service-controller"

    def __init__(
        self, world: World, client: Client, informers: Informers, minor: int, balancer: Balancer, cloud: Cloud
    ) -> None:
        super().__init__(world, client, informers, minor)
        self._balancer = balancer
        self._cloud = cloud
        self._coming: dict[str, float] = {}

    def start(self) -> None:
        self._services = self.watch("services")
        self._nodes = self.informers.of("nodes")
        self._nodes.on_event(self._node_changed)

    def _node_changed(self, kind: str, node: Object, before: Object | None) -> None:
        if kind == "MODIFIED" and before is not None and _target(before) == _target(node):
            return
        for service in self._services.list():
            if wants(service):
                self.enqueue(objects.key(service))

    def reconcile(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        service = self.client.find("services", name, namespace)
        if service is None:
            self._forget(key)
        elif objects.deleting(service) or not wants(service):
            self._delete(key, service)
        else:
            self._ensure(key, service)

    # -- making ---------------------------------------------------------------------------------------------

    def _ensure(self, key: str, service: Object) -> None:
        """syncLoadBalancerIfNeeded: it takes the cloud its time, and then an address is there."""
        finalizers = service["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            self._patch(service, {"metadata": {"finalizers": [*finalizers, FINALIZER]}})
            return  # comes back as a change
        if not self._balancer.address(key):
            due = self._coming.get(key)
            if due is None:
                self.recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
                low, high = self._cloud.seconds
                due = self._coming[key] = self.world.now + low + (high - low) * self.world.rng("loadbalancer").random()
            if self.world.now < due:
                self.enqueue_after(key, due - self.world.now)
                return
            self._coming.pop(key)
        address = self._balancer.allocate(key, service["spec"].get("loadBalancerIP", ""))
        changed = self._balancer.configure(key, self._forwarding(service))
        if ingress(service) != [address]:
            entry = {"ip": address, **({"ipMode": "VIP"} if self.minor >= 30 else {})}
            self._patch(service, {"status": {"loadBalancer": {"ingress": [entry]}}}, "status")
            self.recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        elif changed:
            self.recorder.event(service, "Normal", "UpdatedLoadBalancer", "Updated load balancer with new hosts")

    def _forwarding(self, service: Object) -> Forwarding:
        spec = service["spec"]
        ports = spec.get("ports") or []
        local = spec.get("externalTrafficPolicy") == "Local"
        if local:
            health = spec.get("healthCheckNodePort", 0)
        else:
            health = PROXY_HEALTH if self._cloud.asks_proxy else ports[0].get("nodePort", 0)
        nodes = dict(each for each in map(_target, self._nodes.list()) if each is not None)
        return Forwarding(
            ports=tuple((each.get("protocol", "TCP"), each["port"]) for each in ports),
            nodes=nodes,
            health_port=health,
            connects=not local and not self._cloud.asks_proxy,
        )

    # -- taking back ----------------------------------------------------------------------------------------

    def _forget(self, key: str) -> None:
        self._coming.pop(key, None)
        self._balancer.release(key)

    def _delete(self, key: str, service: Object) -> None:
        finalizers = service["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        self.recorder.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
        self._forget(key)
        if ingress(service) and not objects.deleting(service):
            self._patch(service, {"status": {"loadBalancer": {"ingress": None}}}, "status")
        self._patch(service, {"metadata": {"finalizers": [each for each in finalizers if each != FINALIZER] or None}})
        self.recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")

    def _patch(self, service: Object, patch: Object, subresource: str = "") -> None:
        self.client.patch(
            "services", objects.name(service), objects.namespace(service), patch, subresource=subresource
        )


def wants(service: Object) -> bool:
    """wantsLoadBalancer: a class of its own is somebody else's business."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def ingress(service: Object) -> list[str]:
    """The addresses in its status."""
    listed = objects.get(service, "status.loadBalancer.ingress", None) or ()
    return [each.get("ip", "") for each in listed]


def _target(node: Object) -> tuple[str, str] | None:
    """Name and address of a node that load balancers should know; None when they should not."""
    if EXCLUDED in (node["metadata"].get("labels") or {}) or objects.deleting(node):
        return None
    listed = (node.get("status") or {}).get("addresses") or ()
    address = next((each["address"] for each in listed if each["type"] == "InternalIP"), "")
    return (objects.name(node), address) if address else None
