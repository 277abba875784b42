"""Our kubectl over a real socket, to be compared with the real one on the same server.  Blocking; for tests."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import h11

from kubesim import http
from kubesim.kubectl import config, io, main


class Stream:
    """A body that goes on, read as far as it has come."""

    def __init__(self, sock: socket.socket, conn: h11.Connection) -> None:
        self.sock = sock
        self.conn = conn
        self.over = False
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def read(self) -> bytes | None:
        if self.over:
            return None
        data = b""
        while True:
            event = self.conn.next_event()
            if event is h11.NEED_DATA:
                if not self.wait(0):
                    return data
                self.conn.receive_data(self.sock.recv(1 << 16))
            elif isinstance(event, h11.Data):
                data += bytes(event.data)
            else:
                self.over = True
                return data or None

    def wait(self, timeout: float | None) -> bool:
        return bool(self._poll.poll(None if timeout is None else timeout * 1000))

    def on_ready(self, callback: Callable[[], None]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.sock.close()


def transport_for(target: config.Target) -> io.Transport:
    parts = urlsplit(target.server)

    def send(request: http.Request) -> http.Response:
        try:
            sock = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20)
        except ConnectionRefusedError:
            raise io.Refused(parts.netloc) from None
        conn = h11.Connection(h11.CLIENT)
        path = request.path + ("?" + urlencode(request.query) if request.query else "")
        headers = [("host", parts.netloc), ("content-length", str(len(request.body))), *request.headers.items()]
        sock.sendall(conn.send(h11.Request(method=request.method, target=path, headers=headers)) or b"")
        if request.body:
            sock.sendall(conn.send(h11.Data(data=request.body)) or b"")
        sock.sendall(conn.send(h11.EndOfMessage()) or b"")
        while (event := conn.next_event()) is h11.NEED_DATA:
            conn.receive_data(sock.recv(1 << 16))
        pairs = [(key.decode(), value.decode()) for key, value in event.headers]
        response = http.Response(status=event.status_code, headers=pairs)
        if request.param("watch") == "true" and event.status_code == 200:
            response.stream = Stream(sock, conn)
            return response
        body = b""
        while not isinstance(event := conn.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                conn.receive_data(sock.recv(1 << 16))
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        sock.close()
        response.body = body
        return response

    return send


class Disk:
    """The real one, as far as kubectl looks at it."""

    def is_file(self, path: str) -> bool:
        return Path(path).is_file()

    def is_dir(self, path: str) -> bool:
        return Path(path).is_dir()

    def listdir(self, path: str) -> list[str]:
        return sorted(each.name for each in Path(path).iterdir())

    def read_bytes(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def write(self, path: str, data: str | bytes) -> None:
        Path(path).write_bytes(data.encode() if isinstance(data, str) else data)

    def mkdir(self, path: str, parents: bool = False) -> None:
        Path(path).mkdir(parents=parents, exist_ok=True)


async def _wait(what: Any, timeout: float | None = None) -> bool:
    if isinstance(what, int | float):
        time.sleep(what)
        return True
    return what.wait(timeout)


def run(args: list[str], kubeconfig: str, version: str, cwd: str = "/", stdin: bytes = b"") -> tuple[int, str, str]:
    """(exit code, stdout, stderr)."""
    out: list[bytes] = []
    err: list[bytes] = []
    chunks = [stdin]

    async def read() -> bytes:
        return chunks.pop() if chunks else b""

    into = io.IO(
        out=out.append,
        err=err.append,
        files=Disk(),
        now=time.time,
        wait=_wait,
        connect=transport_for,
        stdin=read,
        env={"KUBECONFIG": kubeconfig},
        cwd=cwd,
        version=version,
    )
    coroutine = main.run(args, into)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value, b"".join(out).decode(), b"".join(err).decode()
    raise AssertionError("kubectl waited for what a blocking front cannot give")
