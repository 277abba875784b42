"""The world's clock and its one queue of due work.

Theory of operation
-------------------
Everything that happens in a cluster happens in one thread, in an order that the seed alone decides.  Work is either
due *now* (a plain first-in first-out queue) or due *at a time* (a heap).  Nothing here reads a wall clock: when no work
is due now, virtual time leaps to the next timer.  A front that serves a person paces the same queue by calling
`advance` with the wall time that went by.

Programs are coroutines.  They wait on a `Future` (a reply, a connection, a timer) by `await`; the world resumes them when
it is resolved.  This is asyncio's idea without its event loop, so that it runs where there are no sockets, threads or
wall clocks (a browser tab).

Timers are *foreground* (a container that starts, a time-out, a back-off: somebody is waiting for it) or *background*
(a periodic resync, a lease renewal, a probe that has settled).  `settle` runs until only background timers are left:
that is what "the cluster has come to rest" means.  Without the distinction a cluster would never rest.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Cancelled(BaseException):
    """Thrown into a task that is cancelled (SIGTERM to a program).  Like asyncio's, not an `Exception`."""


class Stalled(Exception):
    """A task waits for something that no foreground work will ever bring about."""


class TimedOut(Exception):
    """`wait_for` ran out of (virtual) time."""


class Future(Generic[T]):
    """A value that is not there yet.  Awaitable from a task of the same world."""

    __slots__ = ("_callbacks", "_error", "_world", "done", "value")

    def __init__(self, world: World) -> None:
        self._world = world
        self._callbacks: list[Callable[[Future[T]], None]] = []
        self._error: BaseException | None = None
        self.done = False
        self.value: T | None = None

    def resolve(self, value: T) -> None:
        """Give the value.  A second call is ignored: the first to answer wins."""
        if not self.done:
            self.value = value
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Give an error, which `await` raises."""
        if not self.done:
            self._error = error
            self._finish()

    def _finish(self) -> None:
        self.done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._world.call_soon(callback, self)

    def on_done(self, callback: Callable[[Future[T]], None]) -> None:
        if self.done:
            self._world.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    def forget(self, callback: Callable[[Future[T]], None]) -> None:
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def result(self) -> T:
        """The value, or the error raised.  Only once `done`."""
        if not self.done:
            raise RuntimeError("the future is not done")
        if self._error is not None:
            raise self._error
        return self.value  # type: ignore[return-value]

    def __await__(self) -> Generator[Future[T], None, T]:
        if not self.done:
            yield self
        return self.result()


class Task(Future[T]):
    """A coroutine that the world drives.  Itself a future: await it for what the coroutine returns."""

    __slots__ = ("_coro", "_waiting", "name", "retrieved")

    def __init__(self, world: World, coro: Coroutine[Any, Any, T], name: str) -> None:
        super().__init__(world)
        self._coro = coro
        self._waiting: Future[Any] | None = None
        self.name = name
        # An error that nobody awaits must not vanish: see World._report.
        self.retrieved = False
        world.call_soon(self._step, None)

    def cancel(self) -> None:
        """Throw `Cancelled` into the coroutine at its next turn."""
        if self.done:
            return
        if self._waiting is not None:
            self._waiting.forget(self._wake)
            self._waiting = None
        self._world.call_soon(self._step, Cancelled())

    def _wake(self, _future: Future[Any]) -> None:
        self._waiting = None
        self._step(None)

    def _step(self, thrown: BaseException | None) -> None:
        if self.done or (self._waiting is not None and thrown is None):
            return
        try:
            waiting = self._coro.throw(thrown) if thrown is not None else self._coro.send(None)
        except StopIteration as stop:
            self.resolve(stop.value)
        except Cancelled as cancelled:
            self.retrieved = True
            self.fail(cancelled)
        except Exception as error:
            self.fail(error)
            self._world.call_soon(self._world._report, self, error)
        else:
            if not isinstance(waiting, Future):
                raise TypeError(f"task {self.name!r} awaited {waiting!r}, which is not of this world")
            self._waiting = waiting
            waiting.on_done(self._wake)

    def on_done(self, callback: Callable[[Future[T]], None]) -> None:
        self.retrieved = True
        super().on_done(callback)

    def result(self) -> T:
        self.retrieved = True
        return super().result()


class Timer:
    """Work due at a time.  `cancel` makes it nothing."""

    __slots__ = ("args", "background", "cancelled", "fired", "fn", "when", "world")

    def __init__(
        self, world: World, when: float, fn: Callable[..., None], args: tuple[Any, ...], background: bool
    ) -> None:
        self.world = world
        self.when = when
        self.fn = fn
        self.args = args
        self.background = background
        self.cancelled = False
        self.fired = False

    def cancel(self) -> None:
        if not self.cancelled and not self.fired:
            self.cancelled = True
            self.fn = _nothing
            self.args = ()
            self.world._timer_gone(self)


def _nothing() -> None:
    return None


class World:
    """One clock, one queue, one seed.

    `start` is the virtual time at birth in seconds since the Unix epoch.  `now` never goes backwards.  `secret` is what those
    who know the seed must not guess: text that keys the tokens, "" where nobody from outside can show one.  `life` counts
    the restarts from a snapshot before this start: no draw of one life is drawn again in the next.
    """

    def __init__(self, seed: int = 1, start: float = 0.0, secret: str = "", life: int = 0) -> None:
        self.seed = seed
        self.secret = secret
        self.life = life
        self.start = start
        self.now = start
        self._ready: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._foreground = 0
        self._streams: dict[str, random.Random] = {}

    # -- chance ---------------------------------------------------------------------------------------------

    def rng(self, stream: str) -> random.Random:
        """The random stream of that name.  One stream a noun, so that a draw for one never shifts another's."""
        found = self._streams.get(stream)
        if found is None:
            life = f"/{self.life}" if self.life else ""
            found = self._streams[stream] = random.Random(f"{self.seed}{life}/{stream}")
        return found

    # -- due work -------------------------------------------------------------------------------------------

    def call_soon(self, fn: Callable[..., None], *args: Any) -> None:
        """Do this at the present time, after all that is already due."""
        self._ready.append((fn, args))

    def call_later(self, delay: float, fn: Callable[..., None], *args: Any, background: bool = False) -> Timer:
        """Do this `delay` virtual seconds from now.  `background`: `settle` does not wait for it."""
        timer = Timer(self, self.now + max(0.0, delay), fn, args, background)
        self._sequence += 1
        heapq.heappush(self._timers, (timer.when, self._sequence, timer))
        if not background:
            self._foreground += 1
        return timer

    def _timer_gone(self, timer: Timer) -> None:
        if not timer.background:
            self._foreground -= 1

    def spawn(self, coro: Coroutine[Any, Any, T], name: str = "task") -> Task[T]:
        """Start a coroutine as a task of this world."""
        return Task(self, coro, name)

    def future(self) -> Future[Any]:
        return Future(self)

    async def sleep(self, seconds: float, *, background: bool = False) -> None:
        """Wait in virtual time."""
        future: Future[None] = Future(self)
        timer = self.call_later(seconds, future.resolve, None, background=background)
        try:
            await future
        finally:
            timer.cancel()

    async def wait_for(self, awaitable: Future[T] | Coroutine[Any, Any, T], seconds: float | None) -> T:
        """The awaitable's value, or `TimedOut` after so many virtual seconds (a coroutine is then cancelled)."""
        inner: Future[T] = awaitable if isinstance(awaitable, Future) else self.spawn(awaitable, "wait_for")
        if seconds is None:
            return await inner
        first: Future[bool] = Future(self)
        timer = self.call_later(seconds, first.resolve, False)
        inner.on_done(lambda _f: first.resolve(True))
        try:
            in_time = await first
        except Cancelled:
            if isinstance(inner, Task):
                inner.cancel()
            raise
        finally:
            timer.cancel()
        if not in_time:
            if isinstance(inner, Task):
                inner.cancel()
            raise TimedOut(f"nothing within {seconds:g} s")
        return inner.result()

    def _report(self, task: Task[Any], error: BaseException) -> None:
        # Two turns later, so that whoever awaits the task has had its turn to take the error.
        if not task.retrieved:
            raise error

    # -- driving --------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece of work: the next that is due now, else leap to the next timer.  False when there is none."""
        if self._ready:
            fn, args = self._ready.popleft()
            fn(*args)
            return True
        while self._timers:
            when, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            if when > self.now:
                self.now = when
            timer.fired = True
            self._timer_gone(timer)
            timer.fn(*timer.args)
            return True
        return False

    def _next_timer(self) -> Timer | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][2] if self._timers else None

    def drain(self) -> None:
        """Do all that is due at this very instant, moving no clock."""
        while self._ready:
            self.step()

    def advance(self, seconds: float) -> None:
        """Do all that is due within the next so many seconds, and leave the clock there."""
        until = self.now + seconds
        while True:
            self.drain()
            timer = self._next_timer()
            if timer is None or timer.when > until:
                break
            self.step()
        self.now = until

    def settle(self, timeout: float = 300.0) -> bool:
        """Run until only background timers are left; False if that has not come within `timeout` virtual seconds."""
        until = self.now + timeout
        while True:
            self.drain()
            if not self._foreground:
                return True
            timer = self._next_timer()
            if timer is None or timer.when > until:
                return False
            self.step()

    def run(self, coro: Coroutine[Any, Any, T] | Task[T], name: str = "main") -> T:
        """Drive the world until this coroutine (or task) is done and return its value; time leaps as it must.

        Raises `Stalled` when it waits and nothing but background work is left.
        """
        task = coro if isinstance(coro, Task) else self.spawn(coro, name)
        task.retrieved = True
        while not task.done:
            if not self._ready and not self._foreground:
                task.cancel()
                self.drain()
                if not task.done:
                    continue
                raise Stalled(f"{task.name} waits for something that will not happen")
            self.step()
        return task.result()


async def gather(awaitables: list[Awaitable[T]]) -> list[T]:
    """The values of all, in order."""
    return [await each for each in awaitables]
