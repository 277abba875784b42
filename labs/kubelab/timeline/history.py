"""What happened in a namespace, read from the API.

The API server keeps what was written (in etcd, five minutes of it on a real cluster), and a watch from an old revision gives it
again, change by change.  Every write has a revision of its own, whatever the object: so they can be put in order, Events
among them, which a time in whole seconds could not.  (That revisions may be compared is KEP-5504.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab import resources
from kubelab.resources import Object

if TYPE_CHECKING:
    from kubelab.port import Port

# What is looked at, by API group.
RESOURCES = (
    ("", ("services", "pods", "events")),
    ("apps", ("deployments", "replicasets", "statefulsets", "daemonsets")),
    ("batch", ("jobs",)),
    ("discovery.k8s.io", ("endpointslices",)),
    ("networking.k8s.io", ("ingresses", "networkpolicies")),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the object before (None: it is new) and after (None: it is gone), and the write's revision."""

    revision: int
    before: Object | None
    after: Object | None

    @property
    def object(self) -> Object:
        found = self.after or self.before
        assert found is not None
        return found


class History:
    """What is known of a namespace so far; `read` learns what came since.  `begins` is the first revision that is known."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.begins = 0
        self._objects: dict[tuple[str, str], Object] = {}
        self._read = 1

    def read(self, port: Port) -> list[Change]:
        """All changes so far, oldest first."""
        changes: list[Change] = []
        to = self._read
        for resource in _resources(port):
            try:
                for kind, obj in resource.watch(self._read):
                    change = self._take(kind, obj)
                    to = max(to, change.revision)
                    changes.append(change)
            except resources.Gone:
                to = max(to, self._start_over(resource))
        self._read = to
        self.changes += sorted(changes, key=lambda each: each.revision)
        return self.changes

    def _take(self, kind: str, obj: Object) -> Change:
        key = (obj["kind"], obj["metadata"]["name"])
        before = self._objects.pop(key, None)
        revision = int(obj["metadata"]["resourceVersion"])
        if kind == "DELETED":
            return Change(revision, before or obj, None)
        self._objects[key] = obj
        return Change(revision, before, obj)

    def _start_over(self, resource: resources.Resource) -> int:
        """What was written before is not kept any more: begin with the objects as they are.  Returns their revision."""
        revision, items = resource.list()
        self.begins = max(self.begins, revision)
        for each in items:
            self._objects[(each["kind"], each["metadata"]["name"])] = each
        return revision


def _resources(port: Port) -> Iterator[resources.Resource]:
    for group, plurals in RESOURCES:
        for plural in plurals:
            found = resources.find(port, group, plural)
            if found is not None:
                yield found
