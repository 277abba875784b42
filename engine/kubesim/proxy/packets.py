"""Where the packets of a case go: the walk over the rendered rules, on a network just large enough.

The node stands on a wire with one other host, which is everything else: clients, and the nodes and pods beyond.  A packet
from one of the node's own addresses begins on the node, any other beyond.  What the rules make of it is read off the
traces of all branches: where its destination was rewritten to, whether it was refused or thrown away, and whether it was
marked for masquerade.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from kubesim import net
from kubesim.net.packet import Packet
from kubesim.net.packet import Protocol as PacketProtocol
from kubesim.net.trace import Kind, Step, Trace, Verdict
from kubesim.proxy import addresses, iptables
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.settings import Settings
from kubesim.world import World

# The node's wire: addresses that no case uses.
BEYOND = {"IPv4": "198.18.255.254", "IPv6": "fd7f:ffff::fe"}
ON_WIRE = {"IPv4": "198.18.255.1/24", "IPv6": "fd7f:ffff::1/64"}


class Wire:
    """A node with its rules, and the host that is everything else."""

    def __init__(self, text: str, options: Settings, own: Iterable[str]) -> None:
        self.family = options.family
        self.world = World(seed=1)
        self.network = net.Network(self.world)
        self.node = self.network.host("node", "node")
        self.beyond = self.network.host("beyond", "outside")
        self.own = {address for address in own if addresses.family(address) == self.family}
        lan = self.network.switch("lan")
        lan.attach(self.node)
        lan.attach(self.beyond)
        bits = 128 if options.ipv6 else 32
        self.node.add_address("eth0", ON_WIRE[self.family])
        for address in sorted(self.own):
            if not addresses.is_loopback(address):
                self.node.add_address("eth0", f"{address}/{bits}")
        self.beyond.add_address("eth0", f"{BEYOND[self.family]}/{64 if options.ipv6 else 24}")
        self.node.routes.add("::/0" if options.ipv6 else "default", "eth0", BEYOND[self.family])
        self.node.sysctls.update(
            {
                "net.ipv4.ip_forward": 1,
                "net.ipv6.conf.all.forwarding": 1,
                "net.ipv4.conf.all.route_localnet": int(options.localhost_node_ports),
            }
        )
        self.beyond.routes.add("::/0" if options.ipv6 else "default", "eth0", ON_WIRE[self.family].partition("/")[0])
        tables = Iptables(self.node.netfilter6 if options.ipv6 else self.node.netfilter)
        tables.ensure((), iptables.JUMPS)
        tables.restore(text)

    def decide(self, packet: Mapping[str, Any]) -> dict[str, Any]:
        """`output` and `masq` of one packet, as the recordings have them."""
        source, destination = addresses.canonical(packet["sourceIP"]), addresses.canonical(packet["destIP"])
        # A load balancer's address as the source of a request to itself is the node's own request, looped back.
        from_node = source in self.own or source == destination or addresses.is_loopback(source)
        sender = self.node if from_node else self.beyond
        prefix = f"{source}/{128 if self.family == 'IPv6' else 32}"
        if not from_node:
            self.beyond.add_address("eth0", prefix)
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
            self.beyond.remove_address("eth0", prefix)
        outputs = dict.fromkeys(_output(trace) for trace in traces)
        return {"output": ", ".join(outputs), "masq": any(_masqueraded(trace) for trace in traces)}


def _on_node(trace: Trace) -> list[Step]:
    return [step for hop in trace.hops if hop.host == "node" for step in hop.steps]


def _matched(trace: Trace) -> list[Step]:
    return [step for step in _on_node(trace) if step.kind is Kind.RULE and step.matched]


def _output(trace: Trace) -> str:
    if trace.verdict in (Verdict.REJECTED, Verdict.DROPPED):
        return "REJECT" if trace.verdict is Verdict.REJECTED else "DROP"
    for step in _on_node(trace):
        if step.kind is Kind.NAT and step.after is not None:
            to = (step.after.dst, step.after.dport)
            if to != (trace.flow.dst, trace.flow.dport):
                return addresses.join(*to)
    return "ACCEPT" if any(step.rule.endswith("-j ACCEPT") for step in _matched(trace)) else ""


def _masqueraded(trace: Trace) -> bool:
    return any(step.chain == "KUBE-MARK-MASQ" for step in _matched(trace))


def decide(text: str, options: Settings, own: Iterable[str], packets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where each packet goes under these rules."""
    wire = Wire(text, options, own)
    return [wire.decide(packet) for packet in packets]
