"""The official `kubernetes` client on an embedded cluster, without a socket.

`api_client(cluster)` gives a `kubernetes.client.ApiClient` whose connection pool is the cluster itself.  Everything above
the pool is the client's own code: serialisation, `watch.Watch`, ApiException.

Time is virtual: a request costs `latency` seconds of it, and a watch that has nothing to tell leaps to the next thing that
happens.  When nothing is going to happen any more, the watch ends, as one does at its time-out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from kubesim import http

if TYPE_CHECKING:
    import kubernetes.client

    from kubesim.cluster import Cluster

# What a request to a nearby API server takes, in virtual seconds: enough that a loop of polls gets somewhere.
LATENCY = 0.01
# How far a silent watch looks ahead before it gives up, in virtual seconds.  The real server ends one after 30-60 min.
PATIENCE = 300.0


def ask(cluster: Cluster, request: http.Request) -> http.Response:
    """One request, and the time that it takes."""
    cluster.world.advance(LATENCY)
    answer = cluster.api.handle(request)
    cluster.world.drain()
    return answer


def api_client(cluster: Cluster, user: http.User | None = None) -> kubernetes.client.ApiClient:
    """An ApiClient of the official package that talks to this cluster in the name of `user` (default: its admin)."""
    asks = user or http.User()

    def send(method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None) -> Any:
        return _response(ask(cluster, http.request(method, url, body, headers, asks)), cluster)

    return client_over(send)


# Sends a request - method, URL, body, headers - and gives a `urllib3.HTTPResponse` (see `response`).
Send = Callable[[str, str, bytes | None, Mapping[str, str] | None], Any]


def client_over(send: Send) -> kubernetes.client.ApiClient:
    """An ApiClient whose requests go by `send`."""
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host = "http://kubesim"
    # A proxy of the environment must not come between: there is nothing to proxy.
    configuration.proxy = None
    api = client.ApiClient(configuration)
    api.rest_client.pool_manager = Pool(send)  # type: ignore[assignment]
    return api


class Pool:
    """What urllib3's PoolManager is to the official client."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """One request; a `urllib3.HTTPResponse`.  Time-outs and `preload_content` of urllib3 have no meaning here."""
        if fields:
            url += ("&" if "?" in url else "?") + urlencode(fields)
        if isinstance(body, str):
            body = body.encode()
        elif body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self._send(method, url, body, headers)

    def clear(self) -> None:
        """The official client closes its pool so."""


def response(
    status: int,
    headers: Any,
    body: bytes,
    chunks: Callable[[], Generator[bytes, None, None]] | None = None,
    close: Callable[[], None] | None = None,
) -> Any:
    """A `urllib3.HTTPResponse`.  With `chunks` it is a watch, which the client reads piece by piece (a file-like body would spin
    at a pause); `close` is called when it lets go of it."""
    import urllib3

    class Watched(urllib3.HTTPResponse):
        def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Generator[bytes, None, None]:
            assert chunks is not None
            return chunks()

        def release_conn(self) -> None:
            if close is not None:
                close()

    kind = urllib3.HTTPResponse if chunks is None else Watched
    return kind(
        body=io.BytesIO(body),
        headers=urllib3.HTTPHeaderDict(headers),
        status=status,
        reason="",
        preload_content=False,
    )


def _response(answer: http.Response, cluster: Cluster) -> Any:
    if answer.session is not None:
        answer.session.close()
        return response(400, {}, b"exec and attach need a streaming connection: use lab.shell or `kubectl exec`")
    stream = answer.stream
    if stream is None:
        return response(answer.status, answer.headers, answer.body)
    return response(answer.status, answer.headers, answer.body, lambda: chunks(stream, cluster), stream.close)


def chunks(stream: http.Stream, cluster: Cluster) -> Generator[bytes, None, None]:
    """What a stream has to tell, leaping over its silences; it ends when nothing is going to happen any more."""
    world = cluster.world
    give_up = world.now + PATIENCE
    while True:
        world.drain()
        chunk = stream.read()
        if chunk is None:
            return
        if chunk:
            give_up = world.now + PATIENCE
            yield chunk
        elif world.now >= give_up or not world.step():
            stream.close()
            return
