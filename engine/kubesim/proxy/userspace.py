"""The userspace mode: kube-proxy as the proxy that its name says, until it was dropped in 1.26.

Each port of a Service has a socket of kube-proxy's own on the node, and iptables only brings packets there: KUBE-PORTALS-
what goes to a Service's addresses, KUBE-NODEPORT- what goes to node ports, -CONTAINER what comes in and -HOST what the node
itself sends.  kube-proxy accepts the connection, picks an endpoint in turn, and copies bytes.  So the pod sees the node as
its client; and where an endpoint does not answer, another one is tried, which no rule in the kernel can do.

Upstream: pkg/proxy/userspace (proxier.go, proxysocket.go, roundrobin.go) of release-1.16.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubesim.net.errors import NetError
from kubesim.proxy import addresses
from kubesim.proxy.family import Family
from kubesim.proxy.iptables import Jump
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.model import Endpoint, PortName, ServiceName, ServicePort
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State
from kubesim.world import Cancelled, Task, TimedOut, World

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.sockets import Connection, UdpSocket

# How long one endpoint after the other is waited for, in seconds (endpointDialTimeouts).
DIAL_SECONDS = (0.25, 0.5, 1.0, 2.0)
# For how long an answer to a UDP client is waited for (--udp-timeout).
UDP_IDLE_SECONDS = 0.25

_PORTALS = "handle ClusterIPs; NOTE: this must be before the NodePort rules"
_NODE_PORTS = "handle service NodePorts; NOTE: this must be the last rule in the chain"
PORTALS = (
    Jump("nat", "PREROUTING", "KUBE-PORTALS-CONTAINER", _PORTALS),
    Jump("nat", "OUTPUT", "KUBE-PORTALS-HOST", _PORTALS),
    Jump("filter", "INPUT", "KUBE-NODEPORT-NON-LOCAL", "Ensure that non-local NodePort traffic can flow"),
)
NODE_PORTS = (
    Jump("nat", "PREROUTING", "KUBE-NODEPORT-CONTAINER", _NODE_PORTS, "-m addrtype --dst-type LOCAL"),
    Jump("nat", "OUTPUT", "KUBE-NODEPORT-HOST", _NODE_PORTS, "-m addrtype --dst-type LOCAL"),
)
NAT_CHAINS = ("KUBE-PORTALS-CONTAINER", "KUBE-PORTALS-HOST", "KUBE-NODEPORT-CONTAINER", "KUBE-NODEPORT-HOST")
FILTER_CHAINS = ("KUBE-NODEPORT-NON-LOCAL",)


@dataclass(slots=True)
class Balancer:
    """Endpoints in turn, and the one that a client had before while affinity lasts (roundrobin.go)."""

    endpoints: tuple[Endpoint, ...] = ()
    turn: int = 0
    clients: dict[str, tuple[Endpoint, float]] = field(default_factory=dict)

    def replace(self, endpoints: tuple[Endpoint, ...]) -> None:
        if endpoints != self.endpoints:
            self.endpoints = endpoints
            self.turn = 0
            self.clients = {client: had for client, had in self.clients.items() if had[0] in endpoints}

    def choose(self, client: str, affinity: int, now: float, again: bool = False) -> Endpoint | None:
        """The next endpoint, None when there is none.  `again`: the one that the client had did not answer."""
        if not self.endpoints:
            return None
        had = self.clients.get(client) if affinity and not again else None
        if had is not None and now - had[1] < affinity:
            chosen = had[0]
        else:
            chosen = self.endpoints[self.turn % len(self.endpoints)]
            self.turn = (self.turn + 1) % len(self.endpoints)
        if affinity:
            self.clients[client] = (chosen, now)
        return chosen


@dataclass(slots=True)
class Portal:
    """One port of a Service: its socket on the node, and the task that serves it."""

    service: ServicePort
    port: int
    task: Task[None]
    close: Callable[[], None]
    balancer: Balancer = field(default_factory=Balancer)


class UserspaceFamily(Family):
    """Proxies by itself.  Each sync writes all."""

    def __init__(self, world: World, host: Host, state: State, options: Settings, tables: Iptables) -> None:
        super().__init__(world, state, options, full_period=-1.0)
        self._host = host
        self._tables = tables
        self._portals: dict[PortName, Portal] = {}

    def write(self, changed: frozenset[ServiceName] | None) -> None:
        for name in [name for name in self._portals if name not in self.state.services]:
            self._close(self._portals.pop(name))
        for name, service in sorted(self.state.services.items()):
            if service.protocol not in ("tcp", "udp"):
                continue  # SCTP never came to this mode
            portal = self._portals.get(name)
            if portal is None:
                portal = self._portals[name] = self._open(service)
            portal.service = service
            ready = tuple(each for each in self.state.endpoints.get(name, ()) if each.ready)
            portal.balancer.replace(ready)
        self._tables.ensure((), PORTALS)
        for jump in NODE_PORTS:
            self._tables.ensure([(jump.table, jump.chain)])
            self._tables.append(jump.table, jump.source, jump.rule)
        self._tables.restore(self.text())

    def text(self) -> str:
        """The rules, for iptables-restore (upstream adds each by a command of its own)."""
        nat: list[str] = []
        filtering: list[str] = []
        for name in sorted(self._portals):
            portal = self._portals[name]
            service = portal.service
            label = f"{name}:" if not name.port else str(name)
            head = f"-m comment --comment {label} -p {service.protocol} -m {service.protocol} --dport"
            redirect = f"-j REDIRECT --to-ports {portal.port}"
            here = f"-j DNAT --to-destination {addresses.join(self.options.node_ip or '127.0.0.1', portal.port)}"
            for address in (service.cluster_ip, *service.external_ips, *service.load_balancer_ips):
                to = f"{head} {service.port} -d {address}/{128 if self.options.ipv6 else 32}"
                nat += [f"-A KUBE-PORTALS-CONTAINER {to} {redirect}", f"-A KUBE-PORTALS-HOST {to} {here}"]
            if service.node_port:
                to = f"{head} {service.node_port}"
                nat += [f"-A KUBE-NODEPORT-CONTAINER {to} {redirect}", f"-A KUBE-NODEPORT-HOST {to} {here}"]
                filtering.append(f"-A KUBE-NODEPORT-NON-LOCAL {head} {portal.port} -m state --state NEW -j ACCEPT")
        lines = ["*filter", *(f":{chain} - [0:0]" for chain in FILTER_CHAINS), *filtering, "COMMIT"]
        lines += ["*nat", *(f":{chain} - [0:0]" for chain in NAT_CHAINS), *nat, "COMMIT\n"]
        return "\n".join(lines)

    def rule_counts(self) -> Mapping[str, int]:
        lines = self.text().partition("*nat")
        return {"filter": lines[0].count("\n-A "), "nat": lines[2].count("\n-A ")}

    def set_canaries(self) -> None:
        self._tables.set_canaries()

    def canary_lives(self) -> bool:
        return self._tables.canary_lives()

    def stop(self) -> None:
        for portal in self._portals.values():
            self._close(portal)
        self._portals.clear()

    # -- proxying ---------------------------------------------------------------------------------------------

    def _open(self, service: ServicePort) -> Portal:
        everywhere = "::" if self.options.ipv6 else "0.0.0.0"
        name = service.name
        work: Coroutine[Any, Any, None]
        if service.protocol == "udp":
            socket = self._host.udp(everywhere)
            port, close, work = socket.port, socket.close, self._serve_udp(name, socket)
        else:
            listener = self._host.listen("tcp", everywhere, 0)
            port, close, work = listener.port, listener.close, self._serve_tcp(name, listener.accept)
        return Portal(service, port, self.world.spawn(work, f"kube-proxy for {name}"), close)

    def _close(self, portal: Portal) -> None:
        portal.task.cancel()
        portal.close()

    async def _serve_tcp(self, name: PortName, accept: Callable[[], Coroutine[Any, Any, Connection]]) -> None:
        while True:
            connection = await accept()
            self.world.spawn(self._proxy(name, connection), f"connection to {name}").retrieved = True

    async def _proxy(self, name: PortName, connection: Connection) -> None:
        """Find an endpoint that answers, then copy both ways until both ends have closed."""
        backend = await self._dial(name, connection.peer[0])
        if backend is None:
            connection.close()
            return
        back = self.world.spawn(_copy(backend, connection), "to the client")
        back.retrieved = True
        await _copy(connection, backend)

    async def _dial(self, name: PortName, client: str) -> Connection | None:
        for attempt, seconds in enumerate(DIAL_SECONDS):
            portal = self._portals.get(name)
            if portal is None:
                return None
            chosen = portal.balancer.choose(client, portal.service.affinity_seconds, self.world.now, again=attempt > 0)
            if chosen is None:
                return None
            try:
                return await self._host.connect(chosen.address, chosen.port, timeout=seconds)
            except NetError:
                continue
        return None

    async def _serve_udp(self, name: PortName, socket: UdpSocket) -> None:
        """Each client has a socket to its endpoint for as long as there is traffic."""
        while True:
            data, client = await socket.recv_from()
            self.world.spawn(self._answer_udp(name, socket, data, client), f"datagram to {name}").retrieved = True

    async def _answer_udp(self, name: PortName, socket: UdpSocket, data: bytes, client: tuple[str, int]) -> None:
        portal = self._portals.get(name)
        chosen = portal and portal.balancer.choose(client[0], portal.service.affinity_seconds, self.world.now)
        if not chosen:
            return
        backend = self._host.udp()
        try:
            backend.send_to(data, chosen.address, chosen.port)
            answer, _ = await self.world.wait_for(backend.recv_from(), UDP_IDLE_SECONDS)
            socket.send_to(answer, *client)
        except (NetError, TimedOut):
            return
        finally:
            backend.close()


async def _copy(source: Connection, into: Connection) -> None:
    try:
        while data := await source.recv():
            await into.send(data)
    except (NetError, ConnectionError, Cancelled):
        pass
    into.close()
