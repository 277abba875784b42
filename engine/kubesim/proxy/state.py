"""What kube-proxy knows of the cluster, and what of it has changed since the rules were last written.

Upstream: ServiceChangeTracker, EndpointsChangeTracker and EndpointSliceCache of pkg/proxy.  Changes are only gathered
when an event comes; they are applied, all at once, when a sync checks them out.  A change that leaves the values as they
were (a status, a label) asks for no sync.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubesim.proxy import model
from kubesim.proxy.addresses import Family
from kubesim.proxy.model import Endpoint, Object, PortName, ServiceName, ServicePort


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`services` were added, changed or removed, or their endpoints were; `udp`: among them is a UDP port, so old
    conntrack entries may point at endpoints that are gone."""

    services: frozenset[ServiceName] = frozenset()
    udp: bool = False


class State:
    """One IP family's Services and endpoints, as one node's kube-proxy sees them."""

    def __init__(self, family: Family, node_name: str) -> None:
        self.family = family
        self.node_name = node_name
        self.services: dict[PortName, ServicePort] = {}
        self.endpoints: dict[PortName, tuple[Endpoint, ...]] = {}
        self._seen: dict[ServiceName, Object] = {}
        self._ports: dict[ServiceName, dict[PortName, ServicePort]] = {}
        self._endpoint_ports: dict[ServiceName, dict[PortName, tuple[Endpoint, ...]]] = {}
        self._slices: dict[ServiceName, dict[str, Object]] = {}
        self._changed_services: dict[ServiceName, dict[PortName, ServicePort]] = {}
        self._changed_slices: set[ServiceName] = set()
        self._endpoint_count = 0

    def service_changed(self, service: Object, deleted: bool = False) -> bool:
        """Take note of a Service; True when there is now something to sync."""
        metadata = service["metadata"]
        name = ServiceName(metadata.get("namespace") or "default", metadata["name"])
        if deleted:
            self._seen.pop(name, None)
        elif self._seen.get(name) is service:
            return bool(self._changed_services)
        else:
            self._seen[name] = service
        now = {} if deleted or model.others(service) else model.service_ports(service, self.family)
        if now == self._ports.get(name, {}):
            self._changed_services.pop(name, None)
        else:
            self._changed_services[name] = now
        return bool(self._changed_services)

    def slice_changed(self, endpoint_slice: Object, deleted: bool = False) -> bool:
        """Take note of an EndpointSlice; True when there is now something to sync."""
        name = model.slice_service(endpoint_slice)
        if name is None or model.others(endpoint_slice):
            return False
        known = self._slices.setdefault(name, {})
        key = endpoint_slice["metadata"]["name"]
        if deleted:
            changed = known.pop(key, None) is not None
        else:
            before = known.get(key)
            changed = before is None or any(
                before.get(each) != endpoint_slice.get(each) for each in ("ports", "endpoints")
            )
            known[key] = endpoint_slice
        if changed:
            self._changed_slices.add(name)
        return changed

    def endpoints_changed(self, obj: Object, deleted: bool = False) -> bool:
        """Take note of a v1 Endpoints, for a kube-proxy that is older than EndpointSlices."""
        metadata = obj["metadata"]
        name = ServiceName(metadata.get("namespace") or "default", metadata["name"])
        now = {} if deleted or model.others(obj) else model.slices_of_endpoints(obj, self.family)
        if now == self._slices.get(name, {}):
            return False
        self._slices[name] = now
        self._changed_slices.add(name)
        return True

    def checkout(self) -> Changes:
        """Apply what has come in since the last time, and say which Services that touched."""
        touched = {*self._changed_services, *self._changed_slices}
        self._endpoint_count -= sum(map(self._endpoints_of, touched))
        udp = False
        for name, ports in self._changed_services.items():
            before = self._ports.pop(name, {})
            for port in before:
                del self.services[port]
            if ports:
                self._ports[name] = ports
                self.services.update(ports)
            udp = udp or _has_udp(before) or _has_udp(ports)
        self._changed_services.clear()
        for name in sorted(self._changed_slices):
            slices = self._slices[name]
            now = model.endpoints(name, (slices[key] for key in sorted(slices)), self.family, self.node_name)
            if not slices:
                del self._slices[name]
            gone = self._endpoint_ports.pop(name, {})
            for port in gone:
                del self.endpoints[port]
            if now:
                self._endpoint_ports[name] = now
                self.endpoints.update(now)
            udp = udp or _has_udp(gone) or _has_udp(now)
        self._changed_slices.clear()
        self._endpoint_count += sum(map(self._endpoints_of, touched))
        return Changes(services=frozenset(touched), udp=udp)

    def ports_of(self, name: ServiceName) -> Iterable[ServicePort]:
        """The applied ports of one Service."""
        return self._ports.get(name, {}).values()

    def endpoint_count(self) -> int:
        """How many endpoints stand behind the ports of all Services."""
        return self._endpoint_count

    def _endpoints_of(self, name: ServiceName) -> int:
        return sum(len(self.endpoints.get(port, ())) for port in self._ports.get(name, ()))

    def health_check_node_ports(self) -> dict[ServiceName, int]:
        """The Services that want an answer to load balancers' health checks, with the port to answer on."""
        return {
            port.name.service: port.health_check_node_port
            for port in self.services.values()
            if port.health_check_node_port
        }

    def local_ready(self, name: ServiceName) -> int:
        """How many distinct addresses on this node are ready for the Service."""
        ports = self._endpoint_ports.get(name, {})
        return len({each.address for endpoints in ports.values() for each in endpoints if each.local and each.ready})


def _has_udp(ports: Iterable[PortName]) -> bool:
    return any(port.protocol == "UDP" for port in ports)


def of_objects(family: Family, node_name: str, services: Iterable[Object], slices: Iterable[Object]) -> State:
    """A state with these objects, all applied."""
    state = State(family, node_name)
    for service in services:
        state.service_changed(service)
    for endpoint_slice in slices:
        state.slice_changed(endpoint_slice)
    state.checkout()
    return state
