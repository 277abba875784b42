"""HTTP/1.1 over the simulated network: the server and the client that all programs, curl and wget use.

Theory of operation
-------------------
h11 turns bytes into events and keeps both ends' states; this module moves the bytes over a `net` connection (or one that
`tls` has wrapped, which has the same methods).  A server is a handler - a request in, a response out - and a `Style`:
what the real server's own answers look like, since nginx, Go and Node differ in just these.

A client works in steps, because curl shows them: `Client.send`, then `Client.receive` for the head, then `Reply.read`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from kubesim import ids
from kubesim.net import errors
from kubesim.programs import tls
from kubesim.world import Cancelled

if TYPE_CHECKING:
    from types import ModuleType

    from kubesim.net.trace import Trace
    from kubesim.world import Future, Task, World

Headers = list[tuple[str, str]]

# Names of statuses, RFC 9110 section 15, as servers print them.
REASONS = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict",
    410: "Gone", 413: "Request Entity Too Large", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
    418: "I'm a teapot", 421: "Misdirected Request", 422: "Unprocessable Entity", 426: "Upgrade Required",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}  # fmt: skip


class Wire(Protocol):
    """What a net connection and a TLS one have in common."""

    @property
    def local(self) -> tuple[str, int]: ...
    @property
    def peer(self) -> tuple[str, int]: ...
    @property
    def trace(self) -> Trace: ...
    async def send(self, data: bytes) -> None: ...
    async def recv(self) -> bytes: ...
    def close(self) -> None: ...


class Listening(Protocol):
    async def accept(self) -> Any: ...
    def close(self) -> None: ...


class HttpError(Exception):
    """The other side did not speak HTTP to the end."""


class EmptyReply(HttpError):
    """The server closed the connection before it said anything (curl: 52)."""


class NotHttp(HttpError):
    """What came is not HTTP/1 (curl: 1, "Received HTTP/0.9 when not allowed")."""


class Cut(HttpError):
    """The body ended before its length was reached (curl: 18)."""


@cache
def _h11() -> ModuleType:
    # Not always needed, and 15 ms to import.
    import h11

    return h11


def date(seconds: float) -> str:
    """The Date header's form, RFC 9110 section 5.6.7."""
    stamp = ids.utc(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[stamp.weekday()]
    return f"{day}, {stamp.day:02d} {MONTHS[stamp.month - 1]} {stamp.year} {stamp:%H:%M:%S} GMT"


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# -- what goes over it --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as the server got it.  `headers` keep order and spelling; `tls` is set when it came through TLS."""

    method: str
    target: str
    version: str = "1.1"
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    peer: tuple[str, int] = ("", 0)
    local: tuple[str, int] = ("", 0)
    tls: tls.Session | None = None

    def header(self, name: str) -> str:
        """The first value of a header, "" if it is not there."""
        return find(self.headers, name)

    @property
    def path(self) -> str:
        """The target's path, percent-decoded."""
        return unquote(urlsplit(self.target).path) or "/"

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    def param(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query if key == name), default)

    @property
    def host(self) -> str:
        """The Host header without its port."""
        return split_host(self.header("host"))[0]


@dataclass(slots=True, kw_only=True)
class Response:
    """An answer: `body`, or `stream`, an iterator of pieces whose length is not known before (sent in chunks)."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    reason: str = ""
    close: bool = False


Handler = Callable[[Request], Awaitable[Response]]


def text(body: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    """A response with a body of text."""
    return Response(status=status, headers=[("Content-Type", content_type)], body=body.encode())


def find(headers: Sequence[tuple[str, str]], name: str) -> str:
    """The first value of a header by any spelling of its name, "" if it is not there."""
    name = name.lower()
    return next((value for key, value in headers if key.lower() == name), "")


def split_host(authority: str, port: int = 0) -> tuple[str, int]:
    """("::1", 80) of "[::1]:80"; `port` where none is given.  ValueError for a port that is no number."""
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        number = rest.removeprefix(":")
    else:
        host, _, number = authority.partition(":")
    return host, int(number) if number else port


# -- the server ---------------------------------------------------------------------------------------------


class Style:
    """How Go's net/http answers when no handler did; other servers override what they do otherwise.

    `headers` are the ones that it adds to each response; `idle` is for how many seconds it keeps a connection
    on which nothing comes, None for ever; `reasons` are its words for the statuses.
    """

    idle: float | None = None
    reasons: Mapping[int, str] = REASONS

    def headers(self, now: float, response: Response) -> Headers:
        return [("Date", date(now))]

    def malformed(self, status: int) -> Response:
        """To bytes that are no request."""
        return text(f"{status} {REASONS[status]}", status)

    def plain(self) -> bytes:
        """To plain HTTP on a port that wants TLS: sent as it is, then the connection is closed."""
        return b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

    def failed(self, error: Exception) -> Response | None:
        """To an error of the handler's; None closes the connection without a word, as Go does after a panic."""
        return None


class Server:
    """Serves one listener until its task is cancelled; each connection has a task of its own.

    `log` is called with request, response and the length of the body that was sent.  `context` makes it a TLS server.
    """

    def __init__(
        self,
        world: World,
        handler: Handler,
        style: Style | None = None,
        log: Callable[[Request, Response, int], None] | None = None,
        context: tls.Context | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> None:
        self.world = world
        self.handler = handler
        self.style = style or Style()
        self.log = log
        self.context = context
        self.complain = complain
        self._open: dict[Task[None], Wire] = {}

    async def serve(self, listener: Listening) -> None:
        """Accept until cancelled, or until the network namespace is gone; then let go of the connections."""
        try:
            while True:
                self.take(await listener.accept())
        except errors.NetError:
            return
        finally:
            listener.close()
            for task, connection in list(self._open.items()):
                task.cancel()
                connection.close()

    def take(self, connection: Wire) -> None:
        """Serve a connection that is there already."""
        task = self.world.spawn(self._connection(connection), "http connection")
        self._open[task] = connection
        task.on_done(lambda _done: self._gone(task))

    def _gone(self, task: Task[None]) -> None:
        del self._open[task]
        with contextlib.suppress(Cancelled):
            task.result()  # an error of ours is raised here, since nobody awaits the task

    async def _connection(self, connection: Wire) -> None:
        wire: Wire = connection
        try:
            if self.context is not None:
                try:
                    wire = await tls.accept(connection, self.context)
                except tls.NotTls:
                    if self.complain:
                        peer = f"{connection.peer[0]}:{connection.peer[1]}"
                        self.complain(f"http: TLS handshake error from {peer}: client sent an HTTP request to an HTTPS server")
                    await connection.send(self.style.plain())
                    return
                except tls.TlsError as error:
                    if self.complain:
                        peer = f"{connection.peer[0]}:{connection.peer[1]}"
                        self.complain(f"http: TLS handshake error from {peer}: {error}")
                    return
            await self._requests(wire)
        except errors.NetError:
            return  # the client has gone
        finally:
            wire.close()

    async def _requests(self, wire: Wire) -> None:
        h11 = _h11()
        state = h11.Connection(h11.SERVER)
        while True:
            try:
                request = await self._receive(wire, state)
            except h11.RemoteProtocolError as error:
                response = self.style.malformed(error.error_status_hint)
                response.close = True
                sent = await self._respond(wire, state, "GET", response)
                if self.log:
                    self.log(Request(method="", target="", peer=wire.peer, local=wire.local), response, sent)
                return
            if request is None:
                return
            try:
                response = await self.handler(request)
            except Exception as error:
                failed = self.style.failed(error)
                if failed is None:
                    raise
                response = failed
            sent = await self._respond(wire, state, request.method, response)
            if self.log:
                self.log(request, response, sent)
            if state.our_state is not h11.DONE or state.their_state is not h11.DONE:
                return
            state.start_next_cycle()

    async def _receive(self, wire: Wire, state: Any) -> Request | None:
        """The next request with its body, or None when the client has closed (or has been quiet for too long)."""
        h11 = _h11()
        head, body = None, b""
        while True:
            event = state.next_event()
            if event is h11.NEED_DATA:
                if state.they_are_waiting_for_100_continue:
                    await wire.send(state.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")))
                state.receive_data(await self._wait(wire, waiting=head is None))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                break
            else:
                return None
        return Request(
            method=head.method.decode(),
            target=head.target.decode("ascii", "replace"),
            version=head.http_version.decode(),
            headers=[(key.decode(), value.decode("latin-1")) for key, value in head.headers.raw_items()],
            body=body,
            peer=wire.peer,
            local=wire.local,
            tls=wire.session if isinstance(wire, tls.Connection) else None,
        )

    async def _wait(self, wire: Wire, waiting: bool) -> bytes:
        """Bytes from the client; between requests not for longer than the style's `idle`."""
        if not waiting or self.style.idle is None:
            return await wire.recv()
        # In the background: a cluster whose clients keep connections open has come to rest all the same.
        timer = self.world.call_later(self.style.idle, wire.close, background=True)
        try:
            return await wire.recv()
        finally:
            timer.cancel()

    async def _respond(self, wire: Wire, state: Any, method: str, response: Response) -> int:
        """Send it; the length of the body."""
        h11 = _h11()
        headers = [*self.style.headers(self.world.now, response), *response.headers]
        empty = response.status in (204, 304) or 100 <= response.status < 200
        if response.stream is None and not empty and not find(headers, "content-length"):
            headers.append(("Content-Length", str(len(response.body))))
        if response.close:
            headers.append(("Connection", "close"))
        reason = response.reason or self.style.reasons.get(response.status, "")
        out = state.send(h11.Response(status_code=response.status, headers=headers, reason=reason.encode()))
        sent = 0
        if method != "HEAD" and not empty:
            if response.stream is None:
                sent = len(response.body)
                out += state.send(h11.Data(data=response.body)) if response.body else b""
            else:
                await wire.send(out)
                out = b""
                async for piece in self._while_there(wire, state, response.stream):
                    sent += len(piece)
                    await wire.send(state.send(h11.Data(data=piece)))
        end = h11.EndOfMessage()
        await wire.send(out + (state.send(end) or b""))
        return sent


    async def _while_there(self, wire: Wire, state: Any, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The stream's pieces, for as long as the client listens: a watch may have nothing to say for hours."""

        async def listen() -> None:
            with contextlib.suppress(errors.NetError):
                while data := await wire.recv():
                    state.receive_data(data)

        async def following() -> bytes | None:
            return await anext(stream, None)

        gone = self.world.spawn(listen(), "http client listens")
        try:
            while not gone.done:
                piece = self.world.spawn(following(), "http stream")
                either: Future[None] = self.world.future()
                for each in (gone, piece):
                    each.on_done(lambda _done, either=either: either.resolve(None))  # type: ignore[misc]
                await either
                if not piece.done:
                    piece.cancel()
                    break
                data = piece.result()
                if data is None:
                    return
                yield data
            raise errors.BrokenPipe
        finally:
            gone.cancel()


# -- the client ---------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Reply:
    """An answer as the client got it: its head, and the body by `read`."""

    status: int
    reason: str
    version: str
    headers: Headers
    client: Client
    _rest: bytes | None = None

    def header(self, name: str) -> str:
        return find(self.headers, name)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.  `Cut` when it ends too soon."""
        h11 = _h11()
        while True:
            event = await self.client._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise Cut("the connection was closed before the end of the body")

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces()])


class Client:
    """One connection to a server, for one request after the other.  `reusable` says whether another may follow."""

    def __init__(self, wire: Wire) -> None:
        h11 = _h11()
        self.wire = wire
        self._state = h11.Connection(h11.CLIENT)
        self._heard = False

    @property
    def reusable(self) -> bool:
        h11 = _h11()
        return self._state.our_state is h11.DONE and self._state.their_state is h11.DONE

    async def send(self, method: str, target: str, headers: Headers, body: bytes = b"") -> None:
        """Send a request.  `headers` go as they are; a body without a Content-Length gets one."""
        h11 = _h11()
        if self.reusable:
            self._state.start_next_cycle()
        if body and not find(headers, "content-length") and not find(headers, "transfer-encoding"):
            headers = [*headers, ("Content-Length", str(len(body)))]
        out = self._state.send(h11.Request(method=method, target=target, headers=headers))
        if body:
            out += self._state.send(h11.Data(data=body))
        self._heard = False
        await self.wire.send(out + (self._state.send(h11.EndOfMessage()) or b""))

    async def receive(self) -> Reply:
        """The head of the answer.  `EmptyReply`, `NotHttp`; ConnectionError when it was reset."""
        h11 = _h11()
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return Reply(
                    status=event.status_code,
                    reason=event.reason.decode("latin-1"),
                    version=event.http_version.decode(),
                    headers=[(key.decode(), value.decode("latin-1")) for key, value in event.headers.raw_items()],
                    client=self,
                )
            if not isinstance(event, h11.InformationalResponse):
                raise EmptyReply("the server closed the connection without an answer")

    async def request(self, method: str, target: str, headers: Headers, body: bytes = b"") -> Reply:
        """`send`, then `receive`."""
        await self.send(method, target, headers, body)
        return await self.receive()

    def close(self) -> None:
        self.wire.close()

    async def _next(self) -> Any:
        h11 = _h11()
        while True:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                if not self._heard:
                    raise EmptyReply("the server closed the connection without an answer") from None
                if self._state.their_state is h11.ERROR and "peer" in str(error):
                    raise Cut(str(error)) from None
                raise NotHttp(str(error)) from None
            if event is not h11.NEED_DATA:
                return event
            data = await self.wire.recv()
            self._heard = self._heard or bool(data)
            self._state.receive_data(data)
