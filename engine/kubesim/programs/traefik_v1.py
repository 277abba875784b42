"""Traefik 1.7: an ingress controller that reads Ingresses and Endpoints, listens on :80, and has its API on :8080."""

from __future__ import annotations

import json

from kubesim import ids
from kubesim.ingress import legacy
from kubesim.net import errors
from kubesim.programs import following, forwarding, http
from kubesim.programs.image import Process
from kubesim.world import Cancelled

# --providersThrottleDuration's default, in seconds.
THROTTLE = 2.0
# The flags that are known here, in lower case as flaeg compares them; others are refused as the real one refuses what it
# does not know.
FLAGS = frozenset((
    "api", "api.dashboard", "api.entrypoint", "web", "web.address", "kubernetes", "kubernetes.ingressclass", "loglevel", "l",
    "accesslog", "ping", "entrypoints", "defaultentrypoints", "debug", "d", "checknewversion", "sendanonymoususage",
))  # fmt: skip
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL", "PANIC")
DASHBOARD = """<!DOCTYPE html>
<html><head><title>Traefik</title></head>
<body><h1>Traefik</h1><p>The dashboard draws what <a href="/api/providers">/api/providers</a> says.</p></body></html>
"""


class FlagError(ValueError):
    """The command line cannot be read."""


class Traefik:
    """One running 1.7."""

    def __init__(self, process: Process, release: str) -> None:
        self.process = process
        self.world = process.world
        self.machine = process.machine
        self.release = release
        self.flags: dict[str, str] = {}
        self.configuration = legacy.Configuration()
        self._rotations: dict[str, forwarding.Rotation] = {}
        self._cluster = following.Following(self.world, process.api, self._reload, THROTTLE)
        # Counted for /health.
        self._answers: dict[int, int] = {}

    # -- its life -------------------------------------------------------------------------------------------

    def log(self, words: str, level: str = "info") -> None:
        """logrus' text form, from the level on that was asked for."""
        asked = (self.flags.get("loglevel") or self.flags.get("l") or "ERROR").upper()
        if LEVELS.index(level.upper().replace("WARNING", "WARN")) >= LEVELS.index(
            asked if asked in LEVELS else "ERROR"
        ):
            quoted = words.replace("\\", "\\\\").replace('"', '\\"')
            self.process.log(f'time="{ids.timestamp(self.world.now)}" level={level} msg="{quoted}"')

    async def run(self) -> int:
        try:
            self.flags = _flags(self.process.args[1:])
            ports = {"http": _entry_point(self.flags.get("entrypoints", ""))}
        except FlagError as error:
            self.process.log(f"Error parsing command: {error}")
            return 1
        self.log(f"Traefik version v{self.release} built on 2019-08-08_04:46:14PM")
        if {"api", "web", "ping", "api.dashboard"} & self.flags.keys():
            ports["traefik"] = http.split_host(self.flags.get("web.address", ":8080"))
        tasks = []
        try:
            for name, (address, port) in ports.items():
                listener = self.machine.net.listen("tcp", address, port)
                handler = self._api if name == "traefik" else self._proxy
                web = http.Server(self.world, handler, forwarding.Style(), self._access if name == "http" else None)
                tasks.append(self.world.spawn(web.serve(listener), f"traefik {name}"))
                self.log(f"Starting server on {address}:{port}")
            if "kubernetes" in self.flags:
                self._watch()
            for task in tasks:
                await task
        except errors.NetError as error:
            self.log(f"Error opening listener listen tcp {address}:{port}: bind: {str(error).lower()}", "fatal")
            return 1
        except Cancelled:
            self.log("I have to go...")
            self.log("Stopping server gracefully")
        finally:
            for task in tasks:
                task.cancel()
            self._cluster.stop()
        return 0

    # -- the cluster ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self.log("Starting provider *kubernetes.Provider")
        self.log('ingress label selector is: ""')
        self.log("Creating in-cluster Provider client")
        if not self.process.api.serves("extensions", "v1beta1", "ingresses"):
            self._unheard()
            return
        self._cluster.follow("ingresses.networking.k8s.io", "services", "endpoints")

    def _unheard(self) -> None:
        """A server since 1.22 has no Ingresses that 1.7 could read: it asks every second (client-go's reflector), and waits with
        its first configuration for ever."""
        if self._cluster.stopped:
            return
        stamp = ids.utc(self.world.now)
        self.process.log(
            f"E{stamp:%m%d %H:%M:%S.%f}       1 reflector.go:205] "
            "github.com/containous/traefik/vendor/k8s.io/client-go/informers/factory.go:86: Failed to list *v1beta1.Ingress: "
            "the server could not find the requested resource (get ingresses.extensions)"
        )
        self.world.call_later(1.0, self._unheard, background=True)

    def _reload(self) -> None:
        """News: taken in at once, or when the throttle lets it."""
        fresh = legacy.configuration(
            self._cluster.listed("ingresses.networking.k8s.io"),
            self._cluster.keyed("services"),
            self._cluster.keyed("endpoints"),
            self.flags.get("kubernetes.ingressclass", ""),
        )
        if fresh == self.configuration:
            return
        for problem in fresh.problems:
            if problem not in self.configuration.problems:
                self.log(problem, "warning")
        self.configuration = fresh
        self._rotations = {name: self._rotations.get(name, forwarding.Rotation()) for name in fresh.backends}
        self.log("Server configuration reloaded on :80")

    # -- requests -------------------------------------------------------------------------------------------

    async def _proxy(self, request: http.Request) -> http.Response:
        frontend = self.configuration.route(request.host, request.path)
        if frontend is None:
            return forwarding.not_found()
        backend = self.configuration.backends[frontend.name]
        urls = [backend.servers[name] for name in sorted(backend.servers)]
        if not urls:
            return http.text("Service Unavailable", 503)
        stuck = forwarding.cookie(request, backend.sticky) if backend.sticky else ""
        url = stuck if stuck in urls else self._rotations[frontend.name].choose(urls)
        headers = forwarding.forwarded(request, self.machine, trusts=True)
        target = request.target
        if frontend.strips:
            target = "/" + target.removeprefix(frontend.path).lstrip("/")
            headers.append(("X-Forwarded-Prefix", frontend.path))
        if not frontend.pass_host_header:
            headers = [(key, value) for key, value in headers if key.lower() != "host"]
            headers.insert(0, ("Host", url.partition("://")[2]))
        response = await forwarding.forward(
            self.machine, request, url, headers, target, lambda words: self.log(words, "warning")
        )
        if backend.sticky and stuck != url:
            response.headers.append(("Set-Cookie", f"{backend.sticky}={url}; Path=/"))
        return response

    def _access(self, request: http.Request, response: http.Response, sent: int) -> None:
        self._answers[response.status] = self._answers.get(response.status, 0) + 1
        if "accesslog" in self.flags:
            stamp = ids.utc(self.world.now)
            when = f"{stamp.day:02d}/{http.MONTHS[stamp.month - 1]}/{stamp:%Y:%H:%M:%S} +0000"
            line = f"{request.method} {request.target} HTTP/{request.version}"
            frontend = self.configuration.route(request.host, request.path)
            agent = request.header("user-agent") or "-"
            name = frontend.name if frontend else "-"
            self.process.log(
                f'{request.peer[0]} - - [{when}] "{line}" {response.status} {sent} "-" "{agent}" - "{name}" - 0ms'
            )

    async def _api(self, request: http.Request) -> http.Response:
        """The API and the dashboard (1.7's `api/handler.go`)."""
        shown = {"kubernetes": self.configuration.shown()} if "kubernetes" in self.flags else {}
        match [part for part in request.path.split("/") if part]:
            case ["ping"] if "ping" in self.flags:
                return http.text("OK")
            case ["health"]:
                return _json(
                    {
                        "pid": 1,
                        "total_status_code_count": {str(code): count for code, count in sorted(self._answers.items())},
                        "total_count": sum(self._answers.values()),
                    }
                )
            case ["api"]:
                return _json({"providers": shown})
            case ["api", "version"]:
                return _json({"Version": f"v{self.release}", "Codename": "maroilles"})
            case ["api", "providers"]:
                return _json(shown)
            case ["api", "providers", name] if name in shown:
                return _json(shown[name])
            case ["api", "providers", name, "backends" | "frontends" as part] if name in shown:
                return _json(shown[name][part])
            case ["api", "providers", name, "backends" | "frontends" as part, *rest] if name in shown:
                key = "/".join(rest) + ("/" if request.path.endswith("/") else "")
                if key in shown[name][part]:
                    return _json(shown[name][part][key])
            case []:
                return http.Response(status=302, headers=[("Location", "/dashboard/")])
            case ["dashboard", *_]:
                return http.text(DASHBOARD, content_type="text/html; charset=utf-8")
        return forwarding.not_found()


def _json(value: object) -> http.Response:
    return http.text(json.dumps(value, separators=(",", ":")), content_type="application/json")


def _flags(args: list[str]) -> dict[str, str]:
    """`--name`, `--name=value`; names are of any case."""
    found: dict[str, str] = {}
    for word in args:
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name.lower() not in FLAGS:
            raise FlagError(f"unknown flag: {word.partition('=')[0]}")
        found[name.lower()] = value if equals else "true"
    return {name: value for name, value in found.items() if value != "false"}


def _entry_point(text: str) -> tuple[str, int]:
    """`Name:http Address::80`; the first one, which is all that is served here."""
    for word in text.split():
        key, _, value = word.partition(":")
        if key.lower() == "address":
            return http.split_host(value)
        if key.lower() not in ("name", "compress"):
            raise FlagError(f"bad EntryPoints format: {text}")
    return ("", 80)
