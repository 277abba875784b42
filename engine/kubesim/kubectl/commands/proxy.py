"""kubectl proxy: the API server on a port of this machine, in one's own name.

Source: kubectl `pkg/cmd/proxy/proxy.go`, `pkg/proxy/proxy_server.go`.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import h11

from kubesim.kubectl import fail, flags, io, session
from kubesim.kubectl.command import Command

# What concerns one connection only, or is made anew by our own side (httputil.ReverseProxy, RFC 9110 section 7.6.1).
_NOT_PASSED_ON = {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "te", "trailer"}
_ABSENT = ("www", "unix-socket", "append-server-path", "keepalive")


async def run(of: session.Session) -> int:
    for name in _ABSENT:
        if name in of.flags.changed:
            raise fail.Failed(f"error: not simulated: kubectl proxy --{name}")
    if of.io.listen is None or of.io.spawn is None:
        raise fail.Failed("error: not simulated: kubectl proxy where no port can be opened")
    address, port = of.flags["address"], of.flags["port"]
    try:
        listener = await of.io.listen(address, port)
    except io.InUse as error:
        raise fail.Failed(f"error: listen tcp {address}:{port}: {error}") from None
    tasks = []
    try:
        of.io.print(f"Starting to serve on {address}:{listener.port}")
        while True:
            connection = await listener.accept()
            tasks.append(of.io.spawn(Serving(of, connection).run()))
    finally:
        for task in tasks:
            task.cancel()
        listener.close()


class Serving:
    """The requests of one connection."""

    def __init__(self, of: session.Session, connection: io.Connection) -> None:
        self._of = of
        self._connection = connection
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        try:
            while (request := await self._request()) is not None:
                await self._answer(*request)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except h11.RemoteProtocolError:
            return
        finally:
            self._connection.close()

    async def _request(self) -> tuple[h11.Request, bytes] | None:
        request: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._connection.recv())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                return request, body
            else:
                return None

    async def _answer(self, request: h11.Request, body: bytes) -> None:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in request.headers}
        method = request.method.decode()
        path, _, query = request.target.decode("latin-1").partition("?")
        prefix = "/" + self._of.flags["api-prefix"].strip("/")
        if not self._allowed(method, path, headers.get("host", "")):
            return await self._send(403, [("Content-Type", "text/plain; charset=utf-8")], b"Forbidden\n")
        if prefix != "/" and not path.startswith(prefix + "/"):
            return await self._send(404, [("Content-Type", "text/plain; charset=utf-8")], b"404 page not found\n")
        passed = {key: value for key, value in headers.items() if key not in _NOT_PASSED_ON}
        try:
            answer = self._of.rest.forward(
                method,
                path.removeprefix(prefix.rstrip("/")),
                tuple(parse_qsl(query, keep_blank_values=True)),
                passed,
                body,
            )
        except fail.Failed as error:
            return await self._send(502, [], error.message.encode())
        if answer.session is not None:
            answer.session.close()
            return await self._send(501, [], b"not simulated: upgraded connections through kubectl proxy")
        if answer.stream is None:
            return await self._send(answer.status, answer.headers, answer.body)
        await self._begin(answer.status, [*answer.headers, ("Transfer-Encoding", "chunked")])
        try:
            while (data := answer.stream.read()) is not None:
                if data:
                    await self._out(h11.Data(data=data))
                else:
                    await self._of.io.wait(answer.stream)
        finally:
            answer.stream.close()
        return await self._out(h11.EndOfMessage())

    def _allowed(self, method: str, path: str, host: str) -> bool:
        """FilterServer: by the request's Host, its path and its method."""
        given = self._of.flags
        if given["disable-filter"]:
            return True
        host = re.sub(r":\d+$", "", host)

        def matches(patterns: str, text: str) -> bool:
            return any(re.search(pattern, text) for pattern in patterns.split(",") if pattern)

        if matches(given["reject-paths"], path) or matches(given["reject-methods"], method):
            return False
        return matches(given["accept-paths"], path) and matches(given["accept-hosts"], host)

    async def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        await self._begin(status, [*headers, ("Content-Length", str(len(body)))])
        await self._out(h11.Data(data=body))
        await self._out(h11.EndOfMessage())

    async def _begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        framing = headers[-1]
        kept = [
            pair
            for pair in headers[:-1]
            if pair[0].lower() not in ("content-length", "transfer-encoding", "connection")
        ]
        await self._out(h11.Response(status_code=status, headers=[*kept, framing]))

    async def _out(self, event: h11.Event) -> None:
        await self._connection.send(self._http.send(event) or b"")


COMMANDS = {
    "proxy": Command(
        "proxy",
        "Creates a proxy server or application-level gateway between localhost and the Kubernetes API server.",
        run,
        tuple(
            flags.define(
                "port,p:int=8001",
                "address:=127.0.0.1",
                "api-prefix:=/",
                r"accept-hosts:=^localhost$,^127\.0\.0\.1$,^\[::1\]$",
                "accept-paths:=^.*",
                "reject-paths:=^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach",
                "reject-methods:=^$",
                "disable-filter:bool",
                "www,w",
                "www-prefix,P:=/static/",
                "unix-socket,u",
                "append-server-path:bool",
                "keepalive:duration",
            )
        ),
        "[--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix] [options]",
    )
}
