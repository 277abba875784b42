"""Watches: a list that goes on (apiserver `pkg/endpoints/handlers/watch.go`, `pkg/storage/cacher`).

An object that comes to match the selector is ADDED, one that ceases to is DELETED.  A resourceVersion that is too old is answered
with HTTP 200 and an ERROR event of 410.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.apiserver import lists, messages, wire
from kubesim.apiserver.registry import Registry
from kubesim.schema import Resource
from kubesim.store.store import Compacted, Event
from kubesim.world import Timer

Object = dict[str, Any]
# How an object goes on the wire: itself, its metadata, or a table of one row; told whether it is the stream's first.
Shape = Callable[[Object, bool], Object]

# Seconds between bookmarks (cacher.bookmarkFrequency).
BOOKMARKS = 60.0
# ... and how long before the end of the stream the last one comes.
LAST_BOOKMARK = 2.0
# Without timeoutSeconds the server ends a watch after 30 to 60 minutes (MinRequestTimeout).
LONGEST = 1800.0
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


class WatchStream:
    """An `http.Stream` of watch events, one JSON document a line."""

    def __init__(
        self, registry: Registry, resource: Resource, namespace: str, found: lists.Options, shape: Shape
    ) -> None:
        self._registry = registry
        self._world = registry.world
        self._resource = resource
        self._namespace = namespace
        self._options = found
        self._shape = shape
        self._lines: list[bytes] = []
        self._ready: list[Callable[[], None]] = []
        self._ended = False
        self._first = True
        self._last = registry.store.revision
        wanted = lists.revision(found.resource_version, watch=True)
        self._after = wanted
        self._watcher = registry.store.watch(resource.name, self._tell)
        self._begin(wanted)
        timeout = found.timeout or LONGEST + self._world.rng("watch-timeouts").random() * LONGEST
        self._timer = self._world.call_later(timeout, self._end, background=True)
        self._until = self._world.now + timeout
        self._bookmarks = self._next_bookmark() if found.bookmarks else None

    # -- http.Stream ----------------------------------------------------------------------------------------

    def read(self) -> bytes | None:
        if self._lines:
            chunk, self._lines = b"".join(self._lines), []
            return chunk
        return None if self._ended else b""

    def on_ready(self, callback: Callable[[], None]) -> None:
        if self._lines or self._ended:
            self._world.call_soon(callback)
        else:
            self._ready.append(callback)

    def close(self) -> None:
        self._stop()

    # -- events ---------------------------------------------------------------------------------------------

    def _begin(self, wanted: int) -> None:
        store = self._registry.store
        found = self._options
        present = found.initial_events or (found.initial_events is None and wanted == 0)
        if present:
            self._after = store.revision
            for obj in store.list(self._resource.name, self._namespace):
                if found.matches is None or found.matches(obj):
                    self._send("ADDED", obj)
            if found.initial_events and found.bookmarks:
                self._send_bookmark(INITIAL_EVENTS_END)
            return
        if wanted == 0:
            self._after = store.revision
            return
        try:
            for event in store.events(self._resource.name, wanted):
                self._pass(event)
        except Compacted:
            message = f"too old resource version: {wanted} ({store.compacted})"
            self._write("ERROR", wire.status_of(messages.expired(message)))
            self._end()
        self._after = max(wanted, store.revision)

    def _tell(self, event: Event) -> None:
        # What the beginning has already told (the present, or history) is not told twice.
        if event.revision > self._after:
            self._pass(event)

    def _pass(self, event: Event) -> None:
        if self._namespace and event.obj["metadata"].get("namespace") != self._namespace:
            return
        matches = self._options.matches
        kind, obj = event.type, event.obj
        if matches is not None:
            now = event.type != "DELETED" and matches(event.obj)
            then = event.before is not None and matches(event.before)
            if not now and not then:
                return
            if now != then:
                kind = "ADDED" if now else "DELETED"
            if kind == "DELETED" and event.before is not None and event.type != "DELETED":
                # It left: shown as it was, at the version of its leaving.
                version = event.obj["metadata"]["resourceVersion"]
                obj = {**event.before, "metadata": {**event.before["metadata"], "resourceVersion": version}}
        self._last = event.revision
        self._send(kind, obj)

    def _send(self, kind: str, obj: Object) -> None:
        self._write(kind, self._shape(obj, self._first))
        self._first = False

    def _write(self, kind: str, obj: Object) -> None:
        self._lines.append(wire.encode({"type": kind, "object": obj}))
        self._wake()

    def _bookmark(self) -> None:
        self._send_bookmark(None)
        self._bookmarks = self._next_bookmark()

    def _next_bookmark(self) -> Timer | None:
        """Every minute, and two seconds before the end (cacher's nextBookmarkTime)."""
        left = self._until - self._world.now - LAST_BOOKMARK
        if left <= 0:
            return None
        return self._world.call_later(min(BOOKMARKS, left), self._bookmark, background=True)

    def _send_bookmark(self, annotations: Object | None) -> None:
        metadata: Object = {"resourceVersion": str(self._registry.store.revision)}
        if annotations:
            metadata["annotations"] = annotations
        resource = self._resource
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        self._write("BOOKMARK", self._shape(bookmark_of(resource, obj), self._first))

    def _wake(self) -> None:
        waiting, self._ready = self._ready, []
        for callback in waiting:
            self._world.call_soon(callback)

    def _end(self) -> None:
        self._stop()
        self._ended = True
        self._wake()

    def _stop(self) -> None:
        self._watcher.close()
        for timer in (getattr(self, "_timer", None), getattr(self, "_bookmarks", None)):
            if timer is not None:
                timer.cancel()


def bookmark_of(resource: Resource, obj: Object) -> Object:
    """An object of the kind with nothing but a version: the type's zero as Go writes it."""
    from kubesim.apiserver import decoding

    empty = decoding.empty(resource.type())
    return {**obj, **{key: value for key, value in empty.items() if key not in ("metadata", "kind", "apiVersion")}}
