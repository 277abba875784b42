"""The network: hosts and the links between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from kubesim.net import chance, host, link, walk
from kubesim.net.packet import Packet

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.link import Interface, Segment
    from kubesim.net.trace import Trace
    from kubesim.world import World


# A service of 1,000 endpoints makes some 6,000 hops.
MOST_HOPS = 20_000


class Network:
    """All hosts of a world, by name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hosts: dict[str, Host] = {}
        self.chance = chance.Sample(world.rng("net"))

    def host(self, name: str, kind: str = "") -> Host:
        """A new host.  ValueError when the name is taken."""
        if name in self.hosts:
            raise ValueError(f"there is a host {name!r} already")
        made = self.hosts[name] = host.Host(self, name, kind)
        return made

    def forget(self, gone: Host) -> None:
        """A host is no more (see `Host.shutdown`)."""
        self.hosts.pop(gone.name, None)

    def link(self, a: Host, a_if: str, b: Host, b_if: str) -> tuple[Interface, Interface]:
        """A veth pair: one end on each host."""
        segment = link.Segment()
        ends = a.add_interface(a_if, kind="veth"), b.add_interface(b_if, kind="veth")
        for end in ends:
            segment.join(end)
        return ends

    def switch(self, name: str = "") -> Segment:
        """A switch that belongs to nobody: a LAN.  Plug hosts in with `attach`."""
        return link.Segment(name)

    def owner(self, ip: str) -> Host | None:
        """The host that has the address, loopback left out: for pictures and tests, never for a packet."""
        return next((each for each in self.hosts.values() if ip in each.addresses(ipv6=":" in ip)), None)

    @overload
    def trace(self, source: Host, packet: Packet, mode: Literal["sample"] = "sample") -> Trace: ...
    @overload
    def trace(self, source: Host, packet: Packet, mode: Literal["branches"]) -> list[Trace]: ...

    def trace(
        self, source: Host, packet: Packet, mode: Literal["sample", "branches"] = "sample"
    ) -> Trace | list[Trace]:
        """Where the packet would go if `source` sent it now, with the reply; nothing changes by it.

        "sample" draws one of the random choices, from a stream of its own; "branches" gives every way with its
        probability, in the order in which the rules offer them; the ways of a packet that goes round in circles through
        a random rule are cut off at `MOST_HOPS`, and their probabilities then sum to less than 1.
        """
        if mode == "sample":
            return walk.dry(self, source, packet, chance.Sample(self.world.rng("net/trace"))).trace()
        found: list[Trace] = []
        hops = 0
        for script in chance.branches():
            outcome = walk.dry(self, source, packet, script)
            found.append(outcome.trace())
            hops += len(outcome.hops)
            if hops > MOST_HOPS:
                break
        return found
