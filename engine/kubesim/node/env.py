"""A container's environment: its own variables, and the Services that were there when it started.

Sources: `pkg/kubelet/envvars/envvars.go`, `pkg/kubelet/kubelet_pods.go` (makeEnvironmentVariables, getServiceEnvVarMap),
`pkg/fieldpath`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubesim.client import Object
from kubesim.machinery import objects, quantities
from kubesim.programs import entry

# --master-service-namespace's default: the Service `kubernetes` of this namespace is told to every pod.
MASTER_NAMESPACE = "default"
MASTER = "kubernetes"
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")

Find = Callable[[str, str, str], Object | None]


class ConfigError(Exception):
    """The container cannot be made like that: CreateContainerConfigError, with this message."""


def variable_name(text: str) -> str:
    """makeEnvVariableName."""
    return text.upper().replace("-", "_")


def from_service(service: Object) -> dict[str, str]:
    """The variables of one Service: its host and ports, and Docker's old link variables."""
    address = service["spec"]["clusterIP"]
    prefix = variable_name(objects.name(service))
    ports = service["spec"].get("ports") or []
    found = {f"{prefix}_SERVICE_HOST": address}
    for index, port in enumerate(ports):
        number = str(port["port"])
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{f'[{address}]' if ':' in address else address}:{number}"
        if index == 0:
            found[f"{prefix}_SERVICE_PORT"] = number
            found[f"{prefix}_PORT"] = url
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{variable_name(port['name'])}"] = number
        link = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found[link] = url
        found[f"{link}_PROTO"] = protocol.lower()
        found[f"{link}_PORT"] = number
        found[f"{link}_ADDR"] = address
    return found


def service_links(services: Iterable[Object], namespace: str, enabled: bool) -> dict[str, str]:
    """The variables for a pod: of the Services of its namespace that have an address, and always of `kubernetes`.

    It is what is known when the container starts; nothing ever changes it afterwards.
    """
    chosen: dict[str, Object] = {}
    for service in services:
        if service["spec"].get("clusterIP", "") in ("", "None"):
            continue
        name = objects.name(service)
        if objects.namespace(service) == MASTER_NAMESPACE and name == MASTER:
            chosen.setdefault(name, service)
        elif objects.namespace(service) == namespace and enabled:
            chosen[name] = service
    return {name: value for key in sorted(chosen) for name, value in from_service(chosen[key]).items()}


def field(pod: Object, path: str, host_ips: list[str], pod_ips: list[str]) -> str:
    """The text of a fieldRef (podFieldSelectorRuntimeValue)."""
    match = _SUBSCRIPT.fullmatch(path)
    if match is not None:
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    spec = pod["spec"]
    values: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: objects.name(pod),
        "metadata.namespace": lambda: objects.namespace(pod),
        "metadata.uid": lambda: objects.uid(pod),
        "metadata.labels": lambda: _map(objects.labels(pod)),
        "metadata.annotations": lambda: _map(objects.annotations(pod)),
        "spec.nodeName": lambda: spec.get("nodeName", ""),
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName", ""),
        "status.hostIP": lambda: host_ips[0],
        "status.hostIPs": lambda: ",".join(host_ips),
        "status.podIP": lambda: pod_ips[0] if pod_ips else "",
        "status.podIPs": lambda: ",".join(pod_ips),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values[path]()


def _map(values: Mapping[str, str]) -> str:
    """fieldpath.FormatMap: a line a key, quoted."""
    return "\n".join(f'{key}="{values[key]}"' for key in sorted(values))


def resource(pod: Object, container: Object, reference: Object, allocatable: Mapping[str, str]) -> str:
    """The number of a resourceFieldRef, in units of its divisor, rounded up; a limit that is not set is the node's."""
    name = reference.get("containerName")
    if name:
        container = next((each for each in pod["spec"]["containers"] if each["name"] == name), container)
    kind, _, what = reference["resource"].partition(".")
    given = (container.get("resources") or {}).get(kind) or {}
    amount = given.get(what) or (allocatable.get(what) if kind == "limits" else None) or "0"
    divisor = quantities.parse(str(reference.get("divisor") or "1")).value or 1
    return str(math.ceil(quantities.parse(str(amount)).value / divisor))


def environment(
    pod: Object,
    container: Object,
    *,
    links: Mapping[str, str],
    find: Find,
    host_ips: list[str],
    pod_ips: list[str],
    allocatable: Mapping[str, str],
) -> dict[str, str]:
    """The variables of a container, its own first, then what its Services add.

    `find(resource, name, namespace)` reads ConfigMaps and Secrets.  Raises ConfigError.
    """
    namespace = objects.namespace(pod)
    own: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for kind in ("configMapRef", "secretRef"):
            if source.get(kind) is not None:
                data = _data(find, kind.removesuffix("Ref"), source[kind], namespace)
                own.update({source.get("prefix", "") + key: value for key, value in data.items()})
    for each in container.get("env") or ():
        name, origin = each["name"], each.get("valueFrom")
        if origin is None:
            own[name] = entry.expand(each.get("value", ""), {**links, **own})
        elif origin.get("fieldRef"):
            own[name] = field(pod, origin["fieldRef"]["fieldPath"], host_ips, pod_ips)
        elif origin.get("resourceFieldRef"):
            own[name] = resource(pod, container, origin["resourceFieldRef"], allocatable)
        else:
            value = _key(find, origin, namespace)
            if value is not None:
                own[name] = value
    return {**own, **{name: value for name, value in links.items() if name not in own}}


_KINDS = {"configMap": ("configmaps", "configmap", "ConfigMap"), "secret": ("secrets", "secret", "Secret")}


def data_of(kind: str, obj: Object) -> dict[str, str]:
    """The values of a ConfigMap ("configMap") or Secret ("secret") as text."""
    if kind == "configMap":
        return dict(obj.get("data") or {})
    import base64

    return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (obj.get("data") or {}).items()}


def _data(find: Find, kind: str, reference: Object, namespace: str) -> dict[str, str]:
    plural, word, _ = _KINDS[kind]
    obj = find(plural, reference["name"], namespace)
    if obj is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{word} "{reference["name"]}" not found')
    return data_of(kind, obj)


def _key(find: Find, origin: Mapping[str, Any], namespace: str) -> str | None:
    for kind, (plural, word, title) in _KINDS.items():
        reference = origin.get(f"{kind}KeyRef")
        if reference is None:
            continue
        obj = find(plural, reference["name"], namespace)
        if obj is None:
            if reference.get("optional"):
                return None
            raise ConfigError(f'{word} "{reference["name"]}" not found')
        data = data_of(kind, obj)
        if reference["key"] not in data:
            if reference.get("optional"):
                return None
            raise ConfigError(f"couldn't find key {reference['key']} in {title} {namespace}/{reference['name']}")
        return data[reference["key"]]
    raise ConfigError(f"unknown source of a variable: {', '.join(origin)}")
