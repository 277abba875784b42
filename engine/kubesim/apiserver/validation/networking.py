"""Endpoints, EndpointSlices, Ingresses, network policies (`pkg/apis/{core,discovery,networking}/validation`)."""

from __future__ import annotations

import ipaddress
from typing import Any

from kubesim.apiserver.fielderrors import (
    FieldError,
    duplicate,
    each,
    forbidden,
    invalid,
    required,
    too_many,
    unsupported,
)
from kubesim.apiserver.validation import meta
from kubesim.machinery import names

Object = dict[str, Any]

PROTOCOLS = ["SCTP", "TCP", "UDP"]
ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"]
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000


def endpoints(obj: Object) -> list[FieldError]:
    """ValidateEndpoints."""
    errors: list[FieldError] = []
    for index, subset in enumerate(obj.get("subsets", ())):
        at = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(at, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field, ())):
                errors += _address(address, f"{at}.{field}[{number}]")
        ports = subset.get("ports", ())
        for number, port in enumerate(ports):
            errors += _port(port, len(ports) > 1, f"{at}.ports[{number}]")
    return errors


def _address(address: Object, path: str) -> list[FieldError]:
    text = address.get("ip", "")
    errors = each(f"{path}.ip", text, names.ip(text))
    if address.get("hostname"):
        errors += each(f"{path}.hostname", address["hostname"], names.dns1123_label(address["hostname"]))
    if address.get("nodeName"):
        errors += each(f"{path}.nodeName", address["nodeName"], names.dns1123_subdomain(address["nodeName"]))
    if not errors:
        errors += non_special(text, f"{path}.ip")
    return errors


def non_special(text: str, path: str) -> list[FieldError]:
    """ValidateNonSpecialIP."""
    address = names.ip_address(text)
    if address is None:
        return [invalid(path, text, "must be a valid IP address")]
    errors: list[FieldError] = []
    if address.is_unspecified:
        errors.append(invalid(path, text, f"may not be unspecified ({address})"))
    if address.is_loopback:
        errors.append(invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast and _link_local_multicast(address):
        errors.append(invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
    return errors


def _link_local_multicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return str(address).startswith("224.0.0.") or str(address).startswith("ff02:")


def _port(port: Object, name_needed: bool, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name = port.get("name", "")
    if name_needed and not name:
        errors.append(required(f"{path}.name"))
    elif name:
        errors += each(f"{path}.name", name, names.dns1123_label(name))
    errors += each(f"{path}.port", port.get("port", 0), names.port_number(port.get("port", 0)))
    if not port.get("protocol"):
        errors.append(required(f"{path}.protocol"))
    elif port["protocol"] not in PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS))
    return errors


def endpoint_slice(obj: Object) -> list[FieldError]:
    """ValidateEndpointSlice."""
    errors: list[FieldError] = []
    kind = obj.get("addressType", "")
    if not kind:
        errors.append(required("addressType"))
        return errors
    if kind not in ADDRESS_TYPES:
        return [unsupported("addressType", kind, ADDRESS_TYPES)]
    found = obj.get("endpoints") or ()
    if len(found) > MAX_ENDPOINTS:
        return [too_many("endpoints", len(found), MAX_ENDPOINTS)]
    for index, endpoint in enumerate(found):
        at = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or ()
        if not addresses:
            errors.append(required(at, "must contain at least 1 address"))
        elif len(addresses) > MAX_ADDRESSES:
            errors.append(too_many(at, len(addresses), MAX_ADDRESSES))
        for number, address in enumerate(addresses):
            errors += _slice_address(address, kind, f"{at}[{number}]")
        if endpoint.get("hostname"):
            errors += each(
                f"endpoints[{index}].hostname", endpoint["hostname"], names.dns1123_label(endpoint["hostname"])
            )
    return errors + _slice_ports(obj.get("ports") or ())


def _slice_address(address: str, kind: str, path: str) -> list[FieldError]:
    if kind == "FQDN":
        return each(path, address, names.dns1123_subdomain(address))
    wrong = names.ipv4(address) if kind == "IPv4" else names.ipv6(address)
    return each(path, address, wrong) or non_special(address, path)


def _slice_ports(ports: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, port in enumerate(ports):
        at = f"ports[{index}]"
        name = port.get("name", "")
        if name:
            errors += each(f"{at}.name", name, names.dns1123_label(name))
        if name in taken:
            errors.append(duplicate(f"{at}.name", name))
        taken.add(name)
        if port.get("protocol") not in PROTOCOLS:
            errors.append(unsupported(f"{at}.protocol", port.get("protocol"), PROTOCOLS))
        if port.get("port") is not None and not 1 <= port["port"] <= 65535:
            errors += each(f"{at}.port", port["port"], names.port_number(port["port"]))
    return errors


def endpoint_slice_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("addressType") != old.get("addressType"):
        return [invalid("addressType", new.get("addressType", ""), meta.IMMUTABLE)]
    return []


# -- ingresses ----------------------------------------------------------------------------------------------------


def ingress(obj: Object) -> list[FieldError]:
    """ValidateIngressSpec."""
    spec = obj["spec"]
    errors: list[FieldError] = []
    if not spec.get("rules") and "defaultBackend" not in spec:
        errors.append(invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified"))
    if "defaultBackend" in spec:
        errors += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules", ())):
        errors += _rule(rule, f"spec.rules[{index}]")
    for index, each_tls in enumerate(spec.get("tls", ())):
        for number, host in enumerate(each_tls.get("hosts", ())):
            check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
            errors += each(f"spec.tls[{index}].hosts[{number}]", host, check(host))
    if spec.get("ingressClassName"):
        errors += each(
            "spec.ingressClassName", spec["ingressClassName"], names.dns1123_subdomain(spec["ingressClassName"])
        )
    return errors


def _rule(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    host = rule.get("host", "")
    if host:
        if names.ip_address(host) is not None:
            errors.append(invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        else:
            check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
            errors += each(f"{path}.host", host, check(host))
    http = rule.get("http")
    if http is None:
        return errors
    paths = http.get("paths") or ()
    if not paths:
        errors.append(required(f"{path}.http.paths"))
    for index, each_path in enumerate(paths):
        errors += _path(each_path, f"{path}.http.paths[{index}]")
    return errors


PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"]
_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_SUFFIXES = ("/..", "/.")


def _path(value: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, text = value.get("pathType"), value.get("path", "")
    if kind is None:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
    elif kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
        if text:
            errors += [
                invalid(f"{path}.path", text, f"must not contain '{each_}'") for each_ in _SEQUENCES if each_ in text
            ]
            errors += [
                invalid(f"{path}.path", text, f"cannot end with '{end}'") for end in _SUFFIXES if text.endswith(end)
            ]
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
    else:
        errors.append(unsupported(f"{path}.pathType", kind, PATH_TYPES))
    return errors + _backend(value.get("backend") or {}, f"{path}.backend")


def _backend(backend: Object, path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return []
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    errors: list[FieldError] = []
    if not service.get("name"):
        errors.append(required(f"{path}.service.name"))
    else:
        errors += each(f"{path}.service.name", service["name"], names.dns1035_label(service["name"]))
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        errors += each(f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
    elif port.get("number"):
        errors += each(f"{path}.service.port.number", port["number"], names.port_number(port["number"]))
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def ingress_class(obj: Object) -> list[FieldError]:
    controller = obj["spec"].get("controller", "")
    if not controller:
        return [required("spec.controller")]
    if len(controller) > 250:
        return [invalid("spec.controller", controller, names.too_long(250))]
    if "/" not in controller:
        return [invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    return []


# -- network policies ---------------------------------------------------------------------------------------------


def network_policy(obj: Object) -> list[FieldError]:
    from kubesim.apiserver.validation import workloads

    spec = obj["spec"]
    errors = workloads.label_selector(spec.get("podSelector", {}), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, ())):
            at = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports", ())):
                errors += _policy_port(port, f"{at}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers, ())):
                errors += _peer(peer, f"{at}.{peers}[{number}]")
    return errors


def _policy_port(port: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if port.get("protocol") not in PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", port.get("protocol", ""), PROTOCOLS))
    number = port.get("port")
    if isinstance(number, int):
        errors += each(f"{path}.port", number, names.port_number(number))
    elif number is not None:
        errors += each(f"{path}.port", number, names.port_name(number))
    return errors


def _peer(peer: Object, path: str) -> list[FieldError]:
    if "ipBlock" in peer:
        if len(peer) > 1:
            return [forbidden(path, "may not specify both ipBlock and another peer")]
        block = peer["ipBlock"].get("cidr", "")
        if not block:
            return [required(f"{path}.ipBlock.cidr")]
        try:
            ipaddress.ip_network(block)
        except ValueError:
            return [
                invalid(
                    f"{path}.ipBlock.cidr", block, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                )
            ]
        return []
    if not peer:
        return [required(path, "must specify a peer")]
    return []


def canonical_address(name: str) -> list[str]:
    """An IPAddress is named by the canonical text of its address."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if str(address) == name else [f'must be in canonical form ("{address}")']
