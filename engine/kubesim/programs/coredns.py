"""CoreDNS: the cluster's DNS server, as its Corefile says."""

from __future__ import annotations

import hashlib
import re

from kubesim.client import Object, Subscription
from kubesim.dns import corefile, objects, plugins, server
from kubesim.net import errors
from kubesim.programs import disks, http
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled, Future, Task

# plugin/reload: how often the Corefile is looked at, in seconds (the jitter is left out).
RELOAD = 30.0
BUILDS = {
    "1.6.2": "linux/amd64, go1.12.8, 795a3eb",
    "1.8.4": "linux/amd64, go1.16.4, 053c4d5",
    "1.10.1": "linux/amd64, go1.20, 055b2c3",
}
NEWEST_BUILD = "linux/amd64, go1.25.2, 1db4568"


class CoreDns:
    """One running CoreDNS.  It watches the API by the pod's service account and answers once it has heard the first list."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.machine = process.machine
        self.version = process.tag.lstrip("v") if re.match(r"v?\d", process.tag) else "1.13.1"
        self.known = objects.Objects()
        self.ended: Future[int] = self.world.future()
        self.server = plugins.Server(
            machine=self.machine,
            objects=self.known,
            synced=lambda: self._synced,
            log=process.log,
            fatal=self._fatal,
        )
        self._synced = False
        self._subscriptions: list[Subscription] = []
        self._servers: list[server.DnsServer] = []
        self._web: list[Task[None]] = []
        self._plugins: dict[str, corefile.Directive] = {}
        self._text = ""

    def _fatal(self, words: str) -> None:
        self.process.log(f"[FATAL] {words}")
        self.ended.resolve(1)

    # -- its life -------------------------------------------------------------------------------------------

    async def run(self) -> int:
        path = self._path()
        try:
            self._text = self.machine.files.read(path)
            self._start(server.build(self.server, self._text))
            if "kubernetes" in self._plugins:
                self._watch()
            self._serve_http()
            for line in (f"CoreDNS-{self.version}", BUILDS.get(self.version, NEWEST_BUILD)):
                self.process.log(line)
            if "reload" in self._plugins:
                self.world.call_later(RELOAD, self._reload, background=True)
            return await self.ended
        except FileNotFoundError:
            self.process.log(f"open {path}: no such file or directory")
            return 1
        except corefile.CorefileError as error:
            self.process.log(str(error))
            return 1
        except errors.NetError as error:
            self.process.log(f"Listen: {error}")
            return 1
        except Cancelled:
            return await self._lame_duck()
        finally:
            self._stop()

    def _path(self) -> str:
        args = self.process.args
        return args[args.index("-conf") + 1] if "-conf" in args[:-1] else "Corefile"

    async def _lame_duck(self) -> int:
        """SIGTERM: answer for a while longer, so that those who do not know yet are served."""
        self.process.log("[INFO] SIGTERM: Shutting down servers then terminating")
        health = self._plugins.get("health")
        wait = next((each.args[0] for each in health.block if each.name == "lameduck"), "") if health else ""
        if wait:
            self.process.log(f"[INFO] plugin/health: Going into lameduck mode for {wait}")
            from kubesim.machinery import durations

            await self.world.sleep(durations.parse(wait))
        return 0

    def _start(self, servers: list[server.DnsServer]) -> None:
        self._plugins = {
            each.name: each for dns in servers for chain in dns.chains.values() for each in chain.block.plugins
        }
        for dns in servers:
            dns.start()
        self._servers = servers
        for dns in servers:
            for zone in dns.chains:
                self.process.log(f"{zone}:{dns.port}")
        self.process.log(f"[INFO] plugin/reload: Running configuration {self._digest(self._text)}")

    def _digest(self, text: str) -> str:
        # MD5 until 1.8, SHA512 since.
        name = "MD5" if self._release() < (1, 9) else "SHA512"
        return f"{name} = {hashlib.new(name.lower(), text.encode()).hexdigest()}"

    def _release(self) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])

    def _stop(self) -> None:
        self.ended.resolve(0)
        for each in self._servers:
            each.stop()
        for task in self._web:
            task.cancel()
        for subscription in self._subscriptions:
            subscription.close()

    def _reload(self) -> None:
        """A changed Corefile takes effect without a restart; a wrong one does not, and the old one stays."""
        if self.ended.done:
            return
        self.world.call_later(RELOAD, self._reload, background=True)
        path = self._path()
        text = self.machine.files.read(path) if self.machine.files.is_file(path) else self._text
        if text == self._text:
            return
        self.process.log("[INFO] Reloading")
        try:
            fresh = server.build(self.server, text)
        except corefile.CorefileError as error:
            self.process.log(f"[ERROR] Restart failed: {error}")
            self._text = text
            return
        for each in self._servers:
            each.stop()
        self._text = text
        try:
            self._start(fresh)
        except errors.NetError as error:
            self._fatal(f"Restart failed: {error}")
            return
        self.process.log("[INFO] Reloading complete")

    # -- the cluster's objects ------------------------------------------------------------------------------

    def _watch(self) -> None:
        # Before 1.8 (and Kubernetes 1.19) it watched Endpoints (plugin/kubernetes: selectEndpointType).
        slices = self._release() >= (1, 8)
        watched = {"services": self._on_service, "namespaces": self._on_namespace}
        watched["endpointslices.discovery.k8s.io" if slices else "endpoints"] = self._on_slice if slices else self._on_endpoints
        kubernetes = self._plugins["kubernetes"]
        if any(each.name == "pods" and each.args == ["verified"] for each in kubernetes.block):
            watched["pods"] = self._on_pod
        for resource, handler in watched.items():
            self._subscriptions.append(self.process.api.watch(resource, handler))
        # A watch tells what there is in turns of their own; when these are over, the caches have synced.
        self.world.call_soon(self.world.call_soon, self._on_synced)

    def _on_synced(self) -> None:
        self._synced = True

    def _changed(self) -> None:
        self.known.serial = int(self.world.now)

    def _on_service(self, event: str, obj: Object, old: Object | None) -> None:
        self.known.service(event, obj)
        self._changed()

    def _on_namespace(self, event: str, obj: Object, old: Object | None) -> None:
        self.known.namespace(event, obj)

    def _on_slice(self, event: str, obj: Object, old: Object | None) -> None:
        self.known.slice(event, obj)
        self._changed()

    def _on_endpoints(self, event: str, obj: Object, old: Object | None) -> None:
        self.known.endpoints(event, obj)
        self._changed()

    def _on_pod(self, event: str, obj: Object, old: Object | None) -> None:
        self.known.pod(event, obj, old)

    # -- health, readiness, metrics -------------------------------------------------------------------------

    def _serve_http(self) -> None:
        """Each in a server of its own, at the address that its plugin names."""

        async def health(request: http.Request) -> http.Response:
            return http.text("OK") if request.path == "/health" else http.text("404 page not found\n", 404)

        async def ready(request: http.Request) -> http.Response:
            if request.path != "/ready":
                return http.text("404 page not found\n", 404)
            waiting = "kubernetes" in self._plugins and not self._synced
            return http.text("kubernetes", 503) if waiting else http.text("OK")

        async def metrics(request: http.Request) -> http.Response:
            return http.text(self._metrics()) if request.path == "/metrics" else http.text("404 page not found\n", 404)

        for name, default, handler in (
            ("health", ":8080", health),
            ("ready", ":8181", ready),
            ("prometheus", "localhost:9153", metrics),
        ):
            directive = self._plugins.get(name)
            if directive is None:
                continue
            host, port = http.split_host(directive.args[0] if directive.args else default)
            host = "127.0.0.1" if host == "localhost" else host
            with server.binding(f"tcp {host}:{port}"):
                listener = self.machine.net.listen("tcp", host, port)
            self._web.append(self.world.spawn(http.Server(self.world, handler).serve(listener), f"coredns {name}"))

    def _metrics(self) -> str:
        """The counters that courses look at, in Prometheus' text format."""
        lines = [
            "# HELP coredns_build_info A metric with a constant '1' value labeled by version from which CoreDNS was built.",
            "# TYPE coredns_build_info gauge",
            f'coredns_build_info{{version="{self.version}"}} 1',
            "# HELP coredns_dns_requests_total Counter of DNS requests made per zone, protocol and family.",
            "# TYPE coredns_dns_requests_total counter",
        ]
        for key, count in sorted(self.server.counts.items()):
            if key[0] == "requests":
                where = f'family="1",proto="{key[1]}",server="dns://:53",type="{key[2]}",view="",zone="."'
                lines.append(f"coredns_dns_requests_total{{{where}}} {count}")
        lines.append("# HELP coredns_dns_responses_total Counter of response status codes.")
        lines.append("# TYPE coredns_dns_responses_total counter")
        for key, count in sorted(self.server.counts.items()):
            if key[0] == "responses":
                lines.append(f'coredns_dns_responses_total{{rcode="{key[1]}",server="dns://:53",view="",zone="."}} {count}')
        return "\n".join(lines) + "\n"


async def main(process: Process) -> int:
    return await CoreDns(process).run()


IMAGES = [
    Image(
        names=("coredns/coredns", "registry.k8s.io/coredns", "registry.k8s.io/coredns/coredns"),
        program=main,
        programs=("coredns",),
        entrypoint=("/coredns",),
        tools=disks.DISTROLESS,
        user="65532",
        seconds=1.2,
    )
]
