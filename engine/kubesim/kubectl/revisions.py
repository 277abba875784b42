"""The revisions of a workload: replica sets of a deployment, ControllerRevisions of the others.

Sources: kubectl `pkg/polymorphichelpers/history.go`, `rollback.go`; `pkg/util/deployment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubesim.kubectl import builder, fail, session
from kubesim.machinery import objects, patches, selectors

Object = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
# They are the deployment's own and do not go back with its template.
_KEPT = (
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
)


@dataclass(frozen=True)
class Revision:
    """`data` is what a ControllerRevision holds, a patch of the object; {} for a deployment's."""

    number: int
    template: Object
    cause: str
    notes: dict[str, str]
    data: Object


def of_object(of: session.Session, info: builder.Info) -> dict[int, Revision]:
    """By number."""
    if info.mapping.kind == "Deployment":
        return _of_deployment(of, info.obj or {})
    if info.mapping.kind in ("DaemonSet", "StatefulSet"):
        return _of_controller(of, info.obj or {})
    raise fail.Failed(f"error: no history viewer has been implemented for {info.mapping.kind}")


def _owned(of: session.Session, resource: str, obj: Object) -> list[Object]:
    labels = str(selectors.from_label_selector(obj["spec"].get("selector")))
    found = of.list(of.discovery.find(resource), objects.namespace(obj), labels)
    return [each for each in found if objects.owned_by(each, obj)]


def _of_deployment(of: session.Session, obj: Object) -> dict[int, Revision]:
    found = {}
    for each in _owned(of, "replicasets.apps", obj):
        notes = objects.annotations(each)
        if not notes.get(REVISION):
            continue
        number = int(notes[REVISION])
        found[number] = Revision(number, each["spec"]["template"], notes.get(CHANGE_CAUSE, ""), notes, {})
    return found


def _of_controller(of: session.Session, obj: Object) -> dict[int, Revision]:
    found = {}
    for each in _owned(of, "controllerrevisions.apps", obj):
        data = each.get("data") or {}
        template = patches.strategic({}, objects.get(data, "spec.template", {}), "PodTemplateSpec")
        notes = objects.annotations(each)
        found[each["revision"]] = Revision(each["revision"], template, notes.get(CHANGE_CAUSE, ""), notes, data)
    return found


def to_go_back_to(found: dict[int, Revision], wanted: int, info: builder.Info) -> Revision:
    """The revision of that number, or the one before the last for 0."""
    if wanted:
        if wanted not in found:
            raise fail.Failed(f"error: unable to find specified revision {wanted} in history")
        return found[wanted]
    if len(found) < 2:
        kind = {"Deployment": "deployment", "DaemonSet": "daemon set", "StatefulSet": "stateful set"}[info.mapping.kind]
        if kind == "deployment":
            raise fail.Failed(f'error: no rollout history found for {kind} "{info.name}"')
        raise fail.Failed("error: no last revision to roll back to")
    return found[sorted(found)[-2]]


def same_template(one: Object, other: Object) -> bool:
    def plain(template: Object) -> Object:
        copy = objects.copy(template)
        ((copy.get("metadata") or {}).get("labels") or {}).pop("pod-template-hash", None)
        return copy

    return plain(one) == plain(other)


def patch_back(obj: Object, chosen: Revision, info: builder.Info) -> tuple[Any, str]:
    """(patch, its kind) that makes the object be as in that revision."""
    if info.mapping.kind != "Deployment":
        return chosen.data, "strategic"
    template = objects.copy(chosen.template)
    ((template.get("metadata") or {}).get("labels") or {}).pop("pod-template-hash", None)
    there = objects.annotations(obj)
    notes = {key: there[key] for key in _KEPT if key in there}
    notes.update((key, value) for key, value in chosen.notes.items() if key not in _KEPT)
    return [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace" if there else "add", "path": "/metadata/annotations", "value": notes},
    ], "json"
