"""What a control loop knows of a resource: its objects as last told, found by index instead of by scanning.

This is client-go's `tools/cache` (Reflector, Indexer, SharedInformer) for a world of one thread.  An informer hears of a
write one turn of the world after it.  Work that the news causes is queued behind all news that was already on its way,
so a loop always sees its own last writes before it acts again: upstream needs *expectations* for that, here the
queue's order does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kubesim.client import Client, Handler, Object, Subscription

Key = tuple[str, str]
IndexFunction = Callable[[Object], Iterable[Any]]


class Informer:
    """The objects of one resource.  Objects are shared: never change one in place."""

    def __init__(self, client: Client, resource: str) -> None:
        self._client = client
        self._resource = resource
        self._objects: dict[Key, Object] = {}
        self._indexes: dict[str, tuple[IndexFunction, dict[Any, dict[Key, None]]]] = {}
        self._handlers: list[Handler] = []
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Begin to listen.  A second call does nothing."""
        if self._subscription is None:
            self._subscription = self._client.watch(self._resource, self._on_event)

    def stop(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def on_event(self, handler: Handler) -> None:
        """Tell `handler` of every change, once the cache holds it; also of what is there already."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler("ADDED", obj, None)

    def index(self, name: str, function: IndexFunction) -> None:
        """Keep an index: `function` gives the values under which an object is found.  Again with the same name: nothing."""
        if name in self._indexes:
            return
        table: dict[Any, dict[Key, None]] = {}
        self._indexes[name] = (function, table)
        for key, obj in self._objects.items():
            for value in function(obj):
                table.setdefault(value, {})[key] = None

    def by(self, name: str, value: Any) -> list[Object]:
        """The objects that an index has under a value, by namespace and name."""
        keys = self._indexes[name][1].get(value)
        return [self._objects[key] for key in sorted(keys)] if keys else []

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self) -> list[Object]:
        """All objects, by namespace and name."""
        return [self._objects[key] for key in sorted(self._objects)]

    def _on_event(self, kind: str, obj: Object, before: Object | None) -> None:
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        known = self._objects.get(key)
        if kind == "DELETED":
            self._objects.pop(key, None)
        else:
            self._objects[key] = obj
        for function, table in self._indexes.values():
            if known is not None:
                for value in function(known):
                    found = table.get(value)
                    if found is not None:
                        found.pop(key, None)
                        if not found:
                            del table[value]
            if kind != "DELETED":
                for value in function(obj):
                    table.setdefault(value, {})[key] = None
        for handler in self._handlers:
            handler(kind, obj, before)


class Informers:
    """One informer a resource, shared by all who ask (SharedInformerFactory)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[str, Informer] = {}

    def of(self, resource: str) -> Informer:
        """The informer of a resource ("pods", "deployments.apps"), listening from now on."""
        found = self._informers.get(resource)
        if found is None:
            found = self._informers[resource] = Informer(self._client, resource)
            found.start()
        return found

    def stop(self) -> None:
        for informer in self._informers.values():
            informer.stop()
