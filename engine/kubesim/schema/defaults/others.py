"""Defaults of the remaining kinds."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def _namespace(obj: Object, minor: int) -> None:
    """The label that selects a namespace by name (KEP-2161, from 1.21 on)."""
    if minor >= 21 and obj["metadata"].get("name"):
        obj["metadata"]["labels"] = dict(
            sorted(
                {**obj["metadata"].get("labels", {}), "kubernetes.io/metadata.name": obj["metadata"]["name"]}.items()
            )
        )


def _secret(obj: Object, minor: int) -> None:
    obj.setdefault("type", "Opaque")
    _merge_string_data(obj)


def _merge_string_data(obj: Object) -> None:
    """stringData is written only: its values go to data (Convert_v1_Secret_To_core_Secret)."""
    import base64

    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()
        obj["data"] = dict(sorted(data.items()))


def _node(obj: Object, minor: int) -> None:
    status = obj.get("status", {})
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _claim(obj: Object, minor: int) -> None:
    obj["status"].setdefault("phase", "Pending")
    obj["spec"].setdefault("volumeMode", "Filesystem")


def _volume(obj: Object, minor: int) -> None:
    obj["status"].setdefault("phase", "Pending")
    obj["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    obj["spec"].setdefault("volumeMode", "Filesystem")


def _storage_class(obj: Object, minor: int) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _binding(obj: Object, minor: int) -> None:
    reference = obj["roleRef"]
    reference.setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _autoscaler(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    spec.setdefault("minReplicas", 1)
    if obj.get("apiVersion") == "autoscaling/v2" and not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _priority_class(obj: Object, minor: int) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _custom_resource_definition(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    names = spec["names"]
    names.setdefault("singular", names.get("kind", "").lower())
    names.setdefault("listKind", names.get("kind", "") + "List")
    spec.setdefault("conversion", {"strategy": "None"})


DEFAULTS = {
    "Namespace": _namespace,
    "Secret": _secret,
    "Node": _node,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "StorageClass": _storage_class,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "HorizontalPodAutoscaler": _autoscaler,
    "PriorityClass": _priority_class,
    "CustomResourceDefinition": _custom_resource_definition,
}
