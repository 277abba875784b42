"""Traefik's dynamic configuration: routers, services, middlewares, certificates (traefik `pkg/config/dynamic`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# math.MinInt32: what a default backend's router stands behind.
LOWEST = -(1 << 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a router ends TLS; a router without one does not see TLS connections."""

    options: str = ""
    cert_resolver: str = ""
    domains: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which Ingress and which Service a router comes from."""

    namespace: str
    ingress: str
    service: str
    port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """`priority` 0 means the length of the rule; no entry points means all that are default ones."""

    rule: str
    service: str
    entry_points: tuple[str, ...] = ()
    middlewares: tuple[str, ...] = ()
    priority: int = 0
    syntax: str = ""
    tls: Tls | None = None
    observability: tuple[tuple[str, bool], ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A backend.  A fenced one takes only clients that already stick to it: its pod is terminating."""

    url: str
    fenced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """Sticky sessions.  Without a name it is one made from the service's (`sticky.GetName`)."""

    name: str = ""
    secure: bool = False
    http_only: bool = False
    same_site: str = ""
    max_age: int = 0
    path: str = "/"
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One service among several.  With a `status` there is none, and its share of requests is answered by that."""

    name: str
    weight: int = 1
    status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A round robin over servers or, where `shares` are given, a weighted one over other services."""

    servers: tuple[Server, ...] = ()
    shares: tuple[Share, ...] | None = None
    pass_host_header: bool = True
    transport: str = ""
    cookie: Cookie | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How connections to servers are made (serversTransport)."""

    server_name: str = ""
    insecure_skip_verify: bool = False


@dataclass(slots=True, kw_only=True)
class Configuration:
    """All that one provider has worked out.  `certificates` are pairs of PEM texts, `default_certificate` the one for names
    that none covers; `problems` what it logs.  `middlewares`: name -> {kind: settings}."""

    routers: dict[str, Router] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    middlewares: dict[str, dict[str, Any]] = field(default_factory=dict)
    transports: dict[str, Transport] = field(default_factory=dict)
    certificates: list[tuple[str, str]] = field(default_factory=list)
    default_certificate: tuple[str, str] | None = None
    problems: list[str] = field(default_factory=list)
