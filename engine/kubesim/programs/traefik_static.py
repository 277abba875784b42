"""Traefik 3's static configuration: its command line.

The flags form a tree; what is not in it is refused with the words of the real decoder, which looks at the nodes in the order of
the alphabet - so the flags of 1.7 end in `field not found, node: kubernetes`.

Sources: traefik `pkg/config/static`, paerser `parser/node.go`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kubesim.errors import NotSimulated
from kubesim.ingress import crd, gateway, routing
from kubesim.programs import http

# "" leaf; a dict: a node; "*" any name.
_ENTRY_POINT: dict[str, Any] = {
    "address": "",
    "asdefault": "",
    "forwardedheaders": {"insecure": ""},
    "http": {
        "redirections": {"entrypoint": {"to": "", "scheme": "", "permanent": ""}},
        "tls": "",
    },
}
_KUBERNETES: dict[str, Any] = {
    "allowemptyservices": "",
    "allowexternalnameservices": "",
    "nativelbbydefault": "",
    "strictprefixmatching": "",
    "disableingressclasslookup": "",
    "disableclusterscoperesources": "",
    "ingressclass": "",
    "ingressendpoint": {"ip": "", "hostname": "", "publishedservice": ""},
    "namespaces": "",
    "throttleduration": "",
}
_CRD: dict[str, Any] = {
    "allowcrossnamespace": "",
    "allowemptyservices": "",
    "allowexternalnameservices": "",
    "nativelbbydefault": "",
    "disableclusterscoperesources": "",
    "ingressclass": "",
    "namespaces": "",
    "throttleduration": "",
}
_GATEWAY: dict[str, Any] = {
    "namespaces": "",
    "nativelbbydefault": "",
    "throttleduration": "",
    "statusaddress": {"ip": "", "hostname": "", "service": {"name": "", "namespace": ""}},
}
TREE: dict[str, Any] = {
    "accesslog": "",
    "api": {"insecure": "", "dashboard": ""},
    "entrypoints": {"*": _ENTRY_POINT},
    "global": {"checknewversion": "", "sendanonymoususage": ""},
    "log": {"level": ""},
    "ping": {"entrypoint": ""},
    "providers": {"kubernetesingress": _KUBERNETES, "kubernetescrd": _CRD, "kubernetesgateway": _GATEWAY},
}
# Parts of the real tree that are not here: said aloud instead of denied.
ABSENT = frozenset((
    "certificatesresolvers", "core", "experimental", "hostresolver", "metrics", "ocsp", "serverstransport", "spiffe",
    "tcpserverstransport", "tracing", "configfile",
))  # fmt: skip
ABSENT_PROVIDERS = frozenset((
    "consul", "consulcatalog", "docker", "ecs", "etcd", "file", "http", "knative",
    "kubernetesingressnginx", "nomad", "plugin", "redis", "rest", "swarm", "zookeeper",
))  # fmt: skip


class ConfigurationError(ValueError):
    """What `command traefik error: ` is followed by."""


@dataclass(slots=True, kw_only=True)
class EntryPoint:
    """`redirect`: (to, scheme, permanent) where all requests are sent elsewhere."""

    name: str
    address: str = ""
    port: int = 80
    tls: bool = False
    default: bool = True
    trusts: bool = False
    redirect: tuple[str, str, bool] | None = None


@dataclass(slots=True, kw_only=True)
class Static:
    entry_points: dict[str, EntryPoint] = field(default_factory=dict)
    api: bool = False
    insecure: bool = False
    dashboard: bool = True
    ping: str = ""
    access_log: bool = False
    level: str = "ERROR"
    kubernetes: routing.Options | None = None
    crd: crd.Options | None = None
    gateway: gateway.Options | None = None


def read(args: Iterable[str]) -> Static:
    """The configuration of a command line.  ConfigurationError; NotSimulated for what this Traefik has not."""
    flags = _flags(args)
    for name in sorted(flags):
        _check(name)
    found = Static(
        api=_on(flags, "api") or any(name.startswith("api.") for name in flags),
        insecure=_on(flags, "api.insecure"),
        dashboard=flags.get("api.dashboard", "true") == "true",
        access_log=_on(flags, "accesslog"),
        level=flags.get("log.level", "ERROR").upper(),
    )
    names = dict.fromkeys(name.split(".")[1] for name in flags if name.startswith("entrypoints."))
    for name in names:
        found.entry_points[name] = _entry_point(name, flags)
    if not names:
        found.entry_points["http"] = EntryPoint(name="http")
    if _on(flags, "ping") or "ping.entrypoint" in flags:
        found.ping = flags.get("ping.entrypoint", "traefik")
    if (found.insecure or found.ping == "traefik") and "traefik" not in found.entry_points:
        found.entry_points["traefik"] = EntryPoint(name="traefik", port=8080, default=False)
    if "traefik" in found.entry_points:
        found.entry_points["traefik"].default = False
    start = "providers.kubernetesingress"
    if _provider(flags, start):
        found.kubernetes = routing.Options(
            ingress_class=flags.get(f"{start}.ingressclass", ""),
            allow_empty_services=_on(flags, f"{start}.allowemptyservices"),
            allow_external_name_services=_on(flags, f"{start}.allowexternalnameservices"),
            native_lb_by_default=_on(flags, f"{start}.nativelbbydefault"),
            strict_prefix_matching=_on(flags, f"{start}.strictprefixmatching"),
            disable_ingress_class_lookup=_on(flags, f"{start}.disableingressclasslookup"),
            disable_cluster_scope_resources=_on(flags, f"{start}.disableclusterscoperesources"),
            namespaces=_words(flags.get(f"{start}.namespaces", "")),
            address=flags.get(f"{start}.ingressendpoint.ip", ""),
            hostname=flags.get(f"{start}.ingressendpoint.hostname", ""),
            published_service=flags.get(f"{start}.ingressendpoint.publishedservice", ""),
        )
    start = "providers.kubernetescrd"
    if _provider(flags, start):
        found.crd = crd.Options(
            ingress_class=flags.get(f"{start}.ingressclass", ""),
            allow_cross_namespace=_on(flags, f"{start}.allowcrossnamespace"),
            allow_empty_services=_on(flags, f"{start}.allowemptyservices"),
            allow_external_name_services=_on(flags, f"{start}.allowexternalnameservices"),
            native_lb_by_default=_on(flags, f"{start}.nativelbbydefault"),
            namespaces=_words(flags.get(f"{start}.namespaces", "")),
        )
    start = "providers.kubernetesgateway"
    if _provider(flags, start):
        found.gateway = gateway.Options(
            native_lb_by_default=_on(flags, f"{start}.nativelbbydefault"),
            namespaces=_words(flags.get(f"{start}.namespaces", "")),
            address=flags.get(f"{start}.statusaddress.ip", ""),
            hostname=flags.get(f"{start}.statusaddress.hostname", ""),
            service=(
                flags.get(f"{start}.statusaddress.service.namespace", ""),
                flags.get(f"{start}.statusaddress.service.name", ""),
            ),
        )
    return found


def _provider(flags: dict[str, str], start: str) -> bool:
    return any(name == start or name.startswith(f"{start}.") for name in flags) and flags.get(start) != "false"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _flags(args: Iterable[str]) -> dict[str, str]:
    found = {}
    for word in args:
        if not word.startswith("-"):
            raise ConfigurationError(f"command not found: {word}")
        name, equals, value = word.lstrip("-").partition("=")
        # Values keep their case, names have none; an entry point's name is lower-cased with the rest.
        found[name.lower()] = value if equals else "true"
    return found


def _check(name: str) -> None:
    node: Any = TREE
    path: list[str] = []
    for part in name.split("."):
        if not path and part in ABSENT:
            raise NotSimulated(f"traefik --{name}")
        if path == ["providers"] and part in ABSENT_PROVIDERS:
            raise NotSimulated(
                f"traefik --{name}", "The providers here: kubernetesingress, kubernetescrd, kubernetesgateway."
            )
        below = node.get(part, node.get("*")) if isinstance(node, dict) else None
        if below is None:
            raise ConfigurationError(f"failed to decode configuration from flags: field not found, node: {part}")
        node = below
        path.append(part)


def _on(flags: dict[str, str], name: str) -> bool:
    return flags.get(name, "false").lower() in ("true", "1")


def _entry_point(name: str, flags: dict[str, str]) -> EntryPoint:
    start = f"entrypoints.{name}"
    text = flags.get(f"{start}.address", "")
    address, port = http.split_host(text.partition("/")[0])
    if not port:
        raise ConfigurationError(
            f"error while building entryPoint {name}: error preparing server: missing port in address"
        )
    to = flags.get(f"{start}.http.redirections.entrypoint.to", "")
    scheme = flags.get(f"{start}.http.redirections.entrypoint.scheme", "https")
    permanent = flags.get(f"{start}.http.redirections.entrypoint.permanent", "true") == "true"
    defaults = [key for key in flags if key.endswith(".asdefault")]
    return EntryPoint(
        name=name,
        address=address,
        port=port,
        tls=_on(flags, f"{start}.http.tls"),
        default=_on(flags, f"{start}.asdefault") if defaults else True,
        trusts=_on(flags, f"{start}.forwardedheaders.insecure"),
        redirect=(to, scheme, permanent) if to else None,
    )
