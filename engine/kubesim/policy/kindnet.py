"""kindnetd's NetworkPolicies: a table that hands the first packets of connections to the agent, and the agent.

Since kind 0.24 kindnetd embeds sigs.k8s.io/kube-network-policies.  No rule of its table names a policy, a label or a port.
It holds the addresses of this node's pods that any policy selects, and a queue: what comes from or goes to one of them, and
is not of a connection that was accepted before, waits until the agent, which knows all policies, says yes or no.  What it
accepts carries conntrack label 100 from then on (nft prints the bit as 28, counted from the other end of each word), so a
policy means new connections only.

The table is looked at after destinations are translated (the agent sees the pod, not the Service) and before sources are.
UDP to port 53 is asked about at prerouting instead, because of a race in older kernels (netfilter bug 1766).  What the
node's own root sends - kubelet's probes, programs on the host's network - is let through before anybody is asked.

The queue has `bypass`: while no agent listens, everything passes.  Sources: kube-network-policies,
pkg/dataplane/controller.go (syncNFTablesRules); `nft list table inet kindnet-network-policies` of a kind node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.net import queue
from kubesim.policy import watch
from kubesim.policy.model import Connection, Pod, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubesim.client import Client
    from kubesim.machine import Machine
    from kubesim.net.packet import Packet
    from kubesim.world import World

TABLE = "kindnet-network-policies"
QUEUE = 101
LABEL = 28
_ASK = f"queue flags bypass to {QUEUE}"
# Neighbour discovery is no traffic of pods.
_ICMPV6 = ("nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert", "nd-redirect")
_BOTH_ENDS = tuple(
    f"{family} {side} @podips-{version} {_ASK}"
    for family, version in (("ip", "v4"), ("ip6", "v6"))
    for side in ("saddr", "daddr")
)
_CHAINS = {
    "postrouting": (
        "type filter hook postrouting priority srcnat - 5 ; policy accept ;",
        (
            "udp dport 53 accept",
            *(f"icmpv6 type {each} accept" for each in _ICMPV6),
            "meta skuid 0 counter accept",
            f"ct label {LABEL} ct state established,related counter accept",
            *_BOTH_ENDS,
            f"ct label set {LABEL}",
        ),
    ),
    "input": (
        "type filter hook input priority srcnat + 1 ; policy accept ;",
        (
            'iifname "lo" accept',
            f"ip saddr @podips-v4 ct state new {_ASK}",
            f"ip6 saddr @podips-v6 ct state new {_ASK}",
        ),
    ),
    "prerouting": (
        "type filter hook prerouting priority dstnat + 5 ; policy accept ;",
        ("meta l4proto != udp accept", "udp dport != 53 accept", *_BOTH_ENDS),
    ),
}


def managed(state: State, node: str) -> list[Pod]:
    """The node's pods that any policy selects, in either direction."""
    return [
        pod
        for pod in state.pods
        if pod.node == node and any(policy.selects(pod) for policy in state.policies.get(pod.namespace, ()))
    ]


def render(ips: list[str]) -> str:
    """The whole table for `nft -f`, with the addresses that are to be asked about."""
    table = f"inet {TABLE}"
    lines = [f"add table {table}", f"delete table {table}", f"add table {table}"]
    for name, kind, own in (
        ("podips-v4", "ipv4_addr", [ip for ip in ips if ":" not in ip]),
        ("podips-v6", "ipv6_addr", [ip for ip in ips if ":" in ip]),
    ):
        lines.append(f"add set {table} {name} {{ type {kind} ; }}")
        if own:
            lines.append(f"add element {table} {name} {{ {', '.join(own)} }}")
    for chain, (base, rules) in _CHAINS.items():
        lines.append(f"add chain {table} {chain} {{ {base} }}")
        lines += [f"add rule {table} {chain} {rule}" for rule in rules]
    return "".join(f"{line}\n" for line in lines)


class Agent:
    """The part of kindnetd that this is about, on one node: it keeps the table and answers the queue.

    Unlike the real one it writes its table when the first policy comes, not before, so that packets of clusters without any
    policy pass no rule of it.  The connections that are there by then get the label that the table would have given them.
    """

    def __init__(self, world: World, client: Client, machine: Machine, log: Callable[[str, str], None]) -> None:
        self._host = machine.net
        self._node = machine.name
        self._log = log
        self._state = State()
        self._written: list[str] | None = None
        self._host.queues.bind(QUEUE, "kindnetd", self.decide)
        self._watch = watch.Watch(world, client, self.sync)

    def stop(self) -> None:
        """The program ends: nobody answers, and the table stays."""
        self._watch.close()
        self._host.queues.unbind(QUEUE)

    def sync(self) -> None:
        """Write the table anew where the addresses in it are others."""
        self._state = self._watch.state
        ips = [ip for pod in managed(self._state, self._node) for ip in pod.ips]
        if ips == self._written:
            return
        if self._written is None and (TABLE not in {name for _family, name in self._host.nft.tables}):
            for entry in self._host.conntrack.entries():
                entry.labels |= 1 << LABEL
        self._host.nft.apply(render(ips))
        self._written = ips
        self._log("Syncing nftables rules", "controller.go:420")

    def decide(self, packet: Packet) -> queue.Answer:
        """The queue's question."""
        return answer(self._state, packet)


def answer(state: State, packet: Packet) -> queue.Answer:
    """What the agent says of a packet (PolicyEngine.EvaluatePacket)."""
    connection = Connection(packet.protocol, packet.src, packet.dst, packet.dport if not packet.icmp else 0)
    verdict = state.evaluate(connection)
    return queue.Answer(verdict.allowed, verdict.reason, LABEL if verdict.allowed else None)
