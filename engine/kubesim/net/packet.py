"""A packet: the header fields that routing, netfilter and conntrack look at.

Addresses are text in canonical form ("10.0.0.1", "fd00::1"), ports integers, 0 where the protocol has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Protocol = Literal["tcp", "udp", "sctp", "icmp", "icmpv6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One IP packet.

    `flags` are TCP's ("S", "SA", "A", "PA", "FA", "R", "RA"), `icmp` the ICMP message ("echo-request", "echo-reply",
    "port-unreachable", "host-unreachable", "admin-prohibited", "time-exceeded"), empty elsewhere.  `mark` is the packet's netfilter mark on the
    host where it is (it does not travel).  `payload` is what the program sent.
    """

    protocol: Protocol = "tcp"
    src: str
    dst: str
    sport: int = 0
    dport: int = 0
    flags: str = ""
    icmp: str = ""
    ttl: int = 64
    mark: int = 0
    payload: bytes = b""

    def __str__(self) -> str:
        if self.protocol in ("icmp", "icmpv6"):
            return f"{self.protocol} {self.src} -> {self.dst} {self.icmp}"
        return f"{self.protocol} {_endpoint(self.src, self.sport)} -> {_endpoint(self.dst, self.dport)}"


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
