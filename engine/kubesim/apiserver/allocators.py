"""Cluster addresses and node ports: which are taken, and the next at random.

Both ranges have a lower band that is kept for values that users ask for by number (KEP-3070, KEP-3668); a draw begins above
it and only falls back to it.  What is taken is read from the store, so an allocator needs no saving.

Sources: `pkg/registry/core/service/ipallocator/ipallocator.go` (calculateRangeOffset), `.../portallocator/allocator.go`.
"""

from __future__ import annotations

import ipaddress
from itertools import chain

from kubesim.world import World

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Full(Exception):
    """Nothing is left of the range."""


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


class Pool:
    """Numbers of a range; `band` of them at its start are drawn last."""

    def __init__(self, world: World, stream: str, low: int, high: int, band: int) -> None:
        self._rng = world.rng(stream)
        self.low = low
        self.high = high  # inclusive
        self._dynamic = low + band
        self.taken: set[int] = set()

    def holds(self, number: int) -> bool:
        return self.low <= number <= self.high

    def draw(self) -> int:
        """A free number, not yet taken by this."""
        for low, high in ((self._dynamic, self.high), (self.low, self._dynamic - 1)):
            if low > high:
                continue
            start = self._rng.randint(low, high)
            for number in chain(_upto(start, high), _upto(low, start - 1)):
                if number not in self.taken:
                    return number
        raise Full


def _upto(low: int, high: int) -> range:
    return range(low, high + 1)


class Addresses(Pool):
    """The addresses of one service network, without the network's own and (IPv4) its broadcast address."""

    def __init__(self, world: World, network: Network) -> None:
        self.network = network
        self.family = f"IPv{network.version}"
        first = int(network.network_address) + 1
        # IPv6 ranges are cut to 64 bits upstream; here to what can be listed.
        size = min(network.num_addresses, 1 << 64)
        last = int(network.network_address) + size - (2 if network.version == 4 else 1)
        hosts = last - first + 1
        band = 0 if hosts < 16 else _clamp(hosts // 16, 16, 256)
        super().__init__(world, f"cluster-ips-{self.family}", first, last, band)

    def contains(self, text: str) -> bool:
        address = ipaddress.ip_address(text)
        return address.version == self.network.version and self.holds(int(address))

    def take(self, text: str) -> None:
        self.taken.add(int(ipaddress.ip_address(text)))

    def release(self, text: str) -> None:
        self.taken.discard(int(ipaddress.ip_address(text)))

    def free(self, text: str) -> bool:
        return int(ipaddress.ip_address(text)) not in self.taken

    def next(self) -> str:
        kind = ipaddress.IPv4Address if self.family == "IPv4" else ipaddress.IPv6Address
        return str(kind(self.draw()))


class Ports(Pool):
    """Node ports."""

    def __init__(self, world: World, ports: range) -> None:
        size = len(ports)
        band = 0 if size // 32 < 16 else _clamp(size // 32, 16, 128)
        super().__init__(world, "node-ports", ports.start, ports.stop - 1, band)
