"""Pods and pod templates (`pkg/apis/core/validation/validation.go`, ValidatePodSpec and its kin).

The rules that a person runs into: names, images, ports, environment, mounts, volumes, probes, resources, policies.
"""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.fielderrors import (
    FieldError,
    duplicate,
    each,
    forbidden,
    invalid,
    not_found,
    required,
    unsupported,
)
from kubesim.apiserver.validation import meta
from kubesim.machinery import names, quantities

Object = dict[str, Any]

PROTOCOLS = ["SCTP", "TCP", "UDP"]
PULL_POLICIES = ["Always", "IfNotPresent", "Never"]
NOT_NEGATIVE = "must be greater than or equal to 0"


def pod(obj: Object) -> list[FieldError]:
    return spec(obj["spec"], "spec")


def template(value: Object, path: str) -> list[FieldError]:
    """ValidatePodTemplateSpec."""
    metadata = value["metadata"]
    errors = meta.labels(metadata.get("labels"), f"{path}.metadata.labels")
    errors += meta.annotation_keys(metadata.get("annotations"), f"{path}.metadata.annotations")
    return errors + spec(value["spec"], f"{path}.spec")


def spec(value: Object, path: str) -> list[FieldError]:
    """ValidatePodSpec."""
    volumes, errors = _volumes(value.get("volumes", ()), f"{path}.volumes")
    host_network = value.get("hostNetwork", False)
    containers = value.get("containers") or []
    if not containers:
        errors.append(required(f"{path}.containers"))
    taken: set[str] = set()
    errors += _containers(containers, f"{path}.containers", volumes, taken, host_network)
    errors += _containers(value.get("initContainers", ()), f"{path}.initContainers", volumes, taken, host_network)
    errors += _sleeps(containers, f"{path}.containers", value.get("terminationGracePeriodSeconds"))
    if value.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        supported = ["Always", "OnFailure", "Never"]
        errors.append(unsupported(f"{path}.restartPolicy", value.get("restartPolicy", ""), supported))
    if value.get("dnsPolicy") not in ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"):
        supported = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]
        errors.append(unsupported(f"{path}.dnsPolicy", value.get("dnsPolicy", ""), supported))
    errors += _dns(value, path)
    errors += meta.labels(value.get("nodeSelector"), f"{path}.nodeSelector")
    if value.get("serviceAccountName"):
        name = value["serviceAccountName"]
        errors += each(f"{path}.serviceAccountName", name, names.dns1123_subdomain(name))
    if value.get("nodeName"):
        errors += each(f"{path}.nodeName", value["nodeName"], names.dns1123_subdomain(value["nodeName"]))
    deadline = value.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, names.out_of_range(1, 2147483647)))
    for field in ("hostname", "subdomain"):
        if value.get(field):
            errors += each(f"{path}.{field}", value[field], names.dns1123_label(value[field]))
    errors += _tolerations(value.get("tolerations", ()), f"{path}.tolerations")
    return errors


def _dns(value: Object, path: str) -> list[FieldError]:
    config = value.get("dnsConfig")
    if value.get("dnsPolicy") == "None":
        if config is None:
            return [required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            return [
                required(
                    f"{path}.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"
                )
            ]
    errors: list[FieldError] = []
    for index, server in enumerate((config or {}).get("nameservers", ())):
        errors += each(f"{path}.dnsConfig.nameservers[{index}]", server, names.ip(server))
    return errors


def _tolerations(value: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, toleration in enumerate(value):
        at = f"{path}[{index}]"
        if toleration.get("key"):
            errors += meta.label_name(toleration["key"], f"{at}.key")
        elif toleration.get("operator") != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{at}.operator", toleration.get("operator", ""), detail))
        if toleration.get("operator") == "Exists" and toleration.get("value"):
            detail = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid(f"{at}.operator", toleration, detail))
        if toleration.get("operator", "") not in ("", "Equal", "Exists", "Lt", "Gt"):
            errors.append(unsupported(f"{at}.operator", toleration["operator"], ["Equal", "Exists"]))
        if toleration.get("effect", "") not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"]
            errors.append(unsupported(f"{at}.effect", toleration["effect"], supported))
    return errors


def _volumes(value: Any, path: str) -> tuple[set[str], list[FieldError]]:
    errors: list[FieldError] = []
    known: set[str] = set()
    for index, volume in enumerate(value):
        at = f"{path}[{index}]"
        name = volume.get("name", "")
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            errors += each(f"{at}.name", name, names.dns1123_label(name))
            if name in known:
                errors.append(duplicate(f"{at}.name", name))
        known.add(name)
        sources = [key for key in volume if key != "name"]
        if not sources:
            errors.append(required(at, "must specify a volume type"))
        for source in sources[1:]:
            errors.append(forbidden(f"{at}.{source}", "may not specify more than 1 volume type"))
        if "hostPath" in volume and not volume["hostPath"].get("path"):
            errors.append(required(f"{at}.hostPath.path"))
        if "secret" in volume and not volume["secret"].get("secretName"):
            errors.append(required(f"{at}.secret.secretName"))
        if "configMap" in volume and not volume["configMap"].get("name"):
            errors.append(required(f"{at}.configMap.name"))
        if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("claimName"):
            errors.append(required(f"{at}.persistentVolumeClaim.claimName"))
    return known, errors


def _containers(value: Any, path: str, volumes: set[str], taken: set[str], host_network: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    host_ports: set[tuple[str, str, int]] = set()
    for index, container in enumerate(value):
        at = f"{path}[{index}]"
        name = container.get("name", "")
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            errors += each(f"{at}.name", name, names.dns1123_label(name))
        if name and name in taken:
            errors.append(duplicate(f"{at}.name", name))
        taken.add(name)
        image = container.get("image", "")
        if not image:
            errors.append(required(f"{at}.image"))
        elif image != image.strip():
            errors.append(invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
        errors += _ports(container.get("ports", ()), f"{at}.ports", host_ports, host_network)
        errors += _environment(container, at)
        errors += _mounts(container.get("volumeMounts", ()), f"{at}.volumeMounts", volumes)
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if probe in container:
                errors += _probe(container[probe], f"{at}.{probe}", probe)
        for hook, handler in (container.get("lifecycle") or {}).items():
            if isinstance(handler, dict):
                errors += _handler(handler, f"{at}.lifecycle.{hook}")
        if container.get("imagePullPolicy") not in PULL_POLICIES:
            errors.append(unsupported(f"{at}.imagePullPolicy", container.get("imagePullPolicy", ""), PULL_POLICIES))
        errors += _resources(container.get("resources", {}), f"{at}.resources")
    return errors


def _ports(value: Any, path: str, host_ports: set[tuple[str, str, int]], host_network: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, port in enumerate(value):
        at = f"{path}[{index}]"
        name = port.get("name", "")
        if name:
            errors += each(f"{at}.name", name, names.port_name(name))
            if name in taken:
                errors.append(duplicate(f"{at}.name", name))
            taken.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            errors.append(required(f"{at}.containerPort"))
        else:
            errors += each(f"{at}.containerPort", number, names.port_number(number))
        host = port.get("hostPort", 0)
        if host:
            errors += each(f"{at}.hostPort", host, names.port_number(host))
            if host_network and host != number:
                errors.append(invalid(f"{at}.hostPort", host, "must match `containerPort` when `hostNetwork` is true"))
            key = (port.get("protocol", ""), port.get("hostIP", ""), host)
            if key in host_ports:
                errors.append(duplicate(f"{at}.hostPort", f"{key[0]}/{key[1]}/{host}"))
            host_ports.add(key)
        if port.get("protocol") not in PROTOCOLS:
            errors.append(unsupported(f"{at}.protocol", port.get("protocol", ""), PROTOCOLS))
    return errors


_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def _environment(container: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(container.get("env", ())):
        at = f"{path}.env[{index}]"
        name = variable.get("name", "")
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            errors += each(f"{at}.name", name, names.env_name(name))
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            errors.append(invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty"))
        given = [key for key in _SOURCES if key in source]
        if not given:
            detail = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            )
            errors.append(invalid(f"{at}.valueFrom", "", detail))
        elif len(given) > 1:
            errors.append(invalid(f"{at}.valueFrom", "", "may not have more than one field specified at a time"))
    for index, source in enumerate(container.get("envFrom", ())):
        at = f"{path}.envFrom[{index}]"
        if "configMapRef" not in source and "secretRef" not in source:
            errors.append(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
    return errors


def _mounts(value: Any, path: str, volumes: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    points: set[str] = set()
    for index, mount in enumerate(value):
        at = f"{path}[{index}]"
        if not mount.get("name"):
            errors.append(required(f"{at}.name"))
        elif mount["name"] not in volumes:
            errors.append(not_found(f"{at}.name", mount["name"]))
        point = mount.get("mountPath", "")
        if not point:
            errors.append(required(f"{at}.mountPath"))
        elif point in points:
            errors.append(invalid(f"{at}.mountPath", point, "must be unique"))
        points.add(point)
    return errors


def _probe(probe: Object, path: str, kind: str) -> list[FieldError]:
    errors = _handler(probe, path)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(field, 0) < 0:
            errors.append(invalid(f"{path}.{field}", probe[field], NOT_NEGATIVE))
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        errors.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


def _handler(handler: Object, path: str) -> list[FieldError]:
    given = [key for key in _HANDLERS if key in handler]
    if not given:
        return [required(path, "must specify a handler type")]
    errors = [forbidden(f"{path}.{key}", "may not specify more than 1 handler type") for key in given[1:]]
    if "exec" in handler and not handler["exec"].get("command"):
        errors.append(required(f"{path}.exec.command"))
    for kind in ("httpGet", "tcpSocket"):
        if kind in handler:
            errors += port_reference(handler[kind].get("port", 0), f"{path}.{kind}.port")
    if "httpGet" in handler and handler["httpGet"].get("scheme") not in ("HTTP", "HTTPS"):
        errors.append(unsupported(f"{path}.httpGet.scheme", handler["httpGet"].get("scheme", ""), ["HTTP", "HTTPS"]))
    return errors


def _sleeps(containers: Any, path: str, grace: Any) -> list[FieldError]:
    """validateSleepAction: a hook does not sleep longer than the pod has to end."""
    errors = []
    for index, container in enumerate(containers):
        for hook, handler in (container.get("lifecycle") or {}).items():
            seconds = ((isinstance(handler, dict) and handler.get("sleep")) or {}).get("seconds", 0)
            if grace is not None and not 0 <= seconds <= grace:
                detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                errors.append(invalid(f"{path}[{index}].lifecycle.{hook}.sleep", seconds, detail))
    return errors


def port_reference(value: Any, path: str) -> list[FieldError]:
    """ValidatePortNumOrName."""
    if isinstance(value, int):
        return each(path, value, names.port_number(value))
    return each(path, value, names.port_name(value))


def _resources(value: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    limits, requests = value.get("limits", {}), value.get("requests", {})
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantities.parse(amount).value < 0:
                errors.append(invalid(f"{path}.{kind}.{name}", amount, NOT_NEGATIVE))
            if (
                "/" not in name
                and name not in ("cpu", "memory", "ephemeral-storage")
                and not name.startswith("hugepages-")
            ):
                detail = "must be a standard resource type or fully qualified"
                errors.append(invalid(f"{path}.{kind}[{name}]", name, detail))
                detail = "must be a standard resource for containers"
                errors.append(invalid(f"{path}.{kind}[{name}]", name, detail))
    for name, amount in requests.items():
        if name in limits and quantities.compare(amount, limits[name]) > 0:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            errors.append(invalid(f"{path}.requests", amount, detail))
    return errors


CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_update(new: Object, old: Object) -> list[FieldError]:
    """ValidatePodUpdate: which fields of a living pod may change."""
    errors: list[FieldError] = []
    after, before = new["spec"], old["spec"]
    if len(after.get("containers") or ()) != len(before.get("containers") or ()):
        return [forbidden("spec.containers", "pod updates may not add or remove containers")]
    if len(after.get("initContainers", ())) != len(before.get("initContainers", ())):
        return [forbidden("spec.initContainers", "pod updates may not add or remove containers")]
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(after.get(kind) or ()):
            if not container.get("image"):
                errors.append(required(f"spec.{kind}[{index}].image"))
    old_tolerations, new_tolerations = before.get("tolerations", ()), after.get("tolerations", ())
    if any(each not in new_tolerations for each in old_tolerations):
        errors.append(
            forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        )
    if errors:
        return errors
    if _fixed(after) != _fixed(before):
        errors.append(forbidden("spec", CHANGEABLE))
    return errors


def _fixed(value: Object) -> Object:
    """The spec without what may change."""
    loose = ("activeDeadlineSeconds", "tolerations", "containers", "initContainers", "schedulingGates")
    kept = {key: item for key, item in value.items() if key not in loose}
    for kind in ("containers", "initContainers"):
        kept[kind] = [{k: v for k, v in each.items() if k != "image"} for each in value.get(kind) or ()]
    return kept
