"""What kube-proxy answers over HTTP: /healthz and /livez on 10256, the health check node ports of Services, and its
metrics on 10249.

Upstream: pkg/proxy/healthcheck (proxy_health.go, service_health.go), pkg/proxy/metrics.  Load balancers ask these: a node
whose kube-proxy has stopped writing rules, or that is about to go, should get no more connections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from typing import TYPE_CHECKING

from kubesim import ids
from kubesim.machine import Machine
from kubesim.proxy.model import ServiceName
from kubesim.world import Task, World

if TYPE_CHECKING:
    from kubesim.programs.http import Request, Response

    Handler = Callable[[Request], Awaitable[Response]]


class Health:
    """Whether the rules keep up with the objects: a change that waits longer than `timeout` seconds is too long."""

    def __init__(self, world: World, timeout: float) -> None:
        self._world = world
        self._timeout = timeout
        self._queued: float | None = None
        self.updated_at = world.now
        self.eligible = True

    def queued(self) -> None:
        if self._queued is None:
            self._queued = self._world.now

    def updated(self) -> None:
        self._queued = None
        self.updated_at = self._world.now

    @property
    def healthy(self) -> bool:
        return self._queued is None or self._world.now - self._queued < self._timeout


class Servers:
    """The HTTP servers of one kube-proxy by name.  `complain` is told the name and why it cannot listen."""

    def __init__(self, machine: Machine, complain: Callable[[str, str], None]) -> None:
        self._machine = machine
        self._complain = complain
        self._tasks: dict[str, Task[None]] = {}

    def open(self, name: str, where: str, handler: Handler) -> None:
        """Serve at "HOST:PORT" (no host: all addresses); port 0 or nothing at all means not to.  Again: nothing."""
        from kubesim.programs import http

        host, _, port = where.rpartition(":")
        if name in self._tasks or not where or port == "0":
            return
        try:
            listener = self._machine.net.listen("tcp", host.strip("[]"), int(port))
        except OSError as error:
            self._complain(name, f"listen tcp {where}: bind: {error}")
            return
        server = http.Server(self._machine.world, handler)
        self._tasks[name] = self._machine.world.spawn(server.serve(listener), f"kube-proxy {name}")

    def keep(self, names: Container[str]) -> None:
        """Close all others."""
        for name in [name for name in self._tasks if name not in names]:
            self._tasks.pop(name).cancel()


def _json(status: int, body: str, **headers: str) -> Response:
    from kubesim.programs import http

    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return http.Response(
        status=status,
        headers=[("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"), *named],
        body=body.encode(),
    )


def _go_time(seconds: float) -> str:
    """time.Time's String."""
    text = f"{ids.utc(seconds):%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".")
    return f"{text} +0000 UTC"


def proxy_health(world: World, health: Health) -> Handler:
    """/healthz says whether the node should get traffic, /livez whether kube-proxy itself works."""

    async def handle(request: Request) -> Response:
        from kubesim.programs import http

        if request.path not in ("/healthz", "/livez"):
            return http.text("404 page not found\n", 404)
        well = health.healthy and (health.eligible or request.path == "/livez")
        # While all is well, "last updated" is now: there was nothing to update.
        updated = world.now if health.healthy else health.updated_at
        body = f'{{"lastUpdated": "{_go_time(updated)}","currentTime": "{_go_time(world.now)}"'
        if request.path == "/healthz":
            body += f', "nodeEligible": {"true" if health.eligible else "false"}'
        return _json(200 if well else 503, body + "}")

    return handle


def service_health(name: ServiceName, endpoints: Callable[[], int], health: Health) -> Handler:
    """What a load balancer learns on a Service's healthCheckNodePort: how many endpoints are ready on this node."""

    async def handle(_request: Request) -> Response:
        count, well = endpoints(), health.healthy
        body = (
            "{\n"
            '\t"service": {\n'
            f'\t\t"namespace": "{name.namespace}",\n'
            f'\t\t"name": "{name.name}"\n'
            "\t},\n"
            f'\t"localEndpoints": {count},\n'
            f'\t"serviceProxyHealthy": {"true" if well else "false"}\n'
            "}"
        )
        return _json(200 if count and well else 503, body, X_Load_Balancing_Endpoint_Weight=str(count))

    return handle


def metrics(mode: str, values: Callable[[], Mapping[str, float]]) -> Handler:
    """/metrics in Prometheus' text format, /proxyMode and /healthz of the metrics server."""

    async def handle(request: Request) -> Response:
        from kubesim.programs import http

        match request.path:
            case "/healthz":
                return http.text("ok")
            case "/proxyMode":
                return http.text(mode)
            case "/metrics":
                lines = []
                for name, value in values().items():
                    bare = name.partition("{")[0]
                    kind = (
                        "counter" if bare.endswith(("_total", "_count")) and "iptables_total" not in bare else "gauge"
                    )
                    header = f"# TYPE {bare} {kind}"
                    if header not in lines:
                        lines.append(header)
                    lines.append(f"{name} {value:g}" if value < 1e6 else f"{name} {value!r}")
                return http.text("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")
            case _:
                return http.text("404 page not found\n", 404)

    return handle
