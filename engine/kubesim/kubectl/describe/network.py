"""Services, endpoints, endpoint slices, ingresses."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl.describe.page import Page, pairs
from kubesim.machinery import objects

Object = dict[str, Any]

SHOWN = 3  # endpoints; the others are counted


def service(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    minor = page.of.minor
    page.head(obj)
    page.field("Selector", pairs(spec.get("selector")))
    page.field("Type", spec.get("type", ""))
    if minor >= 20:
        if spec.get("ipFamilyPolicy"):
            page.field("IP Family Policy", spec["ipFamilyPolicy"])
        page.field("IP Families", ",".join(spec.get("ipFamilies") or []) or "<none>")
    page.field("IP", spec.get("clusterIP", ""))
    if minor >= 20:
        page.field("IPs", ",".join(spec.get("clusterIPs") or []) or "<none>")
    if spec.get("externalIPs"):
        page.field("External IPs", ",".join(spec["externalIPs"]))
    if spec.get("loadBalancerIP"):
        page.field("Desired LoadBalancer IP" if minor >= 31 else "IP", spec["loadBalancerIP"])
    if spec.get("externalName"):
        page.field("External Name", spec["externalName"])
    ingress_points = (status.get("loadBalancer") or {}).get("ingress") or []
    if ingress_points:
        page.field("LoadBalancer Ingress", ", ".join(_point(each, minor) for each in ingress_points))
    _ports(page, obj)
    page.field("Session Affinity", spec.get("sessionAffinity", ""))
    if spec.get("externalTrafficPolicy"):
        page.field("External Traffic Policy", spec["externalTrafficPolicy"])
    if spec.get("internalTrafficPolicy") and minor >= 31:
        page.field("Internal Traffic Policy", spec["internalTrafficPolicy"])
    if spec.get("trafficDistribution") and minor >= 31:
        page.field("Traffic Distribution", spec["trafficDistribution"])
    if spec.get("healthCheckNodePort"):
        page.field("HealthCheck NodePort", spec["healthCheckNodePort"])
    if spec.get("loadBalancerSourceRanges"):
        page.field("LoadBalancer Source Ranges", ",".join(spec["loadBalancerSourceRanges"]))
    page.events(obj)


def _point(entry: Object, minor: int) -> str:
    if entry.get("ip"):
        mode = f" ({entry['ipMode']})" if entry.get("ipMode") and minor >= 30 else ""
        return f"{entry['ip']}{mode}"
    return str(entry.get("hostname", ""))


def _ports(page: Page, obj: Object) -> None:
    spec = obj["spec"]
    if not spec.get("ports") and page.of.minor < 31:
        # It asked for the Endpoints in any case, and passes the server's warning on.
        page.find("endpoints", objects.name(obj), objects.namespace(obj))
    for port in spec.get("ports") or ():
        name = port.get("name") or "<unset>"
        protocol = port.get("protocol", "TCP")
        page.field("Port", f"{name}\t{port['port']}/{protocol}")
        page.field("TargetPort", f"{port.get('targetPort', port['port'])}/{protocol}")
        if port.get("nodePort"):
            page.field("NodePort", f"{name}\t{port['nodePort']}/{protocol}")
        page.field("Endpoints", backends(page, objects.namespace(obj), objects.name(obj), port.get("name") or ""))


def backends(page: Page, namespace: str, name: str, port: str | None) -> str:
    """ "10.0.0.1:80,10.0.0.2:80 + 3 more..." for one port (by name), or for all (None)."""
    # Until 1.30 kubectl read the Endpoints object.
    if page.of.minor < 31:
        return _from_endpoints(page.find("endpoints", name, namespace), port)
    slices = page.list("endpointslices.discovery.k8s.io", namespace, f"kubernetes.io/service-name={name}")
    return _from_slices(slices, port)


def _from_slices(slices: list[Object], port: str | None) -> str:
    if not slices:
        return "<none>"
    found: list[str] = []
    for each in slices:
        ready = [
            endpoint["addresses"][0]
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        if not each.get("ports"):
            found += ready
        for entry in each.get("ports") or ():
            if port is None or (entry.get("name") or "") == port:
                found += [_join(address, entry.get("port", 0)) for address in ready]
    return _first(found)


def _from_endpoints(endpoints: Object | None, port: str | None) -> str:
    found: list[str] = []
    for subset in (endpoints or {}).get("subsets") or ():
        addresses = [address["ip"] for address in subset.get("addresses") or ()]
        if not subset.get("ports"):
            found += addresses
        for entry in subset.get("ports") or ():
            if port is None or (entry.get("name") or "") == port:
                found += [_join(address, entry["port"]) for address in addresses]
    return _first(found) or "<none>"


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _first(found: list[str]) -> str:
    text = ",".join(found[:SHOWN])
    return f"{text} + {len(found) - SHOWN} more..." if len(found) > SHOWN else text


def endpoints(page: Page, obj: Object) -> None:
    page.head(obj)
    page.line(0, "Subsets:")
    for subset in obj.get("subsets") or ():
        for title, key in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            page.field(title, ",".join(each["ip"] for each in subset.get(key) or ()) or "<none>", 1)
        if subset.get("ports"):
            page.line(1, "Ports:")
            page.line(2, "Name\tPort\tProtocol")
            page.line(2, "----\t----\t--------")
            for port in subset["ports"]:
                page.line(2, f"{port.get('name') or '<unset>'}\t{port['port']}\t{port.get('protocol', 'TCP')}")
        page.line(0, "")
    page.events(obj)


def endpoint_slice(page: Page, obj: Object) -> None:
    page.head(obj)
    page.field("AddressType", obj.get("addressType", ""))
    if obj.get("ports"):
        page.line(0, "Ports:")
        page.line(1, "Name\tPort\tProtocol")
        page.line(1, "----\t----\t--------")
        for port in obj["ports"]:
            page.line(
                1, f"{port.get('name') or '<unset>'}\t{port.get('port', '<unset>')}\t{port.get('protocol', 'TCP')}"
            )
    else:
        page.line(0, "Ports: <unset>")
    if obj.get("endpoints"):
        page.line(0, "Endpoints:")
        for endpoint in obj["endpoints"]:
            _endpoint(page, endpoint)
    else:
        page.line(0, "Endpoints: <none>")
    page.events(obj)


def _endpoint(page: Page, endpoint: Object) -> None:
    page.line(1, f"- Addresses:\t{', '.join(endpoint.get('addresses') or []) or '<none>'}")
    page.line(2, "Conditions:")
    ready = (endpoint.get("conditions") or {}).get("ready")
    page.field("Ready", "<unset>" if ready is None else str(ready).lower(), 3)
    page.field("Hostname", endpoint.get("hostname") or "<unset>", 2)
    if endpoint.get("targetRef"):
        page.field("TargetRef", f"{endpoint['targetRef'].get('kind', '')}/{endpoint['targetRef'].get('name', '')}", 2)
    page.field("NodeName", endpoint.get("nodeName") or "<unset>", 2)
    page.field("Zone", endpoint.get("zone") or "<unset>", 2)


def ingress(page: Page, obj: Object) -> None:
    spec = obj.get("spec") or {}
    page.field("Name", objects.name(obj))
    page.labels("Labels", objects.labels(obj))
    page.field("Namespace", objects.namespace(obj))
    points = objects.get(obj, "status.loadBalancer.ingress", [])
    page.field("Address", ",".join(each.get("ip") or each.get("hostname", "") for each in points))
    page.field("Ingress Class", spec.get("ingressClassName") or "<none>")
    default = _backend(page, obj, spec["defaultBackend"]) if spec.get("defaultBackend") else "<default>"
    page.field("Default backend", default)
    if spec.get("tls"):
        page.line(0, "TLS:")
        for each in spec["tls"]:
            hosts = ",".join(each.get("hosts") or [])
            secret = each.get("secretName")
            page.line(1, f"{secret} terminates {hosts}" if secret else f"SNI routes {hosts}")
    page.line(0, "Rules:")
    page.line(1, "Host\tPath\tBackends")
    page.line(1, "----\t----\t--------")
    rules = [rule for rule in spec.get("rules") or () if rule.get("http")]
    for rule in rules:
        page.line(1, f"{rule.get('host') or '*'}\t")
        for path in rule["http"].get("paths") or ():
            page.line(2, f"\t{path.get('path', '')} \t{_backend(page, obj, path['backend'])}")
    if not rules:
        page.line(1, f"*\t*\t{default}")
    page.annotations("Annotations", objects.annotations(obj))
    page.events(obj)


def _backend(page: Page, obj: Object, backend: Object) -> str:
    if backend.get("resource"):
        resource = backend["resource"]
        return f"APIGroup: {resource.get('apiGroup') or '<none>'}, Kind: {resource['kind']}, Name: {resource['name']}"
    wanted = backend.get("service") or {}
    name, namespace = wanted.get("name") or backend.get("serviceName", ""), objects.namespace(obj)
    reference = wanted.get("port") or {}
    port = reference.get("number") or reference.get("name") or backend.get("servicePort", "")
    found = page.find("services", name, namespace)
    if found is None:
        missing = "services" if page.of.minor >= 31 else "endpoints"
        return f'{name}:{port} (<error: {missing} "{name}" not found>)'
    port_name = ""
    for each in (found["spec"].get("ports")) or ():
        if port in (each["port"], each.get("name")):
            port_name = each.get("name") or ""
    return f"{name}:{port} ({backends(page, namespace, name, port_name)})"


def ingress_class(page: Page, obj: Object) -> None:
    page.head(obj, namespaced=False)
    spec = obj.get("spec") or {}
    page.field("Controller", spec.get("controller", ""))
    if spec.get("parameters"):
        parameters = spec["parameters"]
        page.line(0, "Parameters:")
        if parameters.get("apiGroup"):
            page.field("APIGroup", parameters["apiGroup"], 1)
        page.field("Kind", parameters["kind"], 1)
        page.field("Name", parameters["name"], 1)
    page.events(obj)
