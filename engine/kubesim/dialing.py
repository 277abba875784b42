"""From the API server into the cluster's network: what the proxy subresources send goes the way of any packet.

It leaves from the control plane's node; a control plane that is no node reaches pods through an agent on a node
(konnectivity), here the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from kubesim import http
from kubesim.apiserver.proxying import Unreached
from kubesim.programs import fetch
from kubesim.programs import http as wire
from kubesim.world import Stalled

if TYPE_CHECKING:
    from kubesim.cluster import Cluster
    from kubesim.machine import Machine

# net.Dialer's patience in the API server's transport, in seconds.
TIMEOUT = 30.0
ONE_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "trailer", "upgrade")


class Dialer:
    """See the module.  `ApiServer.dial` of a cluster that has nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def _from(self) -> Machine:
        nodes = self._cluster.preset.nodes
        name = next((each.name for each in nodes if each.control_plane), nodes[0].name)
        return self._cluster.nodes[name]

    def __call__(self, scheme: str, address: str, port: int, request: http.Request) -> http.Response:
        """The answer of who listens there.  Virtual time goes on until it has come.  Raises Unreached."""
        host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        target = quote(request.path, safe="/%:@!$&'()*+,;=~") + (
            f"?{urlencode(request.query)}" if request.query else ""
        )
        headers = [("Host", host), *request.headers.items(), ("Connection", "close")]
        sending = fetch.send(
            self._from(), request.method, f"{scheme}://{host}", target, headers, request.body, timeout=TIMEOUT
        )
        try:
            found = self._cluster.world.run(sending, "proxy")
        except fetch.Failed as error:
            why = "i/o timeout" if error.timed_out else f"connect: {str(error).lower()}"
            raise Unreached(f"dial tcp {host}: {why}") from None
        except Stalled:
            raise Unreached(f"dial tcp {host}: i/o timeout") from None
        except (wire.HttpError, OSError) as error:
            raise Unreached("EOF" if isinstance(error, wire.EmptyReply) else str(error)) from None
        kept = [(key, value) for key, value in found.headers if key.lower() not in ONE_HOP]
        return http.Response(status=found.status, headers=kept, body=found.body)
