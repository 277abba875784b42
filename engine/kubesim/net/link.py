"""Interfaces and what connects them: a veth pair, or a switch with many ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kubesim import ids
from kubesim.net import address

if TYPE_CHECKING:
    from kubesim.net.host import Host

# Traffic to the host itself is offered on "lo", which every host has.
LOOPBACK = "lo"


class Address(NamedTuple):
    """An address on an interface: `ip` with the prefix length of its subnet; `scope` "global", "link" or "host"."""

    ip: str
    length: int
    scope: str = "global"

    def __str__(self) -> str:
        return f"{self.ip}/{self.length}"


class Interface:
    """One end of a link, on a host.  `index` as the host numbers its interfaces, `mac` by its place in the network."""

    __slots__ = ("addresses", "host", "index", "kind", "mac", "mtu", "name", "segment", "up")

    def __init__(self, host: Host, name: str, index: int, kind: str, mtu: int = 1500) -> None:
        self.host = host
        self.name = name
        self.index = index
        self.kind = kind
        self.mtu = mtu
        self.up = True
        self.addresses: list[Address] = []
        self.segment: Segment | None = None
        value = ids.fnv32a(f"{host.name}/{name}".encode())
        octets = ":".join(f"{value >> shift & 255:02x}" for shift in (24, 16, 8, 0))
        self.mac = "00:00:00:00:00:00" if name == LOOPBACK else f"02:42:{octets}"

    def __repr__(self) -> str:
        return f"<{self.host.name} {self.name}>"

    @property
    def peer(self) -> Interface | None:
        """The other end of a veth pair."""
        if self.kind != "veth" or self.segment is None:
            return None
        return next((each for each in self.segment.members if each is not self), None)


class Segment:
    """A piece of Ethernet: everyone on it hears everyone's ARP.

    `bridge` is the owner's interface where the segment is a bridge device of a host ("docker0", "cni0"): with
    `net.bridge.bridge-nf-call-iptables` the owner's rules then see what its ports say to each other.
    """

    def __init__(self, name: str = "", bridge: Interface | None = None) -> None:
        self.name = name
        self.bridge = bridge
        self.members: list[Interface] = []
        self._neighbours: dict[str, Interface] = {}
        if bridge is not None:
            self.join(bridge)

    def join(self, interface: Interface) -> None:
        interface.segment = self
        self.members.append(interface)
        self.forget()

    def leave(self, interface: Interface) -> None:
        interface.segment = None
        self.members.remove(interface)
        self.forget()

    def attach(self, host: Host, name: str = "eth0") -> Interface:
        """Plug a host in by a new interface of that name."""
        interface = host.add_interface(name, kind="veth" if self.bridge is not None else "ether")
        self.join(interface)
        return interface

    def forget(self) -> None:
        """Forget who answered ARP: an address, a link or a proxy setting changed."""
        self._neighbours.clear()

    def known(self) -> list[tuple[str, Interface]]:
        """Who has answered ARP so far, by address (`ip neigh`)."""
        return sorted(self._neighbours.items(), key=lambda each: address.number(each[0]))

    def neighbour(self, ip: str, asker: Interface) -> Interface | None:
        """Who answers ARP (or a neighbour solicitation) for the address; None: nobody does."""
        found = self._neighbours.get(ip)
        if found is not None and found is not asker and found.up:
            return found
        others = [each for each in self.members if each is not asker and each.up]
        for each in others:
            if each.host.answers_arp(each, ip):
                self._neighbours[ip] = each
                return each
        for each in others:
            if each.host.proxies_arp(each, ip):
                return each
        return None
