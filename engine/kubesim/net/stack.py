"""A host's transport layer: which socket gets a packet, and what the kernel answers when none does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kubesim.net import address, errors, walk
from kubesim.net.packet import Packet, endpoint
from kubesim.net.trace import Verdict

if TYPE_CHECKING:
    from collections.abc import Container

    from kubesim.net.host import Host
    from kubesim.net.sockets import Connection, Echo, Listener, UdpSocket
    from kubesim.world import Future

# net.ipv4.ip_local_port_range.
EPHEMERAL = (32768, 60999)

WILDCARDS = ("", "0.0.0.0", "::")

# Local address, local port, remote address, remote port.
FourTuple = tuple[str, int, str, int]


class Delivery(NamedTuple):
    """What the socket layer did with a packet, and the packet it answers with."""

    verdict: Verdict
    reason: str
    response: Packet | None = None


class Stack:
    """The sockets of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.world = host.world
        self.listeners: dict[int, list[Listener]] = {}
        self.connections: dict[FourTuple, Connection] = {}
        self.udp: dict[int, list[UdpSocket]] = {}
        # Ports on which a program takes SCTP associations, on every address (their data is not simulated).
        self.sctp: set[int] = set()
        self.echoes: dict[int, Future[Echo]] = {}
        self._ports = host.world.rng(f"net/ports/{host.name}")

    def send(self, packet: Packet, *, record: bool = False) -> walk.Outcome:
        """Hand a packet to the network."""
        return walk.live(self.host.network, self.host, packet, record=record)

    def free_port(self, protocol: str, local: str = "", peer: tuple[str, int] = ("", 0)) -> int:
        """An ephemeral port that nobody uses; for a TCP connection, not between that address and that peer."""
        low, high = EPHEMERAL
        used: Container[int] = self.udp if protocol == "udp" else self.listeners
        port = self._ports.randint(low, high)
        for _ in range(low, high + 1):
            if port not in used and (local, port, *peer) not in self.connections:
                return port
            port = low if port == high else port + 1
        raise errors.AddressNotAvailable

    def source_address(self, destination: str) -> str:
        """The address that a socket speaks from to that destination.  Raises `errors.Unreachable`."""
        route = self.host.routes.lookup(destination)
        if route is None or route.kind in ("blackhole", "unreachable", "prohibit"):
            outcome = self.send(Packet(dst=destination, flags="S"), record=True)
            raise errors.Unreachable(trace=outcome.trace(), errno_name=outcome.error or "ENETUNREACH")
        return route.source or self.host.source_for(route.device, route.via or destination)

    def check_bind(self, ip: str) -> str:
        """The address in canonical form.  Raises `errors.AddressNotAvailable` when the host has it not."""
        if ip in WILDCARDS:
            return ip
        ip = address.canonical(ip)
        if not self.host.routes.is_local(ip):
            raise errors.AddressNotAvailable
        return ip

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, by: walk.Walk) -> Delivery:
        """A packet came out of INPUT.  On a dry walk nothing changes by it."""
        if packet.protocol == "tcp":
            return self._tcp(packet, by)
        if packet.protocol in ("icmp", "icmpv6"):
            return self._icmp(packet, by)
        if packet.protocol == "udp":
            return self._datagram(packet, by)
        if packet.protocol == "sctp":
            return self._init(packet, by)
        return Delivery(
            Verdict.INSUFFICIENT_INFO,
            f"it reached {self.host.name}; programs that speak {packet.protocol} are not simulated",
        )

    def listener(self, ip: str, port: int) -> Listener | None:
        """Who listens on TCP for that local address: an exact bind is preferred to a wildcard."""
        candidates = self.listeners.get(port, ())
        found = None
        for each in candidates:
            if each.address == ip:
                return each
            if each.address in ("", "::") or (each.address == "0.0.0.0" and ":" not in ip):
                found = each
        return found

    def _tcp(self, packet: Packet, by: walk.Walk) -> Delivery:
        name = self.host.name
        connection = self.connections.get((packet.dst, packet.dport, packet.src, packet.sport))
        if not by.live:
            if packet.flags != "S":
                if by.asked is None or _answers(packet, by.asked):
                    return Delivery(Verdict.DELIVERED, f"it is back at {name}")
                reset = None if "R" in packet.flags else _answer(packet, flags="R")
                return Delivery(Verdict.REFUSED, _stranger(packet, by.asked, name), reset)
        elif connection is not None and connection.takes(packet):
            return Delivery(Verdict.DELIVERED, f"{name} took it", connection.receive(packet, by))
        if packet.flags == "S":
            listener = self.listener(packet.dst, packet.dport)
            if listener is not None:
                reply = _answer(packet, flags="SA")
                if by.live:
                    listener.incoming(packet)
                return Delivery(Verdict.DELIVERED, f"a program on {name} listens on {_where(packet)}", reply)
        if "R" in packet.flags:
            return Delivery(Verdict.DELIVERED, f"{name} has no such connection (any more)")
        elsewhere = [each.address for each in self.listeners.get(packet.dport, ())]
        why = f"nothing on {name} listens on {_where(packet)}"
        if packet.flags == "S" and elsewhere:
            why += f" (only on {', '.join(sorted(elsewhere))})"
        return Delivery(Verdict.REFUSED, why, _answer(packet, flags="RA" if packet.flags == "S" else "R"))

    def _datagram(self, packet: Packet, by: walk.Walk) -> Delivery:
        name = self.host.name
        for each in self.udp.get(packet.dport, ()):
            if each.address == packet.dst or (
                each.address in WILDCARDS and not (each.address == "0.0.0.0" and ":" in packet.dst)
            ):
                if by.live:
                    each.incoming(packet, by)
                answer = _answer(packet) if each.answers and not by.live else None
                return Delivery(Verdict.DELIVERED, f"a program on {name} receives on {_where(packet)}", answer)
        why = f"nothing on {name} receives on {_where(packet)}"
        if not by.live and by.asked is not None:
            if _answers(packet, by.asked):
                return Delivery(Verdict.DELIVERED, f"it is back at {name}")
            why = _stranger(packet, by.asked, name)
        error = Packet(
            protocol="icmpv6" if ":" in packet.dst else "icmp",
            src=packet.dst,
            dst=packet.src,
            icmp="port-unreachable",
            inner=packet,
        )
        return Delivery(Verdict.REFUSED, why, error)

    def _init(self, packet: Packet, by: walk.Walk) -> Delivery:
        """The first chunk of an SCTP association, INIT, or what answers it: INIT ACK or ABORT (RFC 9260, 5.1 and 8.4)."""
        name = self.host.name
        if by.asked is not None:
            if _answers(packet, by.asked):
                return Delivery(Verdict.DELIVERED, f"it is back at {name}")
            return Delivery(Verdict.REFUSED, _stranger(packet, by.asked, name))
        if packet.dport in self.sctp:
            return Delivery(
                Verdict.DELIVERED, f"a program on {name} listens on {_where(packet)}", _answer(packet, flags="")
            )
        return Delivery(Verdict.REFUSED, f"nothing on {name} listens on {_where(packet)}", _answer(packet, flags="R"))

    def _icmp(self, packet: Packet, by: walk.Walk) -> Delivery:
        name = self.host.name
        if packet.icmp == "echo-request":
            return Delivery(Verdict.DELIVERED, f"{name} answers the ping", _answer(packet, icmp="echo-reply"))
        if not by.live:
            return Delivery(Verdict.DELIVERED, f"{name} hears: {packet.icmp}")
        if packet.icmp == "echo-reply":
            waiting = self.echoes.get(packet.sport)
            if waiting is not None:
                from kubesim.net import sockets  # sockets are made of this module

                waiting.resolve(sockets.Echo(address=packet.src, ttl=packet.ttl, icmp=packet.icmp))
            return Delivery(Verdict.DELIVERED, f"{name} hears the echo")
        if packet.inner is not None:
            self._error(packet, packet.inner)
        return Delivery(Verdict.DELIVERED, f"{name} hears: {packet.icmp}")

    def _error(self, packet: Packet, inner: Packet) -> None:
        if inner.protocol == "tcp":
            connection = self.connections.get((inner.src, inner.sport, inner.dst, inner.dport))
            if connection is not None:
                connection.icmp(packet.icmp)
        elif inner.protocol == "udp":
            for each in self.udp.get(inner.sport, ()):
                each.icmp(packet, inner)
        elif inner.sport in self.echoes:
            from kubesim.net import sockets

            self.echoes[inner.sport].resolve(sockets.Echo(address=packet.src, ttl=packet.ttl, icmp=packet.icmp))

    def close(self) -> None:
        """All programs of the host are dead."""
        for listeners in list(self.listeners.values()):
            for listener in list(listeners):
                listener.close()
        for connection in list(self.connections.values()):
            connection.close()
        for sockets in list(self.udp.values()):
            for socket in list(sockets):
                socket.close()
        self.connections.clear()


def _answers(packet: Packet, asked: Packet) -> bool:
    """Whether it comes from whom the sender asked, as the sender knows it."""
    return (packet.src, packet.sport, packet.dst, packet.dport) == (asked.dst, asked.dport, asked.src, asked.sport)


def _stranger(packet: Packet, asked: Packet, name: str) -> str:
    whom, who = endpoint(asked.dst, asked.dport), endpoint(packet.src, packet.sport)
    return f"{name} asked {whom}, and the answer comes from {who}: it belongs to no connection"


def _where(packet: Packet) -> str:
    return f"{packet.protocol} port {packet.dport}"


def _answer(packet: Packet, *, flags: str = "", icmp: str = "") -> Packet:
    return Packet(
        protocol=packet.protocol,
        src=packet.dst,
        dst=packet.src,
        sport=packet.dport if not icmp else packet.sport,
        dport=packet.sport if not icmp else packet.dport,
        flags=flags,
        icmp=icmp,
        payload=packet.payload if icmp else b"",
    )
