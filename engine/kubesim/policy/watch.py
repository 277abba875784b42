"""How an agent hears of policies: nothing is told before the first policy is there, and then only what matters to one.

Upstream these are shared informers on NetworkPolicies, Pods and Namespaces.  Most news of a pod (its conditions, its
restarts) changes nothing that a policy could mean, so news is compared as values first; what is left is told once for all
that came in the same turn of the world.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.client import Client, Object, Subscription
from kubesim.policy import model
from kubesim.policy.model import Pod, Policy, State
from kubesim.world import World

Key = tuple[str, str]


class Watch:
    """Calls `changed` after each turn that changed something.  `eager`: also while there is no policy at all."""

    def __init__(self, world: World, client: Client, changed: Callable[[], None], *, eager: bool = False) -> None:
        self._world = world
        self._client = client
        self._changed = changed
        self._told = False
        self._policies: dict[Key, Policy] = {}
        self._pods: dict[Key, Pod] = {}
        self._namespaces: dict[str, dict[str, str]] = {}
        self._subscriptions: list[Subscription] = [client.watch("networkpolicies.networking.k8s.io", self._on_policy)]
        self._following = False
        self._closed = False
        if eager:
            self._follow()

    @property
    def state(self) -> State:
        """What there is, in the order of namespaces and names."""
        return State(
            (self._policies[key] for key in sorted(self._policies)),
            (self._pods[key] for key in sorted(self._pods)),
            self._namespaces,
        )

    def close(self) -> None:
        self._closed = True
        for each in self._subscriptions:
            each.close()

    def _follow(self) -> None:
        """Listen to what policies select, beginning with what is there now."""
        self._following = True
        for resource, take in (("namespaces", self._take_namespace), ("pods", self._take_pod)):
            for obj in self._client.list(resource):
                take("ADDED", obj)
        self._subscriptions += [
            self._client.watch("namespaces", self._on_namespace),
            self._client.watch("pods", self._on_pod),
        ]

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._world.call_soon(self._now)

    def _now(self) -> None:
        self._told = False
        if not self._closed:
            self._changed()

    def _on_policy(self, kind: str, obj: Object, _before: Object | None) -> None:
        found = None if kind == "DELETED" else model.policy_of(obj)
        if _put(self._policies, _key(obj), found):
            if not self._following:
                self._follow()
            self._tell()

    def _on_pod(self, kind: str, obj: Object, _before: Object | None) -> None:
        if self._take_pod(kind, obj):
            self._tell()

    def _take_pod(self, kind: str, obj: Object) -> bool:
        return _put(self._pods, _key(obj), None if kind == "DELETED" else model.pod_of(obj))

    def _on_namespace(self, kind: str, obj: Object, _before: Object | None) -> None:
        if self._take_namespace(kind, obj):
            self._tell()

    def _take_namespace(self, kind: str, obj: Object) -> bool:
        metadata = obj["metadata"]
        return _put(self._namespaces, metadata["name"], None if kind == "DELETED" else metadata.get("labels") or {})


def _key(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _put(where: dict[Any, Any], key: Any, value: Any) -> bool:
    """Set it, or take it away for None; whether that changed anything."""
    if where.get(key) == value:
        return False
    if value is None:
        del where[key]
    else:
        where[key] = value
    return True
