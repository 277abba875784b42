"""The cluster's objects as the *kubernetes* plugin keeps them: indexed by what a question asks for.

It is fed with the events of a watch, so that an answer costs by its own size and not by the cluster's.
Upstream: CoreDNS `plugin/kubernetes/controller.go` and `object/`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name

SERVICE_NAME = "kubernetes.io/service-name"
# A port that was never declared; it gives addresses but no SRV (CoreDNS `object.ToService`).
UNDECLARED: Object = {"name": "", "port": -1, "protocol": ""}


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint's address."""

    ip: str
    hostname: str = ""
    pod: str = ""
    zone: str = ""

    def label(self, pod_names: bool = False) -> str:
        """What stands before the service's name: the hostname, else the address with dashes (upstream
        `endpointHostname`); with `pod_names` (option endpoint_pod_names) the pod's name before the dashes."""
        if self.hostname:
            return self.hostname
        if pod_names and self.pod:
            return self.pod
        dashed = self.ip.replace(".", "-").replace(":", "-")
        return f"{dashed}0" if dashed.endswith("-") else dashed


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One EndpointSlice, or one subset of an Endpoints object: addresses that share ports."""

    service: Key
    addresses: tuple[Address, ...]
    ports: tuple[Object, ...]


@dataclass(eq=False, slots=True)
class Objects:
    """Services, endpoints, namespaces and pods; `serial` counts in seconds of virtual time when anything last changed."""

    services: dict[Key, Object] = field(default_factory=dict)
    namespaces: dict[str, Object] = field(default_factory=dict)
    serial: int = 0
    _endpoints: dict[Key, list[Endpoints]] = field(default_factory=dict)  # by the slice's own key
    _of_service: dict[Key, dict[Key, None]] = field(default_factory=dict)
    _service_ips: dict[str, dict[Key, None]] = field(default_factory=dict)
    _endpoint_ips: dict[str, dict[Key, None]] = field(default_factory=dict)
    _pods: dict[str, dict[Key, None]] = field(default_factory=dict)  # by address

    # -- what has happened ----------------------------------------------------------------------------------

    def service(self, event: str, obj: Object) -> None:
        key = _key(obj)
        old = self.services.pop(key, None)
        for ip in _cluster_ips(old) if old else ():
            _drop(self._service_ips, ip, key)
        if event != "DELETED":
            self.services[key] = obj
            for ip in _cluster_ips(obj):
                self._service_ips.setdefault(ip, {})[key] = None

    def slice(self, event: str, obj: Object) -> None:
        """An EndpointSlice; endpoints that are not ready are not there (a nil condition counts as ready)."""
        service = obj["metadata"].get("labels", {}).get(SERVICE_NAME, "")
        ports = tuple(obj.get("ports") or ()) or (UNDECLARED,)
        addresses = tuple(
            Address(
                ip=ip,
                hostname=endpoint.get("hostname") or "",
                pod=(endpoint.get("targetRef") or {}).get("name", ""),
                zone=endpoint.get("zone") or "",
            )
            for endpoint in obj.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
            for ip in endpoint["addresses"]
        )
        found = [Endpoints((obj["metadata"]["namespace"], service), addresses, ports)]
        self._replace(_key(obj), [] if event == "DELETED" else found)

    def endpoints(self, event: str, obj: Object) -> None:
        """A v1 Endpoints object, which CoreDNS watches on clusters before 1.19."""
        found = [
            Endpoints(
                _key(obj),
                tuple(
                    Address(each["ip"], each.get("hostname") or "", (each.get("targetRef") or {}).get("name", ""))
                    for each in subset.get("addresses") or ()
                ),
                tuple(subset.get("ports") or ()) or (UNDECLARED,),
            )
            for subset in obj.get("subsets") or ()
        ]
        self._replace(_key(obj), [] if event == "DELETED" else found)

    def namespace(self, event: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if event == "DELETED":
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = obj

    def pod(self, event: str, obj: Object, old: Object | None = None) -> None:
        key = _key(obj)
        for each in (old, obj):
            if each is not None and (ip := each.get("status", {}).get("podIP")):
                _drop(self._pods, ip, key)
        if event != "DELETED" and (ip := obj.get("status", {}).get("podIP")):
            self._pods.setdefault(ip, {})[key] = None

    def _replace(self, key: Key, found: list[Endpoints]) -> None:
        for old in self._endpoints.pop(key, ()):
            _drop(self._of_service, old.service, key)
            for address in old.addresses:
                _drop(self._endpoint_ips, address.ip, key)
        if found:
            self._endpoints[key] = found
        for new in found:
            self._of_service.setdefault(new.service, {})[key] = None
            for address in new.addresses:
                self._endpoint_ips.setdefault(address.ip, {})[key] = None

    # -- what is asked --------------------------------------------------------------------------------------

    def endpoints_of(self, service: Key) -> Iterator[Endpoints]:
        """All slices of a service, in the order of their names."""
        for key in sorted(self._of_service.get(service, ())):
            yield from (each for each in self._endpoints[key] if each.service == service)

    def services_at(self, ip: str) -> list[Object]:
        """The services with that cluster IP."""
        return [self.services[key] for key in sorted(self._service_ips.get(ip, ()))]

    def endpoints_at(self, ip: str) -> list[Endpoints]:
        """The slices that hold this address."""
        return [each for key in sorted(self._endpoint_ips.get(ip, ())) for each in self._endpoints[key]]

    def pods_at(self, ip: str, namespace: str) -> bool:
        """Whether a pod of the namespace has the address."""
        return any(key[0] == namespace for key in self._pods.get(ip, ()))


def _key(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _cluster_ips(service: Object) -> list[str]:
    spec = service["spec"]
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [] if "None" in found else found


def headless(service: Object) -> bool:
    spec = service["spec"]
    return spec.get("clusterIP") == "None" or "None" in (spec.get("clusterIPs") or ())


def cluster_ips(service: Object) -> list[str]:
    """The service's virtual addresses, none for a headless one."""
    return [str(ipaddress.ip_address(ip)) if ":" in ip else ip for ip in _cluster_ips(service)]


def ports(service: Object) -> list[Object]:
    """The declared ports, or the sentinel that stands for none."""
    return service["spec"].get("ports") or [UNDECLARED]


def _drop(index: dict[Any, dict[Key, None]], at: Any, key: Key) -> None:
    held = index.get(at)
    if held is not None:
        held.pop(key, None)
        if not held:
            del index[at]
