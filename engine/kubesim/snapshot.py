"""A cluster's state as one JSON document: what etcd, and the disks of the control plane, hold over a reboot of every machine.

Kept: all objects with their uids and resourceVersions, the revision, the clock, and what service accounts' tokens are keyed with.
Allocated addresses and ports are in the objects.  Not kept, as a reboot keeps none of it: processes (containers are started
anew, their restart counts go on), logs, connection tracking, emptyDirs, changes to a node's rules and files, the history of
watches (who resumes one from before is told 410 and lists again).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubesim.apiserver import wire
from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from kubesim.cluster import Cluster

Object = dict[str, Any]

FORMAT = "kubesim-state"
# Counts up when a document of before can no longer be read.
VERSION = 1
_FIELDS = {
    "preset": str,
    "seed": int,
    "birth": float,
    "now": float,
    "revision": int,
    "life": int,
    "secret": str,
    "objects": dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """See the module.  `preset` is what the cluster was made with; times are in seconds since the epoch.

    `life` counts the starts before this one: names and uids are drawn anew in each, so that none comes twice.  `front` is what
    the front that saved it wants back.
    """

    preset: str
    seed: int
    birth: float
    now: float
    revision: int
    life: int
    secret: str
    objects: Mapping[str, list[Object]]
    front: Mapping[str, Any] = field(default_factory=dict)


def take(cluster: Cluster, front: Mapping[str, Any]) -> str:
    """The cluster as it is now, as text."""
    world, store = cluster.world, cluster.store
    document = {
        "format": FORMAT,
        "version": VERSION,
        "preset": cluster.name,
        "seed": cluster.seed,
        "birth": world.start,
        "now": world.now,
        "revision": store.revision,
        "life": world.life,
        "secret": world.secret,
        "front": dict(front),
        "objects": {resource: store.list(resource) for resource in store.resources()},
    }
    return json.dumps(document, default=wire.lazy, ensure_ascii=False, separators=(",", ":")) + "\n"


def read(text: str, name: str) -> Snapshot:
    """The snapshot in a text; `name` is the file's, for LearnerError."""
    remedy = "It was left as it is.  Move it away to begin a new cluster there."
    try:
        document = json.loads(text)
    except ValueError as error:
        raise LearnerError(f"{name} is no state of a cluster: {error}", remedy) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise LearnerError(f"{name} is no state of a cluster: it does not say {FORMAT!r}", remedy)
    if document.get("version") != VERSION:
        why = f"{name} has version {document.get('version')!r} of the format; this kubesim knows version {VERSION}"
        raise LearnerError(why, remedy)
    for key, kind in _FIELDS.items():
        wanted = (int, float) if kind is float else kind
        if not isinstance(document.get(key), wanted):
            raise LearnerError(f"{name} is damaged: no {key}", remedy)
    for resource, objects in document["objects"].items():
        for obj in objects if isinstance(objects, list) else [None]:
            if (
                not isinstance(obj, dict)
                or not isinstance(obj.get("metadata"), dict)
                or not obj["metadata"].get("name")
            ):
                raise LearnerError(f"{name} is damaged: {resource} holds what is no object", remedy)
    front = document.get("front")
    return Snapshot(
        **{key: document[key] for key in _FIELDS},
        front=front if isinstance(front, dict) else {},
    )
