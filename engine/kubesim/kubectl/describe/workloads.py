"""Deployments, replica sets, replication controllers, daemon sets, stateful sets."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl.describe import pods
from kubesim.kubectl.describe.page import Page, controller, date, pairs, selector
from kubesim.machinery import objects, selectors

Object = dict[str, Any]


def deployment(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    page.field("Name", objects.name(obj))
    page.field("Namespace", objects.namespace(obj))
    page.field("CreationTimestamp", date(obj["metadata"].get("creationTimestamp")))
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.field("Selector", selector(spec.get("selector")))
    page.field(
        "Replicas",
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated | {status.get('replicas', 0)} total | "
        f"{status.get('availableReplicas', 0)} available | {status.get('unavailableReplicas', 0)} unavailable",
    )
    strategy = spec.get("strategy") or {}
    page.field("StrategyType", strategy.get("type", ""))
    page.field("MinReadySeconds", spec.get("minReadySeconds", 0))
    rolling = strategy.get("rollingUpdate")
    if rolling:
        text = f"{rolling.get('maxUnavailable', '')} max unavailable, {rolling.get('maxSurge', '')} max surge"
        page.field("RollingUpdateStrategy", text)
    pods.template(page, spec.get("template"))
    page.conditions(status.get("conditions") or [])
    old, new = replica_sets(page, obj)
    page.field("OldReplicaSets", _sets(old))
    page.field("NewReplicaSet", _sets(new))
    page.events(obj)


def replica_sets(page: Page, obj: Object) -> tuple[list[Object], list[Object]]:
    """(old, new) replica sets of a deployment; new is the one whose template is the deployment's."""
    labels = str(selectors.from_label_selector(obj["spec"].get("selector")))
    found = [
        each for each in page.list("replicasets.apps", objects.namespace(obj), labels) if objects.owned_by(each, obj)
    ]
    found.sort(key=lambda each: (each["metadata"].get("creationTimestamp") or "", objects.name(each)))
    new = next((each for each in found if same_template(each, obj)), None)
    return [each for each in found if each is not new], [new] if new else []


def same_template(one: Object, other: Object) -> bool:
    """EqualIgnoreHash: the pod template without the label that tells templates apart."""

    def plain(obj: Object) -> Object:
        copy = objects.copy(obj["spec"].get("template") or {})
        ((copy.get("metadata") or {}).get("labels") or {}).pop("pod-template-hash", None)
        return copy

    return plain(one) == plain(other)


def _sets(found: list[Object]) -> str:
    return (
        ", ".join(
            f"{objects.name(each)} ({(each.get('status') or {}).get('replicas', 0)}/{each['spec'].get('replicas', 0)} "
            "replicas created)"
            for each in found
        )
        or "<none>"
    )


def _pods_status(page: Page, obj: Object, labels: str) -> str:
    counts = dict.fromkeys(("Running", "Waiting", "Succeeded", "Failed"), 0)
    for pod in page.list("pods", objects.namespace(obj), labels):
        if not objects.owned_by(pod, obj):
            continue
        phase = (pod.get("status") or {}).get("phase", "Pending")
        counts["Waiting" if phase == "Pending" else phase] = (
            counts.get("Waiting" if phase == "Pending" else phase, 0) + 1
        )
    return " / ".join(f"{counts[name]} {name}" for name in ("Running", "Waiting", "Succeeded", "Failed"))


def replica_set(page: Page, obj: Object) -> None:
    _replicas(page, obj, selector(obj["spec"].get("selector")))


def replication_controller(page: Page, obj: Object) -> None:
    _replicas(page, obj, pairs(obj["spec"].get("selector")))


def _replicas(page: Page, obj: Object, labels: str) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    page.field("Name", objects.name(obj))
    page.field("Namespace", objects.namespace(obj))
    page.field("Selector", labels)
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    if controller(obj):
        page.field("Controlled By", controller(obj))
    page.field("Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 0)} desired")
    page.field("Pods Status", _pods_status(page, obj, labels))
    pods.template(page, spec.get("template"))
    page.conditions(status.get("conditions") or [])
    page.events(obj)


def daemon_set(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    labels = selector(spec.get("selector"))
    page.field("Name", objects.name(obj))
    if page.of.minor >= 31:
        page.field("Namespace", objects.namespace(obj))
    page.field("Selector", labels)
    page.field("Node-Selector", pairs(objects.get(spec, "template.spec.nodeSelector")))
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.field("Desired Number of Nodes Scheduled", status.get("desiredNumberScheduled", 0))
    page.field("Current Number of Nodes Scheduled", status.get("currentNumberScheduled", 0))
    page.field("Number of Nodes Scheduled with Up-to-date Pods", status.get("updatedNumberScheduled", 0))
    page.field("Number of Nodes Scheduled with Available Pods", status.get("numberAvailable", 0))
    page.field("Number of Nodes Misscheduled", status.get("numberMisscheduled", 0))
    page.field("Pods Status", _pods_status(page, obj, labels))
    pods.template(page, spec.get("template"))
    page.events(obj)


def stateful_set(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    labels = selector(spec.get("selector"))
    page.field("Name", objects.name(obj))
    page.field("Namespace", objects.namespace(obj))
    page.field("CreationTimestamp", date(obj["metadata"].get("creationTimestamp")))
    page.field("Selector", labels)
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.field("Replicas", f"{spec.get('replicas', 1)} desired | {status.get('replicas', 0)} total")
    strategy = spec.get("updateStrategy") or {}
    page.field("Update Strategy", strategy.get("type", ""))
    if strategy.get("rollingUpdate"):
        page.field("Partition", strategy["rollingUpdate"].get("partition", 0), 1)
    page.field("Pods Status", _pods_status(page, obj, labels))
    pods.template(page, spec.get("template"))
    _claims(page, spec.get("volumeClaimTemplates") or [])
    page.events(obj)


def _claims(page: Page, claims: list[Object]) -> None:
    if not claims:
        page.field("Volume Claims", "<none>")
        return
    page.line(0, "Volume Claims:")
    for claim in claims:
        page.field("Name", objects.name(claim), 1)
        page.field("StorageClass", claim["spec"].get("storageClassName", ""), 1)
        page.labels("  Labels", objects.labels(claim))
        page.annotations("  Annotations", objects.annotations(claim))
        page.field("Capacity", objects.get(claim, "spec.resources.requests.storage", "<default>"), 1)
        page.field("Access Modes", f"[{' '.join(claim['spec'].get('accessModes') or [])}]", 1)
