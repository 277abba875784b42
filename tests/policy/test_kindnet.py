"""kindnetd's table, as `nft list ruleset` shows it on a kind node, and its queue."""

from __future__ import annotations

import re

from policybench import Bench
from test_rows import policy

from kubesim.cluster import Cluster
from kubesim.machinery import selectors
from kubesim.net import Kind, Packet
from kubesim.policy import kindnet
from kubesim.policy.model import Pod, Policy, State

POSTROUTING = """\
\tchain postrouting {
\t\ttype filter hook postrouting priority srcnat - 5; policy accept;
\t\tudp dport 53 accept
\t\ticmpv6 type nd-router-solicit accept
\t\ticmpv6 type nd-router-advert accept
\t\ticmpv6 type nd-neighbor-solicit accept
\t\ticmpv6 type nd-neighbor-advert accept
\t\ticmpv6 type nd-redirect accept
\t\tmeta skuid 0 counter accept
\t\tct label 28 ct state established,related counter accept
\t\tip saddr @podips-v4 queue flags bypass to 101
\t\tip daddr @podips-v4 queue flags bypass to 101
\t\tip6 saddr @podips-v6 queue flags bypass to 101
\t\tip6 daddr @podips-v6 queue flags bypass to 101
\t\tct label set 28
\t}
"""


def table(cluster: Cluster, node: str) -> str:
    """What nft lists there, the counters' numbers left out."""
    return re.sub(r"counter packets \d+ bytes \d+", "counter", str(cluster.nodes[node].net.nft))


def test_no_policy_no_table() -> None:
    cluster = Cluster("kind")
    assert all(not machine.net.nft.tables for machine in cluster.nodes.values())


def test_the_table_is_the_real_ones() -> None:
    bench = Bench("kind")
    bench.apply(policy("x", "{podSelector: {matchLabels: {pod: a}}}"))
    node = bench.node_of("x/a")
    text = table(bench.cluster, node)
    assert text.startswith("table inet kindnet-network-policies {\n\tset podips-v4 {\n\t\ttype ipv4_addr\n")
    assert f"\t\telements = {{ {bench.ip('x/a')} }}\n" in text
    assert "priority srcnat + 1; policy accept;" in text
    assert "priority dstnat + 5; policy accept;" in text
    assert POSTROUTING in text


def test_each_node_asks_about_its_own_pods_only() -> None:
    pods = [
        Pod(namespace="x", name=name, node=name[0], ips=(f"10.0.0.{at}",)) for at, name in enumerate(("m1", "m2", "n1"))
    ]
    everything = Policy(namespace="x", name="p", pods=selectors.from_map({}), ingress=())
    assert [each.name for each in kindnet.managed(State([everything], pods), "m")] == ["m1", "m2"]
    assert kindnet.managed(State([], pods), "m") == []


def test_only_the_first_packets_are_asked_about() -> None:
    bench = Bench("kind")
    bench.apply(policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{}]}"))
    source = bench.place("y/a").net
    asked = []
    node = bench.cluster.nodes[bench.node_of("x/a")].net
    listener = node.queues.listeners[kindnet.QUEUE]
    node.queues.unbind(kindnet.QUEUE)
    node.queues.bind(kindnet.QUEUE, "spy", lambda packet: asked.append(packet.flags) or listener.decide(packet))
    assert bench.connects("y/a", "x/a", 80) == "open"
    assert asked == ["S"]
    trace = bench.cluster.network.trace(source, Packet(dst=bench.ip("x/a"), sport=1, dport=80, flags="S"))
    told = [step.why for _hop, step in trace.steps() if step.kind is Kind.QUEUE]
    assert told == ["spy: policy x/policy, which selects x/a, allows tcp 80 from y/a"]
