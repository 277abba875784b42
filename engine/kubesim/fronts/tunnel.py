"""Exec, attach and port-forward over SPDY, on a connection of its own or inside of a WebSocket.

kubectl before 1.31 upgrades an HTTP connection to SPDY; later ones send exec over WebSockets (`asgi`), and for port-forward the
same SPDY frames through a WebSocket.  uvicorn knows no SPDY, so `Protocol` looks at the first request of each connection and
keeps those that ask for it.

Sources: apimachinery `pkg/util/httpstream`, `pkg/util/remotecommand`; kubelet `pkg/cri/streaming/{remotecommand,portforward}`;
KEP-4006.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import h11

from kubesim import http
from kubesim.fronts import identity, spdy

# The sub-protocol of a WebSocket that carries SPDY (apimachinery `pkg/util/portforward/constants.go`).
TUNNELED = "SPDY/3.1+portforward.k8s.io"
# The newest that is spoken of what a client offers; "" of those that offer nothing.
REMOTE_COMMAND = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io")
PORT_FORWARD = ("portforward.k8s.io",)
CHANNELS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}
# How long a client may take to go once all has been said, in seconds.
LINGER = 10.0


class Backend(Protocol):
    """What is behind the connection (`asgi.App`)."""

    def answer(self, request: http.Request, peer: tuple[str, int] | None) -> http.Response: ...
    def arrived(self, peer: tuple[str, int], user: http.User | None) -> None: ...
    def catch_up(self) -> None: ...


class Tunnel:
    """One SPDY connection.  `finished` is called when all has been said."""

    def __init__(self, backend: Backend, write: Callable[[bytes], None], finished: Callable[[], None]) -> None:
        self.backend = backend
        self.spdy = spdy.Connection(write)
        self.finished = finished

    def receive(self, data: bytes) -> None:
        """Bytes from the client.  Raises spdy.Broken."""
        for event in self.spdy.receive(data):
            if isinstance(event, spdy.Opened):
                self.opened(event)
            elif isinstance(event, spdy.Data):
                self.came(event.stream, event.data, event.ended)
            else:
                self.came(event.stream, b"", True)
        # What was typed is answered now, not at the next tick.
        self.backend.catch_up()

    def opened(self, event: spdy.Opened) -> None:
        raise NotImplementedError

    def came(self, stream: int, data: bytes, ended: bool) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """The client has gone."""
        raise NotImplementedError


class Command(Tunnel):
    """Exec and attach: a stream for each channel."""

    def __init__(
        self, backend: Backend, session: http.Session, write: Callable[[bytes], None], finished: Callable[[], None]
    ) -> None:
        super().__init__(backend, write, finished)
        self._session = session
        self._channels: dict[int, int] = {}  # by stream
        self._streams: dict[int, int] = {}  # by channel
        # What is to be said on a channel whose stream the client has not opened yet.
        self._early: list[tuple[int, bytes]] = []
        self._over = False
        self._pump()

    def opened(self, event: spdy.Opened) -> None:
        channel = CHANNELS.get(event.headers.get("streamtype", ""))
        if channel is None:
            self.spdy.reset(event.stream)
            return
        self._channels[event.stream] = channel
        self._streams[channel] = event.stream
        self.spdy.accept(event.stream)
        early, self._early = self._early, []
        for each in early:
            self._say(*each)
        if self._over:
            self.spdy.send(event.stream, b"", end=True)

    def came(self, stream: int, data: bytes, ended: bool) -> None:
        channel = self._channels.get(stream)
        if channel is None or self._over:
            return
        if data:
            self._session.write(channel, data)
        if ended:
            self._session.close_channel(channel)

    def _say(self, channel: int, data: bytes) -> None:
        if channel in self._streams:
            self.spdy.send(self._streams[channel], data)
        else:
            self._early.append((channel, data))

    def _pump(self) -> None:
        frames = self._session.read()
        if frames is None:
            self._over = True
            for stream in self._streams.values():
                self.spdy.send(stream, b"", end=True)
            self.finished()
            return
        for channel, data in frames:
            self._say(channel, data)
        self._session.on_ready(self._pump)

    def close(self) -> None:
        self._session.close()


class Forward(Tunnel):
    """Port-forward: for each connection a pair of streams, data and error, with the same request id; each pair is a session
    of its own with the kubelet."""

    def __init__(
        self,
        backend: Backend,
        request: http.Request,
        peer: tuple[str, int] | None,
        write: Callable[[bytes], None],
        finished: Callable[[], None],
    ) -> None:
        super().__init__(backend, write, finished)
        self._request = request
        self._peer = peer
        self._errors: dict[str, int] = {}  # streams by request id
        self._pairs: dict[int, Pair] = {}  # by data stream

    def opened(self, event: spdy.Opened) -> None:
        kind, identity = event.headers.get("streamtype"), event.headers.get("requestid", "")
        port = event.headers.get("port", "")
        if kind == "error":
            self._errors[identity] = event.stream
            self.spdy.accept(event.stream)
            return
        error = self._errors.pop(identity, None)
        if kind != "data" or error is None or not port.isdecimal():
            self.spdy.reset(event.stream)
            return
        self.spdy.accept(event.stream)
        request = http.Request(
            method="POST", path=self._request.path, query=(("ports", port),), headers=self._request.headers
        )
        answer = self.backend.answer(request, self._peer)
        if answer.session is None:
            self.spdy.send(error, answer.body, end=True)
            self.spdy.send(event.stream, b"", end=True)
            return
        self._pairs[event.stream] = Pair(self, answer.session, event.stream, error)
        self._pairs[event.stream].pump()

    def came(self, stream: int, data: bytes, ended: bool) -> None:
        pair = self._pairs.get(stream)
        if pair is None:
            return
        if data:
            pair.session.write(0, data)
        if ended:
            pair.session.close_channel(0)

    def gone(self, stream: int) -> None:
        self._pairs.pop(stream, None)

    def close(self) -> None:
        for pair in self._pairs.values():
            pair.session.close()
        self._pairs.clear()


class Pair:
    """One forwarded connection."""

    def __init__(self, tunnel: Forward, session: http.Session, data: int, error: int) -> None:
        self.session = session
        self._tunnel = tunnel
        self._streams = {0: data, 1: error}
        # Each channel of the session begins with its port's number, which SPDY says in headers.
        self._heads = {0: 2, 1: 2}

    def pump(self) -> None:
        frames = self.session.read()
        if frames is None:
            for stream in self._streams.values():
                self._tunnel.spdy.send(stream, b"", end=True)
            self._tunnel.gone(self._streams[0])
            return
        for channel, data in frames:
            skipped = min(self._heads[channel], len(data))
            self._heads[channel] -= skipped
            if data[skipped:]:
                self._tunnel.spdy.send(self._streams[channel], data[skipped:])
        self.session.on_ready(self.pump)


def protocols(backend: Backend) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, which gives connections that ask for SPDY to `backend`."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class WithSpdy(H11Protocol):
        _head: bytes | None = b""
        _tunnel: Tunnel | None = None
        _peer: tuple[str, int] | None = None
        _lost = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            self._peer = tuple(transport.get_extra_info("peername")[:2])
            backend.arrived(self._peer, identity.user_of(tls.getpeercert()) if tls is not None else None)

        def data_received(self, data: bytes) -> None:
            if self._tunnel is not None:
                try:
                    self._tunnel.receive(data)
                except spdy.Broken:
                    self.transport.close()
                return
            if self._head is None:
                super().data_received(data)
                return
            self._head += data
            # A method begins with a letter; a TLS greeting, say, does not, and is uvicorn's to refuse.
            unfinished = b"\r\n\r\n" not in self._head and len(self._head) < spdy.LARGEST
            if unfinished and self._head[:1].isalpha():
                return
            head, self._head = self._head, None
            request = _upgrade(head) if b"spdy/3.1" in head.lower() else None
            if request is None:
                super().data_received(head)
                return
            self._begin(request)

        def _begin(self, request: http.Request) -> None:
            """Switch protocols, or refuse in HTTP."""
            forward = request.path.endswith("/portforward")
            offered = [each.strip() for each in request.headers.get("x-stream-protocol-version", "").split(",")]
            known = next((each for each in (PORT_FORWARD if forward else REMOTE_COMMAND) if each in offered), None)
            answer = backend.answer(request, self._peer)
            if answer.session is None or known is None:
                if answer.session is not None:
                    answer.session.close()
                    answer = _unknown(offered)
                self.transport.write(_plain(answer))
                self.transport.close()
                return
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n"
                b"X-Stream-Protocol-Version: " + known.encode() + b"\r\n\r\n"
            )
            if forward:
                # That session was for the server to say whether it may be; each connection gets its own.
                answer.session.close()
                self._tunnel = Forward(backend, request, self._peer, self._write, self._finished)
            else:
                self._tunnel = Command(backend, answer.session, self._write, self._finished)

        def _write(self, data: bytes) -> None:
            # A container may end after its client has gone; TLS's transport is not to be written to then.
            if not self._lost and not self.transport.is_closing():
                self.transport.write(data)

        def _finished(self) -> None:
            # The client closes once it has read all; to close first could cut off what it has not taken yet.
            asyncio.get_running_loop().call_later(LINGER, self.transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._lost = True
            if self._tunnel is not None:
                self._tunnel.close()
            super().connection_lost(exc)

    return WithSpdy


def _upgrade(head: bytes) -> http.Request | None:
    """The request, if it asks for SPDY."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**18)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Request):
        return None
    headers: dict[str, str] = {}
    for key, value in event.headers:
        name, text = key.decode("latin-1"), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    if headers.get("upgrade", "").lower() != "spdy/3.1":
        return None
    path, _, query = event.target.decode("latin-1").partition("?")
    return http.Request(
        method=event.method.decode(),
        path=unquote(path),
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
    )


def _unknown(offered: list[str]) -> http.Response:
    known = ", ".join((*REMOTE_COMMAND, *PORT_FORWARD))
    text = f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts [{known}]"
    return http.Response(status=403, headers=[("Content-Type", "text/plain; charset=utf-8")], body=text.encode())


def _plain(answer: http.Response) -> bytes:
    headers: list[Any] = [*answer.headers, ("Content-Length", str(len(answer.body))), ("Connection", "close")]
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    connection.next_event()
    written = connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    written += connection.send(h11.Data(data=answer.body)) or b""
    return written + (connection.send(h11.EndOfMessage()) or b"")
