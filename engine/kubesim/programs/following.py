"""How a program in a pod follows the cluster: news of all that it watches is taken in together, and not too often.

Traefik's throttle, HAProxy's reload interval and MetalLB's work queue are this, with spacings of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kubesim.client import Client, Object
from kubesim.controllers import endpointslice
from kubesim.informer import Informer
from kubesim.machinery import objects
from kubesim.world import World


class Following:
    """Calls `take_in` once for all news of a moment, and `spacing` seconds after the last time at the earliest."""

    def __init__(self, world: World, client: Client, take_in: Callable[[], None], spacing: float = 0.0) -> None:
        self._world = world
        self._client = client
        self._take_in = take_in
        self._spacing = spacing
        self._due = 0.0
        self._pending = False
        self.stopped = False
        self.informers: dict[str, Informer] = {}

    def follow(self, *resources: str) -> None:
        """Watch these too, named as kubectl names them."""
        for resource in resources:
            informer = self.informers[resource] = Informer(self._client, resource)
            informer.on_event(lambda _kind, _obj, _before: self.soon())
            informer.start()
            if resource == endpointslice.RESOURCE:
                informer.index("service", endpointslice.service_of)

    def soon(self) -> None:
        """There is news."""
        if not self._pending and not self.stopped:
            self._pending = True
            self._world.call_later(max(0.0, self._due - self._world.now), self._now)

    def _now(self) -> None:
        self._pending = False
        if self.stopped:
            return
        self._due = self._world.now + self._spacing
        self._take_in()

    def stop(self) -> None:
        self.stopped = True
        for informer in self.informers.values():
            informer.stop()

    # -- what is known ----------------------------------------------------------------------------------------

    def listed(self, resource: str) -> list[Object]:
        return self.informers[resource].list()

    def keyed(self, resource: str) -> dict[tuple[str, str], Object]:
        """By (namespace, name)."""
        return {(objects.namespace(each), objects.name(each)): each for each in self.listed(resource)}

    def slices(self, namespace: str, service: str) -> Iterable[Object]:
        """The EndpointSlices of a Service."""
        return self.informers[endpointslice.RESOURCE].by("service", (namespace, service))
