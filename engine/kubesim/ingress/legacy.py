"""Traefik 1.7's Kubernetes provider: from Ingresses, Services and Endpoints to frontends and backends.

A frontend is a host and a path; its backend has the pods' own addresses.  Objects are in the API's newest form, into which the
server brings the extensions/v1beta1 ones that this generation was made for.

Source: traefik v1.7 `provider/kubernetes/kubernetes.go`, `templates/kubernetes.tmpl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]

PREFIX = "traefik.ingress.kubernetes.io/"
CLASS = "kubernetes.io/ingress.class"
GLOBAL_DEFAULT = "global-default-backend"
# The rules of the annotation rule-type that this simulation knows.
RULE_TYPES = ("Path", "PathPrefix", "PathStrip", "PathPrefixStrip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    name: str
    host: str = ""
    path: str = ""
    rule_type: str = "PathPrefix"
    priority: int = 0
    pass_host_header: bool = True

    def routes(self) -> dict[str, dict[str, str]]:
        """As the API shows them."""
        found = {self.path: {"rule": f"{self.rule_type}:{self.path}"}} if self.path else {}
        if self.host:
            found[self.host] = {"rule": f"Host:{self.host}"}
        return found or {"/": {"rule": "PathPrefix:/"}}

    def matches(self, host: str, path: str) -> bool:
        if self.host and self.host.lower() != host.lower():
            return False
        if not self.path:
            return True
        return path == self.path if self.rule_type in ("Path", "PathStrip") else path.startswith(self.path)

    @property
    def rank(self) -> int:
        """The priority, or the length of its rules: the longest is asked first."""
        return self.priority or sum(len(each["rule"]) for each in self.routes().values())

    @property
    def strips(self) -> bool:
        return self.rule_type.endswith("Strip")


@dataclass(slots=True, kw_only=True)
class Backend:
    """`servers` by name (the pod's); `sticky` the cookie's name, "" for none."""

    servers: dict[str, str] = field(default_factory=dict)
    method: str = "wrr"
    sticky: str = ""


@dataclass(slots=True, kw_only=True)
class Configuration:
    frontends: dict[str, Frontend] = field(default_factory=dict)
    backends: dict[str, Backend] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def route(self, host: str, path: str) -> Frontend | None:
        """The frontend for a request; None: 404."""
        found = [each for each in self.frontends.values() if each.matches(host, path)]
        return max(found, key=lambda each: (each.rank, each.name), default=None)

    def shown(self) -> Object:
        """/api/providers/kubernetes."""
        return {
            "backends": {
                name: {
                    "servers": {pod: {"url": url, "weight": 1} for pod, url in sorted(backend.servers.items())},
                    "loadBalancer": {
                        "method": backend.method,
                        **({"stickiness": {"cookieName": backend.sticky}} if backend.sticky else {}),
                    },
                }
                for name, backend in sorted(self.backends.items())
            },
            "frontends": {
                name: {
                    "entryPoints": ["http"],
                    "backend": name,
                    "routes": frontend.routes(),
                    "passHostHeader": frontend.pass_host_header,
                    "priority": frontend.priority,
                    "basicAuth": None,
                }
                for name, frontend in sorted(self.frontends.items())
            },
        }


def configuration(
    ingresses: Iterable[Object],
    services: Mapping[Key, Object],
    endpoints: Mapping[Key, Object],
    ingress_class: str = "",
) -> Configuration:
    """What the objects come to; what cannot be used is told in `problems`."""
    found = Configuration()
    for ingress in ingresses:
        notes = ingress["metadata"].get("annotations") or {}
        named = notes.get(CLASS, "")
        # shouldProcessIngress: with no class of its own it takes those without one, and "traefik".
        if named != ingress_class if ingress_class else named not in ("", "traefik"):
            continue
        namespace = ingress["metadata"].get("namespace", "")
        default = ingress["spec"].get("defaultBackend")
        if default:
            _add(found, Frontend(name=GLOBAL_DEFAULT, path="/", priority=1), namespace, default, services, endpoints)
        for rule in ingress["spec"].get("rules") or ():
            for path in (rule.get("http") or {}).get("paths") or ():
                frontend = _frontend(found, notes, rule.get("host", ""), path.get("path", ""))
                if frontend is not None:
                    _add(found, frontend, namespace, path["backend"], services, endpoints)
    return found


def _frontend(found: Configuration, notes: Mapping[str, str], host: str, path: str) -> Frontend | None:
    rule_type = notes.get(f"{PREFIX}rule-type", "PathPrefix")
    if rule_type not in RULE_TYPES:
        found.problems.append(f'Failed to get rule: unsupported rule type "{rule_type}"')
        return None
    return Frontend(
        name=f"{host}/{path.removeprefix('/')}" if host or path else "/",
        host=host,
        path=path,
        rule_type=rule_type,
        priority=int(notes.get(f"{PREFIX}priority", "0") or 0),
        pass_host_header=notes.get(f"{PREFIX}preserve-host", "true") != "false",
    )


def _add(
    found: Configuration,
    frontend: Frontend,
    namespace: str,
    backend: Object,
    services: Mapping[Key, Object],
    endpoints: Mapping[Key, Object],
) -> None:
    name = (backend.get("service") or {}).get("name", "")
    service = services.get((namespace, name))
    if service is None:
        found.problems.append(f"Service not found for {namespace}/{name}")
        return
    notes = service["metadata"].get("annotations") or {}
    wanted = backend["service"].get("port") or {}
    ports = service["spec"].get("ports") or ()
    port = next(
        (
            each
            for each in ports
            if each["port"] == wanted.get("number") or (each.get("name") or 0) == wanted.get("name")
        ),
        None,
    )
    made = found.backends.setdefault(frontend.name, Backend(method=notes.get(f"{PREFIX}load-balancer-method", "wrr")))
    found.frontends.setdefault(frontend.name, frontend)
    if notes.get(f"{PREFIX}affinity") == "true":
        made.sticky = notes.get(f"{PREFIX}session-cookie-name", "") or "_TRAEFIK_BACKEND"
    if port is None:
        return
    scheme = "https" if port["port"] == 443 or port.get("name", "").startswith("https") else "http"
    if service["spec"].get("type") == "ExternalName":
        external = service["spec"]["externalName"]
        made.servers[external] = f"{scheme}://{external}:{port['port']}"
        return
    for subset in (endpoints.get((namespace, name)) or {}).get("subsets") or ():
        number = next(
            (each["port"] for each in subset.get("ports") or () if each.get("name", "") == port.get("name", "")), 0
        )
        for address in (subset.get("addresses") or ()) if number else ():
            url = f"{scheme}://{address['ip']}:{number}"
            made.servers[(address.get("targetRef") or {}).get("name") or url] = url
    if not made.servers:
        found.problems.append(f"Endpoints not available for {namespace}/{name}")
