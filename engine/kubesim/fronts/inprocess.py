"""The official `kubernetes` client on an embedded cluster, without a socket.

`api_client(cluster)` gives a `kubernetes.client.ApiClient` whose connection pool is the cluster itself.  Everything above
the pool is the client's own code: serialisation, `watch.Watch`, ApiException.

Time is virtual: a request costs `latency` seconds of it, and a watch that has nothing to tell leaps to the next thing that
happens.  When nothing is going to happen any more, the watch ends, as one does at its time-out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Mapping
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


def api_client(cluster: Cluster, user: http.User | None = None) -> kubernetes.client.ApiClient:
    """An ApiClient of the official package that talks to this cluster in the name of `user` (default: its admin)."""
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host = "http://kubesim"
    # A proxy of the environment must not come between: there is nothing to proxy.
    configuration.proxy = None
    api = client.ApiClient(configuration)
    api.rest_client.pool_manager = Pool(cluster, user or http.User())  # type: ignore[assignment]
    return api


class Pool:
    """What urllib3's PoolManager is to the official client."""

    def __init__(self, cluster: Cluster, user: http.User) -> None:
        self._cluster = cluster
        self._user = user

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
        self._cluster.world.advance(LATENCY)
        answer = self._cluster.api.handle(http.request(method, url, body, headers, self._user))
        self._cluster.world.drain()
        return _response(answer, self._cluster)

    def clear(self) -> None:
        """The official client closes its pool so."""


def _response(answer: http.Response, cluster: Cluster) -> Any:
    import urllib3

    class Watched(urllib3.HTTPResponse):
        """A body that the client reads chunk by chunk.  (A file-like body would spin at a pause.)"""

        def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Generator[bytes, None, None]:
            assert answer.stream is not None
            return chunks(answer.stream, cluster)

        def release_conn(self) -> None:
            if answer.stream is not None:
                answer.stream.close()

    if answer.session is not None:
        answer.session.close()
        return urllib3.HTTPResponse(
            body=io.BytesIO(b"exec and attach need a streaming connection: use lab.shell or `kubectl exec`"),
            status=400,
            preload_content=False,
        )
    kind = Watched if answer.stream is not None else urllib3.HTTPResponse
    return kind(
        body=io.BytesIO(answer.body),
        headers=urllib3.HTTPHeaderDict(answer.headers),
        status=answer.status,
        reason="",
        preload_content=False,
    )


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
