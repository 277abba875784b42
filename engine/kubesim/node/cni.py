"""The pod network of a node: addresses for its pods, and the ways to the pods of other nodes.

What a pod's link looks like is its flavour's business (`flavours`).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.node import flavours
from kubesim.node.config import KubeletConfig

if TYPE_CHECKING:
    from kubesim.net.host import Host


class NoAddress(Exception):
    """The node's range has no free address."""


class Ipam:
    """The addresses of one node's range, given out in order; what came back is not given again before the end is reached.

    So do host-local (it begins after the last one it gave) and, near enough, Calico's blocks.
    """

    def __init__(self, cidr: str, first: int) -> None:
        """`first` is the number in the range of the first address for a pod."""
        self._network = ipaddress.ip_network(cidr)
        self._first = first
        self._next = first
        self._used: set[str] = set()

    def allocate(self) -> str:
        last = self._network.num_addresses - 1
        for _ in range(last - self._first):
            address = str(self._network[self._next])
            self._next = self._next + 1 if self._next + 1 < last else self._first
            if address not in self._used:
                self._used.add(address)
                return address
        raise NoAddress(f"no IP addresses available in range set: {self._network[1]}-{self._network[last - 1]}")

    def release(self, address: str) -> None:
        self._used.discard(address)


class Plugin:
    """The pod network of one node."""

    def __init__(self, node: Host, config: KubeletConfig) -> None:
        if config.cni not in flavours.FLAVOURS:
            raise LearnerError(f"no pod network {config.cni!r}", f"Known: {', '.join(flavours.FLAVOURS)}.")
        self._node = node
        self._config = config
        self._flavour = flavours.FLAVOURS[config.cni]
        self._ipam = Ipam(config.pod_cidr, self._flavour.first)
        self._peers: dict[str, tuple[str, str]] = {}

    def set_up(self) -> None:
        """What the plug-in's daemon does on its node before any pod is there."""
        self._flavour.set_up(self._node, self._config)
        rules = self._flavour.rules.format(pool=self._config.pool, own=self._config.network)
        self._node.netfilter.restore(rules, noflush=True)

    def peer(self, name: str, pod_cidr: str, address: str) -> None:
        """Another node is there (or has another range or address): its pods are reached through it."""
        if self._peers.get(name) == (pod_cidr, address):
            return
        self.forget_peer(name)
        self._peers[name] = (pod_cidr, address)
        self._node.routes.add(pod_cidr, self._config.interface, address, protocol=self._flavour.protocol)

    def forget_peer(self, name: str) -> None:
        known = self._peers.pop(name, None)
        if known is not None:
            self._node.routes.remove(known[0], self._config.interface, known[1])

    def add(self, pod: Host, namespace: str, name: str) -> str:
        """Tie a pod's namespace to the node (CNI ADD); its address.  Raises NoAddress."""
        address = self._ipam.allocate()
        self._flavour.attach(self._node, pod, f"{namespace}.{name}", address, self._config)
        return address

    def delete(self, pod: Host, address: str) -> None:
        """Cut it off (CNI DEL): the pod's end goes, the node's with it, and the routes over it."""
        pod.shutdown()
        self._ipam.release(address)
