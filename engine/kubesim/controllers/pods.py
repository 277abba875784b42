"""Questions about pods and workloads that several controllers ask.

Sources: `pkg/api/v1/pod/util.go`, `pkg/controller/controller_utils.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubesim import ids
from kubesim.client import Object
from kubesim.informer import Informer
from kubesim.machinery import objects, selectors

FINISHED = ("Succeeded", "Failed")


def condition(obj: Object, kind: str) -> Object | None:
    """The entry of status.conditions of that type."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each["type"] == kind:
            return each
    return None


def is_ready(pod: Object) -> bool:
    """IsPodReady: the Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    """IsPodAvailable: ready, and for long enough."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return False
    if not min_ready_seconds:
        return True
    since = found.get("lastTransitionTime")
    return since is not None and ids.parse_timestamp(since) + min_ready_seconds <= now


def phase(pod: Object) -> str:
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_active(pod: Object) -> bool:
    """IsPodActive: neither finished nor about to go."""
    return phase(pod) not in FINISHED and not objects.deleting(pod)


def is_terminating(pod: Object) -> bool:
    """IsPodTerminating: about to go, and not finished."""
    return phase(pod) not in FINISHED and objects.deleting(pod)


def label_values(obj: Object) -> Iterator[tuple[str, str, str]]:
    """The index "labels": (namespace, key, value)."""
    namespace = objects.namespace(obj)
    return ((namespace, key, value) for key, value in objects.labels(obj).items())


def namespaces(obj: Object) -> list[str]:
    """The index "namespace"."""
    return [objects.namespace(obj)]


def selected(informer: Informer, namespace: str, match: dict[str, str]) -> list[Object]:
    """The objects of a namespace that carry all these labels (there must be one), by way of the index "labels"."""
    wanted = match.items()
    first = min(match.items())
    return [each for each in informer.by("labels", (namespace, *first)) if wanted <= objects.labels(each).items()]


def matching(informer: Informer, namespace: str, selector: dict[str, Any] | None) -> list[Object]:
    """The objects of a namespace that a LabelSelector selects; needs the indexes "labels" and "namespace"."""
    selector = selector or {}
    labels = selector.get("matchLabels") or {}
    if labels and not selector.get("matchExpressions"):
        return selected(informer, namespace, labels)
    parsed = selectors.from_label_selector(selector)
    return [each for each in informer.by("namespace", namespace) if parsed.matches(objects.labels(each))]


def from_template(template: Object, owner: Object, namespace: str) -> Object:
    """GetPodFromTemplate: the pod of a workload, named after its owner by generateName."""
    metadata = template.get("metadata") or {}
    made: Object = {"generateName": f"{objects.name(owner)}-", "namespace": namespace}
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            made[field] = objects.copy(metadata[field])
    made["ownerReferences"] = [objects.new_controller_ref(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": objects.copy(template["spec"])}
