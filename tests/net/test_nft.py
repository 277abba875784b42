"""nftables: the golden packets through real kube-proxy's rules, listing, and transactions."""

from __future__ import annotations

import json

import namespaces
import pytest

from kubesim import net
from kubesim.errors import LearnerError
from kubesim.net import nft_listing
from kubesim.world import World

RULES = """
add table ip kube-proxy { comment "rules for kube-proxy" ; }
add chain ip kube-proxy services
add chain ip kube-proxy service-X
add chain ip kube-proxy masquerading
add chain ip kube-proxy reject-chain
add chain ip kube-proxy filter-forward { type filter hook forward priority 0 ; }
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }
add set ip kube-proxy cluster-ips { type ipv4_addr ; comment "Active ClusterIPs" ; }
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict ; }
add rule ip kube-proxy filter-forward ct state new ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule ip kube-proxy reject-chain reject
add rule ip kube-proxy nat-prerouting jump services
add rule ip kube-proxy nat-postrouting jump masquerading
add rule ip kube-proxy services ip daddr @cluster-ips ip saddr != 10.244.0.0/16 mark set mark or 0x4000 comment "from outside"
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy service-X meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.244.1.2 . 80 , 1 : 10.244.2.2 . 80 }
add rule ip kube-proxy masquerading mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random
add element ip kube-proxy cluster-ips { 10.96.0.10 }
add element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-X }
add element ip kube-proxy no-endpoint-services { 10.96.0.99 . tcp . 80 comment "default/empty" : goto reject-chain }
"""  # noqa: E501


@pytest.fixture
def service(lab):
    lab.node1.nft.apply(RULES)
    lab.serve(lab.pods["a"], 80)
    lab.serve(lab.pods["c"], 80)
    lab.outside.routes.add("10.96.0.0/16", "eth0", "172.18.0.2")
    return lab


def test_a_service_by_maps(service):
    assert {service.get(service.pods["b"], "10.96.0.10", 80) for _ in range(20)} == {
        "a saw 10.244.1.3",
        "c saw 10.244.1.3",
    }
    assert {service.get(service.outside, "10.96.0.10", 80) for _ in range(20)} == {
        "a saw 172.18.0.2",
        "c saw 172.18.0.2",
    }
    assert service.get(service.pods["b"], "10.96.0.99", 80) == "Connection refused"


def test_the_branches_of_numgen(service):
    packet = net.Packet(dst="10.96.0.10", dport=80, sport=40000, flags="S")
    traces = service.network.trace(service.pods["b"], packet, "branches")
    assert [(trace.final.dst, trace.probability) for trace in traces] == [("10.244.1.2", 0.5), ("10.244.2.2", 0.5)]


def test_the_listing_is_nfts(service):
    text = str(service.node1.nft)
    assert text.startswith(
        'table ip kube-proxy {\n\tcomment "rules for kube-proxy"\n\tset cluster-ips {\n\t\ttype ipv4_addr\n'
    )
    for line in (
        "\t\ttype filter hook forward priority filter; policy accept;",
        "\t\ttype nat hook prerouting priority dstnat; policy accept;",
        '\t\tip daddr @cluster-ips ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000 comment "from outside"',
        "\t\tmeta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.1.2 . 80, 1 : 10.244.2.2 . 80 }",
        "\t\tmeta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
    ):
        assert line in text.splitlines()


def test_a_failed_file_changes_nothing(service):
    before = str(service.node1.nft)
    with pytest.raises(LearnerError):
        service.node1.nft.apply(
            "flush chain ip kube-proxy services\ndelete element ip kube-proxy cluster-ips { 10.96.0.10 }\n"
            "add rule ip kube-proxy nope drop\n"
        )
    assert str(service.node1.nft) == before


def decided(traces) -> set[str]:
    """Where the rules of the node send a packet, in the recording's words."""
    outputs = set()
    for trace in traces:
        for hop, step in trace.steps():
            if hop.host == "node" and step.kind is net.Kind.NAT and step.after.dst != step.before.dst:
                outputs.add(f"{step.after.dst}:{step.after.dport}")
        if trace.hops[-1].host == "node" and trace.verdict is net.Verdict.REJECTED:
            outputs.add("REJECT")
        elif trace.hops[-1].host == "node" and trace.verdict is net.Verdict.DROPPED:
            outputs.add("DROP")
    return outputs


def test_the_recorded_packets_go_where_real_kube_proxys_rules_send_them(shared):
    cases = json.loads((shared / "golden/proxy/nftables-generated.json").read_text())["cases"]
    compared = wrong = 0
    for case in cases:
        if case["config"]["ipFamily"] != "IPv4":
            continue
        network = net.Network(World())
        node, outside, beyond = (network.host(name, "node") for name in ("node", "outside", "beyond"))
        network.link(node, "eth0", outside, "eth0")
        node.add_address("eth0", "198.18.0.1/24")
        outside.add_address("eth0", "198.18.0.2/24")
        # All that leaves the node goes to a host of its own: the sender would take its own address for a martian.
        network.link(node, "eth1", beyond, "eth0")
        node.add_address("eth1", "198.18.1.1/24")
        beyond.add_address("eth0", "198.18.1.2/24")
        node.routes.add("default", "eth1", "198.18.1.2")
        node.sysctls["net.ipv4.ip_forward"] = 1
        for ip in case["nodeIPs"]:
            if ":" not in ip:
                node.add_address("eth0", f"{ip}/32")
        node.nft.apply(_ordered(case["expected_rules"]))
        for packet in case["packets"]:
            from_node = packet["sourceIP"] in {*case["nodeIPs"], "127.0.0.1"}
            if ":" in packet["destIP"] or packet["sourceIP"] == packet["destIP"] or packet["protocol"] == "SCTP":
                continue
            sender = node if from_node else outside
            if not from_node:
                outside.add_address("eth0", f"{packet['sourceIP']}/32")
                outside.routes.add("default", "eth0", "198.18.0.1")
            flow = net.Packet(
                protocol=packet["protocol"].lower(),
                src=packet["sourceIP"],
                dst=packet["destIP"],
                sport=40000,
                dport=packet["destPort"],
                flags="S" if packet["protocol"] == "TCP" else "",
            )
            outputs = decided(network.trace(sender, flow, "branches"))
            if not from_node:
                outside.remove_address("eth0", f"{packet['sourceIP']}/32")
            wanted = {each.strip() for each in packet["output"].split(",")} - {"", "ACCEPT"}
            compared += 1
            if outputs != wanted:
                wrong += 1
                print(case["id"], packet, outputs)
    assert compared > 4000
    assert wrong == 0, f"{wrong} of {compared} packets go elsewhere"


def _ordered(text: str) -> str:
    """A recorded dump as a file that nft takes: tables, chains and sets before what names them."""
    order = {"table": 0, "chain": 1, "set": 1, "map": 1, "rule": 2, "element": 3}
    return "\n".join(
        sorted((line for line in text.splitlines() if line.strip()), key=lambda line: order[line.split()[1]])
    )


def test_the_kernel_lists_the_same_rules(shared):
    namespaces.require()
    cases = json.loads((shared / "golden/proxy/nftables-generated.json").read_text())["cases"]
    namespace = namespaces.Namespace()
    try:
        for case in cases[::10]:
            text = _ordered(case["expected_rules"])
            namespace.run("nft -f -", "flush ruleset\n" + text)
            # A namespace numbers its tables on and on: only the first listing could have the same handles.
            theirs = namespace.run("nft list ruleset").stdout
            node = net.Network(World()).host("node", "node")
            node.nft.apply(text)
            assert str(node.nft) == theirs
    finally:
        namespace.close()


def test_handles_and_counters_as_the_kernel_lists_them():
    namespaces.require()
    namespace = namespaces.Namespace()
    try:
        namespace.run("nft -f -", BY_HAND)
        theirs = namespace.run("nft -a list ruleset").stdout
    finally:
        namespace.close()
    node = net.Network(World()).host("node", "node")
    node.nft.apply(BY_HAND)
    assert nft_listing.ruleset(node.nft, handles=True) == theirs


BY_HAND = """
add table ip t
add table ip6 t
add set ip t ports { type inet_service ; }
add element ip t ports { 80, 443, 8080, 22, 53, 1, 2, 3, 4, 5, 6 }
add set ip6 t a { type ipv6_addr ; }
add element ip6 t a { fd00::2, fd00::1, fd00::10 }
add set ip6 t b { type ipv6_addr . inet_proto . inet_service ; }
add element ip6 t b { fd00::2 . tcp . 80 , fd00::1 . udp . 53, fd00::10 . tcp . 80 }
add set ip t aff { type ipv4_addr ; flags dynamic,timeout ; timeout 10800s ; }
add map ip t m { type inet_service : verdict ; }
add element ip t m { 80 : drop, 81 : accept }
add chain ip t in { type filter hook input priority 5 ; policy drop ; }
add chain ip t u
add rule ip t in tcp dport 80 counter accept
add rule ip t in ip saddr 10.0.0.0/8 tcp dport { 80, 443 } counter packets 5 bytes 6 jump u comment "x y"
add rule ip t in iifname "eth0" ct state established,related accept
add rule ip t in udp dport 1000-2000 reject
insert rule ip t in tcp dport 1 reject with tcp reset
add rule ip t u tcp dport vmap @m
add rule ip t u update @aff { ip saddr }
"""


def test_a_rule_goes_by_its_handle():
    node = net.Network(World()).host("node", "node")
    node.nft.apply(BY_HAND)
    chain = node.nft.tables["ip", "t"].chains["in"]
    gone = chain.rules[1]
    node.nft.apply(f"delete rule t in handle {gone.handle}")
    assert gone not in chain.rules
    with pytest.raises(LearnerError, match="No such file or directory"):
        node.nft.apply(f"delete rule ip t in handle {gone.handle}")


def test_what_a_rule_remembers_is_forgotten_in_time(service):
    service.node1.nft.apply(
        "add set ip kube-proxy seen { type ipv4_addr ; flags dynamic,timeout ; timeout 10s ; }\n"
        "add rule ip kube-proxy service-X update @seen { ip saddr }\n"
        "add chain ip kube-proxy first { type filter hook forward priority -5 ; }\n"
        "add rule ip kube-proxy first ip saddr @seen counter\n"
    )
    # The rule stands behind the translation: only what comes before it is asked.
    table = service.node1.nft.tables["ip", "kube-proxy"]
    table.chains["service-X"].rules.reverse()
    assert service.get(service.pods["b"], "10.96.0.10", 80).startswith(("a", "c"))
    assert "10.244.1.3 expires 10s" in str(service.node1.nft)
    service.world.advance(11)
    assert "10.244.1.3 expires" not in str(service.node1.nft)


# As people write a firewall.
FIREWALL = """\
#!/usr/sbin/nft -f
flush ruleset

table inet demo {
    # who may come in
    set admins {
        type ipv4_addr
        elements = { 172.18.0.1, 10.244.1.2,
                     10.244.1.3 }
    }
    map ports {
        type inet_service : verdict
        elements = { 80 : accept, 443 : jump web }
    }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ip saddr @admins tcp dport vmap @ports   # by port
        jump web; counter reject
    }

    chain web { tcp dport { 8080, 8443 } accept; }
}
table ip nat {
    chain prerouting { type nat hook prerouting priority dstnat; policy accept; }
}
add rule ip nat prerouting tcp dport 8080 redirect to :80
"""


def test_blocks_are_read_as_nft_reads_them(lab):
    """A file in blocks, and what is listed of it; the kernel's word for it is in the next test."""
    lab.node1.nft.apply(FIREWALL)
    listed = str(lab.node1.nft)
    assert [
        line.strip() for line in listed.splitlines() if "dport" in line or "saddr" in line or "elements" in line
    ] == [
        "elements = { 10.244.1.2, 10.244.1.3,",
        "elements = { 80 : accept, 443 : jump web }",
        "ip saddr @admins tcp dport vmap @ports",
        "tcp dport { 8080, 8443 } accept",
        "tcp dport 8080 redirect to :80",
    ]
    # What was listed says the same again.
    lab.node2.nft.apply("flush ruleset\n" + listed)
    assert str(lab.node2.nft) == listed


def test_blocks_listed_as_the_kernel_lists_them(lab):
    namespaces.require()
    lab.node1.nft.apply(FIREWALL)
    real = namespaces.Namespace()
    try:
        real.run("nft -f -", FIREWALL)
        assert str(lab.node1.nft) == real.run("nft list ruleset").stdout
    finally:
        real.close()


def test_a_wrong_line_in_a_block_changes_nothing(lab):
    lab.node1.nft.apply(FIREWALL)
    before = str(lab.node1.nft)
    with pytest.raises(LearnerError):
        lab.node1.nft.apply("table ip more {\n chain a {\n  tcp dport 80 accept\n  jump nowhere and back\n }\n}\n")
    assert str(lab.node1.nft) == before
