"""IPVS: virtual servers, who is given which connection, and what the packets look like before and behind it."""

from __future__ import annotations

from collections import Counter

import pytest

from kubesim import net
from kubesim.errors import NotSimulated
from kubesim.net import ipvs, ipvs_schedulers
from kubesim.net.trace import Kind, Verdict

# What kube-proxy's rules come to for one ClusterIP: whoever is no pod is masqueraded, and so is a pod that meets itself.
RULES = """
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES ! -s 10.244.0.0/16 -m set --match-set VIPS dst,dst -j MARK --or-mark 0x4000
-A KUBE-SERVICES -m set --match-set VIPS dst,dst -j ACCEPT
-A KUBE-POSTROUTING -m set --match-set LOOP dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE
COMMIT
"""
VIP = "10.96.0.10"


@pytest.fixture
def balanced(lab):
    """The virtual server 10.96.0.10:80 on node1, with a (on node1) and c (on node2) behind it."""
    node = lab.node1
    node.add_interface("kube-ipvs0").up = False
    node.add_address("kube-ipvs0", f"{VIP}/32")
    service = node.ipvs.add("tcp", VIP, 80, "rr")
    node.ipvs.add_server(service, "10.244.1.2", 80)
    node.ipvs.add_server(service, "10.244.2.2", 8080)
    node.sysctls["net.ipv4.vs.conntrack"] = 1
    node.ipsets.create("VIPS", "hash:ip,port")
    node.ipsets.add("VIPS", f"{VIP},tcp:80")
    node.ipsets.create("LOOP", "hash:ip,port,ip")
    node.ipsets.add("LOOP", "10.244.1.2,tcp:80,10.244.1.2")
    node.netfilter.restore(RULES)
    lab.serve(lab.pods["a"], 80)
    lab.serve(lab.pods["c"], 8080)
    lab.outside.routes.add("10.96.0.0/16", "eth0", "172.18.0.2")
    return lab


ROWS = [
    # name, who asks, what the pods then see
    ("a pod", "b", {"a saw 10.244.1.3", "c saw 10.244.1.3"}),
    ("a pod that meets itself", "a", {"a saw 172.18.0.2", "c saw 10.244.1.2"}),
    (
        "the node itself, whose packets have the virtual address for their source",
        "node1",
        {"a saw 172.18.0.2", "c saw 172.18.0.2"},
    ),
    ("the outside", "outside", {"a saw 172.18.0.2", "c saw 172.18.0.2"}),
]


@pytest.mark.parametrize(("name", "source", "answers"), ROWS, ids=[row[0] for row in ROWS])
def test_where_a_virtual_server_leads(balanced, name, source, answers):
    host = balanced.network.hosts[source]
    assert {balanced.get(host, VIP, 80, timeout=5) for _ in range(2)} == answers
    assert {balanced.get(host, VIP, 80, timeout=5) for _ in range(2)} == answers


def test_without_conntrack_nothing_is_masqueraded(balanced):
    balanced.node1.sysctls["net.ipv4.vs.conntrack"] = 0
    host = balanced.network.hosts["outside"]
    # a answers through its node, which knows the connection; c by its own node, and a stranger's answer is no answer.
    assert {balanced.get(host, VIP, 80, timeout=3) for _ in range(2)} == {"a saw 172.18.0.1", "Connection timed out"}


def test_round_robin_is_exactly_even(balanced):
    seen: Counter[str] = Counter()
    for port in range(1000):
        sent = balanced.pods["b"].stack.send(net.Packet(dst=VIP, sport=20000 + port, dport=80, flags="S"))
        seen[sent.final.dst] += 1
    assert seen == {"10.244.1.2": 500, "10.244.2.2": 500}


def test_the_address_must_be_the_hosts_own(balanced):
    balanced.node1.remove_interface("kube-ipvs0")
    assert balanced.get(balanced.pods["b"], VIP, 80, timeout=3) != "a saw 10.244.1.3"
    trace = balanced.network.trace(balanced.pods["b"], net.Packet(dst=VIP, dport=80, sport=40000, flags="S"))
    assert not [step for _hop, step in trace.steps() if step.kind is Kind.IPVS]


def test_no_real_server_is_told_by_icmp(balanced):
    service = balanced.node1.ipvs.get("tcp", VIP, 80)
    for each in list(service.real_servers):
        balanced.node1.ipvs.delete_server(service, each.address, each.port)
    for source in ("b", "node1", "outside"):
        assert balanced.get(balanced.network.hosts[source], VIP, 80, timeout=5) == "Connection refused"
    trace = balanced.network.trace(balanced.pods["b"], net.Packet(dst=VIP, dport=80, sport=40000, flags="S"))
    assert (trace.verdict, trace.reply.flow.icmp) == (Verdict.REJECTED, "port-unreachable")
    assert str(trace).splitlines()[0] == (
        "b asked 10.96.0.10:80, and was rejected on node1 by IPVS, because the virtual server 10.96.0.10:80 has no real server."
    )


def test_another_port_goes_to_the_node_itself(balanced):
    packet = net.Packet(dst=VIP, dport=81, sport=40000, flags="S")
    trace = balanced.network.trace(balanced.pods["b"], packet)
    assert trace.verdict is Verdict.REFUSED
    (step,) = [step for _hop, step in trace.steps() if step.kind is Kind.IPVS]
    assert (step.matched, step.why) == (False, "no virtual server is for tcp 10.96.0.10:81")
    # Programs of the node that listen on all addresses listen on virtual ones too.
    balanced.serve(balanced.node1, 81)
    assert balanced.get(balanced.pods["b"], VIP, 81, timeout=3) == "node1 saw 10.244.1.3"


def test_the_branches_have_every_real_server_with_its_share(balanced):
    packet = net.Packet(dst=VIP, dport=80, sport=40000, flags="S")
    before = balanced.network.trace(balanced.pods["b"], packet)
    traces = balanced.network.trace(balanced.pods["b"], packet, "branches")
    assert {(trace.final.dst, trace.final.dport, trace.probability) for trace in traces} == {
        ("10.244.1.2", 80, 0.5),
        ("10.244.2.2", 8080, 0.5),
    }
    assert all(trace.reply.final.src == VIP for trace in traces)
    # Looking moves no turn on, and leaves no connection.
    assert balanced.network.trace(balanced.pods["b"], packet) == before
    assert not balanced.node1.ipvs.connections.entries()


def test_the_trace_tells_what_ipvs_did(balanced):
    trace = balanced.network.trace(balanced.pods["b"], net.Packet(dst=VIP, dport=80, sport=40000, flags="S"))
    told = [(step.chain, step.rule, step.why) for _hop, step in trace.steps() if step.kind is Kind.IPVS]
    assert told == [
        (
            "LOCAL_IN",
            "-A -t 10.96.0.10:80 -s rr",
            "the virtual server 10.96.0.10:80 gives it to 10.244.2.2:8080: the real servers take turns (rr), one of 2",
        )
    ]
    chains = [step.chain for hop, step in trace.steps() if hop.host == "node1" and step.kind is Kind.RULE]
    assert "FORWARD" not in chains
    back = [step.why for _hop, step in trace.reply.steps() if step.kind is Kind.IPVS]
    assert back == ["source 10.244.2.2:8080 becomes 10.96.0.10:80, the virtual server that its connection was made to"]
    assert (
        str(trace).splitlines()[0] == "b asked 10.96.0.10:80, which node1 turned into 10.244.2.2:8080, and c answered."
    )


def test_conntrack_knows_who_answers(balanced):
    async def client():
        return (await balanced.outside.connect(VIP, 80)).local[1]

    port = balanced.world.run(client())
    (entry,) = balanced.node1.conntrack.entries()
    assert (entry.original.dst, entry.original.sport, entry.reply.src, entry.reply.dst) == (
        VIP,
        port,
        "10.244.2.2",
        "172.18.0.2",
    )


# -- persistence ---------------------------------------------------------------------------------------------------


def test_persistence_ends_after_its_time_and_the_connections(balanced):
    balanced.node1.ipvs.edit("tcp", VIP, 80, "rr", 60)
    world, client = balanced.world, balanced.pods["b"]
    assert {balanced.get(client, VIP, 80) for _ in range(4)} == {"c saw 10.244.1.3"}
    # The others take turns as before.
    assert balanced.get(balanced.outside, VIP, 80) == "a saw 172.18.0.2"
    # Its time is over, but the connections that it began are remembered for 120 s (TIME_WAIT), and it with them.
    world.advance(90)
    assert balanced.get(client, VIP, 80) == "c saw 10.244.1.3"
    world.advance(300)
    assert not balanced.node1.ipvs.connections.entries()
    # The turn is c's; that the next is not the old one would be luck, so two others come first.
    balanced.get(balanced.outside, VIP, 80)
    assert balanced.get(client, VIP, 80) == "a saw 10.244.1.3"


def test_a_template_to_a_resting_server_is_given_up(balanced):
    node = balanced.node1
    node.ipvs.edit("tcp", VIP, 80, "rr", 10800)
    assert balanced.get(balanced.pods["b"], VIP, 80) == "c saw 10.244.1.3"
    node.ipvs.edit_server(node.ipvs.get("tcp", VIP, 80), "10.244.2.2", 8080, 0)
    assert balanced.get(balanced.pods["b"], VIP, 80) == "c saw 10.244.1.3"
    node.sysctls["net.ipv4.vs.expire_quiescent_template"] = 1
    assert balanced.get(balanced.pods["b"], VIP, 80) == "a saw 10.244.1.3"


# -- schedulers ------------------------------------------------------------------------------------------------------


def weighed(lab, scheduler, *weights):
    service = lab.node1.ipvs.add("tcp", "10.96.0.20", 80, scheduler)
    for number, weight in enumerate(weights):
        lab.node1.ipvs.add_server(service, f"10.244.9.{len(weights) - number}", 80, weight)
    return service


@pytest.mark.parametrize(
    ("scheduler", "weights", "order"),
    [
        ("rr", (1, 1, 1), "123123"),
        ("rr", (0, 1, 1), "121212"),
        ("wrr", (1, 2, 3), "112123112123"),
        ("wrr", (2, 4), "112112"),
        # Connections that are not established count least: with weights each gets its part.
        ("lc", (1, 1, 1), "123123"),
        ("wlc", (1, 3), "12111211"),
        ("sed", (1, 1), "111111"),
        ("nq", (1, 1), "111111"),
    ],
)
def test_the_order_of_the_real_servers(lab, scheduler, weights, order):
    service = weighed(lab, scheduler, *weights)
    table = lab.node1.ipvs.connections
    got = ""
    for number in range(len(order)):
        server, service.memory = ipvs_schedulers.SCHEDULERS[scheduler](service, "10.0.0.1", "10.96.0.20")
        flow = ipvs.Flow("tcp", "10.0.0.1", 1000 + number, "10.96.0.20", 80)
        table.passes(table.begin(flow, service, server), "S", answer=False)
        got += server.address[-1]
    assert got == order


def test_hashing_schedulers_go_by_the_address(lab):
    service = weighed(lab, "sh", 1, 1, 1)
    given = {f"10.0.{n}.7": ipvs_schedulers.SCHEDULERS["sh"](service, f"10.0.{n}.7", "")[0] for n in range(100)}
    again = {client: ipvs_schedulers.SCHEDULERS["sh"](service, client, "")[0] for client in given}
    assert given == again
    assert len({each.address for each in given.values()}) == 3
    assert ipvs_schedulers.shares(service) is None


def test_established_connections_weigh_more(lab):
    service = weighed(lab, "lc", 1, 1)
    table = lab.node1.ipvs.connections
    first = table.begin(ipvs.Flow("tcp", "10.0.0.1", 1, "10.96.0.20", 80), service, service.real_servers[0])
    for flags, answer in (("S", False), ("SA", True), ("A", False)):
        table.passes(first, flags, answer=answer)
    assert (first.state, first.server.active, first.server.inactive) == ("ESTABLISHED", 1, 0)
    assert ipvs_schedulers.SCHEDULERS["lc"](service, "", "")[0] is service.real_servers[1]
    lab.world.advance(901)
    assert not table.entries()
    assert (first.server.active, first.server.inactive) == (0, 0)


def test_what_is_not_there_says_so(lab):
    with pytest.raises(NotSimulated, match="the IPVS scheduler 'mh'"):
        lab.node1.ipvs.add("tcp", VIP, 80, "mh")
    with pytest.raises(ipvs.IpvsError, match="Scheduler or persistence engine not found"):
        lab.node1.ipvs.add("tcp", VIP, 80, "nonsense")


def test_the_ipvs_match_asks_for_what_ipvs_rewrote(balanced):
    rule = f"-s {VIP} -m ipvs --vproto tcp --vaddr {VIP} --vport 80 -j DROP"
    balanced.node1.netfilter.append("filter", "OUTPUT", rule)
    assert balanced.get(balanced.node1, VIP, 80, timeout=3) == "Connection timed out"
    assert "saw 10.244.1.3" in balanced.get(balanced.pods["b"], VIP, 80, timeout=3)
    assert (
        f"-A OUTPUT -s {VIP}/32 -m ipvs --vproto 6 --vaddr {VIP} --vport 80 -j DROP" in balanced.node1.netfilter.save()
    )


def test_a_datagrams_connection_ends_with_its_real_server(balanced):
    node = balanced.node1
    service = node.ipvs.add("udp", VIP, 53, "rr")
    node.ipvs.add_server(service, "10.244.1.2", 53)
    client = balanced.pods["b"]

    def lands() -> str:
        return client.stack.send(net.Packet(protocol="udp", dst=VIP, sport=5000, dport=53)).final.dst

    assert lands() == "10.244.1.2"
    node.ipvs.add_server(service, "10.244.2.2", 53)
    assert lands() == "10.244.1.2"  # the same four numbers: the same connection, for 300 s
    node.ipvs.delete_server(service, "10.244.1.2", 53)
    assert lands() == "10.244.2.2"


def test_an_error_about_a_connection_is_told_in_the_virtual_servers_name(balanced):
    node = balanced.node1
    service = node.ipvs.add("udp", VIP, 53, "rr")
    node.ipvs.add_server(service, "10.244.1.2", 53)  # where nobody listens
    trace = balanced.network.trace(balanced.pods["b"], net.Packet(protocol="udp", dst=VIP, sport=5000, dport=53))
    assert trace.verdict is Verdict.REFUSED
    assert (trace.reply.final.src, trace.reply.final.inner.dst, trace.reply.final.inner.dport) == (VIP, VIP, 53)
