"""A real API server at the end of real sockets, as `kubesim.kubectl` wants it: requests, bodies that go on, sessions.

Theory of operation
-------------------
A request blocks, as kubectl's own does: there is nothing else to do meanwhile.  What goes on (a watch, a followed log, exec)
is read by a thread of its own into a queue, and the event loop is told when there is something in it.  Exec, attach and
port-forward are WebSockets in the `channel.k8s.io` protocols, which every API server since 1.30 speaks, and for port-forward
every kubelet.  The environment's HTTP proxies are not asked.

Sources: client-go `rest/transport.go`, `transport/websocket`; apimachinery `pkg/util/remotecommand`.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode, urlsplit

from kubesim import http as wire
from kubesim.errors import LearnerError
from kubesim.kubectl import config, io

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

T = TypeVar("T")

# client-go's dialer gives up after this (net.Dialer in `rest/transport.go` and `transport/cache.go`), in seconds.
DIAL = 30.0
SESSIONS = {
    "exec": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    "attach": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    # A kubelet knows version 4 only, which cannot say that one direction has ended.
    "portforward": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
}
CLOSE_CHANNEL = 0xFF


class Server:
    """One server of a kubeconfig.  Called with a request it gives the answer; io.Refused, io.Unreachable."""

    def __init__(self, target: config.Target) -> None:
        self._target = target
        self._parts = urlsplit(target.server)
        self._base = self._parts.path.rstrip("/")
        self._tls = _tls(target) if self._parts.scheme == "https" else None
        self._idle: http.client.HTTPConnection | None = None

    def __call__(self, request: wire.Request) -> wire.Response:
        last = request.path.rsplit("/", 1)[-1]
        try:
            if last in SESSIONS and "/pods/" in request.path:
                return self._session(request, SESSIONS[last])
            return self._request(request)
        except ConnectionRefusedError:
            raise io.Refused(self._parts.netloc) from None
        except (OSError, http.client.HTTPException) as error:
            raise io.Unreachable(self._why(error)) from None

    def _path(self, request: wire.Request) -> str:
        return self._base + request.path + ("?" + urlencode(request.query) if request.query else "")

    @property
    def _port(self) -> int:
        return self._parts.port or (443 if self._tls else 80)

    def _connection(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._tls is None:
            return http.client.HTTPConnection(host, self._port, timeout=DIAL)
        return _Tls(host, self._port, self._tls, self._target.tls_server_name or host)

    def _request(self, request: wire.Request) -> wire.Response:
        kept, self._idle = self._idle, None
        if kept is not None:
            try:
                return self._exchange(kept, request)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # The server closed it while it was idle; the request was not read.
                kept.close()
        return self._exchange(self._connection(), request)

    def _exchange(self, connection: http.client.HTTPConnection, request: wire.Request) -> wire.Response:
        connection.request(request.method, self._path(request), request.body or None, dict(request.headers))
        # What comes after may take its time: a watch, a server that thinks.
        connection.sock.settimeout(None)
        found = connection.getresponse()
        answer = wire.Response(status=found.status, headers=found.getheaders())
        if found.status == 200 and (request.param("watch") == "true" or request.param("follow") == "true"):
            answer.stream = Stream(connection, found)
            return answer
        answer.body = found.read()
        if found.will_close:
            connection.close()
        else:
            self._idle = connection
        return answer

    def _session(self, request: wire.Request, protocols: tuple[str, ...]) -> wire.Response:
        try:
            from websockets import exceptions
            from websockets.sync import client
            from websockets.typing import Subprotocol
        except ImportError:
            raise LearnerError(
                "kubectl exec, attach, cp and port-forward need the package websockets",
                "Install it: pip install 'kubewalk[serve]'",
            ) from None
        scheme = "wss" if self._tls else "ws"
        more: dict[str, Any] = {}
        if self._tls is not None:
            more = {"ssl": self._tls, "server_hostname": self._target.tls_server_name or self._parts.hostname}
        try:
            socket_ = client.connect(
                f"{scheme}://{self._parts.netloc}{self._path(request)}",
                subprotocols=[Subprotocol(each) for each in protocols],
                additional_headers={key: value for key, value in request.headers.items() if key != "user-agent"},
                user_agent_header=request.headers.get("user-agent"),
                compression=None,
                open_timeout=DIAL,
                max_size=None,
                **more,
            )
        except exceptions.InvalidStatus as refused:
            answer = refused.response
            headers = list(answer.headers.raw_items())
            return wire.Response(status=answer.status_code, headers=headers, body=bytes(answer.body or b""))
        except exceptions.WebSocketException as error:
            return wire.Response(status=500, body=f"unable to upgrade connection: {error}".encode())
        return wire.Response(status=101, session=Session(socket_, ends=request.path.endswith("/portforward")))

    def _why(self, error: Exception) -> str:
        """In Go's words, as far as they are known."""
        host = self._parts.hostname or ""
        dial = f"dial tcp {self._parts.hostname}:{self._port}"
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {host}: no such host"
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in (18, 19, 20, 21):
                return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
            return f"tls: failed to verify certificate: x509: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            plain = error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
            return "http: server gave HTTP response to HTTPS client" if plain else f"tls: {error.reason or error}"
        if isinstance(error, TimeoutError):
            return f"{dial}: i/o timeout"
        if isinstance(error, http.client.RemoteDisconnected):
            return "EOF"
        if isinstance(error, OSError) and error.strerror:
            return f"{dial}: connect: {error.strerror.lower()}"
        return str(error) or type(error).__name__


class _Tls(http.client.HTTPSConnection):
    """Asks for a certificate of the name that the kubeconfig says, which need not be the host's."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=DIAL, context=context)
        self._tls = context
        self._name = name

    def connect(self) -> None:
        self.sock = self._tls.wrap_socket(
            socket.create_connection((self.host, self.port), self.timeout), server_hostname=self._name
        )


def _tls(target: config.Target) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=target.ca.decode() if target.ca else None)
        # Clusters' own authorities are often without the extensions that Python 3.13 began to insist on; Go does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if target.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if target.client_certificate:
            _load_certificate(context, target)
    except (ssl.SSLError, ValueError) as error:
        raise io.Unreachable(f"the kubeconfig's certificates cannot be used: {error}") from None
    return context


def _load_certificate(context: ssl.SSLContext, target: config.Target) -> None:
    """Python takes it from files only: they stand for the moment of reading, for this user alone."""
    with tempfile.TemporaryDirectory(prefix="kubesim-") as folder:
        paths = []
        for name, data in (("certificate", target.client_certificate), ("key", target.client_key)):
            path = os.path.join(folder, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(data)
            paths.append(path)
        context.load_cert_chain(*paths)


class Inbox(Generic[T]):
    """What a thread has read and the event loop has not taken yet."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._items: deque[T] = deque()
        self._over = False
        self._callbacks: list[Callable[[], None]] = []
        threading.Thread(target=self._fill, name=name, daemon=True).start()

    def _fill(self) -> None:
        try:
            self.receive()
        finally:
            self._changed(over=True)

    def receive(self) -> None:
        """In the thread: `put` until the end."""
        raise NotImplementedError

    def put(self, item: T) -> None:
        with self._lock:
            self._items.append(item)
        self._changed()

    def _changed(self, over: bool = False) -> None:
        with self._lock:
            self._over = self._over or over
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(callback)

    def take(self) -> list[T] | None:
        """All there is; None at the end."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            return items or (None if self._over else [])

    def on_ready(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if not self._items and not self._over:
                self._callbacks.append(callback)
                return
        self._loop.call_soon(callback)


class Stream(Inbox[bytes]):
    """http.Stream: a response's body."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        super().__init__("body")

    def receive(self) -> None:
        try:
            while data := self._response.read1(1 << 16):
                self.put(data)
        except (OSError, ValueError, http.client.HTTPException):
            # It was closed, here or there: that is its end.
            return

    def read(self) -> bytes | None:
        found = self.take()
        return None if found is None else b"".join(found)

    def close(self) -> None:
        # The reading thread holds the response's lock: only the socket can be closed under it.
        if self._connection.sock is not None:
            shut_down(self._connection.sock)


class Session(Inbox[tuple[int, bytes]]):
    """http.Session: a WebSocket whose messages begin with their channel's number.

    `ends`: to end the input where the protocol has no word for it is to end all.
    """

    def __init__(self, socket_: ClientConnection, ends: bool) -> None:
        self._socket = socket_
        self._ends = ends
        super().__init__("session")

    def receive(self) -> None:
        from websockets.exceptions import WebSocketException

        try:
            for message in self._socket:
                data = message.encode() if isinstance(message, str) else message
                if data and data[0] != CLOSE_CHANNEL:
                    self.put((data[0], data[1:]))
        except (OSError, WebSocketException):
            return

    def read(self) -> list[tuple[int, bytes]] | None:
        return self.take()

    def write(self, channel: int, data: bytes) -> None:
        self._send(bytes([channel]) + data)

    def close_channel(self, channel: int) -> None:
        if str(self._socket.subprotocol).startswith("v5."):
            self._send(bytes([CLOSE_CHANNEL, channel]))
        elif self._ends:
            self.close()
        # Else the input stays open, as upstream's clients of that age leave it.

    def _send(self, data: bytes) -> None:
        from websockets.exceptions import WebSocketException

        try:
            self._socket.send(data)
        except (OSError, WebSocketException):
            # The other side has gone; what it said before is still to be read.
            return

    def close(self) -> None:
        shut_down(self._socket.socket)


def shut_down(sock: socket.socket) -> None:
    """Close under a reader, who then finds the end."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
