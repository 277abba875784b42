"""Rules loaded at once and read later: the same as line by line, whatever comes in whatever order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubesim import net
from kubesim.errors import LearnerError
from kubesim.net import bulk, chain, restore
from kubesim.net.packet import Flight
from kubesim.world import World

CHAINS = ("KUBE-A", "KUBE-B", "KUBE-C", "cali-D")
RULES = (
    '-m comment --comment "a/b:http cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80 -j KUBE-B',
    "-m tcp -p tcp -d 10.96.0.2 --dport 80 -j KUBE-C",
    "-m tcp -p tcp -d 10.96.0.3/32 --dport 443 -j KUBE-A",
    "-m comment --comment a/b -s 10.244.0.1 -j KUBE-C",
    "! -s 10.244.0.0/16 -j KUBE-B",
    "-m comment --comment a/b -m tcp -p tcp -j DNAT --to-destination 10.244.0.1:80",
    "-j DNAT --to-destination 10.244.0.1:80",
    "-m statistic --mode random --probability 0.5000000000 -j KUBE-C",
    "-m addrtype --src-type LOCAL -j RETURN",
    "-m conntrack --ctstate INVALID -j DROP",
    "-j MARK --or-mark 0x4000",
    "-p udp --dport 53 -j ACCEPT",
    "-m tcp -p tcp -d 10.96.0.300 --dport 80 -j KUBE-B",
    "-j KUBE-MISSING",
    "-j OUTPUT",
    "-i eth0 -j cali-D",
    "-j QUEUE",
    "",
)

declared = st.sampled_from([f":{name} - [0:0]" for name in CHAINS])
appended = st.builds(
    lambda name, rule: f"-A {name} {rule}".strip(), st.sampled_from((*CHAINS, "OUTPUT")), st.sampled_from(RULES)
)
other = st.sampled_from(
    (
        "-X KUBE-A",
        "-X cali-D",
        "-F KUBE-B",
        "-I KUBE-A -j ACCEPT",
        "-D KUBE-B -j ACCEPT",
        "# words",
        ":OUTPUT DROP [0:0]",
    )
)
# Mostly texts that go through: each begins with all chains declared.
pieces = st.lists(
    st.lists(st.one_of(appended, appended, appended, declared, other), min_size=1, max_size=5).map("\n".join),
    max_size=4,
)
texts = st.tuples(
    st.sampled_from(("filter", "nat")), st.sampled_from((CHAINS, CHAINS, ("KUBE-B", "KUBE-C"), ())), pieces
)


def whole(table: str, first: tuple[str, ...], parts: list[str]) -> list[str]:
    head = "".join(f":{name} - [0:0]\n" for name in first)
    return [f"*{table}\n{head}", *(f"{part}\n" for part in parts), "COMMIT\n"]


def host() -> net.Host:
    return net.Network(World()).host("h", "node")


def state(of: net.Host) -> list[object]:
    """All that can be seen: the rules, how often chains are jumped to, whether connections are tracked."""
    saved = re.sub(r"^# .*\n", "", of.netfilter.save(), flags=re.M)
    tables = of.netfilter.tables()
    return [
        saved,
        [
            (each.name, sorted((c.name, c.references, c.size) for c in each.chains.values()), each.tracked)
            for each in tables
        ],
    ]


def loaded(of: net.Host, text: list[str]) -> str:
    try:
        of.netfilter.restore(text)
    except LearnerError as error:
        return str(error)
    return ""


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=4))
def test_loading_at_once_is_as_loading_line_by_line(all_texts, again):
    texts = [whole(*each) for each in all_texts]
    # Some come once more, in the same pieces and in one.
    texts += [texts[at] for at in again if at < len(texts)] + [["".join(texts[0])]]
    quick, slow = host(), host()
    for text in texts:
        by_line = restore._Restore(slow.netfilter, noflush=True, counters=False)
        try:
            by_line._line_by_line(0, "".join(text))
            error = ""
        except LearnerError as caught:
            error = str(caught)
        assert loaded(quick, text) == error
        assert state(quick) == state(slow)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.sampled_from((80, 443))), min_size=3, max_size=9),
        min_size=3,
        max_size=6,
    ),
    st.data(),
)
def test_the_index_of_a_chain_changes_with_its_rules(blocks, data):
    """What can apply to a packet, after parts of a long chain were written again, is what applies in a chain indexed anew."""
    of = host()
    for _ in range(3):
        text = [
            "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-X - [0:0]\n",
            *(
                "".join(
                    f"-A KUBE-SERVICES -m tcp -p tcp -d 10.96.0.{n} --dport {port} -j KUBE-X\n" for n, port in block
                )
                for block in blocks
            ),
            '-A KUBE-SERVICES -m comment --comment "-m tcp -p tcp -d 10.96.0.4 --dport 80 " -s 10.0.0.0/8 -j KUBE-X\nCOMMIT\n',
        ]
        of.netfilter.restore(text)
        services = of.netfilter.table("nat").chains["KUBE-SERVICES"]
        for n in range(0, 41, 4):
            flight = Flight(net.Packet(src="10.244.0.1", dst=f"10.96.0.{n}", dport=80, sport=4000))
            found = [item.place for item in services.candidates(flight)]
            wanted = [
                at
                for at, item in enumerate(services.items)
                if item.rule.keys in ((f"10.96.0.{n}", ("tcp", 80)), (f"10.96.0.{n}", ("tcp", 443)), ("", None))
            ]
            if services.size >= chain.INDEX_FROM:
                assert found == wanted
        at = data.draw(st.integers(0, len(blocks) - 1))
        blocks = [
            *blocks[:at],
            *data.draw(st.sampled_from(([], [[(7, 80), (8, 443)]], [[(n, 80) for n in range(9)]]))),
            *blocks[at + 1 :],
        ]
        blocks = blocks or [[(1, 80)]]


def test_what_stays_begins_to_count_anew_and_what_is_not_declared_goes_on():
    of = host()
    text = ["*nat\n:KUBE-A - [0:0]\n:KUBE-B - [0:0]\n", "-A KUBE-A -j KUBE-B\n", "COMMIT\n"]
    of.netfilter.restore([*text[:2], "-A KUBE-B -j ACCEPT\n", text[2]])
    chains = of.netfilter.table("nat").chains
    for name in ("KUBE-A", "KUBE-B"):
        chains[name].items[0].packets = 5
        chains[name].items[0].run.counted = True
    of.netfilter.restore(["*nat\n:KUBE-A - [0:0]\n", *text[1:]])
    assert [chains[name].items[0].packets for name in ("KUBE-A", "KUBE-B")] == [0, 5]


def test_a_change_is_not_paid_for_by_the_services_that_stay(monkeypatch):
    """A sync that writes KUBE-SERVICES whole again reads only the lines that are new."""
    read: list[str] = []
    real = bulk._read
    monkeypatch.setattr(bulk, "_read", lambda table, text: read.append(text) or real(table, text))
    blocks = [
        "".join(f"-A KUBE-SERVICES -m tcp -p tcp -d 10.96.{block}.{n} --dport 80 -j KUBE-X\n" for n in range(50))
        for block in range(20)
    ]
    of = host()
    head = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-X - [0:0]\n"
    of.netfilter.restore([head, *blocks, "COMMIT\n"])
    read.clear()
    blocks[7] = "-A KUBE-SERVICES -m tcp -p tcp -d 10.97.0.1 --dport 80 -j KUBE-X\n"
    of.netfilter.restore([head, *blocks, "COMMIT\n"])
    assert read == [blocks[7]]
    assert of.netfilter.table("nat").chains["KUBE-X"].references == 19 * 50 + 1


@pytest.mark.parametrize(
    "line",
    [
        "-A KUBE-A -m tcp -p tcp -d 10.96.0.1 --dport 99999 -j KUBE-B",
        "-A KUBE-A -s 10.0.0.0/33 -j KUBE-B",
        "-A KUBE-A -m statistic --mode random --probability 1.5 -j KUBE-B",
        "-A KUBE-A -m comment --comment x -j DNAT --to-destination 10.0.0.1:80",
    ],
)
def test_a_line_that_is_wrong_is_found_while_loading(line):
    of = host()
    before = state(of)
    text = ["*nat\n:KUBE-A - [0:0]\n:KUBE-B - [0:0]\n", "-A KUBE-B -j KUBE-A\n", f"{line}\n", "COMMIT\n"]
    assert loaded(of, text)
    of.netfilter.table("nat")
    assert [each for each in state(of)[0].splitlines() if "KUBE" in each] == []
    assert before[0] == ""


def test_a_loop_is_found_where_a_packet_can_come_to_it():
    loop = ["*nat\n:KUBE-A - [0:0]\n:KUBE-B - [0:0]\n", "-A KUBE-A -j KUBE-B\n", "-A KUBE-B -j KUBE-A\n", "COMMIT\n"]
    of = host()
    assert loaded(of, [*loop[:3], "-A OUTPUT -j KUBE-A\n", loop[3]]).endswith("(Too many links): rule in chain OUTPUT")
    assert loaded(of, loop) == ""
    assert loaded(of, ["*nat\n", "-A OUTPUT -j KUBE-B\n", "COMMIT\n"]).endswith(
        "(Too many links): rule in chain OUTPUT"
    )
