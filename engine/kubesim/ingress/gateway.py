"""Traefik 3's provider "kubernetesgateway": from Gateways and HTTPRoutes to its dynamic configuration, and to their statuses.

A listener is attached to the entry point that has its port; a route to every listener of its parents that lets it.  Only
listeners of HTTP and HTTPS and routes of HTTP are simulated.

Sources: traefik `pkg/provider/kubernetes/gateway/{kubernetes,httproute}.go`; Gateway API, ReferenceGrant (GEP-709).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubesim.ingress import backends, gateway_rules
from kubesim.ingress.configuration import Configuration, Router, Server, Service, Share, Tls
from kubesim.ingress.routing import normalize, rule_mark
from kubesim.machinery import selectors

Object = dict[str, Any]
Key = tuple[str, str]

PROVIDER = "kubernetesgateway"
CONTROLLER = "traefik.io/gateway-controller"
GROUP = "gateway.networking.k8s.io"
FINE = "No error found"
SCHEDULED = "Gateway successfully scheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The provider's flags, --providers.kubernetesgateway.*; `service` is (namespace, name) of whose addresses a Gateway
    says are its own."""

    native_lb_by_default: bool = False
    namespaces: tuple[str, ...] = ()
    address: str = ""
    hostname: str = ""
    service: tuple[str, str] = ("", "")


@dataclass(slots=True, kw_only=True)
class Objects(backends.Objects):
    """What the provider sees of the cluster.  `entry_points`: name -> port, in the order of the command line."""

    classes: Iterable[Object] = ()
    gateways: Iterable[Object] = ()
    routes: Iterable[Object] = ()
    grants: Iterable[Object] = ()
    namespaces: Iterable[Object] = ()
    middlewares: Iterable[Key] = ()
    entry_points: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """`statuses`: (kind, object, what its status shall be); conditions in them have no time yet."""

    configuration: Configuration
    statuses: list[tuple[str, Object, Object]]


class _Refused(Exception):
    """Why something cannot be used: a reason and a message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def condition(kind: str, value: bool, reason: str, message: str, obj: Object) -> Object:
    return {
        "type": kind,
        "status": "True" if value else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": obj["metadata"].get("generation", 0),
    }


@dataclass(slots=True)
class _Listener:
    """One listener of a Gateway and what became of it; `broken` are its conditions when it cannot be used."""

    gateway: Object
    spec: Object
    entry_point: str = ""
    kinds: list[Object] = field(default_factory=list)
    namespaces: set[str] | None = None  # None: all
    broken: list[Object] = field(default_factory=list)
    attached: int = 0


def configuration(objects: Objects, options: Options | None = None) -> Found:
    """All that the Gateways and routes come to."""
    return _Provider(objects, options or Options()).load()


class _Provider:
    def __init__(self, objects: Objects, options: Options) -> None:
        self._objects = objects
        self._options = options
        self._found = Configuration()
        self._statuses: list[tuple[str, Object, Object]] = []
        self._certificates: dict[str, tuple[str, str]] = {}
        self._grants = list(objects.grants)

    def load(self) -> Found:
        classes = set()
        for each in self._objects.classes:
            if each["spec"]["controllerName"] == CONTROLLER:
                classes.add(each["metadata"]["name"])
                handled = condition("Accepted", True, "Handled", "Handled by Traefik controller", each)
                self._statuses.append(("gatewayclasses", each, {"conditions": [handled]}))
        gateways = [each for each in self._objects.gateways if each["spec"]["gatewayClassName"] in classes]
        listeners = [(each, self._listeners(each)) for each in gateways]
        for route in self._objects.routes:
            self._route(route, [each for _, found in listeners for each in found])
        for each, found in listeners:
            self._statuses.append(("gateways", each, self._gateway_status(each, found)))
        self._found.certificates = [self._certificates[name] for name in sorted(self._certificates)]
        return Found(self._found, self._statuses)

    # -- listeners ------------------------------------------------------------------------------------------

    def _listeners(self, gateway: Object) -> list[_Listener]:
        found = []
        taken: set[tuple[str, int, str]] = set()
        for spec in gateway["spec"]["listeners"]:
            listener = _Listener(gateway, spec)
            found.append(listener)
            try:
                self._listen(listener)
                key = (spec["protocol"], spec["port"], spec.get("hostname", ""))
                if key in taken:
                    words = "A listener with same protocol, port and hostname already exists"
                    listener.broken.append(condition("Conflicted", True, "DuplicateListener", words, gateway))
                taken.add(key)
            except _Refused as error:
                kind = (
                    "Accepted"
                    if error.reason in ("UnsupportedProtocol", "PortUnavailable", "InvalidTLSConfiguration")
                    else "ResolvedRefs"
                )
                listener.broken.append(condition(kind, False, error.reason, str(error), gateway))
                if kind == "ResolvedRefs":
                    listener.broken.append(
                        condition("Programmed", False, "Invalid", "Invalid CertificateRefs", gateway)
                    )
        return found

    def _listen(self, listener: _Listener) -> None:
        spec, gateway = listener.spec, listener.gateway
        protocol, tls = spec["protocol"], spec.get("tls")
        if protocol not in ("HTTP", "HTTPS"):
            raise _Refused("UnsupportedProtocol", f'not simulated: protocol "{protocol}"')
        name = next((name for name, port in self._objects.entry_points.items() if port == spec["port"]), "")
        if not name:
            words = f'no matching entryPoint for port {spec["port"]} and protocol "{protocol}"'
            raise _Refused("PortUnavailable", f"Cannot find entryPoint for Gateway: {words}")
        listener.entry_point = name
        allowed = spec.get("allowedRoutes") or {}
        listener.namespaces = self._namespaces(gateway["metadata"]["namespace"], allowed.get("namespaces") or {})
        wanted = allowed.get("kinds") or [{"group": GROUP, "kind": "HTTPRoute"}]
        listener.kinds = (
            [{"group": GROUP, "kind": "HTTPRoute"}] if any(e["kind"] == "HTTPRoute" for e in wanted) else []
        )
        strange = [each for each in wanted if each.get("group", GROUP) != GROUP or each["kind"] != "HTTPRoute"]
        if strange:
            words = f'listener protocol "{protocol}" not supporting Kind "{strange[0]["kind"]}"'
            raise _Refused("InvalidRouteKinds", words)
        if protocol == "HTTP" and tls:
            raise _Refused(
                "InvalidTLSConfiguration", "TLS configuration must no be defined when using HTTP or TCP protocol"
            )
        if protocol == "HTTPS":
            self._certify(listener, tls)

    def _namespaces(self, own: str, given: Object) -> set[str] | None:
        match given.get("from", "Same"):
            case "All":
                return None
            case "Selector":
                selector = selectors.from_label_selector(given.get("selector") or {})
                return {
                    each["metadata"]["name"]
                    for each in self._objects.namespaces
                    if selector.matches(each["metadata"].get("labels"))
                }
        return {own}

    def _certify(self, listener: _Listener, tls: Object | None) -> None:
        spec, namespace = listener.spec, listener.gateway["metadata"]["namespace"]
        if tls is None:
            words = f'No TLS configuration for Gateway Listener {spec["name"]}:{spec["port"]} and protocol "HTTPS"'
            raise _Refused("InvalidTLSConfiguration", words)
        if tls.get("mode") == "Passthrough":
            raise _Refused("UnsupportedProtocol", "HTTPS protocol is not supported with TLS mode Passthrough")
        if not tls.get("certificateRefs"):
            raise _Refused("InvalidCertificateRef", "One TLS CertificateRef is required in Terminate mode")
        for each in tls["certificateRefs"]:
            group, kind = each.get("group", ""), each.get("kind", "Secret")
            if kind != "Secret" or group not in ("", "core"):
                raise _Refused("InvalidCertificateRef", f"Unsupported TLS CertificateRef group/kind: {group}/{kind}")
            where, name = each.get("namespace") or namespace, each["name"]
            if not self._granted("Gateway", namespace, "", "Secret", where, name):
                raise _Refused(
                    "RefNotPermitted", f"Cannot reference CertificateRef {where}/{name}: missing ReferenceGrant"
                )
            secret = self._objects.secrets.get((where, name))
            pair = backends.key_pair(secret) if secret else None
            if pair is None:
                why = (
                    f"secret {where}/{name} is missing the tls.crt or tls.key entry"
                    if secret
                    else f"secret {where}/{name} not found"
                )
                raise _Refused("InvalidCertificateRef", f"Cannot load CertificateRef {where}/{name}: {why}")
            self._certificates[f"{where}/{name}"] = pair

    def _granted(self, kind: str, namespace: str, group: str, to: str, where: str, name: str) -> bool:
        """May an object of that kind and namespace refer to one of another namespace?"""
        if where == namespace:
            return True
        for grant in self._grants:
            spec = grant["spec"]
            if grant["metadata"]["namespace"] != where:
                continue
            sources = ((each["group"], each["kind"], each["namespace"]) for each in spec["from"])
            targets = ((each["group"], each["kind"], each.get("name") or name) for each in spec["to"])
            if (GROUP, kind, namespace) in sources and (group, to, name) in targets:
                return True
        return False

    def _gateway_status(self, gateway: Object, listeners: list[_Listener]) -> Object:
        statuses = []
        for each in listeners:
            fine = [
                condition("Accepted", True, "Accepted", FINE, gateway),
                condition("ResolvedRefs", True, "ResolvedRefs", FINE, gateway),
                condition("Programmed", True, "Programmed", FINE, gateway),
            ]
            statuses.append(
                {
                    "name": each.spec["name"],
                    "attachedRoutes": each.attached,
                    "supportedKinds": each.kinds,
                    "conditions": each.broken or fine,
                }
            )
        if any(each.broken for each in listeners):
            words = "All Listeners must be valid"
            conditions = [condition("Accepted", False, "ListenersNotValid", words, gateway)]
        else:
            conditions = [
                condition("Accepted", True, "Accepted", SCHEDULED, gateway),
                condition("Programmed", True, "Programmed", SCHEDULED, gateway),
            ]
        addresses = [{"type": kind, "value": value} for kind, value in self._addresses()]
        return {**({"addresses": addresses} if addresses else {}), "conditions": conditions, "listeners": statuses}

    def _addresses(self) -> list[tuple[str, str]]:
        options = self._options
        if options.address:
            return [("IPAddress", options.address)]
        if options.hostname:
            return [("Hostname", options.hostname)]
        service = self._objects.services.get(options.service)
        found = ((service or {}).get("status") or {}).get("loadBalancer") or {}
        return [
            ("IPAddress", each["ip"]) if each.get("ip") else ("Hostname", each.get("hostname", ""))
            for each in found.get("ingress") or ()
        ]

    # -- routes ---------------------------------------------------------------------------------------------

    def _route(self, route: Object, listeners: list[_Listener]) -> None:
        parents = []
        for parent in route["spec"].get("parentRefs") or ():
            status = self._attach(route, parent, listeners)
            if status is not None:
                parents.append(status)
        others = [
            each
            for each in (route.get("status") or {}).get("parents") or ()
            if each.get("controllerName") != CONTROLLER
        ]
        if parents or len(others) != len((route.get("status") or {}).get("parents") or ()):
            self._statuses.append(("httproutes", route, {"parents": others + parents}))

    def _attach(self, route: Object, parent: Object, listeners: list[_Listener]) -> Object | None:
        """The status of one parent; None when it is none of ours."""
        namespace = route["metadata"]["namespace"]
        where = parent.get("namespace") or namespace
        ours = [
            each
            for each in listeners
            if parent.get("kind", "Gateway") == "Gateway"
            and (each.gateway["metadata"]["namespace"], each.gateway["metadata"]["name"]) == (where, parent["name"])
        ]
        if not ours:
            return None
        matching = [
            each
            for each in ours
            if parent.get("sectionName") in (None, "", each.spec["name"])
            and parent.get("port") in (None, each.spec["port"])
        ]
        accepted, resolved = condition("Accepted", False, "NoMatchingParent", "", route), None
        for listener in matching:
            reason = ""
            if not listener.kinds or (listener.namespaces is not None and namespace not in listener.namespaces):
                reason = "NotAllowedByListeners"
            hostnames = gateway_rules.matching_hostnames(
                listener.spec.get("hostname", ""), route["spec"].get("hostnames") or ()
            )
            if hostnames is None:
                reason = reason or "NoMatchingListenerHostname"
            if not reason:
                listener.attached += 1
                if not listener.broken:
                    accepted = condition("Accepted", True, "Accepted", "", route)
            elif accepted["status"] == "False":
                accepted = condition("Accepted", False, reason, "", route)
            made, problem = self._routers(route, listener, hostnames or [])
            if not reason and not listener.broken:
                self._found.routers.update(made.routers)
                self._found.services.update(made.services)
                self._found.middlewares.update(made.middlewares)
            resolved = resolved or problem
        refs = resolved or condition("ResolvedRefs", True, "ResolvedRefs", "", route)
        conditions = [accepted] + ([refs] if matching else [])
        return {"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions}

    def _routers(self, route: Object, listener: _Listener, hostnames: list[str]) -> tuple[Configuration, Object | None]:
        made = Configuration()
        problem: Object | None = None
        metadata, gateway = route["metadata"], listener.gateway["metadata"]
        rules = route["spec"].get("rules") or []
        for index, rule in enumerate(rules):
            start = f"{metadata['namespace']}-{metadata['name']}-{gateway['name']}-{listener.entry_point}-{index}"
            key = normalize(start)
            matches: list[Object] = rule.get("matches") or [{}]
            for match in matches:
                text, priority = gateway_rules.match_rule(hostnames, match)
                name = f"{key}-{rule_mark(text)}"
                try:
                    middlewares = self._filters(made, metadata["namespace"], name, rule.get("filters") or (), match)
                    service, found = self._service(made, key, rule, route)
                    problem = problem or found
                except _Refused as error:
                    self._found.problems.append(
                        f'Unable to load HTTPRoute filters error="{error}" http_route={metadata["name"]} '
                        f"namespace={metadata['namespace']}"
                    )
                    middlewares, service = (), f"{name}-err-wrr"
                    made.services[service] = Service(shares=(Share(name="invalid-httproute-filter", status=500),))
                made.routers[name] = Router(
                    rule=text,
                    service=service,
                    syntax="v3",
                    priority=priority + len(rules) - index,
                    entry_points=(listener.entry_point,),
                    middlewares=middlewares,
                    tls=Tls() if listener.spec["protocol"] == "HTTPS" else None,
                )
        return made, problem

    def _service(self, made: Configuration, key: str, rule: Object, route: Object) -> tuple[str, Object | None]:
        """The weighted service of a rule, and the condition when one of its backends cannot be used."""
        name = f"{key}-wrr"
        problem = None
        shares = []
        for backend in rule.get("backendRefs") or ():
            weight = backend.get("weight", 1)
            full, service, found = self._backend(route, backend)
            problem = problem or found
            if service is not None:
                made.services[full] = service
            shares.append(Share(name=full, weight=weight, status=500 if found is not None else 0))
        made.services[name] = Service(shares=tuple(shares))
        return name, problem

    def _backend(self, route: Object, backend: Object) -> tuple[str, Service | None, Object | None]:
        own = route["metadata"]["namespace"]
        kind, group = backend.get("kind", "Service"), backend.get("group") or "core"
        where, name, port = backend.get("namespace") or own, backend["name"], backend.get("port", 0)
        full = normalize(f"{where}-{name}")
        label = f"{group}/{kind}/{where}/{name}"

        def refused(reason: str, words: str) -> tuple[str, None, Object]:
            message = f"Cannot load HTTPBackendRef {label}{words}"
            return full, None, condition("ResolvedRefs", False, reason, message, route)

        if not self._granted("HTTPRoute", own, "" if group == "core" else group, kind, where, name):
            return refused("RefNotPermitted", ": missing ReferenceGrant")
        if kind == "TraefikService" and "@" in name:
            return name, None, None
        if (group, kind) != ("core", "Service"):
            return refused("InvalidKind", f": unsupported HTTPBackendRef {group}/{kind}/{name}")
        if not port:
            return refused("UnsupportedProtocol", " port is required")
        full = normalize(f"{full}-{port}")
        service = self._objects.services.get((where, name))
        if service is None:
            return refused("BackendNotFound", ": service not found")
        found = next((each for each in service["spec"].get("ports") or () if each["port"] == port), None)
        if found is None:
            return refused("BackendNotFound", f": service port {port} not found")
        scheme = backends.scheme_of(found)
        servers: list[Server]
        annotations = service["metadata"].get("annotations") or {}
        wanted = annotations.get("traefik.io/service.nativelb", str(self._options.native_lb_by_default)).lower()
        if wanted == "true":
            servers = backends.native(service, found, scheme)
        else:
            slices = list(self._objects.slices(where, name))
            if not slices:
                return refused("BackendNotFound", ": endpointslices not found")
            servers = [each for each in backends.endpoints(slices, found, scheme) if not each.fenced]
        return full, Service(servers=tuple(servers)), None

    # -- filters --------------------------------------------------------------------------------------------

    def _filters(
        self, made: Configuration, namespace: str, router: str, filters: Iterable[Object], asked: Object
    ) -> tuple[str, ...]:
        path = asked.get("path") or {}
        names = []
        for index, each in enumerate(filters):
            kind = each["type"]
            name = f"{router}-{kind.lower()}-{index}"
            match kind:
                case "RequestHeaderModifier" | "ResponseHeaderModifier":
                    key = kind[0].lower() + kind[1:]
                    made.middlewares[name] = {key: gateway_rules.modifier(each.get(key) or {})}
                case "RequestRedirect":
                    made.middlewares[name] = {
                        "requestRedirect": gateway_rules.redirect(each.get("requestRedirect") or {}, path)
                    }
                case "URLRewrite":
                    given = each.get("urlRewrite") or {}
                    if not given:
                        raise _Refused("", f"invalid filter {kind}: empty configuration")
                    made.middlewares[name] = {"urlRewrite": gateway_rules.rewrite(given, path)}
                case "ExtensionRef":
                    reference = each.get("extensionRef") or {}
                    group, what, to = (reference.get(part, "") for part in ("group", "kind", "name"))
                    if (group, what) != ("traefik.io", "Middleware") or (namespace, to) not in set(
                        self._objects.middlewares
                    ):
                        raise _Refused(
                            "",
                            f"loading ExtensionRef filter {kind}: unsupported filter extension ref {group}/{what}/{to}",
                        )
                    name = f"{normalize(f'{namespace}-{to}')}@kubernetescrd"
                case _:
                    raise _Refused("", f"unsupported filter {kind}")
            names.append(name)
        return tuple(names)
