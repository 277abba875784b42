"""Traefik 3's provider "kubernetescrd": from IngressRoutes, Middlewares and TraefikServices to its dynamic configuration.

Names are "NAMESPACE-NAME"; a router's is its IngressRoute's with a hash of the rule.  Requests go to the pods of a Service, or
to its ClusterIP where the route says `nativeLB`.

Source: traefik `pkg/provider/kubernetes/crd/{kubernetes,kubernetes_http}.go`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubesim.ingress import backends
from kubesim.ingress.backends import Refused
from kubesim.ingress.configuration import Configuration, Cookie, Router, Server, Service, Share, Tls, Transport
from kubesim.ingress.routing import annotated, normalize, rule_mark

Object = dict[str, Any]

PROVIDER = "kubernetescrd"
STRATEGIES = ("", "wrr", "RoundRobin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The provider's flags, --providers.kubernetescrd.*, with their defaults."""

    ingress_class: str = ""
    allow_cross_namespace: bool = False
    allow_empty_services: bool = False
    allow_external_name_services: bool = False
    native_lb_by_default: bool = False
    namespaces: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Objects(backends.Objects):
    """What the provider sees of the cluster."""

    routes: Iterable[Object] = ()
    middlewares: Iterable[Object] = ()
    traefik_services: Iterable[Object] = ()
    transports: Iterable[Object] = ()
    stores: Iterable[Object] = ()


def configuration(objects: Objects, options: Options | None = None) -> Configuration:
    """All that the custom resources come to.  What cannot be used is left out and told in `problems`."""
    return _Provider(objects, options or Options()).load()


def make_id(namespace: str, name: str) -> str:
    return normalize(f"{namespace}-{name}")


class _Provider:
    def __init__(self, objects: Objects, options: Options) -> None:
        self._objects = objects
        self._options = options
        self._found = Configuration()
        self._certificates: dict[str, tuple[str, str]] = {}

    def load(self) -> Configuration:
        for middleware in self._wanted(self._objects.middlewares):
            self._middleware(middleware)
        for service in self._wanted(self._objects.traefik_services):
            self._traefik_service(service)
        for transport in self._wanted(self._objects.transports):
            spec = transport.get("spec") or {}
            self._found.transports[self._id(transport)] = Transport(
                server_name=spec.get("serverName", ""), insecure_skip_verify=bool(spec.get("insecureSkipVerify"))
            )
        for store in self._wanted(self._objects.stores):
            self._store(store)
        for route in self._wanted(self._objects.routes):
            self._route(route)
        self._found.certificates = [self._certificates[name] for name in sorted(self._certificates)]
        return self._found

    def _wanted(self, objects: Iterable[Object]) -> Iterable[Object]:
        for each in objects:
            here = not self._options.namespaces or each["metadata"]["namespace"] in self._options.namespaces
            if here and annotated(each, self._options.ingress_class):
                yield each

    @staticmethod
    def _id(obj: Object) -> str:
        return make_id(obj["metadata"]["namespace"], obj["metadata"]["name"])

    def _problem(self, obj: Object, words: str, key: str = "ingress") -> None:
        metadata = obj["metadata"]
        self._found.problems.append(f"{words} {key}={metadata['name']} namespace={metadata['namespace']}")

    # -- routers --------------------------------------------------------------------------------------------

    def _route(self, obj: Object) -> None:
        spec, metadata = obj["spec"], obj["metadata"]
        try:
            self._tls(metadata["namespace"], (spec.get("tls") or {}).get("secretName", ""))
        except Refused as error:
            self._problem(obj, f'Error configuring TLS error="{error}"')
        for route in spec.get("routes") or ():
            if route.get("kind", "Rule") != "Rule":
                self._problem(obj, f'Unsupported match kind: {route["kind"]}. Only "Rule" is supported for now.')
            elif not route.get("match"):
                self._problem(obj, "Empty match rule")
            else:
                try:
                    self._router(obj, route)
                except Refused as error:
                    self._problem(obj, f'error="{error}"')

    def _router(self, obj: Object, route: Object) -> None:
        spec, namespace = obj["spec"], obj["metadata"]["namespace"]
        name = normalize(f"{namespace}-{obj['metadata']['name']}-{rule_mark(route['match'])}")
        middlewares = tuple(self._reference(namespace, each, "middleware") for each in route.get("middlewares") or ())
        given = route.get("services") or []
        service = name
        if len(given) > 1:
            self._weighted(namespace, given, None, name)
        elif given:
            full, made = self._service(namespace, given[0])
            if made is None:
                service = full
            else:
                self._found.services[name] = made
        tls = spec.get("tls")
        options = (tls or {}).get("options")
        self._found.routers[name] = Router(
            rule=route["match"],
            service=service,
            entry_points=tuple(spec.get("entryPoints") or ()),
            middlewares=middlewares,
            priority=route.get("priority", 0),
            syntax=route.get("syntax", ""),
            tls=None
            if tls is None
            else Tls(
                options=self._reference(namespace, options, "TLSOption") if options else "",
                cert_resolver=tls.get("certResolver", ""),
                domains=tuple(
                    (each.get("main", ""), tuple(each.get("sans") or ())) for each in tls.get("domains") or ()
                ),
            ),
        )

    def _reference(self, namespace: str, given: Object, what: str) -> str:
        """The full name of a middleware or option; of another provider's as it stands."""
        name, other = given["name"], given.get("namespace") or namespace
        if "@" in name:
            return str(name)
        if other != namespace and not self._options.allow_cross_namespace:
            raise Refused(
                f"invalid reference to {what} {name}: {what} {other}/{name} is not in the IngressRoute namespace {namespace}"
            )
        return make_id(other, name)

    # -- services -------------------------------------------------------------------------------------------

    def _traefik_service(self, obj: Object) -> None:
        spec, namespace = obj["spec"], obj["metadata"]["namespace"]
        try:
            if "weighted" in spec:
                weighted = spec["weighted"]
                self._weighted(namespace, weighted.get("services") or [], weighted.get("sticky"), self._id(obj))
            elif "mirroring" in spec:
                raise Refused("not simulated: mirroring")
            else:
                raise Refused("unspecified service type")
        except Refused as error:
            self._problem(obj, f'Error while building TraefikService error="{error}"', "serviceName")

    def _weighted(self, namespace: str, given: list[Object], sticky: Object | None, name: str) -> None:
        shares = []
        for each in given:
            full, made = self._service(namespace, each)
            if made is not None:
                self._found.services[full] = made
            shares.append(Share(name=full, weight=each.get("weight", 1)))
        self._found.services[name] = Service(shares=tuple(shares), cookie=cookie(sticky))

    def _service(self, namespace: str, given: Object) -> tuple[str, Service | None]:
        """The full name and, for a Service of Kubernetes, what it comes to (nameAndService)."""
        name, other = given["name"], given.get("namespace") or namespace
        if "@" in name:
            return name, None
        if other != namespace and not self._options.allow_cross_namespace:
            raise Refused(f"service {other}/{name} not in the parent resource namespace {namespace}")
        if given.get("kind") == "TraefikService":
            return make_id(other, name), None
        port = given.get("port")
        full = normalize(f"{other}-{name}-{port}") if port else make_id(other, name)
        transport = given.get("serversTransport", "")
        return full, Service(
            servers=tuple(self._servers(other, given)),
            pass_host_header=given.get("passHostHeader", True),
            transport=transport if not transport or "@" in transport else make_id(other, transport),
            cookie=cookie(given.get("sticky")),
        )

    def _servers(self, namespace: str, given: Object) -> list[Server]:
        name = given["name"]
        if given.get("strategy", "") not in STRATEGIES:
            raise Refused(f"not simulated: load balancing strategy {given['strategy']}")
        if given.get("healthCheck"):
            raise Refused("not simulated: healthCheck")
        service = self._objects.services.get((namespace, name))
        if service is None:
            raise Refused(f"kubernetes service not found: {namespace}/{name}")
        spec = service["spec"]
        external = spec.get("type") == "ExternalName"
        port = service_port(service, given.get("port"))
        if port is None:
            raise Refused(f"service port not found: {namespace}/{name}")
        scheme = given.get("scheme") or backends.scheme_of(port)
        if given.get("nativeLB", self._options.native_lb_by_default):
            servers = backends.native(service, port, scheme)
            if not servers:
                raise Refused(
                    f"getting native Kubernetes Service address: no clusterIP found for service: {namespace}/{name}"
                )
            return servers
        if external:
            if not self._options.allow_external_name_services:
                raise Refused(f"externalName services not allowed: {namespace}/{name}")
            return backends.external(service, port, scheme)
        if given.get("nodePortLB") and spec.get("type") == "NodePort":
            return backends.node_ports(self._objects.nodes, port, scheme)
        servers = backends.endpoints(self._objects.slices(namespace, name), port, scheme)
        if not servers and not self._options.allow_empty_services:
            raise Refused(f"no endpoints found for {namespace}/{name}")
        return servers

    # -- middlewares ----------------------------------------------------------------------------------------

    def _middleware(self, obj: Object) -> None:
        namespace = obj["metadata"]["namespace"]
        spec = {key: dict(value) for key, value in (obj.get("spec") or {}).items()}
        try:
            if "chain" in spec:
                given = spec["chain"].get("middlewares") or ()
                spec["chain"]["middlewares"] = [self._reference(namespace, each, "middleware") for each in given]
            if "basicAuth" in spec:
                spec["basicAuth"]["users"] = self._users(namespace, spec["basicAuth"].pop("secret", ""))
        except Refused as error:
            self._problem(obj, f'Error while reading middleware error="{error}"', "middlewareName")
            return
        self._found.middlewares[self._id(obj)] = spec

    def _users(self, namespace: str, name: str) -> list[str]:
        """Lines "name:hash" of a Secret's one entry, or what a Secret of type basic-auth says."""
        if not name:
            raise Refused("auth secret must be set")
        secret = self._objects.secrets.get((namespace, name))
        if secret is None:
            raise Refused(f"failed to load auth credentials: secret '{namespace}/{name}' not found")
        data = {
            key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (secret.get("data") or {}).items()
        }
        if secret.get("type") == "kubernetes.io/basic-auth":
            digest = base64.b64encode(hashlib.sha1(data.get("password", "").encode()).digest()).decode()
            return [f"{data.get('username', '')}:{{SHA}}{digest}"]
        if len(data) != 1:
            raise Refused(
                f"failed to load auth credentials: found {len(data)} elements for secret '{namespace}/{name}', must be single "
                "element exactly"
            )
        return [
            line.strip() for line in next(iter(data.values())).splitlines() if line.strip() and not line.startswith("#")
        ]

    # -- certificates ---------------------------------------------------------------------------------------

    def _tls(self, namespace: str, name: str) -> tuple[str, str] | None:
        if not name:
            return None
        pair = self._certificates[f"{namespace}/{name}"] = self._objects.key_pair(namespace, name)
        return pair

    def _store(self, obj: Object) -> None:
        """Only the store `default` is looked at when TLS begins."""
        spec, namespace = obj.get("spec") or {}, obj["metadata"]["namespace"]
        if obj["metadata"]["name"] != "default":
            return
        try:
            for each in spec.get("certificates") or ():
                self._tls(namespace, each["secretName"])
            self._found.default_certificate = self._tls(
                namespace, (spec.get("defaultCertificate") or {}).get("secretName", "")
            )
        except Refused as error:
            self._problem(obj, f'Error configuring TLS error="{error}"', "TLSStore")


def service_port(service: Object, wanted: int | str | None) -> Object | None:
    """By number or by name; without either the only one (getServicePort)."""
    ports = service["spec"].get("ports") or []
    if wanted is None or wanted == "":
        return ports[0] if len(ports) == 1 else None
    for port in ports:
        if wanted in (port["port"], port.get("name")) or str(port["port"]) == str(wanted):
            return dict(port)
    if isinstance(wanted, int) and service["spec"].get("type") == "ExternalName":
        return {"port": wanted}
    return None


def cookie(sticky: Object | None) -> Cookie | None:
    found = (sticky or {}).get("cookie")
    if found is None:
        return None
    return Cookie(
        name=found.get("name", ""),
        secure=bool(found.get("secure")),
        http_only=bool(found.get("httpOnly")),
        same_site=found.get("sameSite", ""),
        max_age=found.get("maxAge", 0),
        path=found.get("path") or "/",
        domain=found.get("domain", ""),
    )
