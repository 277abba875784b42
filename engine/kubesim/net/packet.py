"""A packet: the header fields that routing, netfilter and conntrack look at.

Addresses are text in canonical form ("10.0.0.1", "fd00::1"), ports integers, 0 where the protocol has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kubesim.net.conntrack import Entry

Protocol = Literal["tcp", "udp", "sctp", "icmp", "icmpv6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One IP packet.

    `flags` are TCP's ("S", "SA", "A", "PA", "FA", "R", "RA"), `icmp` the ICMP message ("echo-request", "echo-reply",
    "port-unreachable", "host-unreachable", "admin-prohibited", "time-exceeded"), empty elsewhere.  An echo carries its
    identifier in `sport`.  `inner` is the header that an ICMP error quotes.  `mark` is the packet's netfilter mark on the
    host where it is (it does not travel).  `payload` is what the program sent.
    """

    protocol: Protocol = "tcp"
    src: str = ""
    dst: str
    sport: int = 0
    dport: int = 0
    flags: str = ""
    icmp: str = ""
    ttl: int = 64
    mark: int = 0
    payload: bytes = b""
    inner: Packet | None = None

    def __str__(self) -> str:
        if self.protocol in ("icmp", "icmpv6"):
            return f"{self.protocol} {self.src} -> {self.dst} {self.icmp}"
        return f"{self.protocol} {endpoint(self.src, self.sport)} -> {endpoint(self.dst, self.dport)}"


def endpoint(address: str, port: int) -> str:
    """An address and a port as one word: "10.0.0.1:80", "[fd00::1]:80"."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Flight:
    """A packet while it is on its way through hosts: what the kernel's `struct sk_buff` holds of it.

    Mutable, so that a rewrite costs an assignment; `packet()` freezes the header as it stands now and remembers it until
    `touch()` is called after a change.  `in_if` and `out_if` are interface names on the host where it is; `entry`,
    `reply` and `state` are what conntrack hung on it (the entry, whether it goes in the reply's direction, and
    "NEW", "ESTABLISHED", "RELATED", "INVALID" or "UNTRACKED"; "" before conntrack saw it).  `by_ipvs`: IPVS has had it in
    its hands on this host.
    """

    __slots__ = (
        "_frozen", "by_ipvs", "dport", "dst", "entry", "flags", "icmp", "in_if", "inner", "mark", "out_if", "payload", "protocol",
        "reply", "sport", "src", "state", "ttl",
    )  # fmt: skip

    def __init__(self, packet: Packet) -> None:
        self.protocol = packet.protocol
        self.src = packet.src
        self.dst = packet.dst
        self.sport = packet.sport
        self.dport = packet.dport
        self.flags = packet.flags
        self.icmp = packet.icmp
        self.ttl = packet.ttl
        self.mark = packet.mark
        self.payload = packet.payload
        self.inner = packet.inner
        self.in_if = ""
        self.out_if = ""
        self.entry: Entry | None = None
        self.reply = False
        self.state = ""
        self.by_ipvs = False
        self._frozen: Packet | None = packet

    def touch(self) -> None:
        """Say that a header field changed."""
        self._frozen = None

    def packet(self) -> Packet:
        """The header as it stands."""
        found = self._frozen
        if found is None:
            found = self._frozen = Packet(
                protocol=self.protocol,
                src=self.src,
                dst=self.dst,
                sport=self.sport,
                dport=self.dport,
                flags=self.flags,
                icmp=self.icmp,
                ttl=self.ttl,
                mark=self.mark,
                payload=self.payload,
                inner=self.inner,
            )
        return found

    @property
    def length(self) -> int:
        """Bytes on the wire from the IP header on, for counters: TCP's SYN carries 20 bytes of options, others 12."""
        size = 20 if "." in self.dst else 40
        if self.protocol == "tcp":
            size += 40 if "S" in self.flags else 20 if "R" in self.flags else 32
        else:
            size += 8
        if self.inner is not None:
            size += 28
        elif self.icmp.startswith("echo") and not self.payload:
            size += 56
        return size + len(self.payload)
