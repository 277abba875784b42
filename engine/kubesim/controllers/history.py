"""ControllerRevisions: how a DaemonSet or StatefulSet remembers the templates that it has had.

Source: `pkg/controller/history/controller_history.go`.
"""

from __future__ import annotations

from kubesim.client import Client, Object
from kubesim.informer import Informer
from kubesim.machinery import gohash, objects

RESOURCE = "controllerrevisions.apps"
# On pods, and on a DaemonSet's revisions; a StatefulSet's revisions have the other one.
HASH = "controller-revision-hash"
REVISION_HASH = "controller.kubernetes.io/hash"


def data_of(obj: Object) -> Object:
    """What a revision holds: a patch that puts the template back."""
    return {"spec": {"template": {**objects.copy(obj["spec"]["template"]), "$patch": "replace"}}}


def current(
    client: Client, informer: Informer, obj: Object, labels: dict[str, str], hash_label: str
) -> tuple[Object, list[Object]]:
    """The revision of the object's present template, made if there is none, and all its revisions, oldest first."""
    known = sorted(informer.by("owner", objects.uid(obj)), key=lambda each: each["revision"])
    data = data_of(obj)
    last = known[-1]["revision"] if known else 0
    for each in known:
        if each["data"] == data:
            if each["revision"] < last:
                # Rolled back: an old template is the newest again.
                each = client.update(RESOURCE, {**each, "revision": last + 1})
                known = sorted([*(one for one in known if objects.name(one) != objects.name(each)), each], key=_number)
            return each, known
    hashed = gohash.template_hash(data, (obj.get("status") or {}).get("collisionCount"))
    name = f"{objects.name(obj)}-{hashed}"
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": objects.namespace(obj),
            "labels": {**labels, hash_label: hashed},
            "ownerReferences": [objects.new_controller_ref(obj)],
        },
        "data": data,
        "revision": last + 1,
    }
    if objects.annotations(obj):
        made["metadata"]["annotations"] = dict(objects.annotations(obj))
    made = client.create(RESOURCE, made, objects.namespace(obj))
    return made, [*known, made]


def _number(revision: Object) -> int:
    return revision["revision"]


def trim(client: Client, known: list[Object], in_use: set[str], limit: int) -> None:
    """Forget the oldest that nobody uses, beyond the limit."""
    idle = [each for each in known if objects.name(each) not in in_use]
    for each in idle[: max(0, len(idle) - limit)]:
        client.delete(RESOURCE, objects.name(each), objects.namespace(each))
