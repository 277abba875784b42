"""pods|services|nodes/[SCHEME:]NAME[:PORT]/proxy/PATH: HTTP through the API server to something in the cluster.

Where the request goes is found out here; how it gets there is the business of whoever composes the cluster (`ApiServer.dial`).

Sources: `pkg/registry/core/{service/storage/storage,pod/strategy,node/strategy}.go` (ResourceLocation), apimachinery
`pkg/util/proxy/{upgradeaware,transport}.go`, `pkg/util/net/port_split.go`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kubesim import http
from kubesim.apiserver import messages
from kubesim.errors import ApiError

Object = dict[str, Any]

KUBELET_PORT = 10250
# Headers of one hop (RFC 9110 section 7.6.1), and what names who asked here.
DROPPED = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "host", "content-length")
)  # fmt: skip


class Unreached(Exception):
    """Nobody answered there; the message is Go's."""


def handle(handler: Any) -> http.Response:
    request, plural = handler.request, handler.resource.plural
    scheme, name, port = split(handler.call.name, plural)
    prefix, _, path = request.path.partition(f"/{handler.target.name}/proxy")
    if not path:
        # The page's own links would else lead past the proxy.
        query = "?" + _query(request) if request.query else ""
        return http.Response(status=301, headers=[("Location", f"{prefix}/{handler.target.name}/proxy/{query}")])
    if "upgrade" in request.headers.get("connection", "").lower():
        raise ApiError(501, "NotImplemented", "not simulated: upgraded connections through the proxy subresource")
    call = handler.call
    match plural:
        case "services":
            address, number = _service(handler, name, port)
        case "pods":
            address, number = _pod(handler, name, port)
        case _:
            node = handler.registry.get(handler.resource, "", name)
            number = int(port) if port else KUBELET_PORT
            if number == KUBELET_PORT:
                return _kubelet(handler, name, path)
            address = _node_address(node)
    dial = handler.server.dial
    if dial is None:
        raise unavailable(f"error trying to reach service: dial tcp {address}:{number}: connect: no route to host")
    headers = {key: value for key, value in request.headers.items() if key not in DROPPED}
    passed = replace(request, path=path, headers=headers, user=call.user)
    try:
        answer: http.Response = dial(scheme or "http", address, number, passed)
    except Unreached as error:
        raise unavailable(f"error trying to reach service: {error}") from None
    answer.headers = [(key, _moved(key, value, request, path)) for key, value in answer.headers]
    return answer


def unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def split(name: str, plural: str) -> tuple[str, str, str]:
    """SplitSchemeNamePort: (scheme, name, port) of "name", "name:port", "scheme:name:port"; any may be ""."""
    parts = name.split(":")
    scheme, port = "", ""
    match len(parts):
        case 1:
            bare = name
        case 2:
            bare, port = parts
        case 3:
            scheme, bare, port = parts
        case _:
            bare = ""
    if not bare or scheme not in ("", "http", "https"):
        raise messages.bad_request(f'invalid {plural.removesuffix("s")} request "{name}"')
    if plural != "services" and port and not port.isdecimal():
        raise messages.bad_request(f'invalid {plural.removesuffix("s")} request "{name}"')
    return scheme, bare, port


def _service(handler: Any, name: str, port: str) -> tuple[str, int]:
    """One ready address of the Service's Endpoints, by chance."""
    registry, namespace = handler.registry, handler.call.namespace
    none = unavailable(f'no endpoints available for service "{handler.call.name}"')
    if port.isdecimal():
        service = registry.get(handler.resource, namespace, name)
        ports = [each for each in service["spec"].get("ports") or () if each["port"] == int(port)]
        if not ports:
            raise unavailable(f'no service port {port} found for service "{name}"')
        port = ports[0].get("name", "")
    endpoints = registry.find("endpoints", namespace, name)
    if endpoints is None:
        raise ApiError(404, "NotFound", f'endpoints "{name}" not found', {"name": name, "kind": "endpoints"})
    found = [
        (address["ip"], each["port"])
        for subset in endpoints.get("subsets") or ()
        for each in subset.get("ports") or ()
        if each.get("name", "") == port
        for address in subset.get("addresses") or ()
    ]
    if not endpoints.get("subsets"):
        raise unavailable(f'no endpoints available for service "{name}"')
    if not found:
        raise none
    chosen: tuple[str, int] = handler.server.world.rng("proxy").choice(found)
    return chosen


def _pod(handler: Any, name: str, port: str) -> tuple[str, int]:
    pod = handler.registry.get(handler.resource, handler.call.namespace, name)
    address = (pod.get("status") or {}).get("podIP", "")
    if not address:
        raise messages.bad_request("address not allowed")
    if port:
        return address, int(port)
    declared = [each["containerPort"] for one in pod["spec"]["containers"] for each in one.get("ports") or ()]
    return address, declared[0] if declared else 80


def _node_address(node: Object) -> str:
    listed = (node.get("status") or {}).get("addresses") or ()
    for kind in ("InternalIP", "ExternalIP", "Hostname"):
        for each in listed:
            if each["type"] == kind:
                return str(each["address"])
    raise messages.bad_request(f"no preferred addresses found; known addresses: {[each['address'] for each in listed]}")


def _kubelet(handler: Any, node: str, path: str) -> http.Response:
    kubelet = handler.server.kubelets.get(node)
    if kubelet is None:
        raise unavailable(f"error trying to reach service: dial tcp: lookup {node}: no such host")
    answer: http.Response = kubelet.serve(handler.request.method, path)
    return answer


def _moved(key: str, value: str, request: http.Request, path: str) -> str:
    """A redirect within the backend stays within the proxy."""
    if key.lower() == "location" and value.startswith("/"):
        return request.path[: len(request.path) - len(path)] + value
    return value


def _query(request: http.Request) -> str:
    from urllib.parse import urlencode

    return urlencode(request.query)
