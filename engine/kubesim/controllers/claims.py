"""Whose a pod (or a ReplicaSet) is: adopting orphans that match, releasing what no longer does.

Source: `pkg/controller/controller_ref_manager.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.client import Client, Object
from kubesim.controllers.pods import is_active
from kubesim.errors import ApiError
from kubesim.informer import Informer
from kubesim.machinery import objects, selectors


def selects(selector: dict[str, Any], obj: Object) -> bool:
    """Does a LabelSelector select the object?  An empty one selects nothing here."""
    labels = objects.labels(obj)
    match = selector.get("matchLabels") or {}
    if not selector.get("matchExpressions"):
        return bool(match) and match.items() <= labels.items()
    return selectors.from_label_selector(selector).matches(labels)


def claim(client: Client, informer: Informer, resource: str, owner: Object, selector: dict[str, Any]) -> list[Object]:
    """The objects that `owner` controls, after adopting and releasing.  Needs the index "owner"."""
    namespace = objects.namespace(owner)
    mine = []
    for each in informer.by("owner", objects.uid(owner)):
        if selects(selector, each) or objects.deleting(owner):
            mine.append(each)
        else:
            _release(client, resource, each, owner)
    if objects.deleting(owner):
        return mine
    for each in informer.by("owner", f"orphan/{namespace}"):
        if selects(selector, each) and not objects.deleting(each) and (resource != "pods" or is_active(each)):
            adopted = _adopt(client, resource, each, owner)
            if adopted is not None:
                mine.append(adopted)
    return mine


def _adopt(client: Client, resource: str, obj: Object, owner: Object) -> Object | None:
    references = [*(obj["metadata"].get("ownerReferences") or ()), objects.new_controller_ref(owner)]
    patch = {"metadata": {"uid": objects.uid(obj), "ownerReferences": references}}
    return _patch(client, resource, obj, patch)


def _release(client: Client, resource: str, obj: Object, owner: Object) -> None:
    rest = [each for each in obj["metadata"]["ownerReferences"] if each["uid"] != objects.uid(owner)]
    _patch(client, resource, obj, {"metadata": {"uid": objects.uid(obj), "ownerReferences": rest or None}})


def _patch(client: Client, resource: str, obj: Object, patch: Object) -> Object | None:
    try:
        return client.patch(resource, objects.name(obj), objects.namespace(obj), patch)
    except ApiError as error:
        # It is gone, or another one has its name now.
        if error.code in (404, 409, 422):
            return None
        raise
