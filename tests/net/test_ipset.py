"""ipsets and the rules that ask them; queues to user space."""

from __future__ import annotations

import pytest

from kubesim.net import Network, Packet, Verdict, ipset, queue
from kubesim.net.extension import UsageError
from kubesim.net.host import Host
from kubesim.net.restore import RestoreError
from kubesim.world import World


@pytest.fixture
def host() -> Host:
    """A host with the address 10.0.0.1 on a link to a neighbour, 10.0.0.2."""
    network = Network(World())
    here, there = network.host("here"), network.host("there")
    network.link(here, "eth0", there, "eth0")
    here.add_address("eth0", "10.0.0.1/24")
    there.add_address("eth0", "10.0.0.2/24")
    return here


def drops(host: Host, port: int = 80, ip: str = "10.0.0.2") -> bool:
    packet = Packet(dst=ip, sport=999, dport=port, flags="S")
    return host.network.trace(host, packet).verdict is Verdict.DROPPED


@pytest.mark.parametrize(
    ("kind", "member", "sides", "inside", "outside"),
    [
        ("hash:ip", "10.0.0.2", "dst", ("10.0.0.2", 80), ("10.0.0.3", 80)),
        ("hash:net", "10.0.0.0/30", "dst", ("10.0.0.2", 80), ("10.0.0.9", 80)),
        ("hash:ip,port", "10.0.0.2,tcp:80", "dst,dst", ("10.0.0.2", 80), ("10.0.0.2", 81)),
        ("hash:ip,port", "10.0.0.2,udp:80", "dst,dst", None, ("10.0.0.2", 80)),
        ("hash:ip,port,ip", "10.0.0.2,tcp:80,10.0.0.1", "dst,dst,src", ("10.0.0.2", 80), ("10.0.0.2", 81)),
        ("hash:ip,port,net", "10.0.0.2,tcp:80,10.0.0.0/8", "dst,dst,src", ("10.0.0.2", 80), ("10.0.0.3", 80)),
        ("bitmap:port", "80", "dst", ("10.0.0.2", 80), ("10.0.0.2", 81)),
    ],
)
def test_a_set_holds(
    host: Host, kind: str, member: str, sides: str, inside: tuple[str, int] | None, outside: tuple[str, int]
) -> None:
    host.ipsets.create("s", kind, ("range", "0-65535") if kind == "bitmap:port" else ())
    host.ipsets.add("s", member)
    host.netfilter.restore(f"*filter\n-A OUTPUT -m set --match-set s {sides} -j DROP\nCOMMIT\n")
    assert not drops(host, outside[1], outside[0])
    if inside is not None:
        assert drops(host, inside[1], inside[0])


def test_members_come_and_go_under_a_rule(host: Host) -> None:
    host.ipsets.restore("create s hash:net family inet maxelem 1048576\nadd s 10.0.0.0/24\n")
    host.netfilter.restore("*filter\n-A OUTPUT -m set ! --match-set s dst -j DROP\nCOMMIT\n")
    assert not drops(host)
    host.ipsets.delete("s", "10.0.0.0/24")
    assert drops(host)
    assert "-A OUTPUT -m set ! --match-set s dst -j DROP" in host.netfilter.save()


def test_a_set_of_sets(host: Host) -> None:
    host.ipsets.restore("create in hash:ip\nadd in 10.0.0.2\ncreate out list:set size 8\nadd out in\n")
    host.netfilter.restore("*filter\n-A OUTPUT -m set --match-set out dst -j DROP\nCOMMIT\n")
    assert drops(host)


def test_text(host: Host) -> None:
    host.ipsets.restore("create s hash:net family inet maxelem 1048576\nadd s 10.88.0.27\n")
    assert (
        host.ipsets.list("s")
        == """\
Name: s
Type: hash:net
Revision: 6
Header: family inet hashsize 1024 maxelem 1048576
Size in memory: 408
References: 0
Number of entries: 1
Members:
10.88.0.27
"""
    )
    assert host.ipsets.save() == "create s hash:net family inet hashsize 1024 maxelem 1048576\nadd s 10.88.0.27\n"


def test_what_ipset_refuses(host: Host) -> None:
    host.ipsets.create("s", "hash:ip")
    host.ipsets.add("s", "10.0.0.2")
    for command, message in (
        (lambda: host.ipsets.create("s", "hash:net"), "Set cannot be created: set with the same name already exists"),
        (lambda: host.ipsets.add("s", "10.0.0.2"), "Element cannot be added to the set: it's already added"),
        (lambda: host.ipsets.delete("s", "10.0.0.3"), "Element cannot be deleted from the set: it's not added"),
        (lambda: host.ipsets.get("t"), "The set with the given name does not exist"),
    ):
        with pytest.raises(ipset.SetError, match=message):
            command()


def test_a_set_in_use_cannot_be_destroyed_and_a_rule_wants_its_set(host: Host) -> None:
    with pytest.raises(RestoreError, match="Set s doesn't exist"):
        host.netfilter.restore("*filter\n-A OUTPUT -m set --match-set s dst -j DROP\nCOMMIT\n")
    host.ipsets.create("s", "hash:ip")
    host.netfilter.restore("*filter\n-A OUTPUT -m set --match-set s dst -j DROP\nCOMMIT\n")
    with pytest.raises(ipset.SetError, match="in use by a kernel component"):
        host.ipsets.destroy("s")
    host.netfilter.table("filter").flush("OUTPUT")
    host.ipsets.destroy("s")
    assert host.ipsets.list() == ""


def test_sides_are_src_or_dst(host: Host) -> None:
    host.ipsets.create("s", "hash:ip")
    with pytest.raises(UsageError):
        ipset._sides("left")


@pytest.mark.parametrize("rules", ["iptables", "nft"])
def test_a_queue_is_its_programs_business(host: Host, rules: str) -> None:
    if rules == "iptables":
        host.netfilter.restore("*filter\n-A OUTPUT -p tcp -m tcp --dport 80 -j NFQUEUE --queue-num 7\nCOMMIT\n")
        assert "-j NFQUEUE --queue-num 7\n" in host.netfilter.save()
    else:
        host.nft.apply(
            "add table inet t\nadd chain inet t out { type filter hook output priority 0 ; }\n"
            "add rule inet t out tcp dport 80 queue to 7\n"
        )
    assert drops(host), "nobody listens, and the rule has no bypass"
    host.queues.bind(
        7, "program", lambda packet: queue.Answer(packet.dport == 80 and packet.src == "10.0.0.1", "it is me")
    )
    assert not drops(host)
    with pytest.raises(queue.QueueTaken):
        host.queues.bind(7, "other", lambda packet: queue.Answer(True, ""))
    host.queues.unbind(7)
    host.queues.bind(7, "program", lambda packet: queue.Answer(False, "never on a Friday"))
    trace = host.network.trace(host, Packet(dst="10.0.0.2", sport=999, dport=80, flags="S"))
    assert (trace.verdict, trace.reason) == (Verdict.DROPPED, "never on a Friday")


@pytest.mark.parametrize("rules", ["iptables", "nft"])
def test_bypass_is_an_open_door(host: Host, rules: str) -> None:
    if rules == "iptables":
        host.netfilter.restore(
            "*filter\n-A OUTPUT -j NFQUEUE --queue-num 7 --queue-bypass\n-A OUTPUT -j DROP\nCOMMIT\n"
        )
    else:
        host.nft.apply(
            "add table inet t\nadd chain inet t out { type filter hook output priority 0 ; }\n"
            "add rule inet t out queue flags bypass to 7\nadd rule inet t out drop\n"
        )
    assert not drops(host), "what a queue accepts goes on after the chain, not after the rule"
