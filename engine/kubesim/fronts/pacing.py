"""Wall time for a person at a keyboard: the world's queue, paced.

`Pacer.catch_up` moves the world by the wall time that has gone by since the last call; between calls nothing happens.
"""

from __future__ import annotations

import time

from kubesim.world import World

# After a long pause (a laptop that slept) the cluster does not replay all of it: its leases would have lapsed anyway.
LONGEST = 60.0
# How often an idle world is looked at, in seconds.  Below what a person sees as a delay.
TICK = 0.05


class Pacer:
    """Paces one world at `speed` virtual seconds a wall second."""

    def __init__(self, world: World, speed: float = 1.0) -> None:
        self._world = world
        self._speed = speed
        self._last = time.monotonic()

    def catch_up(self) -> None:
        now = time.monotonic()
        elapsed, self._last = min(now - self._last, LONGEST), now
        self._world.advance(elapsed * self._speed)
