"""The pod network: how a pod's namespace is tied to its node, and a node to the other nodes' pods.

Two flavours, as data:

* `calico` - a point-to-point link without a subnet: the pod has a /32 and a gateway that nobody has (169.254.1.1), for
  which the node answers by proxy ARP; the node has a route to each pod, a blackhole for the rest of its block, and plain
  routes to the other nodes' blocks (ipipMode CrossSubnet: nodes on one LAN are not tunnelled).
* `kindnet` - the ptp plug-in: the node's end of each pair has the gateway's address (the first of the node's range), the
  pod sends everything there; plain routes to the other nodes' ranges.

Sources: projectcalico/cni-plugin `internal/pkg/utils/network_linux.go`, containernetworking `plugins/main/ptp`,
kind `images/kindnetd`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.node.config import KubeletConfig

if TYPE_CHECKING:
    from kubesim.net.host import Host

INTERFACE = "eth0"
CALICO_GATEWAY = "169.254.1.1"


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


@dataclass(frozen=True, slots=True)
class Flavour:
    """`name_of` gives the node's end of a pair from "namespace.pod"; `attach` ties a pod, `masquerade` is what the daemon
    puts into nat POSTROUTING so that pods reach the world beyond; `protocol` marks its routes."""

    name_of: Callable[[str], str]
    first: int
    attach: Callable[[Host, Host, str, str, KubeletConfig], None]
    set_up: Callable[[Host, KubeletConfig], None]
    masquerade: str
    protocol: str


def _calico_name(key: str) -> str:
    return "cali" + hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:11]


def _kindnet_name(key: str) -> str:
    return "veth" + hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:8]


def _attach_calico(node: Host, pod: Host, name: str, address: str, config: KubeletConfig) -> None:
    node.sysctls[f"net.ipv4.conf.{name}.proxy_arp"] = 1
    node.routes.add(f"{address}/32", name, scope="link")
    pod.add_address(INTERFACE, f"{address}/32")
    pod.routes.add(f"{CALICO_GATEWAY}/32", INTERFACE, scope="link")
    pod.routes.add("default", INTERFACE, CALICO_GATEWAY)


def _attach_kindnet(node: Host, pod: Host, name: str, address: str, config: KubeletConfig) -> None:
    gateway = str(config.network[1])
    node.add_address(name, f"{gateway}/32")
    node.routes.add(f"{address}/32", name, scope="host")
    pod.add_address(INTERFACE, f"{address}/{config.network.prefixlen}")
    # The subnet is not on the link: it is reached by way of the gateway, as all else.
    pod.routes.remove(str(config.network), INTERFACE)
    pod.routes.add(f"{gateway}/32", INTERFACE, scope="link", source=address)
    pod.routes.add(str(config.network), INTERFACE, gateway, source=address)
    pod.routes.add("default", INTERFACE, gateway)


def _set_up_calico(node: Host, config: KubeletConfig) -> None:
    node.routes.add(str(config.network), kind="blackhole", protocol="bird")


def _set_up_kindnet(node: Host, config: KubeletConfig) -> None:
    return None


FLAVOURS: dict[str, Flavour] = {
    "calico": Flavour(
        name_of=_calico_name,
        # The block's first address is the tunnel's.
        first=1,
        attach=_attach_calico,
        set_up=_set_up_calico,
        masquerade="""\
*nat
:cali-POSTROUTING - [0:0]
:cali-nat-outgoing - [0:0]
-A POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A cali-POSTROUTING -m comment --comment "cali:Z-c7XtVd2Bq7s_hA" -j cali-nat-outgoing
-A cali-nat-outgoing -s {pool} ! -d {pool} -m comment --comment "cali:flqWnvo8yq4ULQLa" -j MASQUERADE
COMMIT
""",
        protocol="bird",
    ),
    "kindnet": Flavour(
        name_of=_kindnet_name,
        first=2,
        attach=_attach_kindnet,
        set_up=_set_up_kindnet,
        masquerade="""\
*nat
:KIND-MASQ-AGENT - [0:0]
-A POSTROUTING -m addrtype ! --dst-type LOCAL -m comment --comment "kind-masq-agent: ensure nat POSTROUTING directs all \
non-LOCAL destination traffic to our custom KIND-MASQ-AGENT chain" -j KIND-MASQ-AGENT
-A KIND-MASQ-AGENT -d {pool} -m comment --comment "kind-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN
-A KIND-MASQ-AGENT -m comment --comment "kind-masq-agent: outbound traffic is subject to MASQUERADE (must be last in \
chain)" -j MASQUERADE
COMMIT
""",
        protocol="boot",
    ),
}


class Plugin:
    """The pod network of one node."""

    def __init__(self, node: Host, config: KubeletConfig) -> None:
        if config.cni not in FLAVOURS:
            raise LearnerError(f"no pod network {config.cni!r}", f"Known: {', '.join(FLAVOURS)}.")
        self._node = node
        self._config = config
        self._flavour = FLAVOURS[config.cni]
        self._ipam = Ipam(config.pod_cidr, self._flavour.first)
        self._peers: dict[str, tuple[str, str]] = {}

    def set_up(self) -> None:
        """What the plug-in's daemon does on its node before any pod is there."""
        self._flavour.set_up(self._node, self._config)
        self._node.netfilter.restore(self._flavour.masquerade.format(pool=self._config.pool), noflush=True)

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
        end = self._flavour.name_of(f"{namespace}.{name}")
        if end in self._node.interfaces:
            # An old pod of the same name is still on its way out.
            end = self._flavour.name_of(f"{namespace}.{name}.{address}")
        self._node.network.link(pod, INTERFACE, self._node, end)
        self._flavour.attach(self._node, pod, end, address, self._config)
        return address

    def delete(self, pod: Host, address: str) -> None:
        """Cut it off (CNI DEL): the pod's end goes, the node's with it, and the routes over it."""
        pod.shutdown()
        self._ipam.release(address)
