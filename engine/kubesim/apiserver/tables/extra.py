"""Columns after the name, of kinds whose definitions were not recorded; a star marks those of `-o wide`."""

from __future__ import annotations

COLUMNS: dict[str, tuple[str, ...]] = {
    "replicationcontrollers": ("Desired", "Current", "Ready", "Age", "Containers*", "Images*", "Selector*"),
    "persistentvolumeclaims": (
        "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age", "VolumeMode*",
    ),
    "persistentvolumes": (
        "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass", "VolumeAttributesClass", "Reason",
        "Age", "VolumeMode*",
    ),
    "resourcequotas": ("Request", "Limit", "Age"),
    "podtemplates": ("Containers", "Images", "Pod Labels"),
    "rolebindings.rbac.authorization.k8s.io": ("Role", "Age", "Users*", "Groups*", "ServiceAccounts*"),
    "clusterrolebindings.rbac.authorization.k8s.io": ("Role", "Age", "Users*", "Groups*", "ServiceAccounts*"),
    "priorityclasses.scheduling.k8s.io": ("Value", "Global-Default", "Age", "PreemptionPolicy"),
    "horizontalpodautoscalers.autoscaling": ("Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"),
    "certificatesigningrequests.certificates.k8s.io": (
        "Age", "SignerName", "Requestor", "RequestedDuration", "Condition",
    ),
    "runtimeclasses.node.k8s.io": ("Handler", "Age"),
    "apiservices.apiregistration.k8s.io": ("Service", "Available", "Age"),
}  # fmt: skip
