"""Exec, attach and port-forward: sessions of channels, as the kubelet serves them to the API server.

Sources: `staging/src/k8s.io/apimachinery/pkg/util/remotecommand`, `pkg/kubelet/cri/streaming`.
"""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from kubesim.machine import Machine
from kubesim.net import errors
from kubesim.node.console import Console
from kubesim.node.logs import Log
from kubesim.shell import streams, terminal
from kubesim.shell.tty import Tty
from kubesim.world import Cancelled, Task, World

# How long an attached client is still shown what its last input made the container say, in seconds.
FLUSH = 1.0
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class Channels:
    """The reading half of an http.Session: frames wait here until they are asked for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._frames: deque[tuple[int, bytes]] = deque()
        self._callbacks: list[Callable[[], None]] = []
        self._ended = False

    def put(self, channel: int, data: bytes) -> None:
        if data and not self._ended:
            self._frames.append((channel, data))
            self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._world.call_soon(callback)

    def read(self) -> list[tuple[int, bytes]] | None:
        if not self._frames and self._ended:
            return None
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def on_ready(self, callback: Callable[[], None]) -> None:
        if self._frames or self._ended:
            self._world.call_soon(callback)
        else:
            self._callbacks.append(callback)


def succeeded() -> bytes:
    return json.dumps({"metadata": {}, "status": "Success"}).encode()


def exited(code: int) -> bytes:
    """The Status of a command that ended with another code than 0."""
    return json.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    ).encode()


def failed(message: str) -> bytes:
    """The Status of what could not be done at all."""
    status = {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
    return json.dumps({**status, "details": {"causes": [{"message": message}]}}).encode()


class Exec(Channels):
    """A command in a container."""

    def __init__(self, world: World, machine: Machine, command: list[str], stdin: bool, tty: bool) -> None:
        super().__init__(world)
        self._stdin: Tty | streams.Pipe = Tty(world, self._screen) if tty else streams.Pipe(world)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        if not stdin:
            self.close_channel(STDIN)
        self._task: Task[None] = world.spawn(self._run(machine, command), f"exec {machine.name}: {command[:1]}")

    async def _run(self, machine: Machine, command: list[str]) -> None:
        running = self._world.spawn(self._execute(machine, command), f"exec {machine.name}: {command[:1]}")
        try:
            if isinstance(self._stdin, Tty):
                with self._stdin.foreground(running.cancel):
                    result = await running
            else:
                result = await running
            # What was written went out already: a text in the result is the runtime's refusal to start.
            if result.stderr:
                self.put(ERROR, failed(result.stderr))
            else:
                self.put(ERROR, exited(result.exit_code) if result.exit_code else succeeded())
        except Cancelled:
            if not running.done:
                running.cancel()
                raise
            # Ctrl-C: 128 + SIGINT.
            self.put(ERROR, exited(130))
        finally:
            self.end()

    async def _execute(self, machine: Machine, command: list[str]) -> terminal.Result:
        if isinstance(self._stdin, Tty):
            # A terminal has one screen.
            return await terminal.execute(machine, command, self._stdin, out=self._screen, err=self._screen)
        return await terminal.execute(
            machine,
            command,
            self._stdin,
            out=lambda text: self.put(STDOUT, streams.encode(text)),
            err=lambda text: self.put(STDERR, streams.encode(text)),
        )

    def _screen(self, text: str) -> None:
        self.put(STDOUT, streams.encode(text.replace("\n", "\r\n")))

    def write(self, channel: int, data: bytes) -> None:
        if channel != STDIN:
            return
        if isinstance(self._stdin, Tty):
            self._stdin.type(self._decoder.decode(data))
        else:
            self._stdin.write(streams.decode(data))

    def close_channel(self, channel: int) -> None:
        if channel != STDIN:
            return
        if isinstance(self._stdin, Tty):
            self._stdin.hang_up()
        else:
            self._stdin.end()

    def close(self) -> None:
        self._task.cancel()


class Attach(Channels):
    """What a container writes from now on, and what it reads if it has a console; its end when it ends."""

    def __init__(self, world: World, log: Log, console: Console | None, stdin: bool) -> None:
        super().__init__(world)
        self._log = log
        self._read = log.written
        self._console = console
        self._stdin = stdin and console is not None
        if console is not None:
            console.attach(self._show)
        self._follow()

    def _show(self, text: str) -> None:
        tty = self._console is not None and isinstance(self._console.stdin, Tty)
        self.put(STDOUT, streams.encode(text.replace("\n", "\r\n") if tty else text))

    def _follow(self) -> None:
        if self._console is None:
            self.put(STDOUT, self._log.read(self._read))
            self._read = self._log.written
        if self._log.ended:
            self.put(ERROR, succeeded())
            self.end()
        elif not self._ended:
            self._log.on_change(self._follow)

    def write(self, channel: int, data: bytes) -> None:
        if self._stdin and self._console is not None and channel == STDIN:
            self._console.type(data)

    def close_channel(self, channel: int) -> None:
        if self._stdin and self._console is not None and channel == STDIN:
            self._console.no_more_input()
            if not self._console.once:
                # containerd then closes the client's outputs too (`container_io.go`, Attach); the container goes on.
                self._world.call_later(FLUSH, self._leave)

    def _leave(self) -> None:
        if not self._ended:
            self.put(ERROR, succeeded())
            self.end()

    def close(self) -> None:
        if self._console is not None:
            self._console.detach(self._show)
        # Who goes without a word has ended the input as well.
        self.close_channel(STDIN)
        self.end()


class PortForward(Channels):
    """Connections to a pod's ports from within its own network namespace, one for each pair of channels."""

    def __init__(self, world: World, host: Any, ports: list[int]) -> None:
        super().__init__(world)
        self._host = host
        self._ports = ports
        self._connections: dict[int, Any] = {}
        # What came for a connection before it was made, and whether its end did.
        self._waiting: dict[int, list[bytes]] = {}
        self._half_closed: set[int] = set()
        self._tasks: list[Task[None]] = []
        for index, port in enumerate(ports):
            # The first frame of each channel is its port number, little-endian.
            number = port.to_bytes(2, "little")
            self.put(2 * index, number)
            self.put(2 * index + 1, number)
            # At once, not at the first byte: where the server speaks first the client says nothing.
            self._waiting[index] = []
            self._tasks.append(world.spawn(self._connect(index), "port-forward"))

    def write(self, channel: int, data: bytes) -> None:
        index = channel // 2
        if channel % 2:
            return
        if index in self._waiting:
            self._waiting[index].append(data)
        elif index in self._connections:
            self._tasks.append(self._world.spawn(self._connections[index].send(data), "port-forward"))

    async def _connect(self, index: int) -> None:
        port = self._ports[index]
        try:
            connection = await self._host.connect("127.0.0.1", port)
        except errors.NetError as error:
            self.put(2 * index + 1, f"failed to connect to localhost:{port} inside namespace: {error}".encode())
            self.end()
            return
        while self._waiting[index]:
            await connection.send(self._waiting[index].pop(0))
        del self._waiting[index]
        self._connections[index] = connection
        if index in self._half_closed:
            connection.send_eof()
        try:
            while data := await connection.recv():
                self.put(2 * index, data)
        except errors.NetError:
            # The peer reset it: the client sees the end, as through the real kubelet.
            pass
        self.end()

    def close_channel(self, channel: int) -> None:
        if channel % 2:
            return
        if channel // 2 in self._connections:
            self._connections[channel // 2].send_eof()
        else:
            self._half_closed.add(channel // 2)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        for task in self._tasks:
            task.cancel()
        self.end()
