"""Questions, records and answers as plain values, and the few rules of names.

A name is text as a zone file has it, absolute with its final dot.  Case is kept and does not count (RFC 4343).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Literal

RCode = Literal["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `type` is the record type's mnemonic ("A", "SRV", "TYPE65")."""

    name: str
    type: str = "A"

    def __str__(self) -> str:
        return f"{self.name} {self.type}"


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record of class IN; `ttl` in seconds, `data` as a zone file has it."""

    name: str
    ttl: int
    type: str
    data: str

    def __str__(self) -> str:
        return f"{self.name} {self.ttl} IN {self.type} {self.data}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The sections of a reply.

    `chase` is a name outside of the answering zone, the target of a CNAME whose addresses somebody else must add.
    """

    rcode: RCode = "NOERROR"
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = False
    recursion_available: bool = False
    truncated: bool = False
    chase: str = ""

    def aged(self, seconds: int) -> Answer:
        """The same, after lying in a cache for so long: the TTLs have run down."""

        def older(section: tuple[Record, ...]) -> tuple[Record, ...]:
            return tuple(replace(each, ttl=max(0, each.ttl - seconds)) for each in section)

        return replace(
            self, answer=older(self.answer), authority=older(self.authority), additional=older(self.additional)
        )


def absolute(name: str) -> str:
    """With the final dot."""
    return name if name.endswith(".") else f"{name}."


def within(name: str, zone: str) -> bool:
    """Whether the name is the zone's apex or below it."""
    name, zone = name.lower(), zone.lower()
    return zone == "." or name == zone or name.endswith(f".{zone}")


def labels(name: str) -> list[str]:
    """The labels of a name without wildcards or escapes, leftmost first."""
    return [each for each in name.rstrip(".").split(".") if each]


def longest(name: str, zones: tuple[str, ...]) -> str:
    """The most specific of the zones that the name is in, or "" (CoreDNS `plugin.Zones.Matches`)."""
    return max((zone for zone in zones if within(name, zone)), key=len, default="")


def reverse_name(address: str) -> str:
    """"4.3.2.1.in-addr.arpa." for 1.2.3.4."""
    return f"{ipaddress.ip_address(address).reverse_pointer}."


def reversed_address(name: str) -> str:
    """The address that a whole reverse name stands for, or "" (CoreDNS `dnsutil.ExtractAddressFromReverse`)."""
    parts = labels(name.lower())
    try:
        if parts[-2:] == ["in-addr", "arpa"] and len(parts) == 6:
            return str(ipaddress.IPv4Address(".".join(reversed(parts[:4]))))
        if parts[-2:] == ["ip6", "arpa"] and len(parts) == 34:
            return str(ipaddress.IPv6Address(int("".join(reversed(parts[:32])), 16)))
    except ValueError:
        pass
    return ""


def is_reverse(name: str) -> bool:
    """Whether it lies in one of the two trees of addresses."""
    return within(absolute(name), "in-addr.arpa.") or within(absolute(name), "ip6.arpa.")


def address_type(text: str) -> str:
    """"A" or "AAAA" for an address, "CNAME" for a name (CoreDNS `msg.Service.HostType`)."""
    try:
        return "A" if ipaddress.ip_address(text).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"
