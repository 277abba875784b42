"""Which fields a field selector may name, kind by kind.

Sources: `pkg/apis/core/v1/conversion.go` and the strategies' SelectableFields.
"""

from __future__ import annotations

from typing import Any

from kubesim.apiserver import messages
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.machinery import objects
from kubesim.schema import Resource

COMMON = ("metadata.name", "metadata.namespace")
_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "services": ("spec.clusterIP", "spec.type"),
    "secrets": ("type",),
    "events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    "replicationcontrollers": ("status.replicas",),
    "replicasets.apps": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "ipaddresses.networking.k8s.io": (
        "spec.parentRef.group", "spec.parentRef.resource", "spec.parentRef.namespace", "spec.parentRef.name",
    ),
}  # fmt: skip


def check(resource: Resource, field: str) -> None:
    """ApiError 400 for a field that may not be selected by."""
    if isinstance(resource, CustomResource):
        if field not in COMMON and field not in resource.selectable:
            raise messages.bad_request(f"field label not supported: {field}")
        return
    if field not in COMMON and field not in _FIELDS.get(resource.name, ()):
        if resource.name in ("pods", "services", "events", "nodes", "secrets", "namespaces"):
            raise messages.bad_request(f"field label not supported: {field}")
        raise messages.bad_request(
            f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )


def values(resource: Resource, obj: dict[str, Any]) -> dict[str, str]:
    """Values that are not simply what stands at the field's path."""
    if resource.name == "events":
        source = objects.get(obj, "source.component", "") or obj.get("reportingComponent", "")
        return {"source": source}
    if resource.name == "pods":
        return {"spec.hostNetwork": "true" if obj["spec"].get("hostNetwork") else "false"}
    if resource.name == "nodes":
        return {"spec.unschedulable": "true" if obj["spec"].get("unschedulable") else "false"}
    if resource.name == "jobs.batch":
        return {"status.successful": str(objects.get(obj, "status.succeeded", 0))}
    if resource.name.startswith(("replica", "replicationcontrollers")):
        return {"status.replicas": str(objects.get(obj, "status.replicas", 0))}
    return {}
