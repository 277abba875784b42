"""Node IPAM: each node gets a part of the cluster's pod range, if kube-controller-manager is to give it (--allocate-node-cidrs).

Source: `pkg/controller/nodeipam/ipam/range_allocator.go`, `cidrset/cidr_set.go`.  A part that a node brings along is taken
for given; the next free one after the last given is next, so that a part that came free is not used again at once.
"""

from __future__ import annotations

import ipaddress

from kubesim.client import Object
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# --node-cidr-mask-size-ipv4 and -ipv6.
MASKS = {4: 24, 6: 64}


class Range:
    """One range of the cluster, cut into equal parts."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._mask = max(MASKS[network.version], network.prefixlen)
        self._size = 1 << (network.max_prefixlen - self._mask)
        self._count = 1 << (self._mask - network.prefixlen)
        self._taken: set[int] = set()
        self._next = 0

    def take(self) -> str:
        """The next free part; "" when there is none."""
        for offset in range(self._count):
            number = (self._next + offset) % self._count
            if number not in self._taken:
                self._taken.add(number)
                self._next = (number + 1) % self._count
                start = self.network.network_address + number * self._size
                return f"{start}/{self._mask}"
        return ""

    def occupy(self, part: str) -> None:
        """Somebody has this part already; ranges of others are none of ours."""
        self._taken.update(self._numbers(part))

    def release(self, part: str) -> None:
        self._taken.difference_update(self._numbers(part))

    def _numbers(self, part: str) -> range:
        network = ipaddress.ip_network(part, strict=False)
        if network.version != self.network.version or not network.overlaps(self.network):
            return range(0)
        base = int(self.network.network_address)
        first = max(0, (int(network.network_address) - base) // self._size)
        last = min(self._count - 1, (int(network.broadcast_address) - base) // self._size)
        return range(first, last + 1)


class NodeIpamController(Controller):
    name = "node-controller"

    def start(self) -> None:
        """`allocate` first: without ranges nobody is given any."""
        self._ranges: list[Range] = []
        self._nodes = self.informers.of("nodes")
        self._nodes.on_event(self._changed)

    def allocate(self, cluster_cidr: str) -> None:
        """Give out of these ranges (--cluster-cidr), one of each family, separated by a comma."""
        self._ranges = [Range(ipaddress.ip_network(each.strip())) for each in cluster_cidr.split(",")]
        for node in self._nodes.list():
            self._changed("ADDED", node, None)

    def _changed(self, kind: str, node: Object, before: Object | None) -> None:
        parts = node["spec"].get("podCIDRs") or ()
        for found in self._ranges:
            for part in parts:
                (found.release if kind == "DELETED" else found.occupy)(part)
        if kind == "ADDED" and not parts:
            self.enqueue(objects.name(node))

    def reconcile(self, key: str) -> None:
        node = self.client.find("nodes", key)
        if node is None or node["spec"].get("podCIDRs") or not self._ranges:
            return
        parts = [found.take() for found in self._ranges]
        if not all(parts):
            for found, part in zip(self._ranges, parts, strict=True):
                if part:
                    found.release(part)
            self.recorder.event(node, "Normal", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
            return
        self.client.patch("nodes", key, "", {"spec": {"podCIDR": parts[0], "podCIDRs": parts}})
