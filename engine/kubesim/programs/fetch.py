"""A whole HTTP request from a machine: the name, the connection, TLS where the URL asks for it, the answer.

For programs that call others (ms-bye, an nginx that proxies, agnhost's dial).  curl and wget do these steps themselves, to show
them; they use the same parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubesim import world as world_module
from kubesim.dns import resolver
from kubesim.net import errors
from kubesim.programs import http, tls

if TYPE_CHECKING:
    from kubesim.machine import Machine
    from kubesim.net.trace import Trace


class Failed(Exception):
    """There is no connection; the message says why as the kernel or the resolver puts it."""

    def __init__(self, message: str, trace: Trace | None = None, timed_out: bool = False) -> None:
        super().__init__(message)
        self.trace = trace
        self.timed_out = timed_out


class Distrusted(Failed):
    """The server's certificate was not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer with its whole body, and the way of the connection that it came over."""

    status: int
    headers: http.Headers
    body: bytes
    trace: Trace


def authority(url: str) -> str:
    """The Host header for a URL."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def get(machine: Machine, url: str, timeout: float | None = None) -> Fetched:
    """GET a URL on a connection of its own."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("Host", authority(url)), ("Connection", "close")]
    return await send(machine, "GET", url, target, headers, timeout=timeout)


async def send(
    machine: Machine,
    method: str,
    url: str,
    target: str,
    headers: http.Headers,
    body: bytes = b"",
    timeout: float | None = None,
    trust: tls.Trust | None = None,
) -> Fetched:
    """A request to the server of `url`.  `Failed` without a connection; `http.HttpError` and `errors.NetError` after it."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    try:
        found = await resolver.lookup(machine, host)
    except resolver.NotResolved as error:
        raise Failed(f"{host}: {error}") from None
    failure = Failed(f"{host}: no address")
    for address in found.addresses:
        try:
            connection = await machine.net.connect(address, port, timeout=timeout)
        except errors.NetError as error:
            failure = Failed(str(error), error.trace, timed_out=isinstance(error, errors.TimedOut))
            continue
        wire: http.Wire = connection
        try:
            if secure:
                wire = await tls.connect(connection, host, trust or tls.Trust(verify=False))
            exchange = _exchange(http.Client(wire), method, target, headers, body)
            status, answered, read = await machine.world.wait_for(exchange, timeout)
            return Fetched(status=status, headers=answered, body=read, trace=connection.trace)
        except world_module.TimedOut:
            raise Failed("operation timed out", connection.trace, timed_out=True) from None
        except tls.CertificateError as error:
            raise Distrusted(str(error), connection.trace) from None
        except tls.TlsError as error:
            raise Failed(str(error), connection.trace) from None
        finally:
            wire.close()
    raise failure


async def _exchange(
    client: http.Client, method: str, target: str, headers: http.Headers, body: bytes
) -> tuple[int, http.Headers, bytes]:
    reply = await client.request(method, target, headers, body)
    return reply.status, reply.headers, await reply.read()
