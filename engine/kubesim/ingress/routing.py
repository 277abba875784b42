"""Traefik 3's Kubernetes Ingress provider: from objects to its dynamic configuration.

Endpoints come from EndpointSlices, so that requests go to pods directly and kube-proxy has no part in it; a Service that says
`traefik.ingress.kubernetes.io/service.nativelb` is reached by its ClusterIP instead, and one that says `nodeportlb`
by its node port.

Sources: traefik `pkg/provider/kubernetes/ingress/kubernetes.go`, `pkg/provider/provider.go: Normalize`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from kubesim.ingress import backends, rules
from kubesim.ingress.annotations import AnnotationError, Settings
from kubesim.ingress.backends import Refused
from kubesim.ingress.configuration import LOWEST, Configuration, Origin, Router, Server, Service

Object = dict[str, Any]

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS = "traefik"
CONTROLLER = "traefik.io/ingress-controller"
DEFAULT_BACKEND = "default-backend"
SERVICE_NAME = "kubernetes.io/service-name"
MATCHERS = ("Path", "PathPrefix", "PathRegexp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The provider's flags, --providers.kubernetesingress.*, with their defaults."""

    ingress_class: str = ""
    allow_empty_services: bool = False
    allow_external_name_services: bool = False
    native_lb_by_default: bool = False
    strict_prefix_matching: bool = False
    disable_ingress_class_lookup: bool = False
    disable_cluster_scope_resources: bool = False
    default_rule_syntax: str = "v3"
    namespaces: tuple[str, ...] = ()
    # What the status of Ingresses says: an address, a name, or what a Service ("namespace/name") has.
    address: str = ""
    hostname: str = ""
    published_service: str = ""


@dataclass(slots=True, kw_only=True)
class Objects(backends.Objects):
    """What the provider sees of the cluster."""

    ingresses: Iterable[Object] = ()
    classes: Iterable[Object] = ()


def configuration(objects: Objects, options: Options | None = None) -> Configuration:
    """All that the Ingresses come to.  What cannot be used is left out and told in `problems`."""
    return _Provider(objects, options or Options()).load()


def wanted(ingress: Object, objects: Objects, options: Options) -> bool:
    """Is this Ingress one of ours, by its class?"""
    provider = _Provider(objects, options)
    return provider.wanted(ingress, provider.classes())


def normalize(text: str) -> str:
    """Letters and digits, with one "-" for whatever stands between them."""
    return "-".join(re.findall(r"[^\W_]+", text))


def rule_mark(rule: str) -> str:
    """The first ten bytes of the rule's hash, by which routers are told apart (makeServiceKey)."""
    return hashlib.sha256(rule.encode()).hexdigest()[:20]


def annotated(obj: Object, wanted: str) -> bool:
    """Is this ours by its annotation, where the provider's flag `ingressclass` says `wanted`?"""
    named = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION, "")
    return bool(named == wanted or (not wanted and named == DEFAULT_CLASS))


def port_text(backend: Object) -> str:
    """The port of an Ingress backend, as names of services have it."""
    port = (backend.get("service") or {}).get("port") or {}
    return port.get("name") or str(port.get("number", 0))


def path_rule(matcher: str, path: str, strict: bool) -> str:
    """The rule for a path; a strict prefix ends at a slash, as the Ingress specification wants it."""
    if strict and matcher == "PathPrefix" and path != "/":
        path = path.rstrip("/")
        return f"(Path({rules.quote(path)}) || PathPrefix({rules.quote(path + '/')}))"
    return f"{matcher}({rules.quote(path)})"


class _Provider:
    def __init__(self, objects: Objects, options: Options) -> None:
        self._objects = objects
        self._options = options
        self._found = Configuration()
        self._certificates: dict[str, tuple[str, str]] = {}

    def load(self) -> Configuration:
        classes = self.classes()
        for ingress in self._objects.ingresses:
            if self.wanted(ingress, classes):
                self._ingress(ingress)
        self._found.certificates = [self._certificates[name] for name in sorted(self._certificates)]
        return self._found

    def _problem(self, ingress: Object, words: str) -> None:
        metadata = ingress["metadata"]
        self._found.problems.append(
            f"{words} ingress={metadata.get('name', '')} namespace={metadata.get('namespace', '')}"
        )

    # -- which ----------------------------------------------------------------------------------------------

    def classes(self) -> set[str]:
        options = self._options
        if options.disable_ingress_class_lookup or options.disable_cluster_scope_resources:
            return set()
        names = {
            each["metadata"]["name"] for each in self._objects.classes if each["spec"].get("controller") == CONTROLLER
        }
        return names & {options.ingress_class} if options.ingress_class else names

    def wanted(self, ingress: Object, classes: set[str]) -> bool:
        named = ingress["spec"].get("ingressClassName")
        return annotated(ingress, self._options.ingress_class) if named is None else named in classes

    # -- one Ingress ----------------------------------------------------------------------------------------

    def _ingress(self, ingress: Object) -> None:
        spec = ingress["spec"]
        try:
            settings = Settings(ingress["metadata"].get("annotations"), "router")
            model = self._router(settings)
        except AnnotationError as error:
            self._problem(ingress, f'Failed to parse annotations error="{error}"')
            return
        self._tls(ingress)
        if not spec.get("rules") and spec.get("defaultBackend"):
            self._default(ingress, spec["defaultBackend"], model)
        routers: dict[str, list[Router]] = {}
        for rule in spec.get("rules") or ():
            for path in (rule.get("http") or {}).get("paths") or ():
                found = self._path(ingress, rule, path, settings, model)
                if found is not None:
                    namespace, name = ingress["metadata"].get("namespace", ""), ingress["metadata"].get("name", "")
                    key = normalize(f"{namespace}-{name}-{rule.get('host', '')}{path.get('path', '')}")
                    routers.setdefault(key, []).append(found)
        for key, same in routers.items():
            for router in same:
                mark = f"-{rule_mark(router.rule)}" if len(same) > 1 else ""
                self._found.routers[key + mark] = router

    def _default(self, ingress: Object, backend: Object, model: Router) -> None:
        if DEFAULT_BACKEND in self._found.services:
            self._problem(ingress, "The default backend already exists.")
            return
        try:
            service = self._service(ingress, backend)
        except (Refused, AnnotationError) as error:
            self._problem(ingress, f'Cannot create service error="{error}"')
            return
        self._found.services[DEFAULT_BACKEND] = service
        self._found.routers["default-router"] = replace(
            model,
            rule='PathPrefix("/")',
            syntax="default",
            priority=LOWEST,
            service=DEFAULT_BACKEND,
            origin=_origin(ingress, backend),
        )

    def _path(self, ingress: Object, rule: Object, path: Object, settings: Settings, model: Router) -> Router | None:
        backend = path["backend"]
        try:
            service = self._service(ingress, backend)
            namespace = ingress["metadata"].get("namespace", "")
            name = normalize(f"{namespace}-{backend['service']['name']}-{port_text(backend)}")
            self._found.services[name] = service
            text = self._rule(rule.get("host", ""), path, settings)
        except (Refused, AnnotationError) as error:
            self._problem(ingress, f'Cannot create service error="{error}"')
            return None
        return replace(model, rule=text, service=name, origin=_origin(ingress, backend))

    @staticmethod
    def _router(settings: Settings) -> Router:
        return Router(
            rule="",
            service="",
            entry_points=settings.words("entrypoints"),
            middlewares=settings.words("middlewares"),
            priority=settings.number("priority"),
            syntax=settings.text("rulesyntax"),
            tls=settings.tls(),
            observability=settings.observability(),
        )

    def _rule(self, host: str, path: Object, settings: Settings) -> str:
        parts = []
        if host.startswith("*.") and (settings.text("rulesyntax") or self._options.default_rule_syntax) == "v2":
            parts.append(f"HostRegexp({rules.quote('{subdomain:[a-zA-Z0-9-]+}' + host[1:])})")
        elif host:
            parts.append(f"Host({rules.quote(host)})")
        if path.get("path"):
            matcher = "PathPrefix"
            if path.get("pathType", "") in ("", "ImplementationSpecific"):
                matcher = settings.text("pathmatcher", matcher)
                if matcher not in MATCHERS:
                    raise Refused(f"invalid path matcher: {matcher}")
            elif path["pathType"] == "Exact":
                matcher = "Path"
            parts.append(path_rule(matcher, path["path"], self._options.strict_prefix_matching))
        return " && ".join(parts)

    # -- backends -------------------------------------------------------------------------------------------

    def _service(self, ingress: Object, backend: Object) -> Service:
        """The servers of a backend; refused where there are none, unless empty services are allowed."""
        if backend.get("resource"):
            raise Refused("resource backends are not supported")
        if not backend.get("service"):
            raise Refused("missing service definition")
        namespace, name = ingress["metadata"].get("namespace", ""), backend["service"]["name"]
        service = self._objects.services.get((namespace, name))
        if service is None:
            raise Refused("service not found")
        spec = service["spec"]
        external = spec.get("type") == "ExternalName"
        if external and not self._options.allow_external_name_services:
            raise Refused(f"externalName services not allowed: {namespace}/{name}")
        wanted = backend["service"].get("port") or {}
        port = next((each for each in spec.get("ports") or () if _same_port(wanted, each)), None)
        if port is None:
            raise Refused("service port not found")
        settings = Settings(service["metadata"].get("annotations"), "service")
        scheme = settings.text("serversscheme") or backends.scheme_of(port)
        servers: list[Server]
        if settings.truth("nodeportlb") and spec.get("type") == "NodePort":
            servers = self._node_ports(port, scheme)
        elif external:
            servers = backends.external(service, port, scheme)
        elif settings.truth("nativelb", self._options.native_lb_by_default):
            servers = backends.native(service, port, scheme)
            if not servers:
                raise Refused(f"no clusterIP found for service: {namespace}/{name}")
        else:
            servers = backends.endpoints(self._objects.slices(namespace, name), port, scheme)
        if not servers and not self._options.allow_empty_services:
            raise Refused("Skipping service: no endpoints found")
        return Service(
            servers=tuple(servers),
            pass_host_header=settings.truth("passhostheader", True) is not False,
            transport=settings.text("serverstransport"),
            cookie=settings.cookie(),
        )

    def _node_ports(self, port: Object, scheme: str) -> list[Server]:
        if self._options.disable_cluster_scope_resources:
            raise Refused("nodes lookup is disabled")
        if not port.get("nodePort"):
            raise Refused("service port has no node port")
        servers = backends.node_ports(self._objects.nodes, port, scheme)
        if not servers:
            raise Refused("no nodes found")
        return servers

    # -- certificates ---------------------------------------------------------------------------------------

    def _tls(self, ingress: Object) -> None:
        namespace = ingress["metadata"].get("namespace", "")
        for each in ingress["spec"].get("tls") or ():
            name = each.get("secretName", "")
            if not name:
                continue
            try:
                self._certificates[f"{namespace}-{name}"] = self._objects.key_pair(namespace, name)
            except Refused as error:
                self._problem(ingress, f'Error configuring TLS error="{error}"')
                return


def _origin(ingress: Object, backend: Object) -> Origin:
    metadata = ingress["metadata"]
    return Origin(
        namespace=metadata.get("namespace", ""),
        ingress=metadata.get("name", ""),
        service=backend["service"]["name"],
        port=port_text(backend),
    )


def _same_port(wanted: Object, port: Object) -> bool:
    name = wanted.get("name", "")
    return bool((name and port.get("name") == name) or (wanted.get("number") and port["port"] == wanted["number"]))
