"""What the real iptables prints of rules, and what we print of them: the same."""

from __future__ import annotations

import json
import re

import namespaces
import pytest

from kubesim import net
from kubesim.net import listing
from kubesim.world import World

# Every match and target, in forms that saving changes.
RULES = r"""
*filter
:INPUT ACCEPT [0:0]
:FOO - [0:0]
-A INPUT -p tcp --dport 80 -j ACCEPT
-A INPUT -p tcp -m comment --comment hi -m tcp --dport 80:90 ! --sport 5 --tcp-flags SYN,ACK SYN -j DROP
-A INPUT -p tcp --syn -j DROP
-A INPUT -m multiport -p tcp --dports 80,443,8000:8010 -j ACCEPT
-A INPUT -m state --state NEW,RELATED -j ACCEPT
-A INPUT -m conntrack --ctstate DNAT,NEW,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack ! --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctorigdst 1.2.3.4 --ctorigdstport 80 --ctproto 6 --ctdir ORIGINAL -j ACCEPT
-A INPUT -m mark --mark 4 -j ACCEPT
-A INPUT -m mark ! --mark 0x4/0xff -j ACCEPT
-A INPUT -m limit --limit 5/min -j LOG --log-prefix "hi there" --log-level 4
-A INPUT -m limit --limit 10/second --limit-burst 20 -j LOG --log-level debug
-A INPUT -m limit --limit 120/min -j LOG
-A INPUT -m limit -j LOG
-A INPUT -m statistic --mode nth --every 3 --packet 0 -j ACCEPT
-A INPUT -m statistic --mode nth --every 4 --packet 2 -j ACCEPT
-A INPUT -m statistic --mode random --probability 0.3 -j ACCEPT
-A INPUT -m statistic --mode random --probability 0.33333 -j ACCEPT
-A INPUT -m statistic --mode random --probability 0.3333333333 -j ACCEPT
-A INPUT -m statistic --mode random ! --probability 0.1428571429 -j ACCEPT
-A INPUT -p icmp --icmp-type echo-request -j ACCEPT
-A INPUT -p icmp -m icmp --icmp-type 3/3 -j REJECT
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A INPUT -m addrtype --src-type LOCAL ! --dst-type LOCAL,BROADCAST --limit-iface-in -j DROP
-A INPUT -i eth+ ! -s 10.0.0.0/8 -d 1.2.3.4/255.255.0.0 -p udp -m udp --dport 53 -g FOO
-A INPUT ! -i eth0 ! -p udp -s 0.0.0.0/0 -j FOO
-A INPUT -m recent --name X --rcheck --seconds 10 --hitcount 3 --reap -j DROP
-A INPUT -m recent --set -j DROP
-A INPUT -m iprange --src-range 1.1.1.1-2.2.2.2 -j DROP
-A INPUT -m physdev --physdev-is-bridged -j DROP
-A INPUT -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT
-A INPUT -m physdev --physdev-is-bridged --physdev-is-in -j ACCEPT
-A INPUT -m pkttype --pkt-type multicast -j DROP
-A INPUT -m tcp -p tcp ! --dport 22 -m comment --comment "quote\"d it's" -j DROP
-A INPUT -p 47 -j DROP
-A INPUT -p sctp --dport 5 -j DROP
-A INPUT -p tcp --dport http --sport 1024: -j RETURN
-A INPUT -p esp
COMMIT
*nat
-A PREROUTING -p tcp -d 1.2.3.4 --dport 80 -j DNAT --to-destination 5.6.7.8:9
-A PREROUTING -p tcp -j DNAT --to-destination 5.6.7.8-5.6.7.9:9-10 --random --persistent
-A PREROUTING -p tcp -j REDIRECT --to-ports 8080
-A POSTROUTING -o eth0 -j SNAT --to-source 1.2.3.4
-A POSTROUTING -p tcp -j MASQUERADE --to-ports 1000-2000 --random-fully
-A POSTROUTING -j MASQUERADE
COMMIT
*mangle
-A PREROUTING -j MARK --set-mark 5
-A PREROUTING -j MARK --or-mark 0x4000
-A PREROUTING -j MARK --and-mark 0xff
-A PREROUTING -j MARK --xor-mark 0x4000
-A PREROUTING -j MARK --set-mark 5/0xf
-A PREROUTING -j CONNMARK --save-mark
-A PREROUTING -j CONNMARK --restore-mark
-A PREROUTING -j CONNMARK --set-mark 7
COMMIT
*raw
-A PREROUTING -j CT --notrack
-A PREROUTING -j NOTRACK
COMMIT
"""

RULES6 = """
*filter
-A INPUT -p tcp -d fd00::1 --dport 80 -j REJECT
-A INPUT ! -s fd00::/64 -j REJECT --reject-with icmp6-adm-prohibited
COMMIT
*nat
-A PREROUTING -p tcp -d fd00::1 --dport 80 -j DNAT --to-destination [fd00::2]:80
COMMIT
"""


def host() -> net.Host:
    return net.Network(World()).host("h", "node")


def bare(text: str) -> str:
    """A saved text without its dates."""
    return re.sub(r"^# .*\n", "", text, flags=re.M)


@pytest.fixture
def namespace():
    namespaces.require()
    made = namespaces.Namespace()
    yield made
    made.close()


@pytest.mark.parametrize("family", ["", "6"])
def test_saved_as_the_kernel_shows_it(namespace, family):
    text = RULES6 if family else RULES
    ours = host()
    filters = ours.netfilter6 if family else ours.netfilter
    filters.restore(text, noflush=False)
    namespace.run(f"ip{family}tables-restore", text)
    theirs = bare(namespace.run(f"ip{family}tables-save").stdout)
    assert bare(filters.save()) == theirs
    # What was saved says the same again.
    again = host()
    (again.netfilter6 if family else again.netfilter).restore(theirs, noflush=False)
    assert bare((again.netfilter6 if family else again.netfilter).save()) == theirs


@pytest.mark.parametrize("options", ["-n", "-n -v", "-n -v --line-numbers", "-n -v -x", ""])
@pytest.mark.parametrize("table", ["filter", "nat", "mangle", "raw"])
def test_listed_as_iptables_lists_it(namespace, table, options):
    ours = host()
    ours.netfilter.restore(RULES, noflush=False)
    namespace.run("iptables-restore", RULES)
    theirs = namespace.run(f"iptables -t {table} -L {options}").stdout
    if "-n" in options:
        # 1.8.9 alone prints protocols as numbers with -n; every other version has names.
        names = {"0": "all", "1": "icmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "132": "sctp"}
        theirs = re.sub(r"( !?)(\d+) ( +)(?=-- )", lambda m: f"{m[1]}{names[m[2]]:<{len(m[2] + m[3])}} ", theirs)
    assert (
        listing.table(
            ours.netfilter.table(table),
            numeric="-n" in options,
            verbose="-v" in options,
            line_numbers="--line-numbers" in options,
            exact="-x" in options,
        )
        == theirs
    )


@pytest.mark.parametrize("table", ["filter", "nat", "mangle"])
def test_specifications_as_iptables_prints_them(namespace, table):
    ours = host()
    ours.netfilter.restore(RULES, noflush=False)
    namespace.run("iptables-restore", RULES)
    assert listing.specifications(ours.netfilter.table(table)) == namespace.run(f"iptables -t {table} -S").stdout


@pytest.mark.parametrize("name", ["iptables-generated", "iptables-upstream"])
def test_kube_proxys_rules_come_back_as_the_kernel_gives_them(namespace, shared, name):
    cases = json.loads((shared / "golden/proxy" / f"{name}.json").read_text())["cases"]
    # A partial sync's rules jump to chains that it does not repeat.
    cases = [case for case in cases if case.get("full_sync", True)]
    compared = 0
    for case in cases[:: len(cases) // 12]:
        text = case.get("real_output", {}).get("restore_input") or case["expected_rules"]
        family = "6" if case["config"]["ipFamily"] == "IPv6" else ""
        # Counters by name need a kernel module that few have; they are compared from the recorded cluster.
        text = re.sub(r"-m nfacct --nfacct-name \S+ ", "", text)
        namespace.run(f"ip{family}tables-restore", text)
        ours = host()
        filters = ours.netfilter6 if family else ours.netfilter
        filters.restore(text, noflush=False)
        theirs = bare(namespace.run(f"ip{family}tables-save").stdout)
        theirs = theirs[theirs.index("*filter") :]
        assert bare(filters.save()) == theirs
        compared += 1
    assert compared >= 12


BROKEN = [
    "*nat\n-A FOO -j ACCEPT\nCOMMIT\n",
    "*nat\n-A PREROUTING -j BAR\nCOMMIT\n",
    "*nat\n-A PREROUTING -m foo -j ACCEPT\nCOMMIT\n",
    "*nat\n-A PREROUTING --bogus 3 -j ACCEPT\nCOMMIT\n",
    "*nat\n-A PREROUTING -p tcp --dport abc -j ACCEPT\nCOMMIT\n",
    "*nat\n-A PREROUTING -p tcp --dport 70000 -j ACCEPT\nCOMMIT\n",
    "*nat\n-A PREROUTING -d 1.2.3.400 -j ACCEPT\nCOMMIT\n",
    "*bogus\n-A PREROUTING -d 1.2.3.4 -j ACCEPT\nCOMMIT\n",
    "*nat\nrubbish\nCOMMIT\n",
    "*nat\n-A PREROUTING -j DNAT\nCOMMIT\n",
    "*nat\n-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination x\nCOMMIT\n",
    "*nat\n-A PREROUTING -j ACCEPT\n",
    "*nat\n-X NOPE\nCOMMIT\n",
    "*nat\n-A PREROUTING -j REJECT\nCOMMIT\n",
    "*filter\n-A INPUT -j MASQUERADE\nCOMMIT\n",
    "*filter\n-A INPUT -j DNAT --to-destination 1.2.3.4\nCOMMIT\n",
    "*filter\n-A INPUT -i eth0 -o eth1 -j DROP\nCOMMIT\n",
    "*filter\n-D INPUT -j DROP\nCOMMIT\n",
    "*nat\n:AAA - [0:0]\n-A AAA -j DNAT --to-destination 1.2.3.4:80\nCOMMIT\n",
    "*nat\n-A PREROUTING 3 -j ACCEPT\nCOMMIT\n",
    "*nat\n:AAA - [0:0]\n:BBB - [0:0]\n-A AAA -j BBB\n-A BBB -j AAA\n-A PREROUTING -j AAA\nCOMMIT\n",
    "*filter\n-A INPUT -m conntrack --ctstate FOO\nCOMMIT\n",
    "*filter\n-A INPUT -p foo\nCOMMIT\n",
]


@pytest.mark.parametrize("text", BROKEN)
def test_bad_input_gets_iptables_own_words_and_leaves_nothing_behind(namespace, text):
    from kubesim.net.restore import RestoreError

    theirs = namespace.run("iptables-restore --noflush", text, check=False)
    ours = host()
    with pytest.raises(RestoreError) as caught:
        ours.netfilter.restore(text)
    assert (caught.value.message.strip(), caught.value.code) == (theirs.stderr.strip(), theirs.returncode)
    assert "-A" not in ours.netfilter.save()


@pytest.mark.parametrize("family", ["", "6"])
def test_the_recorded_cluster_is_saved_as_it_was(shared, family):
    recorded = (shared / f"golden/proxy/cluster/node1.ip{family}tables-save.txt").read_text()
    ours = host()
    filters = ours.netfilter6 if family else ours.netfilter
    filters.restore(recorded, noflush=False)
    assert bare(filters.save()) == bare(recorded)


def test_restoring_without_flushing_touches_what_is_named_only():
    ours = host()
    ours.netfilter.restore(
        "*filter\n:A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -s 1.1.1.1 -j DROP\n-A B -j RETURN\nCOMMIT\n"
    )
    ours.netfilter.restore(
        "*filter\n:A - [0:0]\n:C - [0:0]\n-A A -s 2.2.2.2 -j DROP\n-X B\nCOMMIT\n".replace("-X B\n", "-F B\n-X B\n")
    )
    assert bare(ours.netfilter.save()) == (
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:A - [0:0]\n:C - [0:0]\n"
        "-A INPUT -j A\n-A A -s 2.2.2.2/32 -j DROP\nCOMMIT\n"
    )


def test_a_failed_table_stays_as_it_was_to_the_last_rule():
    from kubesim.net.restore import RestoreError

    ours = host()
    ours.netfilter.restore("*nat\n:A - [0:0]\n:B - [0:0]\n-A PREROUTING -j A\n-A A -j B\n-A B -j RETURN\nCOMMIT\n")
    before = ours.netfilter.save()
    with pytest.raises(RestoreError):
        ours.netfilter.restore(
            "*nat\n:A - [0:0]\n:NEW - [0:0]\n-A A -j NEW\n-I PREROUTING 1 -j NEW\n-D PREROUTING -j A\n-P OUTPUT ACCEPT\n-X B\n"
            "-A NOPE -j ACCEPT\nCOMMIT\n"
        )
    assert ours.netfilter.save() == before
    assert [chain.references for chain in ours.netfilter.table("nat").listed()[-2:]] == [1, 1]
