"""OpenShift's router: HAProxy on the nodes' own ports 80 and 443, in front of pods, as Routes say.

TLS by the route: `edge` ends here; `reencrypt` ends here and begins anew towards the pod, whose certificate must be that of
destinationCACertificate; `passthrough` is never opened: the name in the client's hello chooses the pod.

Source: openshift/router `images/router/haproxy/conf/haproxy-config.template`; HAProxy's own ways with headers (all in small
letters since 2.0) and cookies (`insert indirect nocache httponly`).
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from kubesim import ids
from kubesim.errors import ApiError
from kubesim.ingress import openshift
from kubesim.ingress.openshift import Backend, Server
from kubesim.net import errors
from kubesim.programs import disks, following, forwarding, http, tls
from kubesim.programs.hello_app import DIED
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled, Task

Object = dict[str, Any]

ROUTES, SERVICES, SLICES = f"routes.{openshift.GROUP}", "services", "endpointslices.discovery.k8s.io"
RELOAD = 5.0  # RELOAD_INTERVAL, seconds between two reloads of HAProxy
CONNECT = 5.0  # timeout connect, seconds
RETRIES = 3
YEAR = 365 * 86400.0
STATS = 1936
UNAVAILABLE = """<!DOCTYPE html>
<html>
  <head><title>Application is not available</title></head>
  <body>
    <h1>Application is not available</h1>
    <p>No route leads from this name and path to a pod that serves. Either there is no such route, or its Service has no ready
    pods, or none of them answers.</p>
  </body>
</html>
"""


class _Unanswered(http.Response):
    """No answer of a pod's: it was not reached, or is not believed."""

    __slots__ = ()


class Router:
    """One running router."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.machine = process.machine
        env = process.machine.env
        self.options = openshift.Options(
            name=env.get("ROUTER_SERVICE_NAME", "default"),
            canonical=env.get("ROUTER_CANONICAL_HOSTNAME", ""),
            wildcards=env.get("ROUTER_ALLOW_WILDCARD_ROUTES", "").lower() == "true",
            balance=env.get("ROUTER_LOAD_BALANCE_ALGORITHM", "random"),
            tcp_balance=env.get("ROUTER_TCP_BALANCE_SCHEME", "source"),
        )
        self._domain = env.get("ROUTER_DOMAIN", "apps.example.com")
        self._backends: list[Backend] = []
        self._turns: dict[str, forwarding.Weights] = {}
        self._open: dict[str, int] = {}  # "backend server" -> connections in hand
        self._cluster = following.Following(self.world, process.api, self._reload, RELOAD)
        key = hashlib.sha256(b"openshift default certificate").hexdigest()[:16]
        name = f"CN=*.{self._domain}"
        self._default = tls.Certificate(
            subject=name, issuer="CN=ingress-operator", not_before=self.world.now, not_after=self.world.now + 2 * YEAR,
            key=key, issuer_key="ingress-operator", sans=(f"DNS:*.{self._domain}",),
        )  # fmt: skip

    # -- its life -------------------------------------------------------------------------------------------

    def log(self, words: str) -> None:
        stamp = ids.utc(self.world.now)
        self.process.log(f"I{stamp:%m%d %H:%M:%S.%f}       1 {words}")

    async def run(self) -> int:
        self.log('template.go:560] "msg"="starting router" "logger"="router" "version"="haproxy, as Routes say"')
        tasks: list[Task[None]] = []
        try:
            for port, server in (
                (80, _Plain(self)),
                (443, _Secure(self)),
                (STATS, http.Server(self.world, self._health, _Style())),
            ):
                listener = self.machine.net.listen("tcp", "", port)
                tasks.append(self.world.spawn(server.serve(listener), f"haproxy {port}"))
            self._watch()
            for task in tasks:
                await task
        except errors.NetError as error:
            self.process.log(f"[ALERT] (1) : Binding: cannot bind socket ({error!s}) for [0.0.0.0:{port}]")
            return 1
        except Cancelled:
            return DIED
        finally:
            for task in tasks:
                task.cancel()
            self._cluster.stop()
        return 0

    async def _health(self, request: http.Request) -> http.Response:
        if request.path in ("/healthz", "/healthz/ready"):
            return http.text("ok\n")
        return http.text("401 Unauthorized\n", 401)

    # -- the cluster ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._cluster.follow(ROUTES, SERVICES, SLICES)
        self._cluster.informers[ROUTES].on_event(lambda kind, route, _before: self._name(kind, route))

    def _reload(self) -> None:
        found = openshift.configuration(
            openshift.Objects(
                routes=self._cluster.listed(ROUTES),
                services=self._cluster.keyed(SERVICES),
                slices=self._cluster.slices,
            ),
            self.options,
        )
        for route, status in found.statuses:
            self._admit(route, status)
        if found.backends != self._backends:
            self._backends = found.backends
            self._turns = {each.name: self._turns.get(each.name, forwarding.Weights()) for each in found.backends}
            self.log('router.go:669] "msg"="router reloaded" "logger"="template"')

    def _name(self, kind: str, route: Object) -> None:
        """A route without a host gets one of the cluster's domain (OpenShift's API server gives it)."""
        if kind == "DELETED" or route["spec"].get("host"):
            return
        host = openshift.generated_host(route, self._domain)
        metadata = route["metadata"]
        patch = {"metadata": {"annotations": {openshift.GENERATED: "true"}}, "spec": {"host": host}}
        with contextlib.suppress(ApiError):
            self.process.api.patch(ROUTES, metadata["name"], metadata["namespace"], patch)

    def _admit(self, route: Object, status: Object) -> None:
        """Its own entry among those that routers write."""
        entries = (route.get("status") or {}).get("ingress") or []
        before: Object = next((each for each in entries if each.get("routerName") == self.options.name), {})
        (condition,) = status["conditions"]
        old: Object = next(iter(before.get("conditions") or ()), {})
        same = all(old.get(key) == condition.get(key) for key in ("status", "reason", "message"))
        condition["lastTransitionTime"] = old["lastTransitionTime"] if same and old else ids.timestamp(self.world.now)
        if status == before:
            return
        others = [each for each in entries if each.get("routerName") != self.options.name]
        with contextlib.suppress(ApiError):
            self.process.api.update(ROUTES, {**route, "status": {"ingress": [*others, status]}}, "status")

    # -- choosing -------------------------------------------------------------------------------------------

    def certificate(self, server_name: str) -> tuple[tls.Certificate, ...]:
        """The route's own for the name that TLS asks for, or the router's."""
        found = openshift.find((each for each in self._backends if each.pem), server_name, "/")
        if found is not None:
            try:
                return tuple(tls.certificates(found.pem))
            except (ValueError, KeyError, TypeError):
                pass
        return (self._default,)

    def passthrough(self, server_name: str) -> Backend | None:
        return openshift.find((e for e in self._backends if e.termination == "passthrough"), server_name, "/")

    def backend(self, request: http.Request) -> Backend | None:
        """Over TLS the routes that end it here; without, those that send to TLS, then those that have none or let it be."""
        path = urlsplit(request.target).path or "/"
        if request.tls is not None:
            return openshift.find(
                (e for e in self._backends if e.termination in ("edge", "reencrypt")), request.host, path
            )
        moved = openshift.find((e for e in self._backends if e.insecure == "Redirect"), request.host, path)
        plain = (each for each in self._backends if not each.termination or each.insecure == "Allow")
        return moved or openshift.find(plain, request.host, path)

    def order(self, backend: Backend, client: str, cookie: str) -> list[Server]:
        """The servers to try: the one whose cookie came, else the one whose turn it is; then the others."""
        servers = list(backend.servers)
        if not servers:
            return []
        chosen = next((each for each in servers if cookie and each.cookie == cookie), None)
        if chosen is None:
            chosen = self._choose(backend, servers, client)
        return [chosen, *(each for each in servers if each is not chosen)][: RETRIES + 1]

    def _choose(self, backend: Backend, servers: list[Server], client: str) -> Server:
        match backend.balance:
            case "leastconn":
                return min(servers, key=lambda each: self._open.get(_place(backend, each), 0) / each.weight)
            case "source":
                return servers[int(hashlib.md5(client.encode()).hexdigest(), 16) % len(servers)]
            case "random":
                return self.world.rng("haproxy").choices(servers, [each.weight for each in servers])[0]
        turn = self._turns[backend.name].choose({f"{each.address}:{each.port}": each.weight for each in servers})
        return next((each for each in servers if f"{each.address}:{each.port}" == turn), servers[0])

    # -- requests -------------------------------------------------------------------------------------------

    async def serve(self, request: http.Request) -> http.Response:
        found = self.backend(request)
        if found is None:
            return unavailable()
        if request.tls is None and found.insecure == "Redirect":
            return _moved(f"https://{request.host}{request.target}")
        client = request.peer[0].removeprefix("::ffff:")
        if found.allowed and not _within(client, found.allowed):
            return unavailable()
        given = forwarding.cookie(request, found.cookie) if found.cookie else ""
        request = replace(request, headers=_forwarded(request, found))
        for server in self.order(found, client, given):
            response = await self._ask(found, server, request)
            if isinstance(response, _Unanswered):
                continue
            if found.cookie and given != server.cookie:
                secure = "; Secure; SameSite=None" if request.tls is not None else ""
                response.headers += [
                    ("set-cookie", f"{found.cookie}={server.cookie}; path=/; HttpOnly{secure}"),
                    ("cache-control", "private"),
                ]
            if found.hsts and request.tls is not None:
                response.headers.append(("strict-transport-security", found.hsts))
            return response
        return unavailable()

    async def _ask(self, backend: Backend, server: Server, request: http.Request) -> http.Response:
        place = _place(backend, server)
        self._open[place] = self._open.get(place, 0) + 1
        scheme = "https" if backend.termination == "reencrypt" else "http"
        target = request.target
        if backend.rewrite:
            path, rest = urlsplit(target).path, target[len(urlsplit(target).path) :]
            target = (backend.rewrite.rstrip("/") + "/" + path[len(backend.path) :].lstrip("/")) + rest
        try:
            response = await forwarding.forward(
                self.machine,
                request,
                f"{scheme}://{server.address}:{server.port}",
                request.headers,
                target,
                failed=lambda status: _Unanswered(status=status),
                trust=self._trust(backend),
            )
        finally:
            self._open[place] -= 1
        response.headers = [(key.lower(), value) for key, value in response.headers]
        return response

    def _trust(self, backend: Backend) -> tls.Trust:
        """reencrypt: the pod's certificate must be signed by the route's destination CA, or by the cluster's own."""
        roots = {"service-ca"}
        with contextlib.suppress(ValueError, KeyError, TypeError):
            roots |= {each.key for each in tls.certificates(backend.authority)}
        return tls.Trust(roots=frozenset(roots), now=self.world.now, names=False)

    async def pass_through(self, backend: Backend, wire: tls.Peeked) -> None:
        """Bytes both ways, unopened."""
        for server in self.order(backend, wire.peer[0], ""):
            try:
                there = await self.machine.net.connect(server.address, server.port, timeout=CONNECT)
            except errors.NetError:
                continue
            place = _place(backend, server)
            self._open[place] = self._open.get(place, 0) + 1
            back = self.world.spawn(_pump(there, wire), "haproxy tcp")
            try:
                await _pump(wire, there)
                await back
            finally:
                self._open[place] -= 1
                there.close()
                back.cancel()
            return


def _place(backend: Backend, server: Server) -> str:
    return f"{backend.name} {server.address}:{server.port}"


async def _pump(source: http.Wire, sink: http.Wire) -> None:
    with contextlib.suppress(errors.NetError):
        while data := await source.recv():
            await sink.send(data)
        sink.close()


def _within(client: str, allowed: tuple[str, ...]) -> bool:
    try:
        return any(ipaddress.ip_address(client) in ipaddress.ip_network(each, strict=False) for each in allowed)
    except ValueError:
        return False


def _forwarded(request: http.Request, backend: Backend) -> http.Headers:
    """What HAProxy adds (ROUTER_SET_FORWARDED_HEADERS=append); its own cookie stays with it ("indirect")."""
    secure = request.tls is not None
    host, scheme = request.header("host"), "https" if secure else "http"
    client = request.peer[0].removeprefix("::ffff:")
    kept: http.Headers = []
    for key, value in request.headers:
        key = key.lower()
        if key == "cookie" and backend.cookie:
            rest = [part.strip() for part in value.split(";") if part.strip().partition("=")[0] != backend.cookie]
            if not rest:
                continue
            value = "; ".join(rest)
        if key not in forwarding.HOP_BY_HOP and key != "content-length":
            kept.append((key, value))
    return [
        *kept,
        ("x-forwarded-host", host),
        ("x-forwarded-port", str(request.local[1])),
        ("x-forwarded-proto", scheme),
        ("forwarded", f"for={client};host={host};proto={scheme}"),
        ("x-forwarded-for", client),
    ]


def _moved(location: str) -> http.Response:
    return http.Response(
        status=302, headers=[("content-length", "0"), ("location", location), ("cache-control", "no-cache")]
    )


def unavailable() -> http.Response:
    response = http.text(UNAVAILABLE, 503, "text/html")
    response.headers = [
        ("pragma", "no-cache"),
        ("cache-control", "private, max-age=0, no-cache, no-store"),
        ("content-type", "text/html"),
    ]
    response.close = True
    return response


class _Style(http.Style):
    """HAProxy adds nothing of its own to an answer."""

    idle = 300.0  # timeout http-keep-alive

    def headers(self, now: float, response: http.Response) -> http.Headers:
        return []


class _Plain(http.Server):
    def __init__(self, router: Router) -> None:
        super().__init__(router.world, router.serve, _Style())


class _Secure(http.Server):
    """Port 443: the name in the hello decides whether TLS ends here."""

    def __init__(self, router: Router) -> None:
        super().__init__(router.world, router.serve, _Style())
        self._router = router
        self._tls = tls.Context(choose=router.certificate)

    async def _connection(self, connection: http.Wire) -> None:
        wire = tls.Peeked(connection)
        try:
            first = await wire.peek()
            backend = self._router.passthrough(tls.asked_name(first))
            if backend is not None:
                await self._router.pass_through(backend, wire)
            else:
                await self._requests(await tls.accept(wire, self._tls))
        except (errors.NetError, tls.TlsError):
            return  # the client has gone, or would not go on
        finally:
            wire.close()


async def main(process: Process) -> int:
    return await Router(process).run()


IMAGES = [
    Image(
        names=("quay.io/openshift/origin-haproxy-router",),
        program=main,
        programs=("openshift-router",),
        entrypoint=("/usr/bin/openshift-router",),
        tools=disks.ALPINE,
        seconds=3.0,
    )
]
