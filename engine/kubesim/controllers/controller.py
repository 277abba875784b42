"""What all controllers have in common: a queue of keys, each once, and a second try after an error.

Upstream: client-go `util/workqueue`.  A key that is queued again while it waits is worked on once; a key whose reconcile
raised an ApiError comes back after 5 ms, 10 ms, 20 ms, ... (ItemExponentialFailureRateLimiter).
"""

from __future__ import annotations

from typing import ClassVar

from kubesim.client import Client, Object
from kubesim.errors import ApiError
from kubesim.informer import Informer, Informers
from kubesim.machinery import objects
from kubesim.recorder import Recorder
from kubesim.world import Timer, World

FIRST_RETRY = 0.005
LONGEST_RETRY = 1000.0
# A key that still fails after so long waits for something that this loop does not do; nobody rests until it comes.
PATIENCE = 5.0


class Controller:
    """Subclasses name themselves, listen to informers in `start`, and bring one key to its desired state in `reconcile`."""

    name: ClassVar[str]

    def __init__(self, world: World, client: Client, informers: Informers, minor: int = 36) -> None:
        """`minor` is 36 of v1.36.2: what is recorded and reported has changed over the releases."""
        self.minor = minor
        self.world = world
        self.client = client
        self.informers = informers
        self.recorder = Recorder(world, client, self.name)
        self._queued: set[str] = set()
        self._failures: dict[str, int] = {}
        self._delayed: dict[str, Timer] = {}
        self._stopped = False

    def start(self) -> None:
        raise NotImplementedError

    def reconcile(self, key: str) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Do nothing any more (kube-controller-manager has gone)."""
        self._stopped = True
        for timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()

    # -- the queue ------------------------------------------------------------------------------------------

    def enqueue(self, key: str) -> None:
        if key not in self._queued and not self._stopped:
            self._queued.add(key)
            self.world.call_soon(self._work, key)

    def enqueue_after(self, key: str, seconds: float, background: bool = False) -> None:
        """Queue the key later; of several such waits the earliest holds."""
        waiting = self._delayed.get(key)
        if waiting is not None:
            if waiting.when <= self.world.now + seconds:
                return
            waiting.cancel()
        self._delayed[key] = self.world.call_later(seconds, self._due, key, background=background)

    def _due(self, key: str) -> None:
        self._delayed.pop(key, None)
        self.enqueue(key)

    def _work(self, key: str) -> None:
        self._queued.discard(key)
        if self._stopped:
            return
        try:
            self.reconcile(key)
        except ApiError:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(FIRST_RETRY * 2 ** (failures - 1), LONGEST_RETRY)
            self.enqueue_after(key, delay, background=delay > PATIENCE)
        else:
            self._failures.pop(key, None)

    # -- listening ------------------------------------------------------------------------------------------

    def watch(self, resource: str) -> Informer:
        """Queue the key of every object of this resource that changes; its informer."""
        informer = self.informers.of(resource)
        informer.on_event(lambda _kind, obj, _before: self.enqueue(objects.key(obj)))
        return informer

    def watch_owned(self, resource: str, owner_kind: str) -> Informer:
        """Queue the key of the controller (of that kind) of every object of this resource that changes."""
        informer = self.informers.of(resource)
        informer.index("owner", owner_uids)

        def changed(_kind: str, obj: Object, before: Object | None) -> None:
            for each in (obj, before):
                reference = objects.owner(each) if each is not None else None
                if reference is not None and reference["kind"] == owner_kind:
                    self.enqueue(f"{objects.namespace(obj)}/{reference['name']}")

        informer.on_event(changed)
        return informer


def owner_uids(obj: Object) -> list[str]:
    """The index "owner": the uid of the controller; "" in its namespace for those that have none."""
    reference = objects.owner(obj)
    return [reference["uid"] if reference is not None else "orphan/" + objects.namespace(obj)]
