"""Traces as a reader sees them: text, one sentence, JSON, and DOT."""

from __future__ import annotations

import json

import pytest
from test_walk import SERVICE

from kubesim import net
from kubesim.net import dot, render


def trace_of(lab, source, ip, port):
    return lab.network.trace(lab.network.hosts[source], net.Packet(dst=ip, dport=port, sport=40000, flags="S"))


@pytest.fixture
def service(lab):
    for node in (lab.node1, lab.node2):
        node.netfilter.restore(
            SERVICE.replace("-A KUBE-SVC-X -m statistic --mode random --probability 0.5 -j KUBE-SEP-A\n", "")
        )
    lab.serve(lab.pods["c"], 8080)
    return lab


SENTENCES = [
    ("b", "10.96.0.10", 80, "b asked 10.96.0.10:80, which node1 turned into 10.244.2.2:8080, and c answered."),
    (
        "outside",
        "172.18.0.2",
        30080,
        "outside asked 172.18.0.2:30080, which node1 turned into 10.244.2.2:8080, with 172.18.0.2 as its sender, since node1 "
        "masqueraded it, and c answered.",
    ),
    (
        "b",
        "10.96.0.99",
        80,
        'b asked 10.96.0.99:80, and was rejected on node1 by the rule "default/empty has no endpoints" in chain KUBE-SERVICES.',
    ),
    ("b", "10.244.2.2", 81, "b asked 10.244.2.2:81, and was refused, because nothing on c listens on tcp port 81."),
    (
        "node1",
        "172.18.0.77",
        80,
        "node1 asked 172.18.0.77:80, but the packet got no further than node1: "
        "nobody on eth0 of node1 answers ARP for 172.18.0.77.",
    ),
]


@pytest.mark.parametrize(("source", "ip", "port", "sentence"), SENTENCES, ids=[row[3][:40] for row in SENTENCES])
def test_one_sentence(service, source, ip, port, sentence):
    assert render.explain(trace_of(service, source, ip, port)) == sentence


def test_a_drop_names_its_rule(service):
    service.node2.netfilter.restore(
        '*filter\n-I FORWARD -p tcp --dport 8080 -m comment --comment "keep out" -j DROP\nCOMMIT\n'
    )
    assert render.explain(trace_of(service, "b", "10.96.0.10", 80)) == (
        "b asked 10.96.0.10:80, which node1 turned into 10.244.2.2:8080, "
        'and heard nothing: the rule "keep out" in chain FORWARD on node2 dropped the packet.'
    )


def test_the_text_has_hops_rules_rewriting_and_verdict(service):
    lines = str(trace_of(service, "b", "10.96.0.10", 80)).splitlines()
    assert lines[:3] == [
        "b asked 10.96.0.10:80, which node1 turned into 10.244.2.2:8080, and c answered.",
        "",
        "tcp 10.244.1.3:40000 -> 10.96.0.10:80",
    ]
    assert "    nat         destination 10.96.0.10:80 becomes 10.244.2.2:8080" in lines
    assert "DELIVERED: a program on c listens on tcp port 8080" in lines
    assert "    nat         source 10.244.2.2:8080 becomes 10.96.0.10:80, as the connection table remembers" in lines
    assert lines[-1] == "DELIVERED: it is back at b"


def test_json_and_back_to_text(service):
    found = json.loads(json.dumps(trace_of(service, "b", "10.96.0.10", 80).to_json()))
    assert (found["verdict"], found["reply"]["verdict"], found["final"]["dst"]) == (
        "DELIVERED",
        "DELIVERED",
        "10.244.2.2",
    )
    assert [hop["host"] for hop in found["hops"]] == ["b", "node1", "node2", "c"]


def test_dot_has_a_box_for_each_host_and_the_way_between(service):
    text = dot.dot(trace_of(service, "b", "10.96.0.10", 80))
    assert [line.split('"')[1] for line in text.splitlines() if line.startswith("    label=")] == [
        "b (pod)",
        "node1 (node)",
        "node2 (node)",
        "c (pod)",
    ]
    assert '[label="tcp to 10.244.2.2:8080"]' in text
    assert 'label="answer", style=dashed' in text


def test_dot_of_branches_shares_what_is_common(lab):
    lab.node1.netfilter.restore(SERVICE)
    lab.serve(lab.pods["a"], 80)
    lab.serve(lab.pods["c"], 8080)
    traces = lab.network.trace(
        lab.pods["b"], net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S"), "branches"
    )
    text = dot.dot(traces)
    assert text.count('label="KUBE-SERVICES"') == 1
    assert text.count('label="50.0%"') >= 2


def test_dot_says_what_a_box_rewrites_and_leaves_out_chains_that_lead_nowhere(lab):
    lab.node1.netfilter.restore(
        SERVICE + "*nat\n:IDLE - [0:0]\n-A POSTROUTING -j IDLE\n-A IDLE -m mark ! --mark 0x8 -j RETURN\nCOMMIT\n"
    )
    lab.serve(lab.pods["a"], 80)
    lab.serve(lab.pods["c"], 8080)
    packet = net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S")
    text = dot.dot(lab.network.trace(lab.pods["b"], packet, "branches"))
    boxes = [line.split('"')[1] for line in text.splitlines() if "[label=" in line and "->" not in line]
    assert [each for each in boxes if "\\n" in each] == [
        "KUBE-SEP-A\\nto 10.244.1.2:80",
        "KUBE-SEP-C\\nto 10.244.2.2:8080",
    ]
    assert "IDLE" not in text


def test_dot_breaks_a_long_reason_and_keeps_all_of_it(lab):
    lab.node1.netfilter.restore("*filter\n-A FORWARD -p tcp --dport 80 -j REJECT\nCOMMIT\n")
    packet = net.Packet(dst="10.244.2.2", dport=80, sport=40000, flags="S")
    trace = lab.network.trace(lab.pods["b"], packet)
    (said,) = [line.split('"')[1] for line in dot.dot(trace).splitlines() if "rejects" in line]
    assert said.replace("\\n", " ").replace("- ", "-") == trace.reason
    assert max(map(len, said.split("\\n"))) <= dot.WIDTH


def test_what_is_lost_in_the_wide_world_is_told_from_where_it_left(lab):
    """No rule was for it, so it followed the default routes; who masqueraded it on the way is beside the point."""
    provider = lab.network.host("internet", "internet")
    lab.network.link(lab.outside, "isp", provider, "eth0")
    lab.outside.add_address("isp", "198.51.100.2/24")
    lab.outside.routes.add("default", "isp", "198.51.100.1")
    lab.outside.sysctls["net.ipv4.ip_forward"] = 1
    lab.outside.netfilter.restore("*nat\n-A POSTROUTING -o isp -j MASQUERADE\nCOMMIT\n")
    provider.add_address("eth0", "198.51.100.1/24")
    provider.routes.add("default", "eth0")
    provider.sysctls["net.ipv4.ip_forward"] = 1
    provider.netfilter.restore("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
    assert trace_of(lab, "b", "10.96.0.10", 81).explain() == (
        "b asked 10.96.0.10:81, and heard nothing: no rule and no route of node1 is for 10.96.0.10:81, so the packet went out to "
        "the internet, where nobody has that address."
    )
    packet = net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S")
    assert lab.network.trace(lab.outside, packet).explain() == (
        "outside asked 10.96.0.10:80, and heard nothing: 10.96.0.10 is no address that outside has a way to, so the packet went "
        "out to the internet, where nobody has it."
    )
