"""A packet as a line of tcpdump 4.99 (print-ip.c, print-tcp.c, print-udp.c, print-domain.c, print-icmp.c).

Sequence numbers begin at 0 here: the network carries none, so they are counted from the payloads that passed.
"""

from __future__ import annotations

from collections.abc import Callable

from kubesim.net.packet import Flight, Packet

# Which ports tcpdump takes for HTTP.
HTTP = (80, 8080, 3128)
DNS = 53
# A payload that is sent again after at least this time is taken for a retransmission, in seconds (TCP_RTO_MIN).
AGAIN = 0.2
UNREACHABLE = {
    "host-unreachable": "host {dst} unreachable",
    "net-unreachable": "net {dst} unreachable",
    "port-unreachable": "{dst} {protocol} port {dport} unreachable",
    "admin-prohibited": "host {dst} unreachable - admin prohibited filter",
    "host-prohibited": "host {dst} unreachable - admin prohibited",
    "time-exceeded": "time exceeded in-transit",
}
UNREACHABLE6 = {
    "port-unreachable": "destination unreachable, unreachable port, {dst} {protocol} port {dport}",
    "host-unreachable": "destination unreachable, unreachable address {dst}",
    "net-unreachable": "destination unreachable, unreachable route {dst}",
    "admin-prohibited": "destination unreachable, unreachable prohibited {dst}",
    "time-exceeded": "time exceeded in-transit for {dst}",
}
RCODES = {"NOERROR": "", "FORMERR": " FormErr", "SERVFAIL": " ServFail", "NXDOMAIN": " NXDomain", "NOTIMP": " NotImp"}

# One direction of a connection on one interface.
Flow = tuple[str, str, int, str, int]


class Printer:
    """Makes lines; remembers how far each connection has come.  `name` shows an address, `service` a port."""

    def __init__(self, name: Callable[[str], str], service: Callable[[int], str], quick: bool) -> None:
        self._name = name
        self._service = service
        self._quick = quick
        self._next: dict[Flow, int] = {}
        self._last: dict[Flow, tuple[float, bytes, int]] = {}

    def line(self, now: float, interface: str, packet: Packet) -> str:
        """From "IP" on."""
        family = "IP6" if ":" in packet.dst else "IP"
        if packet.protocol in ("icmp", "icmpv6"):
            what = f"{self._name(packet.src)} > {self._name(packet.dst)}: {self._icmp(packet)}"
        else:
            source = f"{self._name(packet.src)}.{self._service(packet.sport)}"
            target = f"{self._name(packet.dst)}.{self._service(packet.dport)}"
            what = f"{source} > {target}: {self._transport(now, interface, packet)}"
        return f"{family} {what}"

    def _transport(self, now: float, interface: str, packet: Packet) -> str:
        size = len(packet.payload)
        if packet.protocol == "tcp":
            return f"tcp {size}" if self._quick else self._tcp(now, interface, packet)
        if DNS in (packet.sport, packet.dport) and not self._quick:
            return f"{domain(packet.payload)} ({size})"
        return f"{packet.protocol.upper()}, length {size}"

    def _tcp(self, now: float, interface: str, packet: Packet) -> str:
        flow = (interface, packet.src, packet.sport, packet.dst, packet.dport)
        back = (interface, packet.dst, packet.dport, packet.src, packet.sport)
        size = len(packet.payload)
        begin = 0 if "S" in packet.flags else self._next.get(flow, 1)
        last = self._last.get(flow)
        if size and last is not None and now - last[0] >= AGAIN and last[1] == packet.payload:
            begin = last[2]
        if size:
            self._last[flow] = (now, packet.payload, begin)
            self._last.pop(back, None)
        end = begin + size
        self._next[flow] = end + ("S" in packet.flags or "F" in packet.flags)
        parts = [f"Flags [{packet.flags.replace('A', '.')}]"]
        if size or set(packet.flags) & set("SFR"):
            parts.append(f"seq {begin}:{end}" if size else f"seq {begin}")
        if "A" in packet.flags and back in self._next:
            parts.append(f"ack {self._next[back]}")
        text = ", ".join([*parts, f"length {size}"])
        if size and (packet.sport in HTTP or packet.dport in HTTP):
            text += f": {http(packet.payload)}"
        return text

    def _icmp(self, packet: Packet) -> str:
        six = packet.protocol == "icmpv6"
        length = Flight(packet).length - (40 if six else 20)
        if packet.inner is None:
            what = f"{packet.icmp.replace('-', ' ')}, id {packet.sport}"
        else:
            # Linux quotes the packet as a whole, as far as 576 bytes go (icmp.c); 1,280 with IPv6.
            length = min(8 + Flight(packet.inner).length, 1240 if six else 556)
            inner = packet.inner
            wording = (UNREACHABLE6 if six else UNREACHABLE).get(packet.icmp, packet.icmp.replace("-", " "))
            what = wording.format(dst=self._name(inner.dst), protocol=inner.protocol, dport=self._service(inner.dport))
        return f"ICMP{'6,' if six else ''} {what}, length {length}"


def http(payload: bytes) -> str:
    """ "HTTP: " and the first line, or "HTTP" alone for what goes on."""
    first = payload.split(b"\r\n", 1)[0].decode("latin-1")
    words = first.split(" ")
    begins = first.startswith("HTTP/") or (len(words) == 3 and words[2].startswith("HTTP/"))
    return f"HTTP: {first}" if begins else "HTTP"


def domain(payload: bytes) -> str:
    """A DNS message in short: `4711+ [1au] A? web.` and `4711*- 1/0/1 A 10.0.0.1`."""
    from kubesim.dns import wire

    try:
        reply = wire.parse_response(payload)
    except wire.Malformed:
        return _query(payload)
    answer = reply.answer
    marks = "*" * answer.authoritative + "-" * (not answer.recursion_available) + "|" * answer.truncated
    counts = f"{len(answer.answer)}/{len(answer.authority)}/{len(answer.additional) + (reply.message.edns >= 0)}"
    records = ",".join(f" {each.type}{_data(each.type, each.data)}" for each in answer.answer)
    rcode = RCODES.get(answer.rcode, f" {answer.rcode.capitalize()}")
    return f"{reply.id}{rcode}{marks} {counts}{records}"


def _query(payload: bytes) -> str:
    from kubesim.dns import wire

    try:
        asked = wire.parse_query(payload)
    except wire.Malformed:
        return "domain [bad]"
    additional = " [1au]" if asked.edns else ""
    return f"{asked.id}{'+' * asked.recursion}{additional} {asked.question.type}? {asked.question.name}"


def _data(kind: str, data: str) -> str:
    if kind == "SOA":
        return ""
    if kind == "SRV":
        priority, weight, port, target = data.split()
        return f" {target}:{port} {priority} {weight}"
    return f" {data}"
