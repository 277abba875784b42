"""GKE's ingress: for each Ingress an HTTP load balancer beyond the cluster, with an address of its own.

It ends TLS by the Secrets that the Ingress names, chooses a backend by host and path as the specification says, and goes to the
backend's node port on one of the nodes; so kube-proxy has its part, and the Service must be of type NodePort or LoadBalancer.

Left out: the health checks of backends (a node that refuses the connection is answered by 502), container-native balancing.

Sources: kubernetes/ingress-gce `pkg/controller/translator`, Google's documentation of external Application Load Balancers.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubesim.client import Client, Object
from kubesim.controllers.controller import Controller
from kubesim.files import FileSystem
from kubesim.informer import Informers
from kubesim.ingress import backends, paths
from kubesim.machine import Machine
from kubesim.machinery import objects
from kubesim.world import Task, World

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.link import Segment
    from kubesim.net.network import Network
    from kubesim.programs import http, tls

INGRESSES = "ingresses.networking.k8s.io"
CLASS = "kubernetes.io/ingress.class"
# How long a new one takes until it answers, in seconds.
BIRTH = 60.0
POOL = "34.117.0.0/16"
# Where Google's front ends come from when they ask the nodes.
FRONT_ENDS = "130.211.0.0/22"
TYPES = ("NodePort", "LoadBalancer")


@dataclass(slots=True)
class FrontEnd:
    """One load balancer: its host, its tasks, the turn of its nodes."""

    address: str
    source: str
    machine: Machine
    ingress: Object
    certificates: list[tuple[tls.Certificate, ...]] = field(default_factory=list)
    tasks: dict[int, Task[None]] = field(default_factory=dict)
    turn: int = 0


class IngressController(Controller):
    """See the module.  `lan` is the nodes' network and `router` its way out."""

    name = "loadbalancer-controller"

    def __init__(
        self,
        world: World,
        client: Client,
        informers: Informers,
        minor: int,
        network: Network,
        lan: Segment,
        router: Host,
        cidr: str,
    ) -> None:
        super().__init__(world, client, informers, minor)
        self._network = network
        self._lan = lan
        self._router = router
        self._cidr = cidr
        self._known: dict[str, FrontEnd] = {}
        self._coming: dict[str, float] = {}
        self._made = 0

    def start(self) -> None:
        self._ingresses = self.watch(INGRESSES)
        self._services = self.informers.of("services")
        self._secrets = self.informers.of("secrets")
        self._nodes = self.informers.of("nodes")
        self._secrets.on_event(lambda _kind, _obj, _before: self._all())

    def _all(self) -> None:
        for key in self._known:
            self.enqueue(key)

    def reconcile(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        ingress = self.client.find(INGRESSES, name, namespace)
        if ingress is None or objects.deleting(ingress) or not _wanted(ingress):
            self._release(key)
            return
        found = self._known.get(key)
        if found is None:
            due = self._coming.get(key)
            if due is None:
                self.recorder.event(ingress, "Normal", "Sync", "Scheduled for sync")
                due = self._coming[key] = self.world.now + BIRTH
            if self.world.now < due:
                self.enqueue_after(key, due - self.world.now)
                return
            self._coming.pop(key)
            found = self._known[key] = self._create(key, ingress)
        found.ingress = ingress
        self._complain(ingress)
        found.certificates = self._certificates(ingress)
        self._listen(key, found)
        wanted = [{"ip": found.address}]
        if objects.get(ingress, "status.loadBalancer.ingress", None) != wanted:
            patch = {"status": {"loadBalancer": {"ingress": wanted}}}
            self.client.patch(INGRESSES, name, namespace, patch, subresource="status")
            self.recorder.event(ingress, "Normal", "IPChanged", f"IP is now {found.address}")

    def _complain(self, ingress: Object) -> None:
        namespace = objects.namespace(ingress)
        for _, backend in _backends(ingress):
            name = (backend.get("service") or {}).get("name", "")
            service = self._services.get(namespace, name)
            where = f'"{namespace}/{name}"'
            if service is None:
                why = f"could not find service {where}"
            elif service["spec"].get("type") not in TYPES:
                kind = service["spec"].get("type")
                why = f'service {where} is type "{kind}", expected "NodePort" or "LoadBalancer"'
            else:
                continue
            self.recorder.event(ingress, "Warning", "Translate", f"Translation failed: invalid ingress spec: {why}")

    # -- its machine ----------------------------------------------------------------------------------------

    def _create(self, key: str, ingress: Object) -> FrontEnd:
        pool, sources = ipaddress.ip_network(POOL), ipaddress.ip_network(FRONT_ENDS)
        taken = {each.address for each in self._known.values()}
        address = next(
            each
            for each in iter(lambda: str(pool[self.world.rng("ingress").randrange(1, 65534)]), "")
            if each not in taken
        )
        self._made += 1
        source = str(sources[self._made])
        host = self._network.host(f"ingress-{self._made}", "cloud")
        self._lan.attach(host, "eth0")
        # The first address is the one that it speaks from.
        for each in (source, address):
            host.add_address("eth0", f"{each}/32")
            self._router.routes.add(f"{each}/32", "eth0", scope="link")
        host.routes.add(self._cidr, "eth0", scope="link")
        host.routes.add("default", "eth0", self._router.source_for("eth0"))
        name = f"ingress {key}"
        machine = Machine(world=self.world, name=name, hostname=host.name, kind="outside", net=host, files=FileSystem())
        return FrontEnd(address, source, machine, ingress)

    def _release(self, key: str) -> None:
        self._coming.pop(key, None)
        found = self._known.pop(key, None)
        if found is not None:
            for task in found.tasks.values():
                task.cancel()
            for each in (found.source, found.address):
                self._router.routes.remove(f"{each}/32")

    def _certificates(self, ingress: Object) -> list[tuple[tls.Certificate, ...]]:
        from kubesim.programs import tls

        chains = []
        for each in ingress["spec"].get("tls") or ():
            secret = self._secrets.get(objects.namespace(ingress), each.get("secretName", ""))
            pair = backends.key_pair(secret) if secret is not None else None
            if pair is None:
                name = each.get("secretName", "")
                self.recorder.event(ingress, "Warning", "Sync", f'Error syncing to GCP: secret "{name}" does not exist')
                continue
            try:
                chains.append(tuple(tls.certificates(pair[0])))
            except ValueError as error:
                self.recorder.event(ingress, "Warning", "Sync", f"Error syncing to GCP: invalid certificate: {error}")
        return chains

    def _listen(self, key: str, found: FrontEnd) -> None:
        from kubesim.programs import forwarding, http, tls

        async def handle(request: http.Request) -> http.Response:
            return await self._answer(found, request)

        def choose(name: str) -> tuple[tls.Certificate, ...]:
            covering = (chain for chain in found.certificates if name and chain[0].covers(name))
            return next(covering, found.certificates[0])

        for port, context in ((80, None), (443, tls.Context(choose=choose) if found.certificates else None)):
            if port in found.tasks or (port == 443 and context is None):
                continue
            listener = found.machine.net.listen("tcp", found.address, port)
            web = http.Server(self.world, handle, forwarding.Style(), context=context)
            found.tasks[port] = self.world.spawn(web.serve(listener), f"ingress {key}:{port}")

    # -- requests -------------------------------------------------------------------------------------------

    async def _answer(self, found: FrontEnd, request: http.Request) -> http.Response:
        from kubesim.programs import forwarding, http

        backend = choose_backend(found.ingress, request.host, request.path)
        if backend is None:
            # The cluster's default backend, l7-default-backend.
            words = "response 404 (backend NotFound), service rules for the path non-existent \n"
            return http.text(words, 404)
        target = self._target(objects.namespace(found.ingress), backend)
        if not target:
            return _error()
        nodes = [each for node in self._nodes.list() if (each := _address(node))]
        if not nodes:
            return _error()
        server = f"http://{nodes[found.turn % len(nodes)]}:{target}"
        found.turn += 1
        peer = request.peer[0].removeprefix("::ffff:")
        before = request.header("x-forwarded-for")
        own = ("x-forwarded-for", "x-forwarded-proto", "via", "content-length")
        headers: http.Headers = [
            *(
                (key, value)
                for key, value in request.headers
                if key.lower() not in forwarding.HOP_BY_HOP and key.lower() not in own
            ),
            ("X-Forwarded-For", f"{before + ',' if before else ''}{peer}, {found.address}"),
            ("X-Forwarded-Proto", "https" if request.tls is not None else "http"),
            ("Via", "1.1 google"),
        ]
        response = await forwarding.forward(found.machine, request, server, headers, failed=lambda _status: _error())
        response.headers.append(("Via", "1.1 google"))
        return response

    def _target(self, namespace: str, backend: Object) -> int:
        """The node port of a backend; 0 when it has none."""
        wanted = backend.get("service") or {}
        service = self._services.get(namespace, wanted.get("name", ""))
        port = wanted.get("port") or {}
        for each in (service or {}).get("spec", {}).get("ports") or ():
            if each["port"] == port.get("number") or (port.get("name") and each.get("name") == port["name"]):
                return int(each.get("nodePort", 0))
        return 0


def choose_backend(ingress: Object, host: str, path: str) -> Object | None:
    """The backend that the Ingress has for a request: the best of its rules, or the default one."""
    found: list[tuple[tuple[bool, int, bool], Object]] = []
    for rule in ingress["spec"].get("rules") or ():
        name = rule.get("host", "")
        if not paths.host_matches(name, host):
            continue
        for each in (rule.get("http") or {}).get("paths") or ():
            kind, pattern = each.get("pathType", "ImplementationSpecific"), each.get("path") or "/"
            if kind == "ImplementationSpecific":
                # GCE's own reading: exact, unless it ends in /*.
                kind, pattern = ("Prefix", pattern[:-2]) if pattern.endswith("/*") else ("Exact", pattern)
            if paths.matches(kind, pattern, path):
                found.append(
                    ((bool(name) and not name.startswith("*"), len(pattern), kind == "Exact"), each["backend"])
                )
    best = paths.best(found, lambda each: each[0])
    return best[1] if best is not None else ingress["spec"].get("defaultBackend")


def _backends(ingress: Object) -> list[tuple[str, Object]]:
    spec = ingress["spec"]
    found = [("", spec["defaultBackend"])] if spec.get("defaultBackend") else []
    for rule in spec.get("rules") or ():
        found += [(each.get("path", ""), each["backend"]) for each in (rule.get("http") or {}).get("paths") or ()]
    return found


def _wanted(ingress: Object) -> bool:
    """Without a class it is GKE's, or with "gce"; a class by spec is somebody else's."""
    named = (ingress["metadata"].get("annotations") or {}).get(CLASS, "")
    return named in ("", "gce") and not ingress["spec"].get("ingressClassName")


def _address(node: Object) -> str:
    listed: list[Any] = (node.get("status") or {}).get("addresses") or []
    return next((each["address"] for each in listed if each["type"] == "InternalIP"), "")


def _error() -> http.Response:
    from kubesim.programs import http

    words = "The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds."
    head = "\n<html><head>\n<title>502 Server Error</title>\n</head>\n<body>\n<h1>Error: Server Error</h1>\n"
    page = f"{head}<h2>{words}</h2>\n</body></html>\n"
    return http.text(page, 502, "text/html; charset=UTF-8")
