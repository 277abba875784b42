"""When to sync: soon after a change, but not too often; and now and then without one.

Upstream: pkg/proxy/runner (BoundedFrequencyRunner), before 1.35 pkg/util/async.
"""

from __future__ import annotations

from collections.abc import Callable

from kubesim.world import Timer, World


class BoundedFrequencyRunner:
    """Runs `work` when asked, at least `minimum` seconds after the last time, and unasked after `maximum`.

    `work` says whether it succeeded; if not, it is run again after `retry` seconds.  The unasked run and the retry
    are background work: a cluster in which nothing else is due has come to rest.
    """

    def __init__(self, world: World, work: Callable[[], bool], *, minimum: float, maximum: float, retry: float) -> None:
        self._world = world
        self._work = work
        self._minimum = minimum
        self._maximum = maximum
        self._retry = retry
        self._last: float | None = None
        self._asked: Timer | None = None
        self._unasked: Timer | None = None
        self._stopped = False

    def run(self) -> None:
        """Ask for a run.  Many requests before it are one."""
        if self._stopped or self._asked is not None:
            return
        wait = 0.0 if self._last is None else max(0.0, self._last + self._minimum - self._world.now)
        self._asked = self._world.call_later(wait, self.now)

    def now(self) -> None:
        """Run at once."""
        if self._stopped:
            return
        self._cancel()
        self._last = self._world.now
        done = self._work()
        self._unasked = self._world.call_later(self._maximum if done else self._retry, self.now, background=True)

    def stop(self) -> None:
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        for timer in (self._asked, self._unasked):
            if timer is not None:
                timer.cancel()
        self._asked = self._unasked = None
