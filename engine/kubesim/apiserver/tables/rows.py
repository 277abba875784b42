"""The cells of a row, kind by kind.

The names of the functions are those of printers.go (`printService`...).  A cell is text, a number or a truth value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim import ids
from kubesim.apiserver.tables import podrows
from kubesim.machinery import durations, gotext, objects, selectors
from kubesim.schema import Resource

Object = dict[str, Any]
Cells = list[Any]
Printer = Callable[[Object, float], Cells]

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"


def cells(resource: Resource, obj: Object, now: float) -> Cells:
    printer = _PRINTERS.get(resource.name)
    if printer is None:
        return [_name(obj), obj["metadata"].get("creationTimestamp")]
    return printer(obj, now)


def conditions(resource: Resource, obj: Object) -> list[Object]:
    """What a client may use to leave rows out: a pod that is over (TableRowCondition Completed)."""
    phase = obj.get("status", {}).get("phase") if resource.name == "pods" else ""
    if phase in ("Succeeded", "Failed"):
        what = "completed successfully" if phase == "Succeeded" else "failed"
        return [{"type": "Completed", "status": "True", "reason": phase, "message": f"The pod has {what}."}]
    return []


def age(obj: Object, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def since(timestamp: str | None, now: float) -> str:
    """translateTimestampSince."""
    return durations.human(now - ids.parse_timestamp(timestamp)) if timestamp else UNKNOWN


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _containers(spec: Object) -> tuple[str, str]:
    """layoutContainerCells."""
    found = objects.get(spec, "template.spec.containers", []) or []
    return ",".join(each["name"] for each in found), ",".join(each.get("image", "") for each in found)


def _selector(selector: Object | None) -> str:
    """metav1.FormatLabelSelector."""
    try:
        text = str(selectors.from_label_selector(selector)) if selector is not None else ""
    except selectors.SelectorError:
        return "<error>"
    return text or NONE


def labels_text(labels: Object | None) -> str:
    """labels.FormatLabels."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


# -- workloads ----------------------------------------------------------------------------------------------------


def _deployment(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    names, images = _containers(spec)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return [_name(obj), ready, updated, available, age(obj, now), names, images, _selector(spec.get("selector"))]


def _replica_set(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    names, images = _containers(spec)
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [_name(obj), *counts, age(obj, now), names, images, _selector(spec.get("selector"))]


def _replication_controller(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    names, images = _containers(spec)
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [_name(obj), *counts, age(obj, now), names, images, labels_text(spec.get("selector"))]


def _stateful_set(obj: Object, now: float) -> Cells:
    spec = obj["spec"]
    names, images = _containers(spec)
    ready = f"{obj['status'].get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [_name(obj), ready, age(obj, now), names, images]


def _daemon_set(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    names, images = _containers(spec)
    fields = (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
    )  # fmt: skip
    chosen = labels_text(objects.get(spec, "template.spec.nodeSelector"))
    counts = [status.get(field, 0) for field in fields]
    return [_name(obj), *counts, chosen, age(obj, now), names, images, _selector(spec.get("selector"))]


def _job(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    names, images = _containers(spec)
    succeeded = status.get("succeeded", 0)
    if "completions" in spec:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        parallel = spec.get("parallelism", 0)
        completions = f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = ids.parse_timestamp(status["completionTime"]) if status.get("completionTime") else now
        duration = durations.human(end - ids.parse_timestamp(status["startTime"]))
    return [
        _name(obj), _job_status(obj), completions, duration, age(obj, now), names, images, _selector(spec.get("selector")),
    ]  # fmt: skip


def _job_status(obj: Object) -> str:
    true = {each["type"] for each in obj["status"].get("conditions", ()) if each.get("status") == "True"}
    for kind, text in (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if kind in true:
            return text
    return "Terminating" if objects.deleting(obj) else "Running"


def _cron_job(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    last = since(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    job = objects.get(spec, "jobTemplate.spec", {})
    names, images = _containers(job)
    suspended = "True" if spec.get("suspend") else "False"
    return [
        _name(obj), spec.get("schedule", ""), spec.get("timeZone", NONE), suspended, len(status.get("active", ())), last,
        age(obj, now), names, images, _selector(job.get("selector")) if job.get("selector") else NONE,
    ]  # fmt: skip


def _controller_revision(obj: Object, now: float) -> Cells:
    owner = objects.owner(obj)
    controller = NONE
    if owner is not None:
        group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
        kind = owner["kind"].lower()
        controller = f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return [_name(obj), controller, obj.get("revision", 0), age(obj, now)]


def _horizontal_pod_autoscaler(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    target = spec.get("scaleTargetRef", {})
    shown = []
    for metric in spec.get("metrics", ()):
        resource = metric.get("resource")
        if resource:
            wanted = resource["target"].get("averageUtilization")
            shown.append(f"{resource['name']}: <unknown>/{wanted}%")
    lowest = str(spec.get("minReplicas", UNSET))
    reference = f"{target.get('kind')}/{target.get('name')}"
    targets = ", ".join(shown) or "<none>"
    return [
        _name(obj), reference, targets, lowest, spec.get("maxReplicas", 0), status.get("currentReplicas", 0), age(obj, now),
    ]  # fmt: skip


# -- networking ---------------------------------------------------------------------------------------------------


def _service(obj: Object, now: float) -> Cells:
    spec = obj["spec"]
    ports = ",".join(_service_port(port) for port in spec.get("ports", ())) or NONE
    address = spec.get("clusterIP") or (spec.get("clusterIPs") or [NONE])[0]
    return [
        _name(obj), spec.get("type", ""), address, external_ip(obj), ports, age(obj, now), labels_text(spec.get("selector")),
    ]  # fmt: skip


def _service_port(port: Object) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', '')}"


def external_ip(obj: Object) -> str:
    """getServiceExternalIP."""
    spec = obj["spec"]
    given = spec.get("externalIPs", [])
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(given) or NONE
        case "LoadBalancer":
            ingress = objects.get(obj, "status.loadBalancer.ingress", [])
            found = [each.get("ip") or each.get("hostname", "") for each in ingress]
            return ",".join([*found, *given] if given else found) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def _endpoints(obj: Object, now: float) -> Cells:
    return [_name(obj), format_endpoints(obj), age(obj, now)]


MAX_ENDPOINTS = 3


def format_endpoints(obj: Object) -> str:
    """formatEndpoints: the first three, and how many more; nothing where all are not ready, <none> where there are none."""
    if not obj.get("subsets"):
        return NONE
    found: list[str] = []
    for subset in obj.get("subsets", ()):
        ports = subset.get("ports", ())
        if not ports:
            found += [address["ip"] for address in subset.get("addresses", ())]
        for port in ports:
            for address in subset.get("addresses", ()):
                ip = f"[{address['ip']}]" if ":" in address["ip"] else address["ip"]
                found.append(f"{ip}:{port['port']}")
    text = ",".join(found[:MAX_ENDPOINTS])
    return f"{text} + {len(found) - MAX_ENDPOINTS} more..." if len(found) > MAX_ENDPOINTS else text


def _endpoint_slice(obj: Object, now: float) -> Cells:
    addresses = [address for each in obj.get("endpoints") or () for address in each.get("addresses") or ()]
    ports = [_slice_port(port) for port in obj.get("ports") or ()]
    return [_name(obj), obj.get("addressType", ""), _some(ports), _some(addresses), age(obj, now)]


def _slice_port(port: Object) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return f"{port['name']} (*)" if port.get("name") else "*"


def _some(found: list[str]) -> str:
    """formatDiscoveryPorts, formatDiscoveryEndpoints: three and the number of the rest."""
    if not found:
        return UNSET
    text = ",".join(found[:3])
    return f"{text} + {len(found) - 3} more..." if len(found) > 3 else text


def _ingress(obj: Object, now: float) -> Cells:
    spec = obj["spec"]
    annotation = obj["metadata"].get("annotations", {}).get("kubernetes.io/ingress.class")
    hosts = [rule["host"] for rule in spec.get("rules", ()) if rule.get("host")]
    shown = ",".join(hosts[:3]) + (f" + {len(hosts) - 3} more..." if len(hosts) > 3 else "") if hosts else "*"
    ingress = objects.get(obj, "status.loadBalancer.ingress", [])
    address = ",".join(each.get("ip") or each.get("hostname", "") for each in ingress)
    ports = "80, 443" if spec.get("tls") else "80"
    return [_name(obj), spec.get("ingressClassName") or annotation or NONE, shown, address, ports, age(obj, now)]


def _ingress_class(obj: Object, now: float) -> Cells:
    parameters = obj["spec"].get("parameters")
    shown = NONE
    if parameters:
        kind = parameters.get("kind", "")
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{kind}{group}/{parameters.get('name', '')}"
    name = _name(obj)
    if obj["metadata"].get("annotations", {}).get("ingressclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    return [name, obj["spec"].get("controller", ""), shown, age(obj, now)]


def _network_policy(obj: Object, now: float) -> Cells:
    return [_name(obj), _selector(obj["spec"].get("podSelector")), age(obj, now)]


def _ip_address(obj: Object, _now: float) -> Cells:
    parent = obj["spec"].get("parentRef") or {}
    group = f".{parent['group']}" if parent.get("group") else ""
    namespace = f"/{parent['namespace']}" if parent.get("namespace") else ""
    shown = f"{parent.get('resource', '')}{group}{namespace}/{parent.get('name', '')}"
    # Upstream sends an age for which it defines no column.
    return [_name(obj), shown, age(obj, _now)]


def _service_cidr(obj: Object, now: float) -> Cells:
    return [_name(obj), ",".join(obj["spec"].get("cidrs", ())), age(obj, now)]


# -- the rest -----------------------------------------------------------------------------------------------------


def _namespace(obj: Object, now: float) -> Cells:
    return [_name(obj), obj["status"].get("phase", ""), age(obj, now)]


def _node(obj: Object, now: float) -> Cells:
    found = {each["type"]: each["status"] for each in obj["status"].get("conditions", ())}
    status = ("Ready" if found["Ready"] == "True" else "NotReady") if "Ready" in found else "Unknown"
    if obj["spec"].get("unschedulable"):
        status += ",SchedulingDisabled"
    info = obj["status"].get("nodeInfo", {})
    addresses = {each["type"]: each["address"] for each in reversed(obj["status"].get("addresses", ()))}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture") and info.get("kubeletVersion", "").startswith(("v1.36", "v1.37")):
        kernel = f"{kernel} ({info['architecture']})"
    return [
        _name(obj), status, ",".join(node_roles(obj)) or NONE, age(obj, now), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE), info.get("osImage") or UNKNOWN, kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]  # fmt: skip


def node_roles(obj: Object) -> list[str]:
    """findNodeRoles."""
    roles = set()
    for key, value in obj["metadata"].get("labels", {}).items():
        if key.startswith("node-role.kubernetes.io/") and key != "node-role.kubernetes.io/":
            roles.add(key.partition("/")[2])
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return sorted(roles)


def _event(obj: Object, now: float) -> Cells:
    first, last = obj.get("firstTimestamp"), obj.get("lastTimestamp")
    first = first or obj.get("eventTime")
    shown = since(first, now)
    series = obj.get("series")
    count = obj.get("count", 0)
    if series:
        last_seen, count = since(series.get("lastObservedTime"), now), series.get("count", 0)
    else:
        last_seen = since(last, now) if last else shown
    about = obj.get("involvedObject") or {}
    kind = about.get("kind", "").lower()
    target = f"{kind}/{about['name']}" if about.get("name") else kind
    source = obj.get("source", {})
    component = source.get("component") or obj.get("reportingComponent", "")
    host = source.get("host") or obj.get("reportingInstance", "")
    where = f"{component}, {host}" if host and host != component else component
    return [
        last_seen, obj.get("type", ""), obj.get("reason", ""), target, about.get("fieldPath", ""), where,
        obj.get("message", "").strip(), shown, count or 1, _name(obj),
    ]  # fmt: skip


def _config_map(obj: Object, now: float) -> Cells:
    return [_name(obj), len(obj.get("data", {})) + len(obj.get("binaryData", {})), age(obj, now)]


def _secret(obj: Object, now: float) -> Cells:
    return [_name(obj), obj.get("type", ""), len(obj.get("data", {})), age(obj, now)]


def _plain(obj: Object, now: float) -> Cells:
    return [_name(obj), age(obj, now)]


def _lease(obj: Object, now: float) -> Cells:
    return [_name(obj), obj["spec"].get("holderIdentity", ""), age(obj, now)]


def _pod_disruption_budget(obj: Object, now: float) -> Cells:
    spec = obj["spec"]
    shown = [str(spec[field]) if field in spec else "N/A" for field in ("minAvailable", "maxUnavailable")]
    return [_name(obj), *shown, obj["status"].get("disruptionsAllowed", 0), age(obj, now)]


def _storage_class(obj: Object, now: float) -> Cells:
    name = _name(obj)
    if obj["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    grows = "true" if obj.get("allowVolumeExpansion") else "false"
    mode = obj.get("volumeBindingMode", UNSET)
    return [name, obj.get("provisioner", ""), obj.get("reclaimPolicy", "Delete"), mode, grows, age(obj, now)]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _claim(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    phase = "Terminating" if objects.deleting(obj) else status.get("phase", "")
    bound = bool(spec.get("volumeName"))
    capacity = status.get("capacity", {}).get("storage", "") if bound else ""
    modes = ",".join(_MODES.get(each, each) for each in status.get("accessModes", ())) if bound else ""
    return [
        _name(obj), phase, spec.get("volumeName", ""), capacity, modes, spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", UNSET), age(obj, now), spec.get("volumeMode", UNSET),
    ]  # fmt: skip


def _volume(obj: Object, now: float) -> Cells:
    spec, status = obj["spec"], obj["status"]
    claim = spec.get("claimRef")
    modes = ",".join(_MODES.get(each, each) for each in spec.get("accessModes", ()))
    phase = "Terminating" if objects.deleting(obj) else status.get("phase", "")
    return [
        _name(obj), spec.get("capacity", {}).get("storage", ""), modes, spec.get("persistentVolumeReclaimPolicy", ""), phase,
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "", spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", UNSET), status.get("reason", ""), age(obj, now), spec.get("volumeMode", UNSET),
    ]  # fmt: skip


def _binding(obj: Object, now: float) -> Cells:
    reference = obj.get("roleRef", {})
    subjects = obj.get("subjects", ())
    users = ", ".join(each["name"] for each in subjects if each["kind"] == "User")
    groups = ", ".join(each["name"] for each in subjects if each["kind"] == "Group")
    accounts = ", ".join(
        f"{each.get('namespace', '')}/{each['name']}" for each in subjects if each["kind"] == "ServiceAccount"
    )
    return [_name(obj), f"{reference.get('kind')}/{reference.get('name')}", age(obj, now), users, groups, accounts]


def _priority_class(obj: Object, now: float) -> Cells:
    default = "true" if obj.get("globalDefault") else "false"
    return [_name(obj), obj.get("value", 0), default, age(obj, now), obj.get("preemptionPolicy", "")]


def _quota(obj: Object, now: float) -> Cells:
    used, hard = obj["status"].get("used", {}), obj["status"].get("hard", {})
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        text = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits") else requests).append(text)
    return [_name(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def _pod_template(obj: Object, now: float) -> Cells:
    found = objects.get(obj, "template.spec.containers", []) or []
    labels = objects.get(obj, "template.metadata.labels")
    names, images = ",".join(c["name"] for c in found), ",".join(c.get("image", "") for c in found)
    return [_name(obj), names, images, labels_text(labels)]


def _api_service(obj: Object, now: float) -> Cells:
    service = obj["spec"].get("service")
    where = f"{service['namespace']}/{service['name']}" if service else "Local"
    found = [each for each in obj["status"].get("conditions", ()) if each["type"] == "Available"]
    available = found[0]["status"] if found else "Unknown"
    if found and available != "True":
        available = f"{available} ({found[0].get('reason', '')})"
    return [_name(obj), where, gotext.v(available), age(obj, now)]


_PRINTERS: dict[str, Printer] = {
    "pods": podrows.pod,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "replicationcontrollers": _replication_controller,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "controllerrevisions.apps": _controller_revision,
    "horizontalpodautoscalers.autoscaling": _horizontal_pod_autoscaler,
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "ingresses.networking.k8s.io": _ingress,
    "ingressclasses.networking.k8s.io": _ingress_class,
    "networkpolicies.networking.k8s.io": _network_policy,
    "ipaddresses.networking.k8s.io": _ip_address,
    "servicecidrs.networking.k8s.io": _service_cidr,
    "namespaces": _namespace,
    "nodes": _node,
    "events": _event,
    "events.events.k8s.io": _event,
    "configmaps": _config_map,
    "secrets": _secret,
    "serviceaccounts": _plain,
    "leases.coordination.k8s.io": _lease,
    "poddisruptionbudgets.policy": _pod_disruption_budget,
    "storageclasses.storage.k8s.io": _storage_class,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "resourcequotas": _quota,
    "podtemplates": _pod_template,
    "apiservices.apiregistration.k8s.io": _api_service,
}
