"""The walk through rules: where packets go, rewritten or not, and what stops them."""

from __future__ import annotations

import pytest

from kubesim import net

# What kube-proxy writes for one Service 10.96.0.10:80 -> a:80 (on node1) and c:8080 (on node2), and node port 30080.
SERVICE = """
*filter
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.99/32 -p tcp -m comment --comment "default/empty has no endpoints" -m tcp --dport 80 -j REJECT
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-EXT-X - [0:0]
:KUBE-SVC-X - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SEP-C - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-X
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m comment --comment "default/web" -m tcp --dport 30080 -j KUBE-EXT-X
-A KUBE-EXT-X -m comment --comment "masquerade traffic for default/web external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-X -j KUBE-SVC-X
-A KUBE-SVC-X ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-X -m statistic --mode random --probability 0.5 -j KUBE-SEP-A
-A KUBE-SVC-X -j KUBE-SEP-C
-A KUBE-SEP-A -s 10.244.1.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:80
-A KUBE-SEP-C -s 10.244.2.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-C -p tcp -m tcp -j DNAT --to-destination 10.244.2.2:8080
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
"""


@pytest.fixture
def service(lab):
    """The Service on both nodes, its two pods serving, and a way to it from outside."""
    for node in (lab.node1, lab.node2):
        node.netfilter.restore(SERVICE)
    lab.serve(lab.pods["a"], 80)
    lab.serve(lab.pods["c"], 8080)
    lab.outside.routes.add("10.96.0.0/16", "eth0", "172.18.0.2")
    return lab


# Who asks for what, the pods that may answer, and the source each sees.
ROWS = [
    ("a pod, the ClusterIP", "b", "10.96.0.10", 80, {"a saw 10.244.1.3", "c saw 10.244.1.3"}),
    # Sent back to itself it must be masqueraded, or it would answer itself behind the node's back.
    ("a pod of the service itself", "a", "10.96.0.10", 80, {"a saw 172.18.0.2", "c saw 10.244.1.2"}),
    ("the node, the ClusterIP", "node1", "10.96.0.10", 80, {"a saw 172.18.0.2", "c saw 172.18.0.2"}),
    ("the outside, routed to the ClusterIP", "outside", "10.96.0.10", 80, {"a saw 172.18.0.2", "c saw 172.18.0.2"}),
    ("the outside, the node port", "outside", "172.18.0.2", 30080, {"a saw 172.18.0.2", "c saw 172.18.0.2"}),
    ("the outside, the other node's port", "outside", "172.18.0.3", 30080, {"a saw 172.18.0.3", "c saw 172.18.0.3"}),
    ("a pod, the node port", "b", "172.18.0.2", 30080, {"a saw 172.18.0.2", "c saw 172.18.0.2"}),
    ("the node, its own node port", "node1", "172.18.0.2", 30080, {"a saw 172.18.0.2", "c saw 172.18.0.2"}),
    ("a port that the service has not", "b", "10.96.0.10", 81, {"Network is unreachable", "Connection timed out"}),
    ("a service without endpoints, from a pod", "b", "10.96.0.99", 80, {"Connection refused"}),
    ("a service without endpoints, from the node", "node1", "10.96.0.99", 80, {"Connection refused"}),
]


@pytest.mark.parametrize(("name", "source", "ip", "port", "answers"), ROWS, ids=[row[0] for row in ROWS])
def test_where_a_service_leads(service, name, source, ip, port, answers):
    host = service.network.hosts[source]
    seen = {service.get(host, ip, port, timeout=5) for _ in range(20)}
    trace = service.network.trace(host, net.Packet(dst=ip, dport=port, sport=40000, flags="S"))
    assert seen <= answers, f"{name}\n{trace}"
    assert len(seen) == min(len(answers), 2) or not any("saw" in each for each in answers)


def test_localhost_node_ports_need_route_localnet(service):
    assert service.get(service.node1, "127.0.0.1", 30080, timeout=3) == "Connection timed out"
    service.node1.sysctls["net.ipv4.conf.all.route_localnet"] = 1
    seen = {service.get(service.node1, "127.0.0.1", 30080, timeout=3) for _ in range(20)}
    # From the veth, which has no address, as from the LAN.
    assert seen == {"a saw 172.18.0.2", "c saw 172.18.0.2"}


def test_the_branches_have_every_endpoint_with_its_probability(service):
    packet = net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S")
    traces = service.network.trace(service.pods["b"], packet, "branches")
    assert [(trace.final.dst, trace.final.dport, trace.probability) for trace in traces] == [
        ("10.244.1.2", 80, 0.5),
        ("10.244.2.2", 8080, 0.5),
    ]
    assert all(trace.reply.final.src == "10.96.0.10" for trace in traces)
    assert len(service.node1.conntrack) == 0


def test_the_answer_comes_from_whom_was_asked(service):
    async def client():
        connection = await service.pods["b"].connect("10.96.0.10", 80)
        return connection.trace

    trace = service.world.run(client())
    assert (trace.flow.dst, trace.reply.final.src, trace.reply.final.sport) == ("10.96.0.10", "10.96.0.10", 80)


def test_conntrack_shows_the_connection(service):
    async def client():
        connection = await service.outside.connect("172.18.0.2", 30080)
        return connection.local[1]

    port = service.world.run(client())
    (entry,) = service.node1.conntrack.entries()
    assert service.node1.conntrack.text() == (
        f"tcp      6 432000 ESTABLISHED src=172.18.0.1 dst=172.18.0.2 sport={port} dport=30080 "
        f"src={entry.reply.src} dst=172.18.0.2 sport={entry.reply.sport} dport={entry.reply.dport} [ASSURED] mark=0 use=1\n"
    )


def test_flushing_the_services_stops_new_connections_and_keeps_old_ones(service):
    listener = service.pods["a"].listen("tcp", "", 81)
    service.node1.netfilter.append("nat", "KUBE-SVC-X", "-j ACCEPT")
    service.node1.netfilter.restore(
        "*nat\n-I KUBE-SERVICES -d 10.96.0.10 -p tcp --dport 81 -j DNAT --to 10.244.1.2:81\nCOMMIT\n"
    )

    async def story():
        client = await service.pods["b"].connect("10.96.0.10", 81)
        server = await listener.accept()
        table = service.node1.netfilter.table("nat")
        table.flush("KUBE-SERVICES")
        table.done()
        await client.send(b"still here")
        assert await server.recv() == b"still here"
        with pytest.raises(net.NetError):
            await service.pods["b"].connect("10.96.0.10", 81, timeout=3)

    service.world.run(story())


def test_a_drop_is_silence_until_it_is_taken_away(service):
    table = service.node1.netfilter.table("filter")
    table.insert("FORWARD", 1, service.node1.netfilter.rule(["-d", "10.244.2.2", "-j", "DROP"]))
    assert service.get(service.pods["b"], "10.244.2.2", 8080, timeout=2) == "Connection timed out"
    service.world.call_later(6, table.delete, "FORWARD", 1)
    started = service.world.now
    assert service.get(service.pods["b"], "10.244.2.2", 8080) == "c saw 10.244.1.3"
    assert service.world.now - started == 7


@pytest.mark.parametrize(
    ("with_", "words"),
    [
        ("icmp-port-unreachable", "Connection refused"),
        ("tcp-reset", "Connection refused"),
        ("icmp-host-prohibited", "No route to host"),
        ("icmp-admin-prohibited", "No route to host"),
        ("icmp-net-unreachable", "Network is unreachable"),
    ],
)
def test_what_the_sender_of_a_rejected_packet_hears(lab, with_, words):
    lab.serve(lab.pods["c"], 80)
    lab.node2.netfilter.append("filter", "FORWARD", f"-p tcp --dport 80 -j REJECT --reject-with {with_}")
    assert lab.get(lab.pods["a"], "10.244.2.2", 80) == words
    assert lab.world.now == 0


def test_an_icmp_error_goes_back_through_nat(service):
    # The service's pod on node2 is reached, but a rule there rejects: the client hears it about the service's address.
    service.node2.netfilter.restore("*filter\n-I FORWARD -d 10.244.2.2 -j REJECT\nCOMMIT\n")
    answers = {service.get(service.pods["b"], "10.96.0.10", 80, timeout=3) for _ in range(20)}
    assert answers == {"a saw 10.244.1.3", "Connection refused"}


def test_two_clients_with_one_source_port_are_told_apart(lab):
    listener = lab.pods["c"].listen("tcp", "", 80)
    lab.node1.netfilter.append("nat", "POSTROUTING", "-o eth0 -j SNAT --to-source 172.18.0.2")
    ports = set()

    async def story():
        for name in ("a", "b"):
            pod = lab.pods[name]
            pod.stack._ports.seed(7)
            await pod.connect("10.244.2.2", 80)
            server = await listener.accept()
            ports.add(server.peer)

    lab.world.run(story())
    assert len(ports) == 2
    assert {ip for ip, _port in ports} == {"172.18.0.2"}


def test_affinity_keeps_a_client_with_its_pod_until_it_times_out(lab):
    lab.serve(lab.pods["a"], 80)
    lab.serve(lab.pods["c"], 80)
    ends = {"A": "10.244.1.2", "C": "10.244.2.2"}
    lines = ["*nat", ":SVC - [0:0]", "-A PREROUTING -d 10.96.0.10 -j SVC"]
    for name in ends:
        lines.append(f":SEP-{name} - [0:0]")
        lines.append(f"-A SVC -m recent --name {name} --rcheck --seconds 60 --reap -j SEP-{name}")
    lines.append("-A SVC -m statistic --mode random --probability 0.5 -j SEP-A")
    lines.append("-A SVC -j SEP-C")
    lines += [
        f"-A SEP-{name} -p tcp -m recent --name {name} --set -j DNAT --to-destination {ip}:80"
        for name, ip in ends.items()
    ]
    lab.node1.netfilter.restore("\n".join([*lines, "COMMIT", ""]))
    first = lab.get(lab.pods["b"], "10.96.0.10", 80)
    assert {lab.get(lab.pods["b"], "10.96.0.10", 80) for _ in range(10)} == {first}
    seen = set()
    for _ in range(10):
        lab.world.advance(61)
        seen.add(lab.get(lab.pods["b"], "10.96.0.10", 80))
    assert len(seen) == 2


def test_a_long_chain_is_indexed_and_its_trace_says_what_was_passed_by(lab):
    lab.serve(lab.pods["c"], 80)
    rules = [
        f"-A PREROUTING -d 10.97.{n // 250}.{n % 250 + 1} -p tcp --dport 80 -j DNAT --to-destination 10.244.2.9:80"
        for n in range(500)
    ]
    rules.insert(300, "-A PREROUTING -d 10.96.0.10 -p tcp --dport 80 -j DNAT --to-destination 10.244.2.2:80")
    lab.node1.netfilter.restore("\n".join(["*nat", *rules, "COMMIT", ""]))
    trace = lab.network.trace(lab.pods["a"], net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S"))
    steps = [step for _hop, step in trace.steps() if step.kind is net.Kind.RULE]
    assert [(step.matched, step.why) for step in steps] == [
        (False, "the destination is 10.96.0.10, not 10.97.1.48"),
        (False, "the destination is 10.96.0.10, not 10.97.1.49"),
        (False, "the destination is 10.96.0.10, not 10.97.1.50"),
        (False, "297 more rules are for other addresses or ports"),
        (True, "its destination is to become 10.244.2.2:80"),
    ]
    assert trace.final.dst == "10.244.2.2"


def test_counters_count_live_packets_only(service):
    table = service.node1.netfilter.table("nat")
    service.network.trace(service.pods["b"], net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S"))
    assert table.chains["KUBE-SERVICES"].items[0].packets == 0
    service.get(service.pods["b"], "10.96.0.10", 80)
    item = table.chains["KUBE-SERVICES"].items[0]
    # nat sees a connection's first packet only: a SYN of 60 bytes.
    assert (item.packets, item.bytes) == (1, 60)


def test_untracked_packets_meet_no_nat(service):
    service.node1.netfilter.restore("*raw\n-A PREROUTING -s 10.244.1.3 -j CT --notrack\nCOMMIT\n")
    assert service.get(service.pods["b"], "10.96.0.10", 80, timeout=3) != "a saw 10.244.1.3"


def test_an_input_policy_of_drop_is_told_in_the_trace(lab):
    lab.serve(lab.node2, 22)
    lab.node2.netfilter.restore("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 80 -j ACCEPT\nCOMMIT\n")
    trace = lab.network.trace(lab.outside, net.Packet(dst="172.18.0.3", dport=22, sport=40000, flags="S"))
    assert (trace.verdict, trace.reason) == (
        net.Verdict.DROPPED,
        "no rule in INPUT of node2 accepts it, and the policy of INPUT (filter) is DROP",
    )
    assert [step.why for step in trace.hops[-1].steps if step.kind is net.Kind.RULE] == [
        "the destination port is 22, not 80"
    ]


def test_an_unknown_match_is_refused_by_name(lab):
    from kubesim.errors import NotSimulated

    with pytest.raises(NotSimulated, match="not simulated: iptables match 'string'"):
        lab.node1.netfilter.append("filter", "INPUT", "-m string --string x --algo bm -j DROP")


def test_a_loop_ends_by_ttl(lab):
    lab.node1.routes.add("10.9.0.0/16", "eth0", "172.18.0.3")
    lab.node2.routes.add("10.9.0.0/16", "eth0", "172.18.0.2")
    trace = lab.network.trace(lab.pods["a"], net.Packet(dst="10.9.1.1", dport=80, sport=40000, flags="S"))
    assert trace.verdict is net.Verdict.TTL_EXCEEDED
    assert trace.reply.final.icmp == "time-exceeded"


def test_a_bridge_with_netfilter_brings_answers_back(lab):
    # Two pods on one bridge: the answer to a translated connection goes from port to port, and is translated back only
    # if the bridge's host looks at it.
    bridge = lab.node1.bridge("cni0")
    lab.node1.add_address("cni0", "10.245.0.1/24")
    hosts = []
    for n in (2, 3):
        pod = lab.network.host(f"br{n}", "pod")
        bridge.attach(pod)
        pod.add_address("eth0", f"10.245.0.{n}/24")
        pod.routes.add("default", "eth0", "10.245.0.1")
        hosts.append(pod)
    lab.serve(hosts[1], 80)
    lab.node1.netfilter.append("nat", "PREROUTING", "-d 10.96.0.10 -j DNAT --to-destination 10.245.0.3")
    assert lab.get(hosts[0], "10.245.0.3", 80) == "br3 saw 10.245.0.2"
    assert lab.get(hosts[0], "10.96.0.10", 80, timeout=3) == "Connection timed out"
    lab.node1.sysctls["net.bridge.bridge-nf-call-iptables"] = 1
    assert lab.get(hosts[0], "10.96.0.10", 80, timeout=3) == "br3 saw 10.245.0.2"


def test_ipv6_is_routed_translated_and_rejected_alike(lab):
    node, client, pod = lab.node1, lab.outside, lab.pods["a"]
    node.add_address("eth0", "fd00::2/64")
    client.add_address("eth0", "fd00::1/64")
    node.sysctls["net.ipv6.conf.all.forwarding"] = 1
    pod.add_address("eth0", "fd01::5/128")
    node.add_address("calia", "fd01::1/128")
    pod.routes.add("fd01::1/128", "eth0", scope="link")
    pod.routes.add("default", "eth0", "fd01::1")
    node.routes.add("fd01::5/128", "calia", scope="link")
    client.routes.add("fd02::/64", "eth0", "fd00::2")
    node.routes.add("fd02::/64", "calia", scope="link")
    node.netfilter6.restore(
        "*nat\n-A PREROUTING -d fd02::a -p tcp --dport 80 -j DNAT --to-destination [fd01::5]:8080\n-A POSTROUTING -j MASQUERADE\n"
        "COMMIT\n*filter\n-A FORWARD -d fd02::b -j REJECT\nCOMMIT\n"
    )
    lab.serve(pod, 8080, "::")
    assert lab.get(client, "fd02::a", 80) == "a saw fd01::1"
    assert lab.get(client, "fd02::b", 80) == "Connection refused"


@pytest.mark.parametrize("count", [2, 3, 7])
def test_ten_thousand_connections_spread_evenly(lab, count):
    """Chi-square over the endpoints, at the 0.1 % level."""
    lines = ["*nat", ":SVC - [0:0]", "-A PREROUTING -d 10.96.0.10 -j SVC"]
    for n in range(count):
        random = f"-m statistic --mode random --probability {1 / (count - n):.10f} " if n < count - 1 else ""
        lines.append(f"-A SVC -p tcp {random}-j DNAT --to-destination 10.244.9.{n + 1}:80")
    lab.node1.netfilter.restore("\n".join([*lines, "COMMIT", ""]))
    seen: dict[str, int] = {}
    for _ in range(10_000):
        trace = lab.network.trace(lab.pods["a"], net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S"))
        seen[trace.final.dst] = seen.get(trace.final.dst, 0) + 1
    expected = 10_000 / count
    statistic = sum((each - expected) ** 2 / expected for each in seen.values())
    assert len(seen) == count
    assert statistic < {2: 10.83, 3: 13.82, 7: 22.46}[count]


def test_a_tap_hears_live_packets_on_both_sides_of_a_translation(service):
    heard = []
    service.node2.taps.append(lambda interface, way, packet: heard.append((interface, way, str(packet), packet.flags)))
    service.network.trace(service.outside, net.Packet(dst="172.18.0.3", dport=30080, sport=40000, flags="S"))
    assert heard == []
    while not any(interface == "calic" for interface, *_rest in heard):
        heard.clear()
        service.get(service.outside, "172.18.0.3", 30080)
    (_, _, arrived, _), (_, _, left, _) = [each for each in heard if each[3] == "S"]
    assert arrived.endswith("-> 172.18.0.3:30080")
    assert left.startswith("tcp 172.18.0.3:")
    assert left.endswith("-> 10.244.2.2:8080")


@pytest.mark.parametrize(
    ("port", "verdict", "answer"), [(80, net.Verdict.DELIVERED, ""), (81, net.Verdict.REFUSED, "R")]
)
def test_an_sctp_association_is_taken_or_aborted(service, port, verdict, answer):
    """Through a Service, whose rules are as those of TCP; the answer goes back as the Service's."""
    rules = (
        f"-A PREROUTING -d 10.96.0.20 -p sctp --dport {port} -j DNAT --to-destination 10.244.2.2:{port}\n"
        "-A POSTROUTING -p sctp -j MASQUERADE\n"
    )
    service.node1.netfilter.restore(f"*nat\n{rules}COMMIT\n")
    service.pods["c"].stack.sctp.add(80)
    packet = net.Packet(protocol="sctp", dst="10.96.0.20", dport=port, sport=40000)
    trace = service.network.trace(service.pods["b"], packet)
    assert (trace.verdict, trace.final.dst, trace.hops[-1].host) == (verdict, "10.244.2.2", "c")
    assert (trace.reply.verdict, trace.reply.final.flags, trace.reply.final.src) == (
        net.Verdict.DELIVERED,
        answer,
        "10.96.0.20",
    )
