"""The bound on what the cluster of a submission may take: its time is virtual, and a stranger's command may have no end.

Work of a world stops between two pieces of it, where nothing is left half done; a piece that does not end is cancelled in
its midst.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubelab.embedded import Embedded
from kubesim.world import Cancelled


class TooLong(BaseException):
    """The time for this is over.  Not an Exception: nothing on the way may take it for an error of its own."""


# The moment at which the work of a cluster stops, between two pieces of it: where nothing is left half done.
_stop_at: list[float] = [float("inf")]


def guarded(port: Embedded) -> Embedded:
    """The port, with a world that looks at the time before each piece of work."""
    world = port.cluster.world
    step = world.step
    if getattr(step, "guarded", False):
        return port

    def bounded() -> bool:
        if time.monotonic() > _stop_at[0]:
            _stop_at[0] = float("inf")
            raise TooLong
        return step()

    bounded.guarded = True  # type: ignore[attr-defined]
    world.step = bounded  # type: ignore[method-assign]
    return port


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """No longer than this.  First the world stops between two pieces of work; if one piece does not end (a loop without a
    command in it), what runs is cancelled in its midst two seconds later, and every second from then on."""
    _stop_at[0] = time.monotonic() + seconds
    signal.signal(signal.SIGALRM, _cancel)
    signal.setitimer(signal.ITIMER_REAL, seconds + 2.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _stop_at[0] = float("inf")


def _cancel(number: int, frame: Any) -> None:
    raise Cancelled


def end(port: Embedded, running: Any) -> None:
    """Ctrl-C for a task of the world, and time to take it in."""
    running.cancel()
    _stop_at[0] = time.monotonic() + 1.0
    port.cluster.world.drain()
    _stop_at[0] = float("inf")
