"""OpenShift's router: from Routes to HAProxy's backends, and to what it writes into their statuses.

A Route claims a host (and a path) for its namespace: the oldest has it.  Servers are pods, by EndpointSlices; kube-proxy has no
part in it.

Sources: openshift/router `pkg/router/controller/{host_admitter,unique_host}.go`, `pkg/router/template/{router,plugin}.go`,
`images/router/haproxy/conf/haproxy-config.template`; the annotations are the template's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kubesim.ingress import backends

Object = dict[str, Any]

GROUP = "route.openshift.io"
PREFIX = "haproxy.router.openshift.io/"
COOKIE_NAME = "router.openshift.io/cookie_name"
GENERATED = "openshift.io/host.generated"
BALANCES = ("roundrobin", "leastconn", "source", "random")
# What a backend is called, by how TLS is ended.
KINDS = {"": "be_http", "edge": "be_edge_http", "reencrypt": "be_secure", "passthrough": "be_tcp"}
HIGHEST = 256  # weights in HAProxy


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A pod: its address, its share, and the value of its cookie."""

    address: str
    port: int
    weight: int = HIGHEST
    cookie: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What one Route comes to.  `wildcard`: all names below the host's domain; `pem` the certificate of its own, `authority`
    that of its pods."""

    name: str
    host: str
    path: str = ""
    wildcard: bool = False
    termination: str = ""
    insecure: str = ""
    balance: str = "random"
    cookie: str = ""
    rewrite: str = ""
    pem: str = ""
    authority: str = ""
    allowed: tuple[str, ...] = ()
    hsts: str = ""
    servers: tuple[Server, ...] = ()


@dataclass(slots=True, kw_only=True)
class Objects(backends.Objects):
    """What the router sees of the cluster."""

    routes: Iterable[Object] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The router's environment: ROUTER_*."""

    name: str = "default"
    canonical: str = ""
    wildcards: bool = False
    balance: str = "random"
    tcp_balance: str = "source"


@dataclass(slots=True)
class Found:
    """`backends` in the order in which they are asked; `statuses`: routes and the ingress entry that each shall have."""

    backends: list[Backend] = field(default_factory=list)
    statuses: list[tuple[Object, Object]] = field(default_factory=list)


def configuration(objects: Objects, options: Options) -> Found:
    """All that the Routes come to."""
    found = Found()
    claimed: dict[str, Object] = {}  # host -> the oldest route that has it
    taken: dict[tuple[str, str], Object] = {}
    for route in sorted(objects.routes, key=_age):
        host, path = route["spec"].get("host", ""), route["spec"].get("path", "")
        if not host:
            continue
        owner = claimed.setdefault(host, route)
        same = taken.setdefault((host, path), route)
        reason, message = "", ""
        if owner["metadata"]["namespace"] != route["metadata"]["namespace"]:
            reason = "HostAlreadyClaimed"
            message = f"route {owner['metadata']['name']} already exposes {host} and is older"
        elif same is not route:
            reason = "HostAlreadyClaimed"
            message = f"route {same['metadata']['name']} already exposes {host} and is older"
        elif route["spec"].get("wildcardPolicy", "None") != "None" and not options.wildcards:
            reason, message = "RouteNotAdmitted", "wildcard routes are not allowed"
        found.statuses.append((route, _status(route, options, reason, message)))
        if not reason:
            found.backends.append(_backend(route, objects, options))
    # The longest path first; an exact name before a wildcard.
    found.backends.sort(key=lambda each: (each.wildcard, -len(each.path), each.host, each.name))
    return found


def _age(route: Object) -> tuple[str, str, str]:
    metadata = route["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["namespace"], metadata["name"]


def _status(route: Object, options: Options, reason: str, message: str) -> Object:
    condition = {"type": "Admitted", "status": "False" if reason else "True"}
    if reason:
        condition |= {"reason": reason, "message": message}
    return {
        "host": route["spec"]["host"],
        "routerName": options.name,
        "wildcardPolicy": route["spec"].get("wildcardPolicy", "None"),
        **({"routerCanonicalHostname": options.canonical} if options.canonical else {}),
        "conditions": [condition],
    }


def _backend(route: Object, objects: Objects, options: Options) -> Backend:
    spec, metadata = route["spec"], route["metadata"]
    notes = metadata.get("annotations") or {}
    tls = spec.get("tls") or {}
    termination = tls.get("termination", "")
    key = f"{metadata['namespace']}:{metadata['name']}"
    servers, units = _servers(route, objects)
    usual = options.tcp_balance if termination == "passthrough" else "roundrobin" if units > 1 else options.balance
    balance = notes.get(f"{PREFIX}balance", "")
    sticky = notes.get(f"{PREFIX}disable_cookies", "").lower() not in ("true", "1") and termination != "passthrough"
    return Backend(
        name=f"{KINDS[termination]}:{key}",
        host=spec["host"].lower(),
        path="" if termination == "passthrough" else spec.get("path", ""),
        wildcard=spec.get("wildcardPolicy") == "Subdomain",
        termination=termination,
        insecure=tls.get("insecureEdgeTerminationPolicy", "") or "None",
        balance=balance if balance in BALANCES else usual,
        cookie=(notes.get(COOKIE_NAME) or hashlib.md5(key.encode()).hexdigest()) if sticky else "",
        rewrite=notes.get(f"{PREFIX}rewrite-target", ""),
        pem=(tls.get("certificate") or "") + (tls.get("caCertificate") or ""),
        authority=tls.get("destinationCACertificate") or "",
        allowed=tuple(re.split(r"[\s,]+", text)) if (text := notes.get(f"{PREFIX}ip_whitelist", "").strip()) else (),
        hsts=notes.get(f"{PREFIX}hsts_header", ""),
        servers=tuple(servers),
    )


def _servers(route: Object, objects: Objects) -> tuple[list[Server], int]:
    """The pods of all its Services, and how many of these have any and a weight."""
    spec, namespace = route["spec"], route["metadata"]["namespace"]
    given = [spec["to"], *(spec.get("alternateBackends") or ())]
    weights = [each.get("weight", 100) for each in given]
    highest = max(weights, default=0)
    found: list[Server] = []
    units = 0
    for each, weight in zip(given, weights, strict=True):
        service = objects.services.get((namespace, each["name"]))
        if service is None or weight <= 0:
            continue
        pods = _pods(service, (spec.get("port") or {}).get("targetPort"), objects.slices(namespace, each["name"]))
        units += bool(pods)
        for address, port in pods:
            # A Service's weight is shared by its pods, and the heaviest has 256.
            share = max(1, round(weight * HIGHEST / highest / len(pods))) if len(given) > 1 else HIGHEST
            mark = hashlib.md5(f"{each['name']}:{address}:{port}".encode()).hexdigest()
            found.append(Server(address=address, port=port, weight=share, cookie=mark))
    return found, units


def _pods(service: Object, wanted: int | str | None, slices: Iterable[Object]) -> list[tuple[str, int]]:
    """Addresses and ports; `wanted` is a port's name or the pods' own number, as spec.port.targetPort has it."""
    ports = service["spec"].get("ports") or []
    names = {
        port.get("name", "")
        for port in ports
        if wanted is None or wanted in (port.get("name"), port.get("targetPort", port["port"]), port["port"])
    }
    if wanted is None and ports:
        names = {ports[0].get("name", "")}
    found: dict[tuple[str, int], None] = {}
    for each in slices:
        for port in each.get("ports") or ():
            if port.get("name", "") not in names and port.get("port") != wanted:
                continue
            for endpoint in each.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    found.update({(address, port["port"]): None for address in endpoint["addresses"]})
    return list(found)


def find(backends: Iterable[Backend], host: str, path: str) -> Backend | None:
    """The backend for a request: by name, then by the longest path, which ends at a slash (map_reg in the template)."""
    host = host.lower().rstrip(".")
    for each in backends:
        named = host.partition(".")[2] == each.host.partition(".")[2] if each.wildcard else host == each.host
        stem = each.path.rstrip("/")
        if named and (not stem or path == stem or path.startswith(f"{stem}/")):
            return each
    return None


def generated_host(route: Object, domain: str) -> str:
    """The host of a Route that names none: NAME-NAMESPACE.DOMAIN (or its subdomain)."""
    metadata = route["metadata"]
    if route["spec"].get("subdomain"):
        return f"{route['spec']['subdomain']}.{domain}"
    return f"{metadata['name']}-{metadata['namespace']}.{domain}"
