"""From Services to servers, the same for all of Traefik 3's providers: pods by their EndpointSlices, node ports, key pairs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubesim.ingress.configuration import Server

Object = dict[str, Any]
Key = tuple[str, str]


class Refused(Exception):
    """What cannot be used; the message is logged."""


@dataclass(slots=True, kw_only=True)
class Objects:
    """What a provider sees behind the Services that its own objects name; `slices`: by a Service's namespace and name."""

    services: Mapping[Key, Object] = field(default_factory=dict)
    slices: Callable[[str, str], Iterable[Object]] = lambda _namespace, _service: ()
    secrets: Mapping[Key, Object] = field(default_factory=dict)
    nodes: Iterable[Object] = ()

    def key_pair(self, namespace: str, name: str) -> tuple[str, str]:
        """Certificate and key of the Secret of that name."""
        secret = self.secrets.get((namespace, name))
        if secret is None:
            raise Refused(f"secret {namespace}/{name} does not exist")
        pair = key_pair(secret)
        if pair is None:
            raise Refused(f"secret {namespace}/{name} is missing the tls.crt or tls.key entry")
        return pair


def endpoints(slices: Iterable[Object], port: Object, scheme: str) -> list[Server]:
    """The pods behind a Service's port; one that is terminating but still serves is fenced."""
    found: dict[str, Server] = {}
    for each in slices:
        ports = each.get("ports") or ()
        number = next((own.get("port", 0) for own in ports if own.get("name") == port.get("name", "")), 0)
        if not number:
            continue
        for endpoint in each.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            # Absent conditions: unknown, which readers shall take for ready.
            ready = conditions.get("ready", True)
            serving = conditions.get("serving", ready)
            if not serving and not ready:
                continue
            fenced = bool(serving and conditions.get("terminating"))
            for address in endpoint["addresses"]:
                url = f"{scheme}://{bracketed(address)}:{number}"
                found.setdefault(url, Server(url=url, fenced=fenced))
    return list(found.values())


def node_ports(nodes: Iterable[Object], port: Object, scheme: str) -> list[Server]:
    """A Service's node port on every node."""
    addresses = [
        address["address"]
        for node in nodes
        for address in (node.get("status") or {}).get("addresses") or ()
        if address["type"] == "InternalIP"
    ]
    return [Server(url=f"{scheme}://{bracketed(address)}:{port['nodePort']}") for address in addresses]


def native(service: Object, port: Object, scheme: str) -> list[Server]:
    """The Service's own address, so that kube-proxy chooses the pod; empty where it has none."""
    address = service["spec"].get("clusterIP", "")
    return [] if address in ("", "None") else [Server(url=f"{scheme}://{bracketed(address)}:{port['port']}")]


def external(service: Object, port: Object, scheme: str) -> list[Server]:
    """The name that a Service of type ExternalName stands for."""
    return [Server(url=f"{scheme}://{bracketed(service['spec']['externalName'])}:{port['port']}")]


def scheme_of(port: Object) -> str:
    """getProtocol."""
    return "https" if port["port"] == 443 or port.get("name", "").startswith("https") else "http"


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def key_pair(secret: Object) -> tuple[str, str] | None:
    """Certificate and key of a Secret of TLS, as PEM; None when one is missing."""
    data = secret.get("data") or {}
    certificate, key = (
        base64.b64decode(data.get(name, "")).decode("utf-8", "replace") for name in ("tls.crt", "tls.key")
    )
    return (certificate, key) if certificate and key else None
