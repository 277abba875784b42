"""`kubesim kubectl`: our kubectl in a real terminal, on whatever cluster the kubeconfig names.

The person's files, streams, editor, clock and sockets, in an asyncio event loop.  Ctrl-C ends the command with 130.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kubesim.fronts import remote
from kubesim.kubectl import io, main

INTERRUPTED = 130


def run(args: list[str]) -> int:
    """Run one command; its exit code."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    # Not the default handler: asyncio would replace that by one that waits for the present step to end.
    signal.signal(signal.SIGINT, interrupt)
    terminal = Terminal()
    folder = tempfile.mkdtemp(prefix="kubectl-")
    try:
        return asyncio.run(_run(args, terminal, folder))
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        name = f" {error.filename}" if error.filename else ""
        sys.stderr.write(f"error: open{name}: {(error.strerror or str(error)).lower()}\n")
        return 1
    finally:
        terminal.raw(False)
        shutil.rmtree(folder, ignore_errors=True)


async def _run(args: list[str], terminal: Terminal, folder: str) -> int:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # The event loop itself keeps no more than a weak reference to it.
        task = asyncio.ensure_future(coro)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    into = io.IO(
        out=_writer(sys.stdout.buffer),
        err=_writer(sys.stderr.buffer),
        files=Disk(),
        now=time.time,
        wait=_wait,
        connect=remote.Server,
        stdin=terminal.read,
        spawn=spawn,
        stdin_is_terminal=sys.stdin.isatty(),
        raw=terminal.raw,
        size=terminal.size,
        env=dict(os.environ),
        cwd=os.getcwd(),
        home=os.path.expanduser("~"),
        temporary=folder,
        execute=_execute,
        listen=listen,
    )
    return await main.run(args, into)


def _writer(stream: Any) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    return write


async def _wait(what: io.Waitable | float, timeout: float | None = None) -> bool:
    if isinstance(what, int | float):
        await asyncio.sleep(what)
        return True
    ready = asyncio.Event()
    what.on_ready(ready.set)
    try:
        await asyncio.wait_for(ready.wait(), timeout)
    except TimeoutError:
        return False
    return True


async def _execute(argv: list[str]) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*argv)
    except FileNotFoundError:
        return 127
    return await process.wait()


class Terminal:
    """Standard input, and the terminal that it may be."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes] | None = None
        self._cooked: Any = None

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        if self._chunks is None:
            self._chunks = asyncio.Queue()
            # A thread that ends with the process: nothing else can give up waiting for a key.
            threading.Thread(
                target=self._pump, args=(asyncio.get_running_loop(), self._chunks), name="stdin", daemon=True
            ).start()
        return await self._chunks.get()

    @staticmethod
    def _pump(loop: asyncio.AbstractEventLoop, chunks: asyncio.Queue[bytes]) -> None:
        while True:
            try:
                data = os.read(0, 1 << 16)
            except OSError:
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants it any more
                loop.call_soon_threadsafe(chunks.put_nowait, data)
            if not data:
                return

    def raw(self, on: bool) -> None:
        """Each key as it is pressed, Ctrl-C too; or as before."""
        try:
            import termios
            import tty
        except ImportError:
            return  # Windows: keys come by the line
        if on and sys.stdin.isatty():
            self._cooked = termios.tcgetattr(0)
            tty.setraw(0)
        elif not on and self._cooked is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._cooked)
            self._cooked = None

    @staticmethod
    def size() -> tuple[int, int]:
        """Columns and rows."""
        found = shutil.get_terminal_size()
        return found.columns, found.lines


class Disk:
    """The real files, as kubectl wants them (io.Files)."""

    def is_file(self, path: str) -> bool:
        # Not only regular ones: `-f <(...)` names a pipe.
        return Path(path).exists() and not Path(path).is_dir()

    def is_dir(self, path: str) -> bool:
        return Path(path).is_dir()

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def read_bytes(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def write(self, path: str, data: str | bytes) -> None:
        encoded = data.encode() if isinstance(data, str) else data
        # A kubeconfig holds credentials: what is new is for its owner alone there, as kubectl writes it.
        private = posixpath.basename(posixpath.dirname(path)) == ".kube"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
        with open(descriptor, "wb") as file:
            file.write(encoded)

    def mkdir(self, path: str, parents: bool = False) -> None:
        Path(path).mkdir(parents=parents, exist_ok=True)

    def remove(self, path: str) -> None:
        Path(path).unlink()


class Connection:
    """io.Connection: one that came to a port of ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def recv(self) -> bytes:
        try:
            return await self._reader.read(1 << 16)
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Listener:
    """io.Listener: a port of this machine."""

    def __init__(self) -> None:
        self.port = 0
        self._came: asyncio.Queue[Connection] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def open(self, address: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accepted, address, port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._came.put_nowait(Connection(reader, writer))

    async def accept(self) -> Connection:
        return await self._came.get()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


async def listen(address: str, port: int) -> Listener:
    """Listen at an address of this machine; port 0 takes a free one.  io.InUse says why it cannot be."""
    found = Listener()
    try:
        await found.open(address, port)
    except OSError as error:
        why = "address already in use" if error.errno == 98 else (error.strerror or str(error)).lower()
        raise io.InUse(f"bind: {why}") from None
    return found
