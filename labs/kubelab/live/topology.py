"""A network to walk packets over, made of what the API and the nodes say.

Addresses, routes, sockets and rules are the nodes' own words.  What they do not say is which interface is wired to which:
that follows from the routes.  A node sends what is for a pod out of the interface whose other end the pod has, and nodes reach
each other over the network of their InternalIPs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kubelab.live.dumps import Dump
from kubesim.errors import LearnerError
from kubesim.net import Host, Listener, NetError, Network, UdpSocket
from kubesim.net.link import Segment
from kubesim.policy import kindnet
from kubesim.policy.model import State
from kubesim.world import World

# Stand-ins for addresses beyond this computer (TEST-NET-2, RFC 5737).
ROUTER, PROVIDER = "198.51.100.10", "198.51.100.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node: its InternalIP, its dump, and the dumps of the pods on it by their addresses."""

    address: str
    dump: Dump
    pods: Mapping[str, Dump]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod with an address of its own: `name` is "NAMESPACE/NAME"."""

    name: str
    address: str
    node: str


@dataclass(slots=True)
class Topology:
    """The hosts by their names: nodes, pods ("NAMESPACE/NAME") and "outside"."""

    network: Network
    hosts: dict[str, Host] = field(default_factory=dict)


def build(
    nodes: Mapping[str, Node], pods: list[Pod], seed: int, policies: Callable[[], State] | None = None
) -> Topology:
    """The network.  LearnerError where a node says something that is not understood.

    `policies` gives what kindnet's agent knows of NetworkPolicies; it is asked only where a node has kindnet's table.
    """
    made = Topology(Network(World(seed)))
    lan = made.network.switch("lan")
    for name, node in nodes.items():
        made.hosts[name] = _node(made.network, name, node, lan)
    made.hosts["outside"] = _outside(made.network, nodes, lan)
    for pod in pods:
        if pod.node in nodes:
            made.hosts[pod.name] = _pod(made, pod, nodes[pod.node])
    for name, node in nodes.items():
        _rules(made.hosts[name], node.dump)
    if policies is not None and any(kindnet.TABLE in node.dump.nft for node in nodes.values()):
        state = policies()
        for name in nodes:
            made.hosts[name].queues.bind(kindnet.QUEUE, "kindnetd", functools.partial(kindnet.answer, state))
    return made


def _node(network: Network, name: str, node: Node, lan: Segment) -> Host:
    host = network.host(name, "node")
    for interface, address in node.dump.addresses:
        if interface not in host.interfaces:
            # Only the one with the InternalIP is on the network between the nodes.
            if any(each == interface and one.partition("/")[0] == node.address for each, one in node.dump.addresses):
                lan.attach(host, interface)
            else:
                host.add_interface(interface, kind="dummy")
        if not any(str(each) == address for each in host.interfaces[interface].addresses):
            host.add_address(interface, address)
    host.sysctls.update(node.dump.settings)
    for line in node.dump.routes:
        _route(host, line)
    _listen(host, node.dump)
    return host


def _outside(network: Network, nodes: Mapping[str, Node], lan: Segment) -> Host:
    """The computer that the nodes' network ends at: their gateway."""
    host = network.host("outside", "outside")
    lan.attach(host, "eth0")
    host.sysctls["net.ipv4.ip_forward"] = 1
    _beyond(network, host)
    for node in nodes.values():
        for line in node.dump.routes:
            words = line.split()
            if words[0] == "default" and "via" in words:
                gateway = words[words.index("via") + 1]
                length = next(
                    (
                        each.partition("/")[2]
                        for _name, each in node.dump.addresses
                        if each.startswith(f"{node.address}/")
                    ),
                    "24",
                )
                host.add_address("eth0", f"{gateway}/{length}")
                return host
    return host


def _beyond(network: Network, router: Host) -> None:
    """What is behind that computer: whatever goes there is not seen again, but for what is known of its own network."""
    wide = network.host("internet", "internet")
    network.link(router, "wan0", wide, "eth0")
    router.add_address("wan0", f"{ROUTER}/24")
    wide.add_address("eth0", f"{PROVIDER}/24")
    router.routes.add("default", "wan0", PROVIDER)
    wide.routes.add("default", "eth0")
    wide.sysctls["net.ipv4.ip_forward"] = 1
    router.netfilter.restore("*nat\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n")
    wide.netfilter.restore("*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\nCOMMIT\n")


def _pod(made: Topology, pod: Pod, node: Node) -> Host:
    on = made.hosts[pod.node]
    host = made.network.host(pod.name, "pod")
    dump = node.pods.get(pod.address)
    if dump is None:
        raise LearnerError(
            f"node {pod.node} does not say what pod {pod.name} ({pod.address}) listens on",
            "Packets can be followed where the runtime keeps its network namespaces in /run/netns, as containerd in kind does.",
        )
    _wire(made.network, on, host, pod)
    for interface, address in dump.addresses:
        if interface == "eth0" and not any(str(each) == address for each in host.interfaces["eth0"].addresses):
            host.add_address(interface, address)
    for line in dump.routes:
        _route(host, line)
    _listen(host, dump)
    return host


def _wire(network: Network, on: Host, pod: Host, named: Pod) -> None:
    """A link between the pod's eth0 and the interface that its node's route to it names."""
    route = on.routes.lookup(named.address)
    if route is None or route.device not in on.interfaces:
        raise LearnerError(f"node {named.node} has no route to pod {named.name} ({named.address})")
    device = on.interfaces[route.device]
    if device.segment is None:
        # A veth of the pod's own, or a bridge that the first pod brings to life.
        shared = route.destination not in (named.address, f"{named.address}/32")
        device.kind = "bridge" if shared else "veth"
        segment = Segment(route.device, device if shared else None)
        if not shared:
            segment.join(device)
    else:
        segment = device.segment
    segment.attach(pod, "eth0")
    pod.interfaces["eth0"].kind = "veth"


def _route(host: Host, line: str) -> None:
    """A line of `ip route`."""
    words = line.split()
    kind = "unicast"
    if words[0] in ("blackhole", "unreachable", "prohibit", "local", "broadcast"):
        kind, *words = words
    given = dict(zip(words[1::2], words[2::2], strict=False))
    if "nexthop" in words:
        raise LearnerError(f"{host.name} has a route with several next hops, which cannot be read yet: {line}")
    device = given.get("dev", "")
    if device and device not in host.interfaces:
        host.add_interface(device)  # without an address, as Calico's are
        host.sysctls[f"net.ipv4.conf.{device}.proxy_arp"] = 1
    host.routes.add(
        words[0],
        device,
        given.get("via", ""),
        source=given.get("src", ""),
        scope=given.get("scope", ""),
        kind=kind,
        metric=int(given.get("metric", 0)),
        protocol=given.get("proto", "boot"),
        onlink="onlink" in words,
    )


def _listen(host: Host, dump: Dump) -> None:
    for each in dict.fromkeys(dump.sockets):
        known = host.stack.listeners if each.protocol == "tcp" else host.stack.udp
        if any(other.address in ("", "::", each.address) for other in known.get(each.port, ())):
            continue  # SO_REUSEPORT, or an IPv6 socket that takes IPv4 too
        try:
            if each.protocol == "tcp":
                Listener(host.stack, "tcp", each.address, each.port)
            else:
                # Whether a program answers datagrams no node says; a name server does.
                UdpSocket(host.stack, each.address, each.port).answers = each.port == 53
        except NetError:
            continue  # bound to an address of a family or a device that is not looked at


def _rules(host: Host, dump: Dump) -> None:
    if ":KUBE-SERVICES " not in dump.rules and "table ip kube-proxy" not in dump.nft:
        raise LearnerError(
            f"node {host.name} has no rules of kube-proxy in iptables or nftables",
            "Packets can be followed in kube-proxy's modes iptables, nftables and ipvs.",
        )
    if dump.sets.strip():
        host.ipsets.restore(dump.sets)
    for each in dump.ipvs:
        service = host.ipvs.add(each.protocol, each.address, each.port, each.scheduler, each.persistence)
        for address, port, weight in each.servers:
            host.ipvs.add_server(service, address, port, weight)
    host.netfilter.restore(dump.rules)
    for name, ages in dump.recent.items():
        now = host.world.now
        host.netfilter.recent[name] = {address: [now - each for each in listed] for address, listed in ages.items()}
    if dump.nft.strip():
        host.nft.apply(dump.nft)
