"""Traefik 3: entry points, routers from its providers, services of pods, TLS from Secrets, its API.

The providers look at the cluster and make configurations (`kubesim.ingress`), `traefik_dynamic` puts them under one roof, and
what comes of it serves requests: entry point -> router by its rule -> middlewares -> service -> server.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kubesim import ids
from kubesim.errors import NotSimulated
from kubesim.ingress import crd, gateway, routing, rules
from kubesim.ingress.configuration import Configuration, Cookie, Router, Service
from kubesim.net import errors
from kubesim.programs import (
    following,
    forwarding,
    http,
    tls,
    traefik_api,
    traefik_dynamic,
    traefik_middlewares,
    traefik_status,
)
from kubesim.programs.image import Process
from kubesim.programs.traefik_static import ConfigurationError, EntryPoint, Static, read
from kubesim.world import Cancelled

Object = dict[str, Any]

THROTTLE = 2.0  # providers.providersThrottleDuration, in seconds
YEAR = 365 * 86400.0
SLICES = "endpointslices.discovery.k8s.io"
# What all providers look at, and what each does besides.
SHARED = ("services", SLICES, "secrets", "nodes", "namespaces")
INGRESS = ("ingresses.networking.k8s.io", "ingressclasses.networking.k8s.io")
CUSTOM = tuple(
    f"{each}.traefik.io"
    for each in ("ingressroutes", "middlewares", "traefikservices", "serverstransports", "tlsstores")
)
# Kinds that the real providers serve too; here each of their objects is refused by name.
ABSENT = {
    crd.PROVIDER: tuple(
        f"{each}.traefik.io"
        for each in ("tlsoptions", "ingressroutetcps", "ingressrouteudps", "middlewaretcps", "serverstransporttcps")
    ),
    gateway.PROVIDER: tuple(
        f"{each}.{gateway.GROUP}"
        for each in ("grpcroutes", "tlsroutes", "tcproutes", "udproutes", "backendtlspolicies")
    ),
}
GATEWAY = tuple(f"{each}.{gateway.GROUP}" for each in ("gatewayclasses", "gateways", "httproutes", "referencegrants"))
LEVELS = {"TRACE": "TRC", "DEBUG": "DBG", "INFO": "INF", "WARN": "WRN", "ERROR": "ERR", "FATAL": "FTL", "PANIC": "PNC"}


@dataclass(frozen=True, slots=True)
class Route:
    """A router that can be used: its qualified name, what it asks, and who handles its requests."""

    name: str
    router: Router
    priority: int
    asked: rules.Predicate
    handler: http.Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(http.Request):
    """A request on its way through Traefik; `servers` are those that it was sent to, for the access log."""

    servers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, request: http.Request, headers: http.Headers) -> Carried:
        return cls(
            method=request.method,
            target=request.target,
            version=request.version,
            headers=headers,
            body=request.body,
            peer=request.peer,
            local=request.local,
            tls=request.tls,
        )


async def main(process: Process, release: str) -> int:
    args = process.args[1:]
    if args == ["version"]:
        process.log(f"Version:      {release}")
        return 0
    try:
        static = read(args)
    except ConfigurationError as error:
        process.log(f"{ids.utc(process.world.now):%Y/%m/%d %H:%M:%S} command traefik error: {error}")
        return 1
    except NotSimulated as error:
        process.log(str(error))
        return 1
    return await Traefik(process, release, static).run()


class Traefik:
    """One running 3.x."""

    def __init__(self, process: Process, release: str, static: Static) -> None:
        self.process = process
        self.world = process.world
        self.machine = process.machine
        self.release = release
        self.static = static
        self.dynamic = traefik_dynamic.Dynamic()
        self.broken: dict[str, str] = {}  # routers that cannot be used, and why
        self._configurations: dict[str, Configuration] = {}
        self._routes: list[Route] = []
        self._certificates: list[tuple[tls.Certificate, ...]] = []
        self._rotations: dict[str, forwarding.Rotation] = {}
        self._weights: dict[str, forwarding.Weights] = {}
        self._served: dict[int, str] = {}  # id of a request in hand -> the server that answered it
        self._cluster = following.Following(self.world, process.api, self._reload, THROTTLE)
        key = hashlib.sha256(f"traefik {process.machine.hostname}".encode()).hexdigest()[:16]
        name = "CN=TRAEFIK DEFAULT CERT"
        now = self.world.now
        self._generated = (
            tls.Certificate(
                subject=name, issuer=name, not_before=now, not_after=now + YEAR, key=key, issuer_key=key,
                sans=(f"DNS:{key[:8]}.traefik.default",),
            ),
        )  # fmt: skip
        self._default: tuple[tls.Certificate, ...] = self._generated

    # -- its life -------------------------------------------------------------------------------------------

    def log(self, words: str, level: str = "ERROR") -> None:
        """zerolog's console form."""
        order = list(LEVELS)
        asked = self.static.level if self.static.level in LEVELS else "ERROR"
        if order.index(level) >= order.index(asked):
            self.process.log(f"{ids.timestamp(self.world.now)} {LEVELS[level]} {words}")

    async def run(self) -> int:
        self.log(f"Traefik version {self.release} built on 2025-11-19T15:14:23Z version={self.release}", "INFO")
        tasks = []
        context = tls.Context(choose=self._choose)
        try:
            for point in self.static.entry_points.values():
                listener = self.machine.net.listen("tcp", point.address, point.port)
                web = _Server(self, point, context)
                tasks.append(self.world.spawn(web.serve(listener), f"traefik {point.name}"))
            self._watch()
            for task in tasks:
                await task
        except errors.NetError as error:
            where = f"error opening listener: listen tcp {point.address}:{point.port}: bind: {str(error).lower()}"
            self.process.log(
                f"{ids.utc(self.world.now):%Y/%m/%d %H:%M:%S} command traefik error: error while building entryPoint "
                f"{point.name}: building listener: {where}"
            )
            return 1
        except Cancelled:
            self.log("I have to go...", "INFO")
        finally:
            for task in tasks:
                task.cancel()
            self._cluster.stop()
        return 0

    # -- the cluster ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        watched: list[str] = []
        for provider, name, resources in (
            (self.static.kubernetes, "ingress", INGRESS),
            (self.static.crd, "crd", (*CUSTOM, *ABSENT[crd.PROVIDER])),
            (self.static.gateway, "gateway", (*GATEWAY, "middlewares.traefik.io", *ABSENT[gateway.PROVIDER])),
        ):
            if provider is not None:
                self.log(f"Starting provider *{name}.Provider", "INFO")
                watched += [each for each in (*SHARED, *resources) if each not in watched]
        self._cluster.follow(*watched)

    def _reload(self) -> None:
        fresh: dict[str, Configuration] = {}
        if self.static.kubernetes is not None:
            fresh["kubernetes"] = self._ingresses(self.static.kubernetes)
        if self.static.crd is not None:
            fresh[crd.PROVIDER] = self._custom(self.static.crd)
        if self.static.gateway is not None:
            found = self._gateways(self.static.gateway)
            fresh[gateway.PROVIDER] = found.configuration
            traefik_status.write_gateways(self.process.api, found.statuses, self.world.now)
        for provider, resources in ABSENT.items():
            if provider in fresh:
                fresh[provider].problems += map(_absent, (obj for each in resources for obj in self._cluster.listed(each)))
        if fresh != self._configurations:
            self._apply(fresh)

    def _ingresses(self, options: routing.Options) -> Configuration:
        ingresses = [each for each in self._cluster.listed(INGRESS[0]) if _within(each, options.namespaces)]
        services = self._cluster.keyed("services")
        objects = routing.Objects(
            ingresses=ingresses,
            classes=self._cluster.listed(INGRESS[1]),
            services=services,
            slices=self._cluster.slices,
            secrets=self._cluster.keyed("secrets"),
            nodes=self._cluster.listed("nodes"),
        )
        wanted = [each for each in ingresses if routing.wanted(each, objects, options)]
        traefik_status.write_ingresses(self.process.api, wanted, options, services)
        return routing.configuration(objects, options)

    def _custom(self, options: crd.Options) -> Configuration:
        routes, middlewares, services, transports, stores = map(self._cluster.listed, CUSTOM)
        return crd.configuration(
            crd.Objects(
                routes=routes,
                middlewares=middlewares,
                traefik_services=services,
                transports=transports,
                stores=stores,
                services=self._cluster.keyed("services"),
                slices=self._cluster.slices,
                secrets=self._cluster.keyed("secrets"),
                nodes=self._cluster.listed("nodes"),
            ),
            options,
        )

    def _gateways(self, options: gateway.Options) -> gateway.Found:
        classes, gateways, routes, grants = map(self._cluster.listed, GATEWAY)
        return gateway.configuration(
            gateway.Objects(
                classes=classes,
                gateways=[each for each in gateways if _within(each, options.namespaces)],
                routes=[each for each in routes if _within(each, options.namespaces)],
                grants=grants,
                namespaces=self._cluster.listed("namespaces"),
                services=self._cluster.keyed("services"),
                slices=self._cluster.slices,
                secrets=self._cluster.keyed("secrets"),
                middlewares=self._cluster.keyed("middlewares.traefik.io"),
                entry_points={each.name: each.port for each in self.static.entry_points.values()},
            ),
            options,
        )

    # -- what comes of it -----------------------------------------------------------------------------------

    def _apply(self, fresh: dict[str, Configuration]) -> None:
        for provider, each in fresh.items():
            before = self._configurations.get(provider)
            for problem in each.problems:
                if before is None or problem not in before.problems:
                    self.log(f"{problem} providerName={provider}")
        self._configurations = fresh
        dynamic = self.dynamic = traefik_dynamic.merged(fresh)
        self._rotations = {name: self._rotations.get(name, forwarding.Rotation()) for name in dynamic.services}
        self._weights = {name: self._weights.get(name, forwarding.Weights()) for name in dynamic.services}
        told, self.broken, self._routes = self.broken, {}, []
        for name, router in dynamic.routers.items():
            try:
                self._routes.append(self._route_of(name, router))
            except (rules.RuleError, traefik_middlewares.MiddlewareError) as error:
                self.broken[name] = str(error)
                if told.get(name) != str(error):
                    points = router.entry_points or self.defaults()
                    self.log(f'error="{error}" entryPointName={points[0] if points else ""} routerName={name}')
        # Equal priorities keep the order of names.
        self._routes.sort(key=lambda each: (-each.priority, each.name))
        self._certificates = [chain for pem, _ in dynamic.certificates if (chain := _chain(pem))]
        self._default = (
            _chain(dynamic.default_certificate[0]) if dynamic.default_certificate else ()
        ) or self._generated

    def _route_of(self, name: str, router: Router) -> Route:
        asked = rules.parse(router.rule)
        if router.tls is not None and router.tls.cert_resolver:
            words = "Router uses a nonexistent certificate resolver"
            self.log(f"{words} certificateResolver={router.tls.cert_resolver} routerName={name}")
        known = self.dynamic.middlewares
        wraps = [traefik_middlewares.make(each, known, self.log) for each in router.middlewares]
        self._check_service(router.service)

        async def serve(request: http.Request) -> http.Response:
            return await self._serve(router.service, request)

        handler = traefik_middlewares.chained(wraps)(serve)
        return Route(name, router, router.priority or rules.default_priority(router.rule), asked, handler)

    def _check_service(self, name: str, depth: int = 0) -> None:
        service = self.dynamic.services.get(name)
        if service is None:
            raise rules.RuleError(f'the service "{name}" does not exist')
        if depth > traefik_middlewares.DEEPEST:
            raise rules.RuleError(f"could not instantiate service {name}: recursion detected")
        for share in service.shares or ():
            if not share.status:
                self._check_service(share.name, depth + 1)

    def defaults(self) -> tuple[str, ...]:
        """The entry points of routers that name none."""
        return tuple(each.name for each in self.static.entry_points.values() if each.default)

    def _choose(self, server_name: str) -> tuple[tls.Certificate, ...]:
        """The certificate for a name that TLS asks for; the default one where none covers it."""
        if server_name:
            for chain in self._certificates:
                if chain[0].covers(server_name):
                    return chain
        return self._default

    # -- requests -------------------------------------------------------------------------------------------

    def route(self, point: EntryPoint, request: http.Request) -> Route | None:
        """The router for a request that came in there; a connection of TLS sees only routers with TLS, and one without the
        others."""
        parts = urlsplit(request.target)
        facts = rules.Facts(
            method=request.method,
            host=request.host,
            path=parts.path or "/",
            query=parts.query,
            headers=tuple((key.lower(), value) for key, value in request.headers),
            client=request.peer[0].removeprefix("::ffff:"),
        )
        for each in self._routes:
            router = each.router
            there = point.name in router.entry_points if router.entry_points else point.default
            secure = router.tls is not None or point.tls
            if there and secure == (request.tls is not None) and each.asked(facts):
                return each
        return None

    async def proxy(self, point: EntryPoint, request: http.Request) -> http.Response:
        found = self.route(point, request)
        if found is None:
            return forwarding.not_found()
        carried = Carried.of(request, forwarding.forwarded(request, self.machine, point.trusts))
        response = await found.handler(carried)
        if carried.servers:
            self._served[id(request)] = carried.servers[-1]
        return response

    async def _serve(self, name: str, request: http.Request) -> http.Response:
        """The answer of a service: of one of those that share its requests, or of the server whose turn it is."""
        service = self.dynamic.services.get(name)
        if service is None:
            return http.text("no available server\n", 503)
        if service.shares is not None:
            return await self._share(name, service, request)
        url, stuck = self._server(name, service, request)
        if not url:
            return http.text("no available server\n", 503)
        headers = request.headers
        if not service.pass_host_header:
            headers = [(key, value) for key, value in headers if key.lower() != "host"]
            headers = [("Host", urlsplit(url).netloc), *headers]
        transport = self.dynamic.transports.get(service.transport)
        blind = transport is not None and transport.insecure_skip_verify
        trust = tls.Trust(verify=not blind, now=self.world.now)
        if isinstance(request, Carried):
            request.servers.append(url)
        response = await forwarding.forward(
            self.machine, request, url, headers, "", lambda words: self.log(words, "DEBUG"), trust=trust
        )
        if service.cookie is not None and not stuck:
            response.headers.append(("Set-Cookie", _set_cookie(name, service.cookie, url)))
        return response

    async def _share(self, name: str, service: Service, request: http.Request) -> http.Response:
        # One service may be there twice, with weights of their own.
        shares = {f"{each.name} {index}": each for index, each in enumerate(service.shares or ())}
        chosen, stuck = "", False
        if service.cookie is not None:
            value = forwarding.cookie(request, _cookie_name(name, service.cookie))
            chosen = next((key for key, each in shares.items() if value == _mark(each.name)), "")
            stuck = bool(chosen)
        chosen = chosen or self._weights[name].choose({key: each.weight for key, each in shares.items()})
        if not chosen:
            return http.text("no available server\n", 503)
        share = shares[chosen]
        if share.status:
            return http.Response(status=share.status)
        response = await self._serve(share.name, request)
        if service.cookie is not None and not stuck:
            response.headers.append(("Set-Cookie", _set_cookie(name, service.cookie, share.name)))
        return response

    def _server(self, name: str, service: Service, request: http.Request) -> tuple[str, bool]:
        """The server whose turn it is, or the one that the client's cookie names."""
        if service.cookie is not None:
            value = forwarding.cookie(request, _cookie_name(name, service.cookie))
            for each in service.servers:
                if value == _mark(each.url):
                    return each.url, True
        urls = [each.url for each in service.servers if not each.fenced]
        return (self._rotations[name].choose(urls), False) if urls else ("", False)

    def access(self, point: EntryPoint, request: http.Request, response: http.Response, sent: int) -> None:
        """The access log in its common form."""
        server = self._served.pop(id(request), "")
        if not self.static.access_log or (point.name == "traefik" and self.static.insecure):
            return
        stamp = ids.utc(self.world.now)
        when = f"{stamp.day:02d}/{http.MONTHS[stamp.month - 1]}/{stamp:%Y:%H:%M:%S} +0000"
        found = self.route(point, request) if request.method else None
        router = found.name if found else "-"
        line = f"{request.method} {request.target} HTTP/{request.version}"
        self.process.log(
            f'{request.peer[0]} - - [{when}] "{line}" {response.status} {sent} "-" "-" 1 "{router}" "{server or "-"}" 0ms'
        )


class _Server(http.Server):
    """An entry point: TLS or not is seen by the first byte that comes."""

    def __init__(self, traefik: Traefik, point: EntryPoint, context: tls.Context) -> None:
        super().__init__(
            traefik.world,
            self._handle,
            forwarding.Style(),
            lambda request, response, sent: traefik.access(point, request, response, sent),
        )
        self._traefik = traefik
        self._point = point
        self._tls = context

    async def _connection(self, connection: http.Wire) -> None:
        wire = tls.Peeked(connection)
        try:
            first = await wire.peek()
            if first[:1] == bytes((tls.HANDSHAKE,)):
                secured = await tls.accept(wire, self._tls)
                await self._requests(secured)
            else:
                await self._requests(wire)
        except (errors.NetError, tls.TlsError):
            return  # the client has gone, or would not go on
        finally:
            wire.close()

    async def _handle(self, request: http.Request) -> http.Response:
        traefik, point = self._traefik, self._point
        if point.redirect is not None:
            return self._elsewhere(request, *point.redirect)
        static = traefik.static
        if static.ping == point.name and request.path == "/ping":
            return http.text("OK")
        if point.name == "traefik" and static.insecure:
            return traefik_api.answer(traefik, request)
        return await traefik.proxy(point, request)

    def _elsewhere(self, request: http.Request, to: str, scheme: str, permanent: bool) -> http.Response:
        points = self._traefik.static.entry_points
        port = points[to].port if to in points else int(to.lstrip(":"))
        usual = {"https": 443, "http": 80}.get(scheme)
        where = f"{scheme}://{request.host}{'' if port == usual else f':{port}'}{request.target}"
        status = 301 if permanent else 302
        response = http.text(http.REASONS[status], status)
        response.headers.append(("Location", where))
        return response


def _absent(obj: Object) -> str:
    metadata = obj["metadata"]
    return f"not simulated: {obj['kind']} name={metadata['name']} namespace={metadata.get('namespace', '')}"


def _within(obj: Object, namespaces: tuple[str, ...]) -> bool:
    return not namespaces or obj["metadata"]["namespace"] in namespaces


def _chain(pem: str) -> tuple[tls.Certificate, ...]:
    try:
        return tuple(tls.certificates(pem))
    except (ValueError, KeyError, TypeError):
        return ()


def _mark(text: str) -> str:
    """What a cookie holds: the server's URL or the service's name, hashed."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cookie_name(name: str, cookie: Cookie) -> str:
    """Without a name of its own it is made from the service's (`pkg/server/cookie: GetName`)."""
    return cookie.name or f"_{hashlib.sha1(name.encode()).hexdigest()[:5]}"


def _set_cookie(name: str, cookie: Cookie, chosen: str) -> str:
    parts = [f"{_cookie_name(name, cookie)}={_mark(chosen)}", f"Path={cookie.path}"]
    parts += [f"Domain={cookie.domain}"] if cookie.domain else []
    parts += [f"Max-Age={cookie.max_age}"] if cookie.max_age else []
    parts += [word for on, word in ((cookie.http_only, "HttpOnly"), (cookie.secure, "Secure")) if on]
    parts += [f"SameSite={cookie.same_site.capitalize()}"] if cookie.same_site else []
    return "; ".join(parts)
