"""What kube-proxy keeps of a Service's port and of an endpoint: values, made from the API objects once.

Upstream: pkg/proxy/serviceport.go (newBaseServiceInfo), endpoint.go, endpointslicecache.go, types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kubesim.proxy import addresses
from kubesim.proxy.addresses import Family, Network

Object = Mapping[str, Any]

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
# Objects with this label belong to another proxy (apis/well_known_labels.go).
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
# What the API server defaults `sessionAffinityConfig.clientIP.timeoutSeconds` to: three hours.
DEFAULT_AFFINITY_SECONDS = 10800


class ServiceName(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class PortName(NamedTuple):
    """A Service's port, by the name that rules and endpoints know it by (proxy.ServicePortName)."""

    namespace: str
    name: str
    port: str
    protocol: str

    @property
    def service(self) -> ServiceName:
        return ServiceName(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}" if self.port else f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service in one IP family.  `protocol` is lower-case; `affinity_seconds` is 0 without affinity."""

    name: PortName
    cluster_ip: str
    port: int
    protocol: str
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[Network, ...] = ()
    affinity_seconds: int = 0
    health_check_node_port: int = 0
    internal_local: bool = False
    external_local: bool = False

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.load_balancer_ips or self.external_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """External traffic needs them even under the Local policy: pods and the node itself are let in anyhow."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.externally_accessible)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address and port behind a Service.  `local`: on the node of this kube-proxy."""

    address: str
    port: int
    local: bool = False
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return addresses.join(self.address, self.port)


def skipped(service: Object) -> bool:
    """Whether kube-proxy leaves the Service alone: headless, or an ExternalName (proxy/util.ShouldSkipService)."""
    spec = service.get("spec") or {}
    return spec.get("clusterIP", "") in ("", "None") or spec.get("type") == "ExternalName"


def others(obj: Object) -> bool:
    """Whether the object is labelled as not kube-proxy's; its informers do not even ask for those."""
    labels = (obj.get("metadata") or {}).get("labels") or {}
    return PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels


def service_ports(service: Object, family: Family) -> dict[PortName, ServicePort]:
    """The ports of a Service in one family; empty when it has no cluster IP there."""
    if skipped(service):
        return {}
    metadata, spec = service["metadata"], service["spec"]
    cluster_ips = addresses.of_family(family, spec.get("clusterIPs") or [spec["clusterIP"]])
    if not cluster_ips:
        return {}
    kind = spec.get("type") or "ClusterIP"
    external_local = spec.get("externalTrafficPolicy") == "Local" and _has_external(spec, kind)
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = client_ip.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    shared = {
        "cluster_ip": cluster_ips[0],
        "external_ips": addresses.of_family(family, spec.get("externalIPs") or ()),
        # A load balancer in proxy mode sends to node ports: its address needs no rules (KEP-1860).
        "load_balancer_ips": addresses.of_family(
            family, [each["ip"] for each in ingress if each.get("ip") and each.get("ipMode", "VIP") == "VIP"]
        ),
        "source_ranges": addresses.ranges_of_family(family, spec.get("loadBalancerSourceRanges") or ()),
        "affinity_seconds": affinity,
        "internal_local": spec.get("internalTrafficPolicy") == "Local",
        "external_local": external_local,
        "health_check_node_port": (spec.get("healthCheckNodePort") or 0)
        if kind == "LoadBalancer" and external_local
        else 0,
    }
    ports: dict[PortName, ServicePort] = {}
    for port in spec.get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        name = PortName(metadata.get("namespace") or "default", metadata["name"], port.get("name") or "", protocol)
        ports[name] = ServicePort(
            name=name, port=port["port"], protocol=protocol.lower(), node_port=port.get("nodePort") or 0, **shared
        )
    return ports


def _has_external(spec: Object, kind: str) -> bool:
    """api/v1/service.ExternallyAccessible: only then does externalTrafficPolicy mean anything."""
    return kind in ("LoadBalancer", "NodePort") or bool(spec.get("externalIPs"))


def slice_service(endpoint_slice: Object) -> ServiceName | None:
    """The Service that a slice belongs to, by its label; None for one that is nobody's."""
    metadata = endpoint_slice["metadata"]
    name = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL)
    return ServiceName(metadata.get("namespace") or "default", name) if name else None


def endpoints(
    service: ServiceName, slices: Iterable[Object], family: Family, node_name: str
) -> dict[PortName, tuple[Endpoint, ...]]:
    """The endpoints of a Service's slices by port, each once, sorted by their text as upstream sorts them.

    A port without a number is left out: it stands for "all ports", which kube-proxy does not do.
    """
    found: dict[PortName, dict[str, Endpoint]] = {}
    for endpoint_slice in slices:
        for port in endpoint_slice.get("ports") or ():
            number = port.get("port")
            if not number:
                continue
            # The API server defaults an absent name to "", an absent protocol to TCP.
            name = PortName(service.namespace, service.name, port.get("name") or "", port.get("protocol") or "TCP")
            known = found.setdefault(name, {})
            for each in endpoint_slice.get("endpoints") or ():
                endpoint = _endpoint(each, number, family, node_name)
                if endpoint is None:
                    continue
                text = str(endpoint)
                # Twice in two slices happens while the controller moves it; the local one is believed.
                if endpoint.local or text not in known:
                    known[text] = endpoint
    return {name: tuple(known[text] for text in sorted(known)) for name, known in found.items() if known}


def _endpoint(each: Object, port: int, family: Family, node_name: str) -> Endpoint | None:
    address = addresses.canonical((each.get("addresses") or [""])[0])
    if not address or addresses.family(address) != family:
        return None
    conditions = each.get("conditions") or {}
    hints = each.get("hints") or {}
    return Endpoint(
        address=address,
        port=port,
        local=bool(node_name) and each.get("nodeName") == node_name,
        # Absent conditions mean ready and serving, and not terminating (discovery/v1 EndpointConditions).
        ready=conditions.get("ready") is not False,
        serving=conditions.get("serving") is not False,
        terminating=bool(conditions.get("terminating")),
        zone_hints=frozenset(zone["name"] for zone in hints.get("forZones") or ()),
        node_hints=frozenset(node["name"] for node in hints.get("forNodes") or ()),
    )


def slices_of_endpoints(obj: Object, family: Family) -> dict[str, Object]:
    """A v1 Endpoints as slices, one for each subset: what kube-proxy read before 1.19.  Addresses that are not ready
    are not used."""
    metadata = obj["metadata"]
    labels = {SERVICE_NAME_LABEL: metadata["name"]}
    return {
        f"{metadata['name']}-{index}": {
            "metadata": {
                "name": f"{metadata['name']}-{index}",
                "namespace": metadata.get("namespace"),
                "labels": labels,
            },
            "addressType": family,
            "ports": subset.get("ports") or [],
            "endpoints": [
                {"addresses": [each["ip"]], "nodeName": each.get("nodeName")} for each in subset.get("addresses") or ()
            ],
        }
        for index, subset in enumerate(obj.get("subsets") or ())
    }
