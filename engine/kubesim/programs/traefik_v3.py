"""Traefik 3: entry points, routers from Ingresses, services of pods, TLS from Secrets, its API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubesim import ids
from kubesim.errors import NotSimulated
from kubesim.informer import Informer
from kubesim.ingress import routing, rules
from kubesim.ingress.configuration import Configuration, Router, Service
from kubesim.net import errors
from kubesim.programs import forwarding, http, tls, traefik_api
from kubesim.programs.image import Process
from kubesim.programs.traefik_static import ConfigurationError, EntryPoint, Static, read
from kubesim.world import Cancelled

if TYPE_CHECKING:
    from kubesim.net.trace import Trace

THROTTLE = 2.0  # providers.providersThrottleDuration, in seconds
YEAR = 365 * 86400.0
WATCHED = (
    "ingresses.networking.k8s.io", "ingressclasses.networking.k8s.io", "services", "endpointslices.discovery.k8s.io", "secrets",
    "nodes",
)  # fmt: skip
INGRESSES, CLASSES, SERVICES, SLICES, SECRETS, NODES = WATCHED
LEVELS = {"TRACE": "TRC", "DEBUG": "DBG", "INFO": "INF", "WARN": "WRN", "ERROR": "ERR", "FATAL": "FTL", "PANIC": "PNC"}


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
        self.configuration = Configuration()
        self._routes: list[tuple[int, str, Router, rules.Predicate]] = []
        self._broken: dict[str, str] = {}
        self._certificates: list[tuple[tls.Certificate, ...]] = []
        self._rotations: dict[str, forwarding.Rotation] = {}
        self._informers: dict[str, Informer] = {}
        self._due = 0.0
        self._pending = False
        self._ended = False
        key = hashlib.sha256(f"traefik {process.machine.hostname}".encode()).hexdigest()[:16]
        name = "CN=TRAEFIK DEFAULT CERT"
        now = self.world.now
        self._default = (
            tls.Certificate(
                subject=name, issuer=name, not_before=now, not_after=now + YEAR, key=key, issuer_key=key,
                sans=(f"DNS:{key[:8]}.traefik.default",),
            ),
        )  # fmt: skip

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
            if self.static.kubernetes is not None:
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
            self._ended = True
            for task in tasks:
                task.cancel()
            for informer in self._informers.values():
                informer.stop()
        return 0

    # -- the cluster ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self.log("Starting provider *ingress.Provider", "INFO")
        for resource in WATCHED:
            informer = self._informers[resource] = Informer(self.process.api, resource)
            informer.on_event(lambda _kind, _obj, _before: self._changed())
            informer.start()
        self._informers[SLICES].index("service", _service_of)

    def _changed(self) -> None:
        if not self._pending and not self._ended:
            self._pending = True
            self.world.call_later(max(0.0, self._due - self.world.now), self._reload)

    def _reload(self) -> None:
        self._pending = False
        if self._ended or self.static.kubernetes is None:
            return
        self._due = self.world.now + THROTTLE
        kept = self._informers

        def keyed(resource: str) -> dict[tuple[str, str], dict[str, object]]:
            return {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in kept[resource].list()}

        fresh = routing.configuration(
            routing.Objects(
                ingresses=kept[INGRESSES].list(),
                classes=kept[CLASSES].list(),
                services=keyed(SERVICES),
                slices=lambda namespace, name: kept[SLICES].by("service", (namespace, name)),
                secrets=keyed(SECRETS),
                nodes=kept[NODES].list(),
            ),
            self.static.kubernetes,
        )
        if fresh != self.configuration:
            self._apply(fresh)

    def _apply(self, fresh: Configuration) -> None:
        for problem in fresh.problems:
            if problem not in self.configuration.problems:
                self.log(f"{problem} providerName=kubernetes")
        self.configuration = fresh
        self._rotations = {name: self._rotations.get(name, forwarding.Rotation()) for name in fresh.services}
        self._routes, self._broken = [], {}
        for name, router in fresh.routers.items():
            try:
                asked = rules.parse(router.rule)
                for middleware in router.middlewares:
                    raise rules.RuleError(f'middleware "{middleware}" does not exist')
            except rules.RuleError as error:
                self._broken[name] = str(error)
                self.log(f'error="{error}" entryPointName=web routerName={name}@kubernetes')
                continue
            self._routes.append((router.priority or rules.default_priority(router.rule), name, router, asked))
        # Equal priorities keep the order of names.
        self._routes.sort(key=lambda each: (-each[0], each[1]))
        self._certificates = [chain for pem, _ in fresh.certificates if (chain := _chain(pem))]

    def _choose(self, server_name: str) -> tuple[tls.Certificate, ...]:
        """The certificate for a name that TLS asks for; the default one where none covers it."""
        if server_name:
            for chain in self._certificates:
                if chain[0].covers(server_name):
                    return chain
        return self._default

    # -- requests -------------------------------------------------------------------------------------------

    def route(self, point: EntryPoint, request: http.Request) -> tuple[str, Router] | None:
        """The router for a request that came in there; a connection of TLS sees only routers with TLS, and one without the
        others."""
        facts = rules.Facts(
            method=request.method,
            host=request.host,
            path=urlsplit(request.target).path or "/",
            query=urlsplit(request.target).query,
            headers=tuple((key.lower(), value) for key, value in request.headers),
            client=request.peer[0].removeprefix("::ffff:"),
        )
        for _, name, router, asked in self._routes:
            there = point.name in router.entry_points if router.entry_points else point.default
            secure = router.tls is not None or point.tls
            if there and secure == (request.tls is not None) and asked(facts):
                return name, router
        return None

    async def proxy(self, point: EntryPoint, request: http.Request) -> http.Response:
        found = self.route(point, request)
        if found is None:
            return forwarding.not_found()
        name = found[1].service
        service = self.configuration.services[name]
        url, stuck = self._server(name, service, request)
        if not url:
            return http.text("no available server\n", 503)
        headers = forwarding.forwarded(request, self.machine, point.trusts)
        if not service.pass_host_header:
            headers = [(key, value) for key, value in headers if key.lower() != "host"]
            headers.insert(0, ("Host", urlsplit(url).netloc))
        response = await forwarding.forward(
            self.machine, request, url, headers, "", lambda words: self.log(words, "DEBUG")
        )
        if service.cookie is not None and not stuck:
            response.headers.append(("Set-Cookie", self._cookie(name, service, url)))
        return response

    def _server(self, name: str, service: Service, request: http.Request) -> tuple[str, bool]:
        """The server whose turn it is, or the one that the client's cookie names."""
        if service.cookie is not None:
            value = forwarding.cookie(request, _cookie_name(name, service))
            for each in service.servers:
                if value == _mark(each.url):
                    return each.url, True
        urls = [each.url for each in service.servers if not each.fenced]
        return (self._rotations[name].choose(urls), False) if urls else ("", False)

    @staticmethod
    def _cookie(name: str, service: Service, url: str) -> str:
        cookie = service.cookie
        assert cookie is not None
        parts = [f"{_cookie_name(name, service)}={_mark(url)}", f"Path={cookie.path}"]
        parts += [f"Domain={cookie.domain}"] if cookie.domain else []
        parts += [f"Max-Age={cookie.max_age}"] if cookie.max_age else []
        parts += [word for on, word in ((cookie.http_only, "HttpOnly"), (cookie.secure, "Secure")) if on]
        parts += [f"SameSite={cookie.same_site.capitalize()}"] if cookie.same_site else []
        return "; ".join(parts)

    def access(self, point: EntryPoint, request: http.Request, response: http.Response, sent: int) -> None:
        """The access log in its common form."""
        if not self.static.access_log:
            return
        stamp = ids.utc(self.world.now)
        when = f"{stamp.day:02d}/{http.MONTHS[stamp.month - 1]}/{stamp:%Y:%H:%M:%S} +0000"
        found = self.route(point, request) if request.method else None
        router = f"{found[0]}@kubernetes" if found else "-"
        line = f"{request.method} {request.target} HTTP/{request.version}"
        self.process.log(
            f'{request.peer[0]} - - [{when}] "{line}" {response.status} {sent} "-" "-" 1 "{router}" "-" 0ms'
        )

    @property
    def broken(self) -> dict[str, str]:
        """Routers that cannot be used, and why."""
        return self._broken


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
        wire = _Peeked(connection)
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


class _Peeked:
    """A connection whose first bytes have been looked at."""

    def __init__(self, wire: http.Wire) -> None:
        self._wire = wire
        self._first: bytes | None = None

    @property
    def local(self) -> tuple[str, int]:
        return self._wire.local

    @property
    def peer(self) -> tuple[str, int]:
        return self._wire.peer

    @property
    def trace(self) -> Trace:
        return self._wire.trace

    async def peek(self) -> bytes:
        if self._first is None:
            self._first = await self._wire.recv()
        return self._first

    async def recv(self) -> bytes:
        first, self._first = self._first, None
        return await self._wire.recv() if first is None else first

    async def send(self, data: bytes) -> None:
        await self._wire.send(data)

    def close(self) -> None:
        self._wire.close()


def _chain(pem: str) -> tuple[tls.Certificate, ...]:
    try:
        return tuple(tls.certificates(pem))
    except (ValueError, KeyError, TypeError):
        return ()


def _service_of(obj: dict[str, dict[str, dict[str, str]]]) -> list[tuple[object, str]]:
    name = (obj["metadata"].get("labels") or {}).get(routing.SERVICE_NAME)
    return [(obj["metadata"].get("namespace", ""), name)] if name else []


def _mark(text: str) -> str:
    """What a cookie holds: the server's URL, hashed."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cookie_name(name: str, service: Service) -> str:
    """Without a name of its own it is made from the service's (`pkg/server/cookie: GetName`)."""
    assert service.cookie is not None
    return service.cookie.name or f"_{hashlib.sha1(f'{name}@kubernetes'.encode()).hexdigest()[:5]}"
