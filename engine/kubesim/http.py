"""What goes into the API server and what comes out: plain values, no I/O.

`apiserver.handle(Request) -> Response` is the core's one entrance (idea 4 of the design); the fronts translate it to
sockets, to the official client's transport, or to a browser's `fetch`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks (authentication/user.Info)."""

    name: str = "kubernetes-admin"
    groups: tuple[str, ...] = ("system:masters", "system:authenticated")
    uid: str = ""
    # What else the credential said, by key.
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


ANONYMOUS = User(name="system:anonymous", groups=("system:unauthenticated",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request.  Header names are lower-case; `query` keeps order and repetition."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User = User()

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def params(self, name: str) -> list[str]:
        """All values of a query parameter, in order."""
        return [value for key, value in self.query if key == name]


class Stream(Protocol):
    """A body that goes on: a watch, a followed log.  It never blocks."""

    def read(self) -> bytes | None:
        """What has come since the last call: b"" for nothing yet, None at the end."""

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Call this (once, soon) when `read` would give something new."""

    def close(self) -> None:
        """The reader has gone."""


class Session(Protocol):
    """An upgraded connection (exec, attach, port-forward): channels in and out, never blocking.

    Channels of exec and attach, as remotecommand has them: 0 stdin, 1 stdout, 2 stderr, 3 error (a Status in JSON),
    4 resize.  Of port-forward: 2n data, 2n+1 error, for the n-th port.
    """

    def write(self, channel: int, data: bytes) -> None: ...

    def close_channel(self, channel: int) -> None:
        """Half-close: no more will come on this channel (stdin's end)."""

    def read(self) -> list[tuple[int, bytes]] | None:
        """What has come out since the last call: [] for nothing yet, None when all is over."""

    def on_ready(self, callback: Callable[[], None]) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Response:
    """One HTTP answer.  `headers` is a list, for `Warning` may stand more than once; exactly one of the bodies holds."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: Stream | None = None
    session: Session | None = None

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, user: User | None = None
) -> Request:
    """A Request from a URL with its query, and a body of bytes or of anything JSON can hold."""
    parts = urlsplit(url)
    lowered = {key.lower(): value for key, value in (headers or {}).items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        lowered.setdefault("content-type", "application/json")
    return Request(
        method=method,
        path=parts.path,
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        headers=lowered,
        body=body or b"",
        user=user or User(),
    )
