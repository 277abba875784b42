"""Services (`pkg/apis/core/validation/validation.go`, ValidateService and its kin)."""

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
from kubesim.apiserver.settings import Settings
from kubesim.apiserver.validation import meta, networking
from kubesim.machinery import names

Object = dict[str, Any]

TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
PROTOCOLS = ["SCTP", "TCP", "UDP"]
FAMILIES = ["IPv4", "IPv6"]
POLICIES = ["PreferDualStack", "RequireDualStack", "SingleStack"]
MAX_AFFINITY_SECONDS = 86400


def service(obj: Object, settings: Settings) -> list[FieldError]:
    """ValidateService, without the metadata."""
    spec = obj["spec"]
    kind = spec.get("type", "")
    headless = spec.get("clusterIP") == "None"
    errors: list[FieldError] = []
    ports = spec.get("ports", ())
    if not ports and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind == "LoadBalancer":
        for index, port in enumerate(ports):
            # kubelet's port cannot be load-balanced.
            if port.get("port") == 10250:
                detail = "may not expose port 10250 externally since it is used by kubelet"
                errors.append(invalid(f"spec.ports[{index}]", 10250, detail))
        if headless:
            errors.append(invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services"))
    elif kind == "NodePort" and headless:
        errors.append(invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services"))
    elif kind == "ExternalName":
        errors += _external_name(spec)
    errors += _ports(ports, headless)
    errors += meta.labels(spec.get("selector"), "spec.selector")
    errors += _affinity(spec)
    if kind not in TYPES:
        errors.append(unsupported("spec.type", kind, TYPES))
    errors += _external_ips(spec)
    errors += _node_ports(ports, kind, spec)
    errors += _port_collisions(ports)
    errors += _source_ranges(obj)
    errors += _load_balancer_fields(spec)
    errors += families(spec, None)
    errors += _traffic(spec)
    return errors


def _external_name(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.get("clusterIPs"):
        errors.append(forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    if spec.get("ipFamilies"):
        errors.append(forbidden("spec.ipFamilies", "may not be set for ExternalName services"))
    if spec.get("ipFamilyPolicy"):
        errors.append(forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services"))
    name = spec.get("externalName", "").removesuffix(".")
    if name:
        errors += each("spec.externalName", name, names.dns1123_subdomain(name))
    else:
        errors.append(required("spec.externalName"))
    return errors


def _ports(ports: Any, headless: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            errors.append(required(f"{at}.name"))
        elif name:
            errors += each(f"{at}.name", name, names.dns1123_label(name))
            if name in taken:
                errors.append(duplicate(f"{at}.name", name))
            taken.add(name)
        number = port.get("port", 0)
        errors += each(f"{at}.port", number, names.port_number(number))
        if not port.get("protocol"):
            errors.append(required(f"{at}.protocol"))
        elif port["protocol"] not in PROTOCOLS:
            errors.append(unsupported(f"{at}.protocol", port["protocol"], PROTOCOLS))
        target = port.get("targetPort", number)
        if isinstance(target, int):
            errors += each(f"{at}.targetPort", target, names.port_number(target))
        elif isinstance(target, str):
            errors += each(f"{at}.targetPort", target, names.port_name(target))
        if port.get("appProtocol"):
            errors += [
                invalid(
                    f"{at}.appProtocol", port["appProtocol"], detail.replace("a qualified name", "a valid label key")
                )
                for detail in names.qualified_name(port["appProtocol"])
            ]
    return errors


def _affinity(spec: Object) -> list[FieldError]:
    affinity = spec.get("sessionAffinity", "")
    config = spec.get("sessionAffinityConfig")
    if not affinity:
        return [required("spec.sessionAffinity")]
    if affinity not in ("ClientIP", "None"):
        return [unsupported("spec.sessionAffinity", affinity, ["ClientIP", "None"])]
    errors: list[FieldError] = []
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None:
            detail = "when session affinity is set to ClientIP"
            errors.append(required("spec.sessionAffinityConfig", detail))
        elif not 0 < seconds <= MAX_AFFINITY_SECONDS:
            detail = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
            errors.append(invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, detail))
    elif config is not None:
        detail = "must not be set when session affinity is None"
        errors.append(forbidden("spec.sessionAffinityConfig", detail))
    return errors


def _external_ips(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, text in enumerate(spec.get("externalIPs", ())):
        at = f"spec.externalIPs[{index}]"
        wrong = names.ip(text)
        if wrong:
            errors += each(at, text, wrong)
        else:
            errors += networking.non_special(text, at)
    return errors


def _node_ports(ports: Any, kind: str, spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                errors.append(forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'"))
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        if not port.get("nodePort"):
            continue
        key = (port.get("protocol", ""), port["nodePort"])
        if key in seen:
            errors.append(duplicate(f"spec.ports[{index}].nodePort", port["nodePort"]))
        seen.add(key)
    return errors


def _port_collisions(ports: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol", ""), port.get("port", 0))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    return errors


def _source_ranges(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    annotation = "service.beta.kubernetes.io/load-balancer-source-ranges"
    ranges = spec.get("loadBalancerSourceRanges", ())
    errors: list[FieldError] = []
    if ranges:
        if spec.get("type") != "LoadBalancer":
            detail = "may only be used when `type` is 'LoadBalancer'"
            errors.append(forbidden("spec.LoadBalancerSourceRanges", detail))
        for index, text in enumerate(ranges):
            errors += _cidr(text, f"spec.LoadBalancerSourceRanges[{index}]")
    elif annotation in obj["metadata"].get("annotations", {}):
        at = f"metadata.annotations[{annotation}]"
        if spec.get("type") != "LoadBalancer":
            errors.append(forbidden(at, "may only be used when `type` is 'LoadBalancer'"))
        value = obj["metadata"]["annotations"][annotation].strip()
        if value:
            for text in value.split(","):
                errors += _cidr(text.strip(), at)
    return errors


def _cidr(text: str, path: str) -> list[FieldError]:
    detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    try:
        ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return [invalid(path, text, detail)]
    return [] if "/" in text else [invalid(path, text, detail)]


def _load_balancer_fields(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.get("type") != "LoadBalancer":
        if "allocateLoadBalancerNodePorts" in spec:
            detail = "may only be used when `type` is 'LoadBalancer'"
            errors.append(forbidden("spec.allocateLoadBalancerNodePorts", detail))
        if "loadBalancerClass" in spec:
            errors.append(forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"))
    elif "loadBalancerClass" in spec:
        errors += each(
            "spec.loadBalancerClass", spec["loadBalancerClass"], names.qualified_name(spec["loadBalancerClass"])
        )
    return errors


def _traffic(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = spec.get("type", "")
    policy = spec.get("externalTrafficPolicy", "")
    external = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    if external:
        if not policy:
            errors.append(required("spec.externalTrafficPolicy"))
        elif policy not in ("Cluster", "Local"):
            errors.append(unsupported("spec.externalTrafficPolicy", policy, ["Cluster", "Local"]))
    elif policy:
        detail = "may only be set for externally-accessible services"
        errors.append(invalid("spec.externalTrafficPolicy", policy, detail))
    check = spec.get("healthCheckNodePort", 0)
    if kind == "LoadBalancer" and policy == "Local":
        if check < 0:
            errors.append(invalid("spec.healthCheckNodePort", check, "must be greater than 0"))
    elif check:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", check, detail))
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in ("Cluster", "Local"):
        errors.append(unsupported("spec.internalTrafficPolicy", internal, ["Cluster", "Local"]))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        known = ["PreferClose", "PreferSameZone", "PreferSameNode"]
        errors.append(unsupported("spec.trafficDistribution", distribution, known))
    return errors


def families(spec: Object, before: Object | None) -> list[FieldError]:
    """ValidateServiceClusterIPsRelatedFields."""
    if spec.get("type") == "ExternalName":
        return []
    errors: list[FieldError] = []
    listed = spec.get("ipFamilies", ())
    policy = spec.get("ipFamilyPolicy")
    addresses = spec.get("clusterIPs", ())
    seen: set[str] = set()
    for index, family in enumerate(listed):
        if family not in FAMILIES:
            errors.append(unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        if family in seen:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
        seen.add(family)
    if policy is not None and policy not in POLICIES:
        errors.append(unsupported("spec.ipFamilyPolicy", policy, POLICIES))
    if len(listed) > 2:
        errors.append(too_many("spec.ipFamilies", len(listed), 2))
    if spec.get("clusterIP") and not addresses:
        errors.append(required("spec.clusterIPs"))
    if addresses and not spec.get("clusterIP"):
        errors.append(invalid("spec.clusterIPs", list(addresses), "must be empty when `clusterIP` is not specified"))
    elif addresses and addresses[0] != spec["clusterIP"]:
        errors.append(invalid("spec.clusterIPs", list(addresses), "first value must match `clusterIP`"))
    if len(addresses) > 2:
        errors.append(too_many("spec.clusterIPs", len(addresses), 2))
    valid: list[str] = []
    for index, text in enumerate(addresses):
        if text == "None":
            if len(addresses) > 1:
                detail = "'None' must be the first and only value"
                errors.append(invalid(f"spec.clusterIPs[{index}]", list(addresses), detail))
            return errors
        wrong = names.ip(text)
        if wrong:
            errors += each(f"spec.clusterIPs[{index}]", text, wrong)
        else:
            valid.append(text)
            family = "IPv6" if ":" in text else "IPv4"
            if index < len(listed) and listed[index] in FAMILIES and listed[index] != family:
                detail = f"expected an {listed[index]} value as indicated by `ipFamilies[{index}]`"
                errors.append(invalid(f"spec.clusterIPs[{index}]", text, detail))
    if len(valid) == 2 and (":" in valid[0]) == (":" in valid[1]):
        detail = "may specify no more than one IP for each IP family"
        errors.append(invalid("spec.clusterIPs", list(addresses), detail))
    return errors


def service_update(new: Object, old: Object, settings: Settings) -> list[FieldError]:
    """ValidateServiceUpdate."""
    spec, before = new["spec"], old["spec"]
    errors: list[FieldError] = []
    if before["type"] != "ExternalName" and spec["type"] != "ExternalName":
        errors += _addresses_update(spec, before)
    if spec["type"] == "LoadBalancer" == before["type"] and spec.get("loadBalancerClass") != before.get(
        "loadBalancerClass"
    ):
        detail = "may not change once set"
        errors.append(invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), detail))
    return errors + service(new, settings)


def _addresses_update(spec: Object, before: Object) -> list[FieldError]:
    """upgrades and downgrades of clusterIPs: the first may not change, a second may come or go."""
    errors: list[FieldError] = []
    now, then = spec.get("clusterIPs", []), before.get("clusterIPs", [])
    detail = "may not change once set"
    if then and (not now or now[0] != then[0]):
        errors.append(invalid("spec.clusterIPs[0]", now, detail))
    if len(now) > 1 and len(then) > 1 and now[1] != then[1]:
        errors.append(invalid("spec.clusterIPs[1]", now, detail))
    was, are = before.get("ipFamilies", []), spec.get("ipFamilies", [])
    if was and are and are[0] != was[0]:
        errors.append(invalid("spec.ipFamilies[0]", are, detail))
    if len(was) > 1 and len(are) > 1 and are[1] != was[1]:
        errors.append(invalid("spec.ipFamilies[1]", are, detail))
    return errors


def load_balancer_status(obj: Object) -> list[FieldError]:
    """ValidateLoadBalancerStatus."""
    errors: list[FieldError] = []
    ingress = obj["status"].get("loadBalancer", {}).get("ingress", ())
    if ingress and obj["spec"]["type"] != "LoadBalancer":
        detail = 'may only be used when `spec.type` is "LoadBalancer"'
        return [forbidden("status.loadBalancer.ingress", detail)]
    for index, each_ in enumerate(ingress):
        at = f"status.loadBalancer.ingress[{index}]"
        if each_.get("ip"):
            errors += each(f"{at}.ip", each_["ip"], names.ip(each_["ip"]))
        elif each_.get("ipMode") is not None:
            errors.append(forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
        if each_.get("ipMode") not in (None, "VIP", "Proxy"):
            errors.append(unsupported(f"{at}.ipMode", each_["ipMode"], ["Proxy", "VIP"]))
        if each_.get("hostname"):
            errors += each(f"{at}.hostname", each_["hostname"], names.dns1123_subdomain(each_["hostname"]))
    return errors
