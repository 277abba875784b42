"""The flavours of pod network: how a pod's namespace is tied to its node, and what the daemon on the node sets up.

* `calico` - a point-to-point link without a subnet: the pod has a /32 and a gateway that nobody has (169.254.1.1), for
  which the node answers by proxy ARP; the node has a route to each pod, a blackhole for the rest of its block, and plain
  routes to the other nodes' blocks (ipipMode CrossSubnet: nodes on one LAN are not tunnelled).
* `kindnet`, `gke` - the ptp plug-in: the node's end of each pair has the gateway's address (the first of the node's
  range), the pod sends everything there; plain routes to the other nodes' ranges.
* `flannel`, `kubenet`, `docker` - a bridge on the node (cni0, cbr0, docker0) that has the gateway's address, with the pods as
  its ports: pods of one node reach each other without being routed, and the node's rules see them all the same, because
  bridge-nf-call-iptables is on.  A pod may reach itself through a Service: ports reflect (hairpin mode), as Docker, Flannel
  and kubenet set them.  Docker knows of no other node.

Sources: projectcalico/cni-plugin `internal/pkg/utils/network_linux.go`, containernetworking `plugins/main/ptp` and
`plugins/main/bridge`, kind `images/kindnetd`, flannel `pkg/ip/iptables` (v0.19), kubernetes-sigs/ip-masq-agent, moby
`libnetwork/drivers/bridge`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubesim.node.config import KubeletConfig

if TYPE_CHECKING:
    from kubesim.net.host import Host

INTERFACE = "eth0"
CALICO_GATEWAY = "169.254.1.1"
BRIDGE_NF = "net.bridge.bridge-nf-call-iptables"


@dataclass(frozen=True, slots=True)
class Flavour:
    """`first` is the number of the first pod's address in the node's range.

    `attach(node, pod, key, address, config)` ties the pod "namespace.name" to the node by an interface `INTERFACE`; `set_up`
    is what is done on the node before any pod is there; `rules` are what the daemon hands to iptables-restore then, so that
    pods reach the world beyond ({pool} is all pods' range, {own} the node's); `protocol` marks its routes."""

    first: int
    attach: Callable[[Host, Host, str, str, KubeletConfig], None]
    set_up: Callable[[Host, KubeletConfig], None]
    rules: str
    protocol: str = "boot"


def _pair(node: Host, pod: Host, prefix: str, digits: int, key: str, address: str) -> str:
    """A veth pair; the name of the node's end, which is made from the pod's."""
    name = prefix + hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:digits]
    if name in node.interfaces:
        # An old pod of the same name is still on its way out.
        name = prefix + hashlib.sha1(f"{key}.{address}".encode(), usedforsecurity=False).hexdigest()[:digits]
    node.network.link(pod, INTERFACE, node, name)
    return name


def _attach_calico(node: Host, pod: Host, key: str, address: str, config: KubeletConfig) -> None:
    name = _pair(node, pod, "cali", 11, key, address)
    node.sysctls[f"net.ipv4.conf.{name}.proxy_arp"] = 1
    node.routes.add(f"{address}/32", name, scope="link")
    pod.add_address(INTERFACE, f"{address}/32")
    pod.routes.add(f"{CALICO_GATEWAY}/32", INTERFACE, scope="link")
    pod.routes.add("default", INTERFACE, CALICO_GATEWAY)


def _set_up_calico(node: Host, config: KubeletConfig) -> None:
    node.routes.add(str(config.network), kind="blackhole", protocol="bird")


def _attach_ptp(node: Host, pod: Host, key: str, address: str, config: KubeletConfig) -> None:
    name = _pair(node, pod, "veth", 8, key, address)
    gateway = str(config.network[1])
    node.add_address(name, f"{gateway}/32")
    node.routes.add(f"{address}/32", name, scope="host")
    pod.add_address(INTERFACE, f"{address}/{config.network.prefixlen}")
    # The subnet is not on the link: it is reached by way of the gateway, as all else.
    pod.routes.remove(str(config.network), INTERFACE)
    pod.routes.add(f"{gateway}/32", INTERFACE, scope="link", source=address)
    pod.routes.add(str(config.network), INTERFACE, gateway, source=address)
    pod.routes.add("default", INTERFACE, gateway)


def _set_up_nothing(node: Host, config: KubeletConfig) -> None:
    return None


def _bridge(name: str, first: int, rules: str) -> Flavour:
    """The flavour of a bridge of that name."""

    def set_up(node: Host, config: KubeletConfig) -> None:
        node.sysctls[BRIDGE_NF] = 1
        node.bridge(name)
        node.add_address(name, f"{config.network[1]}/{config.network.prefixlen}")

    def attach(node: Host, pod: Host, key: str, address: str, config: KubeletConfig) -> None:
        segment = node.interfaces[name].segment
        assert segment is not None
        segment.attach(pod, INTERFACE)
        pod.add_address(INTERFACE, f"{address}/{config.network.prefixlen}")
        pod.routes.add("default", INTERFACE, str(config.network[1]))

    return Flavour(first=first, attach=attach, set_up=set_up, rules=rules)


_CALICO = """\
*nat
:cali-POSTROUTING - [0:0]
:cali-nat-outgoing - [0:0]
-A POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A cali-POSTROUTING -m comment --comment "cali:Z-c7XtVd2Bq7s_hA" -j cali-nat-outgoing
-A cali-nat-outgoing -s {pool} ! -d {pool} -m comment --comment "cali:flqWnvo8yq4ULQLa" -j MASQUERADE
COMMIT
"""
_KINDNET = """\
*nat
:KIND-MASQ-AGENT - [0:0]
-A POSTROUTING -m addrtype ! --dst-type LOCAL -m comment --comment "kind-masq-agent: ensure nat POSTROUTING directs all \
non-LOCAL destination traffic to our custom KIND-MASQ-AGENT chain" -j KIND-MASQ-AGENT
-A KIND-MASQ-AGENT -d {pool} -m comment --comment "kind-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN
-A KIND-MASQ-AGENT -m comment --comment "kind-masq-agent: outbound traffic is subject to MASQUERADE (must be last in \
chain)" -j MASQUERADE
COMMIT
"""
# ip-masq-agent's defaults: what is private is reached by the pod's own address.
_IP_MASQ = """\
*nat
:IP-MASQ - [0:0]
-A POSTROUTING -m comment --comment "ip-masq: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our \
custom IP-MASQ chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ
-A IP-MASQ -d 169.254.0.0/16 -m comment --comment "ip-masq: local traffic is not subject to MASQUERADE" -j RETURN
-A IP-MASQ -d 10.0.0.0/8 -m comment --comment "ip-masq: local traffic is not subject to MASQUERADE" -j RETURN
-A IP-MASQ -d 172.16.0.0/12 -m comment --comment "ip-masq: local traffic is not subject to MASQUERADE" -j RETURN
-A IP-MASQ -d 192.168.0.0/16 -m comment --comment "ip-masq: local traffic is not subject to MASQUERADE" -j RETURN
-A IP-MASQ -m comment --comment "ip-masq: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE
COMMIT
"""
_FLANNEL = """\
*filter
-A FORWARD -s {pool} -m comment --comment "flanneld forward" -j ACCEPT
-A FORWARD -d {pool} -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
*nat
-A POSTROUTING -s {pool} -d {pool} -m comment --comment "flanneld masq" -j RETURN
-A POSTROUTING -s {pool} ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A POSTROUTING ! -s {pool} -d {own} -m comment --comment "flanneld masq" -j RETURN
-A POSTROUTING ! -s {pool} -d {pool} -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
COMMIT
"""
_DOCKER = """\
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s {own} ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
"""

FLAVOURS: dict[str, Flavour] = {
    # The block's first address is the tunnel's.
    "calico": Flavour(first=1, attach=_attach_calico, set_up=_set_up_calico, rules=_CALICO, protocol="bird"),
    "kindnet": Flavour(first=2, attach=_attach_ptp, set_up=_set_up_nothing, rules=_KINDNET),
    "gke": Flavour(first=2, attach=_attach_ptp, set_up=_set_up_nothing, rules=_IP_MASQ),
    "flannel": _bridge("cni0", 2, _FLANNEL),
    "kubenet": _bridge("cbr0", 2, _IP_MASQ),
    "docker": _bridge("docker0", 2, _DOCKER),
}
