"""What all of Traefik 3's providers have worked out, under one roof: every name carries its provider, "NAME@PROVIDER".

Sources: traefik `pkg/server/{aggregator,configurationwatcher}.go`, `pkg/provider/provider.go: GetQualifiedName`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubesim.ingress.configuration import Configuration, Router, Service, Transport

Object = dict[str, Any]


@dataclass(slots=True)
class Dynamic:
    """Routers, services, middlewares and transports by their qualified names."""

    routers: dict[str, Router] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    middlewares: dict[str, Object] = field(default_factory=dict)
    transports: dict[str, Transport] = field(default_factory=dict)
    certificates: list[tuple[str, str]] = field(default_factory=list)
    default_certificate: tuple[str, str] | None = None


def qualified(name: str, provider: str) -> str:
    return name if not name or "@" in name else f"{name}@{provider}"


def merged(configurations: Mapping[str, Configuration]) -> Dynamic:
    """All configurations in one."""
    found = Dynamic()
    for provider, each in configurations.items():
        for name, router in each.routers.items():
            found.routers[qualified(name, provider)] = replace(
                router,
                service=qualified(router.service, provider),
                middlewares=tuple(qualified(other, provider) for other in router.middlewares),
            )
        for name, service in each.services.items():
            shares = service.shares
            if shares is not None:
                shares = tuple(replace(share, name=qualified(share.name, provider)) for share in shares)
            found.services[qualified(name, provider)] = replace(
                service, shares=shares, transport=qualified(service.transport, provider)
            )
        for name, middleware in each.middlewares.items():
            found.middlewares[qualified(name, provider)] = _middleware(middleware, provider)
        for name, transport in each.transports.items():
            found.transports[qualified(name, provider)] = transport
        found.certificates += [pair for pair in each.certificates if pair not in found.certificates]
        found.default_certificate = found.default_certificate or each.default_certificate
    return found


def _middleware(given: Object, provider: str) -> Object:
    if "chain" not in given:
        return given
    names = [qualified(name, provider) for name in given["chain"].get("middlewares") or ()]
    return {**given, "chain": {**given["chain"], "middlewares": names}}
