"""Exec, attach and port-forward: sessions of channels, as the kubelet serves them to the API server.

Sources: `staging/src/k8s.io/apimachinery/pkg/util/remotecommand`, `pkg/kubelet/cri/streaming`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from kubesim.machine import Machine
from kubesim.net import errors
from kubesim.node.logs import Log
from kubesim.shell import streams, terminal
from kubesim.world import Task, World

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
        self._stdin = streams.Pipe(world)
        if not stdin:
            self._stdin.end()
        self._tty = tty
        self._task: Task[None] = world.spawn(self._run(machine, command), f"exec {machine.name}: {command[:1]}")

    async def _run(self, machine: Machine, command: list[str]) -> None:
        try:
            result = await terminal.execute(
                machine,
                command,
                self._stdin,
                out=lambda text: self.put(STDOUT, self._bytes(text)),
                # A terminal has one screen.
                err=lambda text: self.put(STDOUT if self._tty else STDERR, self._bytes(text)),
            )
            # What was written went out already: a text in the result is the runtime's refusal to start.
            if result.stderr:
                self.put(ERROR, failed(result.stderr))
            else:
                self.put(ERROR, exited(result.exit_code) if result.exit_code else succeeded())
        finally:
            self.end()

    def _bytes(self, text: str) -> bytes:
        return streams.encode(text.replace("\n", "\r\n") if self._tty else text)

    def write(self, channel: int, data: bytes) -> None:
        if channel == STDIN:
            self._stdin.write(streams.decode(data.replace(b"\r", b"\n") if self._tty else data))

    def close_channel(self, channel: int) -> None:
        if channel == STDIN:
            self._stdin.end()

    def close(self) -> None:
        self._task.cancel()


class Attach(Channels):
    """What a container writes from now on; its end when it ends."""

    def __init__(self, world: World, log: Log) -> None:
        super().__init__(world)
        self._log = log
        self._read = log.written
        self._follow()

    def _follow(self) -> None:
        self.put(STDOUT, self._log.read(self._read))
        self._read = self._log.written
        if self._log.ended:
            self.put(ERROR, succeeded())
            self.end()
        elif not self._ended:
            self._log.on_change(self._follow)

    def write(self, channel: int, data: bytes) -> None:
        """Nothing here reads what is typed at a container's first process."""

    def close_channel(self, channel: int) -> None:
        return None

    def close(self) -> None:
        self.end()


class PortForward(Channels):
    """Connections to a pod's ports from within its own network namespace, one for each pair of channels."""

    def __init__(self, world: World, host: Any, ports: list[int]) -> None:
        super().__init__(world)
        self._host = host
        self._ports = ports
        self._connections: dict[int, Any] = {}
        self._waiting: dict[int, list[bytes]] = {}
        self._tasks: list[Task[None]] = []
        for index, port in enumerate(ports):
            # The first frame of each channel is its port number, little-endian.
            number = port.to_bytes(2, "little")
            self.put(2 * index, number)
            self.put(2 * index + 1, number)

    def write(self, channel: int, data: bytes) -> None:
        index = channel // 2
        if channel % 2 or index >= len(self._ports):
            return
        if index in self._connections:
            self._tasks.append(self._world.spawn(self._connections[index].send(data), "port-forward"))
        elif index in self._waiting:
            self._waiting[index].append(data)
        else:
            self._waiting[index] = [data]
            self._tasks.append(self._world.spawn(self._connect(index), "port-forward"))

    async def _connect(self, index: int) -> None:
        port = self._ports[index]
        try:
            connection = await self._host.connect("127.0.0.1", port)
        except errors.NetError as error:
            self.put(2 * index + 1, f"failed to connect to localhost:{port} inside namespace: {error}".encode())
            self.end()
            return
        for data in self._waiting.pop(index, []):
            await connection.send(data)
        self._connections[index] = connection
        try:
            while data := await connection.recv():
                self.put(2 * index, data)
        except errors.NetError:
            # The peer reset it: the client sees the end, as through the real kubelet.
            pass
        self.end()

    def close_channel(self, channel: int) -> None:
        if channel // 2 in self._connections:
            self._connections[channel // 2].send_eof()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        for task in self._tasks:
            task.cancel()
        self.end()
