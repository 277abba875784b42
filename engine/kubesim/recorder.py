"""Events about objects, as controllers and kubelets record them (client-go `tools/record`).

The same event again raises the count of the one that is there (EventLogger in `events_cache.go`).  Events tell people; a
failure to record one never stops the work that it tells of.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from kubesim import ids
from kubesim.client import Client, Object
from kubesim.errors import ApiError
from kubesim.world import World

# client-go's maxLruCacheEntries is 4096; a recorder here is one component of a small cluster.
REMEMBERED = 512


def reference(obj: Object, kind: str = "", api_version: str = "", field_path: str = "") -> Object:
    """The ObjectReference of `involvedObject` (client-go `tools/reference`)."""
    metadata = obj["metadata"]
    found: Object = {
        "kind": kind or obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": api_version or obj["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}


class Recorder:
    """Records events in the name of one component ("kubelet" with its host, "deployment-controller")."""

    def __init__(self, world: World, client: Client, component: str, host: str = "") -> None:
        self._world = world
        self._client = client
        self._component = component
        self._host = host
        self._seen: OrderedDict[tuple[Any, ...], tuple[str, str, int]] = OrderedDict()

    def event(self, obj: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        """`kind` is "Normal" or "Warning".  `obj` must carry its kind and apiVersion."""
        involved = reference(obj, field_path=field_path)
        now = ids.timestamp(self._world.now)
        key = (involved.get("uid"), involved["name"], field_path, kind, reason, message)
        seen = self._seen.get(key)
        try:
            if seen is not None:
                namespace, name, count = seen
                patch = {"count": count + 1, "lastTimestamp": now}
                try:
                    self._client.patch("events", name, namespace, patch)
                except ApiError as error:
                    if error.code != 404:
                        raise
                    # It has expired or was deleted: begin anew.
                    del self._seen[key]
                else:
                    self._seen[key] = (namespace, name, count + 1)
                    self._seen.move_to_end(key)
                    return
            namespace = involved.get("namespace") or "default"
            source = {"component": self._component, **({"host": self._host} if self._host else {})}
            name = self._create(
                involved,
                namespace,
                {
                    "reason": reason,
                    "message": message,
                    "source": source,
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                    "type": kind,
                    "eventTime": None,
                    "reportingComponent": self._component,
                    "reportingInstance": self._host,
                },
            )
        except ApiError:
            # Upstream drops it too (the namespace is going, the server refuses): see the module.
            return
        self._seen[key] = (namespace, name, 1)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def action(self, obj: Object, kind: str, reason: str, action: str, message: str, instance: str) -> None:
        """An event of the events.k8s.io kind, as the scheduler records them: no count, an action, a time in microseconds."""
        involved = reference(obj)
        namespace = involved.get("namespace") or "default"
        try:
            self._create(
                involved,
                namespace,
                {
                    "reason": reason,
                    "message": message,
                    "source": {},
                    "firstTimestamp": None,
                    "lastTimestamp": None,
                    "type": kind,
                    "eventTime": ids.micro_timestamp(self._world.now),
                    "action": action,
                    "reportingComponent": self._component,
                    "reportingInstance": instance,
                },
            )
        except ApiError:
            return

    def _create(self, involved: Object, namespace: str, rest: Object) -> str:
        """Make an event; its name, which has the time in nanoseconds: another component's at this instant takes the next."""
        nanoseconds = int(self._world.now * 1e9)
        while True:
            name = f"{involved['name']}.{nanoseconds:x}"
            if self._client.find("events", name, namespace) is None:
                break
            nanoseconds += 1
        metadata = {"name": name, "namespace": namespace}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": involved, **rest}
        self._client.create("events", event, namespace)
        return name
