"""The API server as an ASGI application: HTTP, watches as chunked bodies, exec and its kin over WebSockets.

WebSocket sub-protocols are those of `apimachinery/pkg/util/remotecommand`: `v4.channel.k8s.io` and `v5.channel.k8s.io`, each
message a channel byte and data; v5 adds the half-close `0xFF channel`.  What speaks SPDY instead is in `tunnel`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import parse_qsl

from kubesim import http
from kubesim.apiserver import authentication, bodies, wire
from kubesim.fronts import pacing, spdy, tunnel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CLOSE_CHANNEL = 0xFF
# Seconds between an upgrade and the first message.  kubectl makes its streams after the upgrade and throws away what comes
# earlier ("Unknown stream id 1, discarding message": client-go tools/remotecommand/websocket.go); a kubelet is never as quick.
UPGRADED = 0.02

# Where a connection comes from: address and port.
Peer = tuple[str, int]


class Server(Protocol):
    """What the front needs of an API server."""

    def handle(self, request: http.Request) -> http.Response: ...


class Beside(Protocol):
    """Something else that answers while the application runs."""

    async def start(self) -> None: ...
    def close(self) -> None: ...


class App:
    """See the module.  `beside` is what else begins and ends with the same event loop.

    `open`: whoever comes is the admin.  Else a request without a token, on a connection without a client certificate
    (`arrived`), is refused.
    """

    def __init__(
        self, server: Server, pacer: pacing.Pacer, beside: Sequence[Beside] = (), *, open: bool = True
    ) -> None:
        self._server = server
        self._pacer = pacer
        self._beside = beside
        self._open = open
        # Whose certificate was shown on the connection from an address and port.
        self._known: dict[Peer, http.User] = {}

    def arrived(self, peer: Peer, user: http.User | None) -> None:
        """A connection was made from there, by the owner of a certificate (None: none was shown)."""
        if user is None:
            self._known.pop(peer, None)
        else:
            self._known[peer] = user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        ticking: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                ticking = asyncio.create_task(self._tick())
                for each in self._beside:
                    await each.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if ticking is not None:
                    ticking.cancel()
                for each in self._beside:
                    each.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(pacing.TICK)
            self._pacer.catch_up()

    def answer(self, request: http.Request, peer: Peer | None) -> http.Response:
        """What the server says now to a request from there."""
        self._pacer.catch_up()
        if not self._open:
            user = self._known.get(peer) if peer else None
            if user is not None:
                # The certificate comes first, as upstream's union of authenticators has it.
                headers = {key: value for key, value in request.headers.items() if key != "authorization"}
                request = replace(request, user=user, headers=headers)
            elif "authorization" not in request.headers:
                return wire.error(authentication.unauthorized())
        answer = self._server.handle(request)
        self._pacer.catch_up()
        return answer

    def catch_up(self) -> None:
        self._pacer.catch_up()

    def _answer(self, scope: Scope, body: bytes) -> http.Response:
        return self.answer(
            http.Request(
                method=scope.get("method", "GET"),
                path=scope["path"],
                query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
                headers=_request_headers(scope),
                body=body,
            ),
            _peer(scope),
        )

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > bodies.LIMIT:
                answer = wire.error(bodies.too_large())
                break
            if not message.get("more_body"):
                answer = self._answer(scope, body)
                break
        if answer.session is not None:
            # A plain request for exec: upstream answers so when no upgrade was asked for.
            answer.session.close()
            answer = http.Response(
                status=400,
                headers=[("Content-Type", "text/plain; charset=utf-8")],
                body=b"you must specify at least 1 of stdin, stdout, stderr over an upgraded connection",
            )
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
        if answer.stream is None:
            await send({"type": "http.response.body", "body": answer.body})
            return
        gone = asyncio.create_task(_until_disconnect(receive))
        try:
            async for chunk in _chunks(answer.stream.read, answer.stream.on_ready, gone):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            answer.stream.close()
            gone.cancel()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if tunnel.TUNNELED in scope.get("subprotocols", ()) and scope["path"].endswith("/portforward"):
            await self._tunneled(scope, receive, send)
            return
        protocol = next((each for each in SUBPROTOCOLS if each in scope.get("subprotocols", ())), None)
        answer = self._answer(scope, b"")
        if answer.session is None or protocol is None:
            if answer.session is not None:
                answer.session.close()
                answer = http.Response(
                    status=400,
                    headers=[("Content-Type", "text/plain; charset=utf-8")],
                    body=f"unable to upgrade: known sub-protocols are {', '.join(SUBPROTOCOLS)}".encode(),
                )
            await _refuse(answer, send)
            return
        await send({"type": "websocket.accept", "subprotocol": protocol})
        await asyncio.sleep(UPGRADED)
        session = answer.session
        feeding = asyncio.create_task(self._feed(session, receive))
        try:
            async for messages in _chunks(session.read, session.on_ready, feeding):
                for channel, data in messages:
                    await send({"type": "websocket.send", "bytes": bytes([channel]) + data})
            if not feeding.done():
                await send({"type": "websocket.close", "code": 1000})
        finally:
            session.close()
            feeding.cancel()

    async def _tunneled(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Port-forward as kubectl since 1.31 does it: SPDY within a WebSocket."""
        answer = self._answer(scope, b"")
        if answer.session is None:
            await _refuse(answer, send)
            return
        answer.session.close()
        await send({"type": "websocket.accept", "subprotocol": tunnel.TUNNELED})
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        request = http.Request(method="POST", path=scope["path"], headers=_request_headers(scope))
        forward = tunnel.Forward(self, request, _peer(scope), outgoing.put_nowait, lambda: None)
        sending = asyncio.create_task(_pass_on(outgoing, send))
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                forward.receive(message.get("bytes") or b"")
        except spdy.Broken:
            await send({"type": "websocket.close", "code": 1002})
        finally:
            forward.close()
            sending.cancel()

    async def _feed(self, session: http.Session, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes") or (message.get("text") or "").encode()
            if len(data) >= 2 and data[0] == CLOSE_CHANNEL:
                session.close_channel(data[1])
            elif len(data) > 1:
                session.write(data[0], data[1:])
            # A key is echoed at once, not at the next tick.
            self._pacer.catch_up()


async def _pass_on(outgoing: asyncio.Queue[bytes], send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "bytes": await outgoing.get()})


async def _refuse(answer: http.Response, send: Send) -> None:
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": _headers(answer)})
    await send({"type": "websocket.http.response.body", "body": answer.body})
    # uvicorn (0.54) takes a refused handshake for complete only once its connection is closed, a turn from now,
    # and complains of who returns before.
    await asyncio.sleep(0)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(
    read: Callable[[], Any], on_ready: Callable[[Callable[[], None]], None], gone: asyncio.Task[None]
) -> AsyncIterator[Any]:
    """What `read` gives, as it comes, until its None or until the other side has gone."""
    while not gone.done():
        chunk = read()
        if chunk is None:
            return
        if chunk:
            yield chunk
            continue
        ready = asyncio.Event()
        on_ready(ready.set)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


def _request_headers(scope: Scope) -> dict[str, str]:
    """By name; what stands there more than once is one list (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    for key, value in scope["headers"]:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _peer(scope: Scope) -> Peer | None:
    return tuple(scope["client"][:2]) if scope.get("client") else None


def _headers(answer: http.Response) -> list[tuple[bytes, bytes]]:
    headers = [(key.lower().encode("latin-1"), value.encode("utf-8")) for key, value in answer.headers]
    if answer.stream is None and not any(key == b"content-length" for key, _ in headers):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return headers
