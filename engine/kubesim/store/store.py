"""The store: every object under (resource, namespace, name), one revision that only grows, and who watches.

Stored objects are never changed in place: a write puts a new dict there, so a reader may keep what it was given.
A resource is named `plural` or `plural.group`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubesim.world import World

Object = dict[str, Any]
Key = tuple[str, str]

# etcd compacts every five minutes in kube-apiserver's default; here a count does, so that memory is bounded without
# a clock.  Ten thousand events hold some hours of a lab.
HISTORY = 10_000


class Conflict(Exception):
    """The object is not (or no longer) at the expected revision."""


class Compacted(Exception):
    """The revision asked for is older than the history (HTTP 410 Gone)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change.  `type` is ADDED, MODIFIED or DELETED; `before` the object as it was, None for ADDED."""

    revision: int
    resource: str
    type: str
    obj: Object
    before: Object | None


class Watcher:
    """One who is told of changes to a resource, each in a turn of the world of its own."""

    def __init__(self, store: Store, resource: str, tell: Callable[[Event], None]) -> None:
        self._store = store
        self._resource = resource
        self._tell = tell
        self.closed = False

    def post(self, event: Event) -> None:
        self._store.world.call_soon(self._deliver, event)

    def _deliver(self, event: Event) -> None:
        if not self.closed:
            self._tell(event)

    def close(self) -> None:
        self.closed = True
        self._store.forget(self._resource, self)


class Store:
    """See the module.  `revision` is what the last write got; resourceVersions are its decimal text."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.revision = 0
        self.compacted = 0
        self._objects: dict[str, dict[Key, Object]] = {}
        self._sorted: dict[str, list[Key]] = {}
        self._history: deque[Event] = deque()
        self._watchers: dict[str, list[Watcher]] = {}

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def list(self, resource: str, namespace: str = "") -> list[Object]:
        """The objects of one namespace, or of all (""), in the order of etcd's keys: namespace, then name."""
        objects = self._objects.get(resource)
        if not objects:
            return []
        keys = self._sorted.get(resource)
        if keys is None:
            keys = self._sorted[resource] = sorted(objects)
        if namespace:
            low = bisect_right(keys, (namespace, ""))
            high = bisect_right(keys, (namespace, "\U0010ffff"))
            keys = keys[low:high]
        return [objects[key] for key in keys]

    def resources(self) -> Sequence[str]:
        return sorted(resource for resource, objects in self._objects.items() if objects)

    def create(self, resource: str, obj: Object) -> Object:
        """Store a new object; Conflict when its key is taken."""
        key = _key(obj)
        objects = self._objects.setdefault(resource, {})
        if key in objects:
            raise Conflict(f"{resource} {key} exists")
        stored = self._stamp(obj)
        objects[key] = stored
        self._sorted.pop(resource, None)
        self._tell(resource, "ADDED", stored, None)
        return stored

    def update(self, resource: str, obj: Object, expected: str = "") -> Object:
        """Replace an object; Conflict when it is gone or not at the resourceVersion `expected` (if given)."""
        key = _key(obj)
        before = self._objects.get(resource, {}).get(key)
        if before is None or (expected and before["metadata"]["resourceVersion"] != expected):
            raise Conflict(f"{resource} {key} is not at {expected}")
        stored = self._stamp(obj)
        self._objects[resource][key] = stored
        self._tell(resource, "MODIFIED", stored, before)
        return stored

    def delete(self, resource: str, namespace: str, name: str) -> Object:
        """Remove an object and return it as it last was, at the revision of its removal; Conflict when it is gone."""
        before = self._objects.get(resource, {}).pop((namespace, name), None)
        if before is None:
            raise Conflict(f"{resource} {namespace}/{name} is gone")
        self._sorted.pop(resource, None)
        last = self._stamp(before)
        self._tell(resource, "DELETED", last, before)
        return last

    def events(self, resource: str, since: int) -> Iterator[Event]:
        """The changes to a resource after a revision; Compacted when some of them are no longer known."""
        if since < self.compacted:
            raise Compacted(f"{since} is older than {self.compacted}")
        return (event for event in list(self._history) if event.revision > since and event.resource == resource)

    def watch(self, resource: str, tell: Callable[[Event], None]) -> Watcher:
        """Be told of every change from now on."""
        watcher = Watcher(self, resource, tell)
        self._watchers.setdefault(resource, []).append(watcher)
        return watcher

    def forget(self, resource: str, watcher: Watcher) -> None:
        watchers = self._watchers.get(resource, [])
        if watcher in watchers:
            watchers.remove(watcher)

    def restore(self, revision: int, objects: Mapping[str, Sequence[Object]]) -> None:
        """Begin with these objects, at that revision, with nothing of the history before it."""
        self._objects = {resource: {_key(obj): obj for obj in found} for resource, found in objects.items()}
        self.revision = self.compacted = revision

    def compact(self) -> None:
        """Forget all history (what `etcdctl compact` at the present revision does)."""
        self._history.clear()
        self.compacted = self.revision

    def _stamp(self, obj: Object) -> Object:
        self.revision += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}

    def _tell(self, resource: str, kind: str, obj: Object, before: Object | None) -> None:
        event = Event(self.revision, resource, kind, obj, before)
        self._history.append(event)
        if len(self._history) > HISTORY:
            self.compacted = self._history.popleft().revision
        for watcher in self._watchers.get(resource, ()):
            watcher.post(event)


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return (metadata.get("namespace", ""), metadata["name"])
