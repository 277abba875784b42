"""Where the packets of a case go: the walk over the rendered rules, on a network just large enough.

The node has a wire on either side: at the one is a host that sends, at the other one that gets all that leaves the node,
for the pods and nodes beyond.  A packet from one of the node's own addresses begins on the node, any other at the sender.
What the rules make of it is read off the traces of all branches: where its destination was rewritten to, whether it was
refused or thrown away, and whether it was marked for masquerade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from kubesim import net
from kubesim.net.packet import Packet
from kubesim.net.packet import Protocol as PacketProtocol
from kubesim.net.trace import Kind, Step, Trace, Verdict
from kubesim.proxy import addresses, iptables
from kubesim.proxy.ipvs_family import IpvsFamily
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State
from kubesim.world import World

# The wires' addresses, which no case uses: of the node and of its neighbour, towards the sender and towards the rest.
WIRES = {
    "IPv4": (("198.18.0.1/24", "198.18.0.2"), ("198.18.1.1/24", "198.18.1.2")),
    "IPv6": (("fd7f:ffff:1::1/64", "fd7f:ffff:1::2"), ("fd7f:ffff:2::1/64", "fd7f:ffff:2::2")),
}


# Puts the rules on the node.
Load = Callable[[net.Host], None]


def iptables_rules(text: str, options: Settings) -> Load:
    """With the jumps that kube-proxy inserts beside its text."""

    def load(node: net.Host) -> None:
        tables = Iptables(node.netfilter6 if options.ipv6 else node.netfilter)
        tables.ensure((), iptables.JUMPS)
        tables.restore(text)

    return load


def nftables_rules(text: str) -> Load:
    """A file for `nft -f`."""
    return lambda node: node.nft.apply(text)


def ipvs_rules(known: State, options: Settings) -> Load:
    """With the virtual servers, the sets and the dummy interface: as the mode's own first sync makes them."""

    def load(node: net.Host) -> None:
        tables = Iptables(node.netfilter6 if options.ipv6 else node.netfilter)
        IpvsFamily(node.world, node, known, options, tables, sync_period=30.0).write(None)

    return load


class Wire:
    """A node with its rules, and what is around it."""

    def __init__(self, load: Load, options: Settings, own: Iterable[str]) -> None:
        self.family = options.family
        self.world = World(seed=1)
        self.network = net.Network(self.world)
        self.node = self.network.host("node", "node")
        self.sender = self.network.host("sender", "outside")
        self.own = {address for address in own if addresses.family(address) == self.family}
        self._bits = 128 if options.ipv6 else 32
        anywhere = "::/0" if options.ipv6 else "default"
        neighbours = (self.sender, self.network.host("beyond", "outside"))
        for device, neighbour, (ours, theirs) in zip(("eth1", "eth0"), neighbours, WIRES[self.family], strict=True):
            self.network.link(self.node, device, neighbour, "eth0")
            self.node.add_address(device, ours)
            neighbour.add_address("eth0", f"{theirs}/{ours.rpartition('/')[2]}")
            neighbour.routes.add(anywhere, "eth0", ours.partition("/")[0])
        self.node.routes.add(anywhere, "eth0", WIRES[self.family][1][1])
        for address in sorted(self.own):
            if not addresses.is_loopback(address):
                self.node.add_address("eth0", f"{address}/{self._bits}")
        self.node.sysctls["net.ipv4.ip_forward"] = self.node.sysctls["net.ipv6.conf.all.forwarding"] = 1
        self.node.sysctls["net.ipv4.conf.all.route_localnet"] = int(options.localhost_node_ports)
        load(self.node)

    def decide(self, packet: Mapping[str, Any]) -> dict[str, Any]:
        """`output` and `masq` of one packet, as the recordings have them."""
        source, destination = addresses.canonical(packet["sourceIP"]), addresses.canonical(packet["destIP"])
        # A load balancer's address as the source of a request to itself is the node's own request, looped back.
        from_node = source in self.own or source == destination or addresses.is_loopback(source)
        sender = self.node if from_node else self.sender
        if not from_node:
            self.sender.add_address("eth0", f"{source}/{self._bits}")
        flow = Packet(
            protocol=cast(PacketProtocol, packet["protocol"].lower()),
            src=source,
            dst=destination,
            sport=40000,
            dport=int(packet["destPort"]),
            flags="S" if packet["protocol"] == "TCP" else "",
        )
        traces = self.network.trace(sender, flow, mode="branches")
        if not from_node:
            self.sender.remove_address("eth0", f"{source}/{self._bits}")
        outputs = dict.fromkeys(_output(trace) for trace in traces)
        # An endpoint that may draw itself: the recordings of nftables speak of the first way only, those of iptables of any.
        ways = traces[:1] if self.node.nft.tables else traces
        return {"output": ", ".join(outputs), "masq": any(_masqueraded(trace) for trace in ways)}


def _on_node(trace: Trace) -> list[Step]:
    return [step for hop in trace.hops if hop.host == "node" for step in hop.steps]


def _matched(trace: Trace) -> list[Step]:
    return [step for step in _on_node(trace) if step.kind is Kind.RULE and step.matched]


def _output(trace: Trace) -> str:
    if trace.verdict in (Verdict.REJECTED, Verdict.DROPPED):
        return "REJECT" if trace.verdict is Verdict.REJECTED else "DROP"
    for step in _on_node(trace):
        if step.kind in (Kind.NAT, Kind.IPVS) and step.after is not None:
            to = (step.after.dst, step.after.dport)
            if to != (trace.flow.dst, trace.flow.dport):
                return addresses.join(*to)
    return "ACCEPT" if any(step.rule.endswith("-j ACCEPT") for step in _matched(trace)) else ""


def _masqueraded(trace: Trace) -> bool:
    """Marked for it by KUBE-MARK-MASQ or nft's `mark set`, or masqueraded at once: hairpin connections of nft and ipvs."""
    return any(
        step.chain == "KUBE-MARK-MASQ"
        or "LOOP-BACK" in step.rule
        or "meta mark set meta mark |" in step.rule
        or " masquerade" in step.rule
        for step in _matched(trace)
        if step.table != "nat" or step.chain == "KUBE-MARK-MASQ" or "LOOP-BACK" in step.rule
    )


def decide(
    load: Load, options: Settings, own: Iterable[str], packets: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Where each packet goes under the rules that `load` puts on the node."""
    wire = Wire(load, options, own)
    return [wire.decide(packet) for packet in packets]
