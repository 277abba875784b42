"""All that kubectl has to do with the world around it: streams, files, a server to talk to, a clock.

In the simulated terminal these are a machine's; in a real terminal the front gives real ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from kubesim import http

if TYPE_CHECKING:
    from kubesim.kubectl import config
    from kubesim.world import World

Transport = Callable[[http.Request], http.Response]


class Files(Protocol):
    """What kubectl does with files (kubesim.files.FileSystem has it all).  Paths are absolute."""

    def is_file(self, path: str) -> bool: ...
    def is_dir(self, path: str) -> bool: ...
    def listdir(self, path: str) -> list[str]: ...
    def read_bytes(self, path: str) -> bytes: ...
    def write(self, path: str, data: str | bytes) -> None: ...
    def mkdir(self, path: str, parents: bool = False) -> None: ...
    def remove(self, path: str) -> None: ...


class Refused(Exception):
    """Raised by a transport: nobody listens at `host` ("127.0.0.1:6443")."""

    def __init__(self, host: str) -> None:
        super().__init__(f"connection to {host} refused")
        self.host = host


class Unreachable(Exception):
    """Raised by a transport that cannot connect for another reason; the message says why, as Go's net would."""


class InUse(Exception):
    """Raised by `listen`: the port cannot be had; the message says why, as Go's net would."""


class Connection(Protocol):
    """One that came to a port that we listen on.  What cannot be sent is lost: the other side has gone."""

    async def recv(self) -> bytes: ...
    async def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Listener(Protocol):
    port: int

    async def accept(self) -> Connection: ...
    def close(self) -> None: ...


class Waitable(Protocol):
    """A stream or session: it calls back when there is something to read."""

    def on_ready(self, callback: Callable[[], None]) -> None: ...


class AnyOf:
    """The first of several (a Waitable).  Each is armed once until it calls back, however often we wait."""

    def __init__(self) -> None:
        self._armed: set[int] = set()
        self._called = False
        self._callbacks: list[Callable[[], None]] = []

    def arm(self, several: Sequence[Waitable]) -> None:
        for each in several:
            if id(each) not in self._armed:
                self._armed.add(id(each))
                each.on_ready(partial(self._ready, id(each)))

    def _ready(self, key: int) -> None:
        self._armed.discard(key)
        callbacks, self._callbacks = self._callbacks, []
        self._called = not callbacks
        for callback in callbacks:
            callback()

    def on_ready(self, callback: Callable[[], None]) -> None:
        if self._called:
            self._called = False
            callback()
        else:
            self._callbacks.append(callback)


class Wait(Protocol):
    async def __call__(self, what: Waitable | float, timeout: float | None = None) -> bool:
        """Wait until the stream has something, or for so many seconds.  False when `timeout` seconds ran out first."""


@dataclass(kw_only=True)
class IO:
    """See the module.

    `connect` makes a transport for the server that a kubeconfig names; where it is None, `transport` is the only server
    there is.  `stdin` gives the next bytes of standard input, b"" at its end; `spawn` runs a coroutine beside the command, so
    that input can go on while output comes (None: all input is read first).  `raw` makes a terminal hand on each key as it is
    pressed, and show none; or puts it back.
    `size` is the terminal's, columns and rows.  `temporary` is a folder for files of a moment.  `listen` opens a port of this
    machine (address, port; 0 takes a free one).  `execute` runs another program (`diff`, an editor), and gives its exit code.
    `cache` keeps what discovery found between commands.  `version` makes kubectl be that version ("v1.16.3"); "" is the
    server's.
    """

    out: Callable[[bytes], None]
    err: Callable[[bytes], None]
    files: Files
    now: Callable[[], float]
    wait: Wait
    transport: Transport | None = None
    connect: Callable[[config.Target], Transport] | None = None
    stdin: Callable[[], Awaitable[bytes]] | None = None
    spawn: Callable[[Coroutine[Any, Any, None]], Any] | None = None
    stdin_is_terminal: bool = False
    raw: Callable[[bool], None] | None = None
    size: Callable[[], tuple[int, int]] | None = None
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    home: str = "/root"
    temporary: str = "/tmp"
    version: str = ""
    cache: dict[Any, Any] = field(default_factory=dict)
    execute: Callable[[list[str]], Awaitable[int]] | None = None
    listen: Callable[[str, int], Awaitable[Listener]] | None = None

    def print(self, text: str = "", end: str = "\n") -> None:
        self.out((text + end).encode())

    def complain(self, text: str, end: str = "\n") -> None:
        """To standard error."""
        self.err((text + end).encode())

    async def read_all(self) -> bytes:
        """Standard input to its end."""
        chunks = []
        while self.stdin is not None and (chunk := await self.stdin()):
            chunks.append(chunk)
        return b"".join(chunks)


def wait_in(world: World) -> Wait:
    """Waiting in a world's virtual time, for a task of that world."""

    async def wait(what: Waitable | float, timeout: float | None = None) -> bool:
        if isinstance(what, int | float):
            await world.sleep(what)
            return True
        ready = world.future()
        what.on_ready(lambda: ready.resolve(True))
        if timeout is None:
            await ready
            return True
        timer = world.call_later(timeout, ready.resolve, False)
        try:
            return bool(await ready)
        finally:
            timer.cancel()

    return wait
