"""How a reverse proxy written in Go passes a request on: to a server of its choice, by a connection of its own from its pod.

Nothing here knows Services: a server is an address that the proxy has worked out, so kube-proxy's rules see a packet to a pod,
and let it pass (or to a ClusterIP, where the proxy was told so).

Left out: connections to servers that are kept and used again.  Each request has one of its own, so a ClusterIP's rules choose
anew for each; behind Go's `http.Transport` they choose once for as long as the connection is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from kubesim.machine import Machine
from kubesim.net import errors
from kubesim.programs import fetch, http, tls

# RFC 9110 section 7.6.1, and net/http/httputil's list.
HOP_BY_HOP = frozenset(
    ("connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip
# forwardingTimeouts.dialTimeout, in seconds.
DIAL = 30.0


class Rotation:
    """Smooth weighted round robin with equal weights: each in turn, in the order that they are given."""

    def __init__(self) -> None:
        self._next = 0

    def choose(self, servers: list[str]) -> str:
        chosen = servers[self._next % len(servers)]
        self._next += 1
        return chosen


class Weights:
    """Weighted round robin by earliest deadline: each takes its turn 1/weight after its last (traefik `pkg/server/service/
    loadbalancer/wrr`)."""

    def __init__(self) -> None:
        self._deadlines: dict[str, float] = {}
        self._now = 0.0

    def choose(self, weights: dict[str, int]) -> str:
        """One whose weight is not 0; "" when there is none."""
        there = {name: weight for name, weight in weights.items() if weight > 0}
        if not there:
            return ""
        for name, weight in there.items():
            self._deadlines.setdefault(name, self._now + 1 / weight)
        chosen = min(there, key=lambda name: self._deadlines[name])
        self._now = self._deadlines[chosen]
        self._deadlines[chosen] += 1 / there[chosen]
        return chosen


def forwarded(request: http.Request, machine: Machine, trusts: bool) -> http.Headers:
    """The headers as the server gets them: X-Forwarded-* say who asked, for what, and by which proxy.

    Those that the client sent are dropped unless the entry point trusts it.
    """
    own = (
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
    )
    named = {word.strip().lower() for word in request.header("connection").split(",")}
    dropped = HOP_BY_HOP | named | frozenset(own) | {"content-length"}
    peer = request.peer[0].removeprefix("::ffff:")
    before = request.header("x-forwarded-for") if trusts else ""
    secure = request.tls is not None
    authority = request.header("host")
    port = str(http.split_host(authority, 443 if secure else 80)[1])
    said = {name: request.header(name) for name in own} if trusts else {}
    return [
        *((key, value) for key, value in request.headers if key.lower() not in dropped),
        ("X-Forwarded-For", f"{before}, {peer}" if before else peer),
        ("X-Forwarded-Host", said.get("x-forwarded-host") or authority),
        ("X-Forwarded-Port", said.get("x-forwarded-port") or port),
        ("X-Forwarded-Proto", said.get("x-forwarded-proto") or ("https" if secure else "http")),
        ("X-Forwarded-Server", machine.hostname),
        ("X-Real-Ip", said.get("x-real-ip") or peer),
    ]


async def forward(
    machine: Machine,
    request: http.Request,
    server: str,
    headers: http.Headers,
    target: str = "",
    complain: Callable[[str], None] | None = None,
    failed: Callable[[int], http.Response] | None = None,
    trust: tls.Trust | None = None,
) -> http.Response:
    """The server's answer, or 502 and 504 where there is none (traefik `pkg/proxy: statusFromError`); 500 where its
    certificate is not believed (`trust`; all are without it).

    `failed` makes the page for these; without it they are their names.
    """
    failed = failed or _named
    try:
        reply = await fetch.send(
            machine, request.method, server, target or request.target, headers, request.body, timeout=DIAL, trust=trust
        )
    except fetch.Distrusted as error:
        if complain:
            complain(f"500 error caused by: tls: failed to verify certificate: {error}")
        return failed(500)
    except fetch.Failed as error:
        where = urlsplit(server).netloc
        why = "i/o timeout" if error.timed_out else f"connect: {str(error).lower()}"
        if complain:
            complain(f"{504 if error.timed_out else 502} error caused by: dial tcp {where}: {why}")
        return failed(504 if error.timed_out else 502)
    except (http.HttpError, errors.NetError) as error:
        if complain:
            complain(f"502 error caused by: {error}")
        return failed(502)
    passed = [(key, value) for key, value in reply.headers if key.lower() not in HOP_BY_HOP]
    if request.method != "HEAD":
        passed = [(key, value) for key, value in passed if key.lower() != "content-length"]
    return http.Response(status=reply.status, headers=passed, body=reply.body)


def _named(status: int) -> http.Response:
    return http.text(http.REASONS[status], status)


def cookie(request: http.Request, name: str) -> str:
    """The value of a cookie that the client sent, or ""."""
    for part in request.header("cookie").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def not_found() -> http.Response:
    """Go's http.NotFound."""
    response = http.text("404 page not found\n", 404)
    response.headers.append(("X-Content-Type-Options", "nosniff"))
    return response


class Style(http.Style):
    """net/http: its answers carry their Date last."""

    idle = 180.0  # respondingTimeouts.idleTimeout

    def headers(self, now: float, response: http.Response) -> http.Headers:
        return [] if http.find(response.headers, "date") else [("Date", http.date(now))]
