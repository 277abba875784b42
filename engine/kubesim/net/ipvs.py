"""IPVS, the kernel's own load balancer: virtual servers, their real servers, and the connections between them.

Theory of operation
-------------------
A *service* (virtual server) is an address, a port and a protocol; its *real servers* are where connections to it go.  A
connection is given to a real server once, by the service's scheduler, and then remembered: its packets are rewritten by
memory, those of the answers back again.  Persistence remembers the client too: a *template*, a connection without a
client's port, sends whoever comes again to the same real server for as long as its timer runs, and for as long as a
connection that it began lives.

This module is the tables and what `ipvsadm` does to them; where they meet packets is in `ipvs_hooks`, the choice in
`ipvs_schedulers`.  Rewriting (`-m`, masquerading) is the one way of forwarding here; direct routing (-g) and tunnels (-i) fail
by name.

Source: Linux, net/netfilter/ipvs (ip_vs_ctl.c, ip_vs_conn.c, ip_vs_core.c, ip_vs_proto_tcp.c); ipvsadm(8).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from kubesim import errors
from kubesim.errors import LearnerError
from kubesim.net import address
from kubesim.net.ipvs_schedulers import REAL, SCHEDULERS, Memory

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.world import World

# The sysctls that kube-proxy sets and the hooks ask, with the kernel's defaults; they are there once IPVS is.
SYSCTLS = {
    "net.ipv4.vs.conn_reuse_mode": 1,
    "net.ipv4.vs.conntrack": 0,
    "net.ipv4.vs.expire_nodest_conn": 0,
    "net.ipv4.vs.expire_quiescent_template": 0,
}
# `ipvsadm -p` without a number: IP_VS_TEMPLATE_TIMEOUT.
PERSISTENCE = 300
# A template whose time is up waits so long for the connections that it began (ip_vs_conn_expire).
_STILL_USED = 60.0

Key = tuple[str, str, int]


class IpvsError(LearnerError):
    """What ipvsadm prints when the kernel does not do it (libipvs, ipvs_strerror)."""


class RealServer:
    """Where connections go.  `active` counts the established ones, `inactive` the others, `persistent` the templates."""

    __slots__ = ("active", "address", "counters", "gone", "inactive", "persistent", "port", "weight")

    def __init__(self, ip: str, port: int, weight: int = 1) -> None:
        self.address = ip
        self.port = port
        self.weight = weight
        self.active = 0
        self.inactive = 0
        self.persistent = 0
        self.gone = False
        self.counters = Counters()

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Counters:
    """What `ipvsadm --stats` shows; "in" is from the client."""

    __slots__ = ("connections", "in_bytes", "in_packets", "out_bytes", "out_packets")

    def __init__(self) -> None:
        self.zero()

    def zero(self) -> None:
        self.connections = self.in_packets = self.out_packets = self.in_bytes = self.out_bytes = 0

    def count(self, length: int, *, answer: bool) -> None:
        if answer:
            self.out_packets += 1
            self.out_bytes += length
        else:
            self.in_packets += 1
            self.in_bytes += length


class Service:
    """A virtual server.  `persistence` is in seconds, 0 for none; `real_servers` are in the kernel's order, the newest
    first; `memory` is what the scheduler remembers."""

    def __init__(self, protocol: str, ip: str, port: int, scheduler: str, persistence: int = 0) -> None:
        self.protocol = protocol
        self.address = ip
        self.port = port
        self.scheduler = scheduler
        self.persistence = persistence
        self.real_servers: list[RealServer] = []
        self.memory: Memory = None
        self.counters = Counters()

    @property
    def key(self) -> Key:
        return self.protocol, self.address, self.port

    @property
    def where(self) -> str:
        """ "10.96.0.10:80"."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def find(self, ip: str, port: int) -> RealServer | None:
        return next((each for each in self.real_servers if each.address == ip and each.port == port), None)

    def rule(self) -> str:
        """As `ipvsadm -S -n` has it."""
        option = {"tcp": "-t", "udp": "-u"}.get(self.protocol, f"--{self.protocol}-service")
        return f"{option} {self.where}"

    def save(self) -> list[str]:
        persistent = f" -p {self.persistence}" if self.persistence else ""
        servers = sorted(self.real_servers, key=lambda each: (address.number(each.address), each.port))
        return [
            f"-A {self.rule()} -s {self.scheduler}{persistent}",
            *(f"-a {self.rule()} -r {each} -m -w {each.weight}" for each in servers),
        ]


class Flow(NamedTuple):
    """A connection's four numbers as its client knows them; a template has port 0 for the client's."""

    protocol: str
    client: str
    client_port: int
    virtual: str
    virtual_port: int


# Linux, ip_vs_proto_tcp.c: tcp_states.  By direction and kind of segment, the next state by the present one.
_STATES = (
    "NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK",
)  # fmt: skip
_SHORT = dict(zip(("NO", "ES", "SS", "SR", "FW", "TW", "CL", "CW", "LA", "LI", "SA"), _STATES, strict=True))
_ROWS = {
    # answer?        NO ES SS SR FW TW CL CW LA LI SA
    (False, "syn"): "SR ES ES SR SR SR SR SR SR SR SR",
    (False, "fin"): "CL CW SS TW TW TW CL CW LA LI TW",
    (False, "ack"): "CL ES SS ES FW TW CL CW CL LI ES",
    (False, "rst"): "CL CL CL SR CL CL CL CL LA LI SR",
    (True, "syn"): "SS ES SS SR SS SS SS SS SS LI SR",
    (True, "fin"): "TW FW SS TW FW TW CL TW LA LI TW",
    (True, "ack"): "ES ES SS ES FW TW CL CW LA ES ES",
    (True, "rst"): "CL CL SS CL CL TW CL CL CL CL CL",
}  # fmt: skip
_TCP = {
    (answer, segment, state): _SHORT[word]
    for (answer, segment), row in _ROWS.items()
    for state, word in zip(_STATES, row.split(), strict=True)
}
# Seconds: tcp_timeouts; `ipvsadm --set` changes ESTABLISHED, FIN_WAIT and UDP.
TIMEOUTS = {
    "NONE": 2, "ESTABLISHED": 900, "SYN_SENT": 120, "SYN_RECV": 60, "FIN_WAIT": 120, "TIME_WAIT": 120, "CLOSE": 10,
    "CLOSE_WAIT": 60, "LAST_ACK": 30, "LISTEN": 120, "SYNACK": 120, "UDP": 300, "INIT1": 3,
}  # fmt: skip
# How a protocol without segments is listed.
_OTHERS = {"udp": "UDP", "sctp": "INIT1"}


class Connection:
    """One connection, or a template: `template` began it, `controlled` counts those that a template has begun."""

    __slots__ = ("controlled", "expires", "flow", "inactive", "server", "service", "state", "template", "timeout")

    def __init__(self, flow: Flow, service: Service, server: RealServer) -> None:
        self.flow = flow
        self.service = service
        self.server = server
        self.state = "NONE"
        self.timeout = 0.0
        self.expires = 0.0
        self.inactive = False
        self.template: Connection | None = None
        self.controlled = 0

    @property
    def is_template(self) -> bool:
        return not self.flow.client_port

    @property
    def answers(self) -> Flow:
        """What the real server's packets look like: from it to the client."""
        flow = self.flow
        return Flow(flow.protocol, self.server.address, self.server.port, flow.client, flow.client_port)

    def copy(self) -> Connection:
        made = Connection.__new__(Connection)
        for name in Connection.__slots__:
            setattr(made, name, getattr(self, name))
        return made


class Connections:
    """A host's table of them.  A fork (for a dry walk) reads through to its parent, keeps to itself what it changes, and
    counts nothing."""

    def __init__(self, world: World, parent: Connections | None = None) -> None:
        self.timeouts: dict[str, int] = dict(TIMEOUTS) if parent is None else parent.timeouts
        self._world = world
        self._parent = parent
        self._by_request: dict[Flow, Connection] = {}
        self._by_answer: dict[Flow, Connection] = {}
        # When each is to be looked at again: (time, number, connection).  One that lived on goes back in.
        self._due: list[tuple[float, int, Connection]] = []
        self._number = 0

    def fork(self) -> Connections:
        return Connections(self._world, self)

    def entries(self) -> list[Connection]:
        """All that live, oldest first."""
        self._settle()
        return list(self._by_request.values())

    def request(self, flow: Flow) -> Connection | None:
        """The connection that a client's packet belongs to; a template for a flow without a client's port."""
        self._settle()
        found = self._by_request.get(flow)
        if found is None and self._parent is not None:
            return self._borrow(self._parent.request(flow))
        return found

    def answer(self, flow: Flow) -> Connection | None:
        """The connection that a real server's packet belongs to."""
        self._settle()
        found = self._by_answer.get(flow)
        if found is None and self._parent is not None:
            return self._borrow(self._parent.answer(flow))
        return found

    def _borrow(self, found: Connection | None) -> Connection | None:
        if found is None:
            return None
        made = found.copy()
        self._by_request[made.flow] = self._by_answer[made.answers] = made
        return made

    def begin(self, flow: Flow, service: Service, server: RealServer, template: Connection | None = None) -> Connection:
        """A new one; its timer is not set yet."""
        made = Connection(flow, service, server)
        made.template = template
        if template is not None:
            template.controlled += 1
        self._by_request[flow] = made
        if not made.is_template:
            self._by_answer[made.answers] = made
            made.inactive = True
        if self._parent is None:
            if made.is_template:
                server.persistent += 1
            else:
                server.inactive += 1
                service.counters.connections += 1
                server.counters.connections += 1
        return made

    def passes(self, connection: Connection, flags: str, *, answer: bool) -> None:
        """A packet of it passed: its state, and its timer."""
        flow = connection.flow
        if flow.protocol == "tcp":
            segment = "rst" if "R" in flags else "syn" if "S" in flags else "fin" if "F" in flags else "ack"
            connection.state = _TCP[answer, segment, connection.state]
            self._busy(connection, connection.state == "ESTABLISHED")
        else:
            connection.state = _OTHERS.get(flow.protocol, "NONE")
        self.rearm(connection, self.timeouts[connection.state])

    def rearm(self, connection: Connection, seconds: float) -> None:
        before = connection.expires
        connection.timeout = seconds
        connection.expires = self._world.now + seconds
        if self._parent is None and (not before or connection.expires < before):
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        self._number += 1
        heapq.heappush(self._due, (connection.expires, self._number, connection))

    def _busy(self, connection: Connection, active: bool) -> None:
        if connection.inactive == active and self._parent is None:
            server = connection.server
            server.active += 1 if active else -1
            server.inactive += -1 if active else 1
        connection.inactive = not active

    def _settle(self) -> None:
        """Forget those whose time is up."""
        now = self._world.now
        while self._due and self._due[0][0] <= now:
            at, _, connection = heapq.heappop(self._due)
            if self._by_request.get(connection.flow) is not connection:
                continue
            if connection.expires <= at and connection.controlled:
                connection.expires = at + _STILL_USED
            if connection.expires > at:
                self._watch(connection)
            else:
                self.delete(connection)

    def delete(self, connection: Connection) -> None:
        """Forget it."""
        if self._by_request.pop(connection.flow, None) is None:
            return
        if self._by_answer.get(connection.answers) is connection:
            del self._by_answer[connection.answers]
        if self._parent is None:
            if connection.template is not None:
                connection.template.controlled -= 1
            server = connection.server
            if connection.is_template:
                server.persistent -= 1
            elif connection.inactive:
                server.inactive -= 1
            else:
                server.active -= 1

    def clear(self) -> None:
        for each in list(self._by_request.values()):
            self.delete(each)


class Ipvs:
    """The virtual servers of one host.  Every change is a command of ipvsadm(8) and raises `IpvsError` in its words."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._services: dict[Key, Service] = {}
        self.connections = Connections(host.world)

    def __bool__(self) -> bool:
        """Whether packets meet it at all."""
        return bool(self._services or self.connections.entries())

    @property
    def services(self) -> list[Service]:
        """Sorted by protocol, address and port, as `ipvsadm -L` lists them."""
        return sorted(
            self._services.values(), key=lambda each: (each.protocol, address.number(each.address), each.port)
        )

    def get(self, protocol: str, ip: str, port: int) -> Service | None:
        return self._services.get((protocol, ip, port))

    def add(self, protocol: str, ip: str, port: int, scheduler: str = "wlc", persistence: int = 0) -> Service:
        """-A."""
        if (protocol, ip, port) in self._services:
            raise IpvsError("Service already exists")
        _check(scheduler)
        made = self._services[protocol, ip, port] = Service(protocol, ip, port, scheduler, persistence)
        for name, value in SYSCTLS.items():
            self._host.sysctls.setdefault(name, value)
        self._changed()
        return made

    def edit(self, protocol: str, ip: str, port: int, scheduler: str = "wlc", persistence: int = 0) -> None:
        """-E."""
        found = self._service(protocol, ip, port, "No such service")
        _check(scheduler)
        if scheduler != found.scheduler:
            found.scheduler, found.memory = scheduler, None
        found.persistence = persistence

    def delete(self, protocol: str, ip: str, port: int) -> None:
        """-D.  Its connections find no real server any more."""
        found = self._service(protocol, ip, port, "No such service")
        for each in found.real_servers:
            each.gone = True
        del self._services[found.key]
        self._changed()

    def clear(self) -> None:
        """-C."""
        for each in self.services:
            self.delete(*each.key)

    def add_server(self, service: Service, ip: str, port: int, weight: int = 1) -> None:
        """-a."""
        if service.find(ip, port) is not None:
            raise IpvsError("Destination already exists")
        service.real_servers.insert(0, RealServer(ip, port, weight))
        if service.scheduler == "wrr":
            service.memory = None

    def edit_server(self, service: Service, ip: str, port: int, weight: int) -> None:
        """-e."""
        found = self._server(service, ip, port)
        found.weight = weight
        if service.scheduler == "wrr":
            service.memory = None

    def delete_server(self, service: Service, ip: str, port: int) -> None:
        """-d."""
        found = self._server(service, ip, port)
        at = service.real_servers.index(found)
        if service.memory is found:
            # ip_vs_rr_del_dest: the turn stays behind the one before.
            service.memory = service.real_servers[at - 1] if at else None
        elif service.scheduler == "wrr":
            service.memory = None
        del service.real_servers[at]
        found.gone = True

    def service(self, protocol: str, ip: str, port: int) -> Service:
        """The service that a real server's command names."""
        return self._service(protocol, ip, port, "Service not defined")

    def set_timeouts(self, tcp: float, tcp_fin: float, udp: float) -> None:
        """--set, in seconds; 0 leaves one as it is."""
        for name, seconds in (("ESTABLISHED", tcp), ("FIN_WAIT", tcp_fin), ("UDP", udp)):
            if seconds:
                self.connections.timeouts[name] = int(seconds)

    def _service(self, protocol: str, ip: str, port: int, missing: str) -> Service:
        found = self._services.get((protocol, ip, port))
        if found is None:
            raise IpvsError(missing)
        return found

    def _server(self, service: Service, ip: str, port: int) -> RealServer:
        found = service.find(ip, port)
        if found is None:
            raise IpvsError("No such destination")
        return found

    def _changed(self) -> None:
        self._host.netfilter.changed()
        self._host.netfilter6.changed()


def _check(scheduler: str) -> None:
    if scheduler not in SCHEDULERS:
        if scheduler in REAL:
            raise errors.NotSimulated(f"the IPVS scheduler {scheduler!r}", f"There are: {', '.join(SCHEDULERS)}.")
        raise IpvsError("Scheduler or persistence engine not found")
