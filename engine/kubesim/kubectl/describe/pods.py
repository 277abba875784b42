"""Pods, and the pod templates of workloads."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl.describe import volumes
from kubesim.kubectl.describe.page import Page, controller, date
from kubesim.machinery import objects, quantities

Object = dict[str, Any]


def pod(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    page.field("Name", objects.name(obj))
    page.field("Namespace", objects.namespace(obj))
    if spec.get("priority") is not None:
        page.field("Priority", spec["priority"])
    if spec.get("priorityClassName"):
        page.field("Priority Class Name", spec["priorityClassName"])
    if spec.get("runtimeClassName"):
        page.field("Runtime Class Name", spec["runtimeClassName"])
    # kubectl 1.24 began to show it.
    if spec.get("serviceAccountName") and page.of.minor >= 24:
        page.field("Service Account", spec["serviceAccountName"])
    page.field("Node", f"{spec['nodeName']}/{status.get('hostIP', '')}" if spec.get("nodeName") else "<none>")
    if status.get("startTime"):
        page.field("Start Time", date(status["startTime"]))
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    deleted = obj["metadata"].get("deletionTimestamp")
    if deleted and status.get("phase") not in ("Failed", "Succeeded"):
        page.field("Status", f"Terminating (lasts {page.of.age(deleted)})")
        page.field("Termination Grace Period", f"{obj['metadata'].get('deletionGracePeriodSeconds', 0)}s")
    else:
        page.field("Status", status.get("phase", ""))
    for key in ("reason", "message"):
        if status.get(key):
            page.field(key.capitalize(), status[key])
    profile = (spec.get("securityContext") or {}).get("seccompProfile")
    if profile:
        page.field("SeccompProfile", profile.get("type", ""))
        if profile.get("localhostProfile"):
            page.field("LocalhostProfile", profile["localhostProfile"])
    page.field("IP", status.get("podIP", ""))
    _addresses(page, status)
    if controller(obj):
        page.field("Controlled By", controller(obj))
    if status.get("nominatedNodeName"):
        page.field("NominatedNodeName", status["nominatedNodeName"])
    if spec.get("initContainers"):
        containers(page, "Init Containers", spec["initContainers"], status.get("initContainerStatuses") or [], obj)
    containers(page, "Containers", spec.get("containers") or [], status.get("containerStatuses") or [], obj)
    if spec.get("ephemeralContainers"):
        statuses = status.get("ephemeralContainerStatuses") or []
        containers(page, "Ephemeral Containers", spec["ephemeralContainers"], statuses, obj)
    _gates(page, spec.get("readinessGates") or [], status.get("conditions") or [])
    if status.get("conditions"):
        page.line(0, "Conditions:")
        page.line(1, "Type\tStatus")
        for each in status["conditions"]:
            page.line(1, f"{each['type']} \t{each['status']} ")
    volumes.volumes(page, spec.get("volumes") or [], "")
    page.field("QoS Class", status.get("qosClass", ""))
    page.labels("Node-Selectors", spec.get("nodeSelector"))
    page.tolerations("Tolerations", spec.get("tolerations") or [])
    _spreading(page, spec.get("topologySpreadConstraints") or [], "")
    page.events(obj)


def _addresses(page: Page, status: Object) -> None:
    if not status.get("podIPs"):
        page.field("IPs", "<none>")
        return
    page.line(0, "IPs:")
    for each in status["podIPs"]:
        page.field("IP", each["ip"], 1)


def _gates(page: Page, gates: list[Object], conditions: list[Object]) -> None:
    if not gates:
        return
    page.line(0, "Readiness Gates:")
    page.line(1, "Type\tStatus")
    for gate in gates:
        status = next((each["status"] for each in conditions if each["type"] == gate["conditionType"]), "<none>")
        page.line(1, f"{gate['conditionType']} \t{status} ")


def _spreading(page: Page, constraints: list[Object], space: str) -> None:
    if not constraints:
        return
    from kubesim.kubectl.describe.page import selector

    name = f"{space}Topology Spread Constraints"
    lines = []
    for each in sorted(constraints, key=lambda constraint: constraint["topologyKey"]):
        text = f"{each['topologyKey']}:{each['whenUnsatisfiable']} when max skew {each['maxSkew']} is exceeded"
        if each.get("labelSelector") is not None:
            text += f" for selector {selector(each['labelSelector'])}"
        lines.append(text)
    page.field(name, lines[0])
    for line in lines[1:]:
        page.line(0, f"\t{line}")


def template(page: Page, obj: Object | None) -> None:
    """ "Pod Template:" and what it holds."""
    page.line(0, "Pod Template:")
    template_body(page, obj)


def template_body(page: Page, obj: Object | None) -> None:
    if obj is None:
        page.line(0, "  <unset>")
        return
    metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    page.labels("  Labels", metadata.get("labels"))
    if metadata.get("annotations"):
        page.annotations("  Annotations", metadata["annotations"])
    if spec.get("serviceAccountName"):
        page.field("  Service Account", spec["serviceAccountName"])
    if spec.get("initContainers"):
        containers(page, "Init Containers", spec["initContainers"], [], None, "  ")
    containers(page, "Containers", spec.get("containers") or [], [], None, "  ")
    volumes.volumes(page, spec.get("volumes") or [], "  ")
    _spreading(page, spec.get("topologySpreadConstraints") or [], "  ")
    if spec.get("priorityClassName"):
        page.field("  Priority Class Name", spec["priorityClassName"])
    # Newer kubectls show these two of a template (1.30 does).
    if page.of.minor >= 30:
        page.labels("  Node-Selectors", spec.get("nodeSelector"))
        page.tolerations("  Tolerations", spec.get("tolerations") or [])


# -- containers ---------------------------------------------------------------------------------------------------


def containers(
    page: Page, title: str, specs: list[Object], statuses: list[Object], of_pod: Object | None, space: str = ""
) -> None:
    page.line(0, f"{space}{title}:" if specs else f"{space}{title}: <none>")
    by_name = {status["name"]: status for status in statuses}
    for spec in specs:
        _container(page, spec, by_name.get(spec["name"]), of_pod, " " if space else "")


def _container(page: Page, spec: Object, status: Object | None, of_pod: Object | None, indent: str) -> None:
    page.line(1, f"{indent}{spec['name']}:")
    if status is not None:
        page.field("Container ID", status.get("containerID", ""), 2)
    page.field("Image", spec.get("image", ""), 2)
    if status is not None:
        page.field("Image ID", status.get("imageID", ""), 2)
    _ports(page, spec.get("ports") or [])
    for title, words in (("Command", spec.get("command")), ("Args", spec.get("args"))):
        if words:
            page.line(2, f"{title}:")
            for word in words:
                for line in str(word).split("\n"):
                    page.line(3, line)
    if status is not None:
        _state(page, "State", status.get("state") or {})
        if (status.get("lastState") or {}).get("terminated"):
            _state(page, "Last State", status["lastState"])
        page.field("Ready", "True" if status.get("ready") else "False", 2)
        page.field("Restart Count", status.get("restartCount", 0), 2)
    for title, key in (("Limits", "limits"), ("Requests", "requests")):
        amounts = (spec.get("resources") or {}).get(key)
        if amounts:
            page.line(2, f"{title}:")
            for name, amount in sorted(amounts.items()):
                page.field(name, quantities.canonical(amount), 3)
    for title, key in (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")):
        if spec.get(key):
            page.field(title, probe(spec[key]), 2)
    _env(page, spec, of_pod)
    _mounts(page, spec)


def _ports(page: Page, ports: list[Object]) -> None:
    named = page.of.minor >= 34
    container = ", ".join(
        f"{port['containerPort']}/{port.get('protocol', 'TCP')}"
        + (f" ({port['name']})" if named and port.get("name") else "")
        for port in ports
    )
    host = ", ".join(
        f"{port.get('hostPort', 0)}/{port.get('protocol', 'TCP')}"
        + (f" ({port['name']})" if named and port.get("name") else "")
        for port in ports
    )
    page.field("Ports" if "," in container else "Port", container or "<none>", 2)
    page.field("Host Ports" if "," in host else "Host Port", host or "<none>", 2)


def _state(page: Page, title: str, state: Object) -> None:
    if state.get("running") is not None:
        page.field(title, "Running", 2)
        page.field("  Started", date(state["running"].get("startedAt")), 2)
    elif state.get("terminated") is not None:
        ended = state["terminated"]
        page.field(title, "Terminated", 2)
        for key in ("reason", "message"):
            if ended.get(key):
                page.field(key.capitalize(), ended[key], 3)
        page.field("Exit Code", ended.get("exitCode", 0), 3)
        if ended.get("signal"):
            page.field("Signal", ended["signal"], 3)
        page.field("Started", date(ended.get("startedAt")), 3)
        page.field("Finished", date(ended.get("finishedAt")), 3)
    else:
        page.field(title, "Waiting", 2)
        if (state.get("waiting") or {}).get("reason"):
            page.field("Reason", state["waiting"]["reason"], 3)


def probe(spec: Object) -> str:
    """ "http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3"."""
    attributes = (
        f"delay={spec.get('initialDelaySeconds', 0)}s timeout={spec.get('timeoutSeconds', 0)}s "
        f"period={spec.get('periodSeconds', 0)}s #success={spec.get('successThreshold', 0)} "
        f"#failure={spec.get('failureThreshold', 0)}"
    )
    if spec.get("exec"):
        return f"exec [{' '.join(spec['exec'].get('command') or [])}] {attributes}"
    if spec.get("httpGet"):
        get = spec["httpGet"]
        port = f":{get['port']}" if get.get("port") else ""
        path = get.get("path") or ""
        path = path if not path or path.startswith("/") else f"/{path}"
        return f"http-get {str(get.get('scheme', '')).lower()}://{get.get('host', '')}{port}{path} {attributes}"
    if spec.get("tcpSocket"):
        socket = spec["tcpSocket"]
        return f"tcp-socket {socket.get('host', '')}:{socket['port']} {attributes}"
    if spec.get("grpc"):
        return f"grpc <pod>:{spec['grpc']['port']} {spec['grpc'].get('service') or ''} {attributes}"
    return f"unknown {attributes}"


def _env(page: Page, spec: Object, of_pod: Object | None) -> None:
    if spec.get("envFrom"):
        page.line(2, "Environment Variables from:")
        for source in spec["envFrom"]:
            kind = "ConfigMap" if source.get("configMapRef") else "Secret"
            reference = source.get("configMapRef") or source.get("secretRef") or {}
            prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
            optional = "true" if reference.get("optional") else "false"
            page.line(3, f"{reference.get('name', '')}\t{kind}{prefix}\tOptional: {optional}")
    variables = spec.get("env") or []
    page.line(2, "Environment:" if variables else "Environment:\t<none>")
    for each in variables:
        source = each.get("valueFrom")
        if not source:
            first, *others = str(each.get("value") or "").split("\n")
            page.field(each["name"], first, 3)
            for line in others:
                page.line(3, f"\t{line}")
        elif source.get("fieldRef"):
            reference = source["fieldRef"]
            value = _field(of_pod, reference["fieldPath"]) if of_pod else ""
            page.field(each["name"], f"{value} ({reference.get('apiVersion', 'v1')}:{reference['fieldPath']})", 3)
        elif source.get("resourceFieldRef"):
            reference = source["resourceFieldRef"]
            page.field(each["name"], f"{_resource(spec, reference)} ({reference['resource']})", 3)
        elif source.get("secretKeyRef"):
            reference = source["secretKeyRef"]
            optional = "true" if reference.get("optional") else "false"
            text = (
                f"<set to the key '{reference['key']}' in secret '{reference.get('name', '')}'>\tOptional: {optional}"
            )
            page.field(each["name"], text, 3)
        elif source.get("configMapKeyRef"):
            reference = source["configMapKeyRef"]
            optional = "true" if reference.get("optional") else "false"
            text = f"<set to the key '{reference['key']}' of config map '{reference.get('name', '')}'>\tOptional: {optional}"
            page.field(each["name"], text, 3)


def _field(of_pod: Object, path: str) -> str:
    for section in ("labels", "annotations"):
        if path.startswith(f"metadata.{section}['"):
            key = path.split("'")[1]
            return str((of_pod["metadata"].get(section) or {}).get(key, ""))
    return str(objects.get(of_pod, path, ""))


def _resource(spec: Object, reference: Object) -> str:
    section, _, name = reference["resource"].partition(".")
    amount = ((spec.get("resources") or {}).get(section) or {}).get(name)
    if amount is None:
        return "node allocatable"
    found = quantities.parse(amount)
    divisor = quantities.parse(reference.get("divisor") or "0")
    return str(-(-found.value // (divisor.value or 1)))


def _mounts(page: Page, spec: Object) -> None:
    mounts = spec.get("volumeMounts") or []
    page.line(2, "Mounts:" if mounts else "Mounts:\t<none>")
    for mount in sorted(mounts, key=lambda each: each["mountPath"]):
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        page.line(3, f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})")
    if spec.get("volumeDevices"):
        page.line(2, "Devices:")
        for device in sorted(spec["volumeDevices"], key=lambda each: each["devicePath"]):
            page.line(3, f"{device['devicePath']} from {device['name']}")
