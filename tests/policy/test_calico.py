"""felix's text: names and hashes as real nodes have them, sets, and what goes when its pod goes.

The hashes were read off published `iptables-save` output of clusters with Calico v3.10 to v3.16; they are facts about
felix's way of deriving them, so one wrong blank in a rule would show.
"""

from __future__ import annotations

import re

import pytest
from policybench import Bench
from test_rows import policy

from kubesim.cluster import Cluster
from kubesim.machinery import selectors
from kubesim.policy import calico
from kubesim.policy.model import Peer, Pod, Policy, Rule, State
from kubesim.policy.names import chain_name, interface_name

DB = Pod(namespace="default", name="db", node="n1", ips=("10.88.0.26",), labels={"app": "db"})
BACKEND = Pod(
    namespace="default", name="backend", node="n1", ips=("10.88.0.27",), labels={"networking/allow-db-access": "true"}
)
ALLOW = Policy(
    namespace="default",
    name="allow-db-access",
    pods=selectors.parse("app=db"),
    ingress=(Rule((Peer(pods=selectors.parse("networking/allow-db-access=true")),)),),
)


def hashes(text: list[str]) -> list[str]:
    return [re.findall(r"cali:([^\"]{16})", line)[0] for line in text]


def test_a_policys_chain_and_set_are_called_as_on_a_real_node() -> None:
    rendered = calico.render(State([ALLOW], [DB, BACKEND]), [("cali95aa86cbb2a", DB)])
    assert calico.lines("cali-pi-_tTE-E7yY40ogArNVgKt", rendered.chains["cali-pi-_tTE-E7yY40ogArNVgKt"]) == [
        '-A cali-pi-_tTE-E7yY40ogArNVgKt -m comment --comment "cali:M4Und37HGrw6jUk8" '
        "-m set --match-set cali40s:LrVD8vMIGQDyv8Y7sPFB1Ge src --jump MARK --set-mark 0x10000/0x10000",
        '-A cali-pi-_tTE-E7yY40ogArNVgKt -m comment --comment "cali:sEnlfZagUFRSPRoe" '
        "-m mark --mark 0x10000/0x10000 --jump RETURN",
    ]
    assert rendered.sets["cali40s:LrVD8vMIGQDyv8Y7sPFB1Ge"].members == ("10.88.0.27",)


def test_an_endpoints_chain_has_the_hashes_of_a_real_node() -> None:
    rendered = calico.render(State([ALLOW], [DB, BACKEND]), [("cali95aa86cbb2a", DB)])
    chain = "cali-tw-cali95aa86cbb2a"
    found = hashes(calico.lines(chain, rendered.chains[chain]))
    assert [found[0], found[1], *found[3:7]] == [
        "eCrqwxNk3cKw9Eq6", "_krp5nzavhAu5avJ", "leBL64hpAXM9y4nk", "pm-LK-c1ra31tRwz", "q_zG8dAujKUIBe0Q", "FUDVBYh1Yr6tVRgq",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chain", "wanted"),
    [
        (
            "cali-FORWARD",
            "vjrMJCRpqwy5oRoX A_sPAO0mcxbT9mOV 8ZoYfO5HKXWbB3pk jdEuaPBe14V2hutn 12bc6HljsMKsmfr- MH9kMp5aNICL-Olv",
        ),
        ("cali-wl-to-host", "Ee9Sbo10IpVujdIY nSZbcOoG1xPONxb8"),
        ("cali-from-wl-dispatch", "zTj6P0TIgYvgz-md"),
        ("cali-to-wl-dispatch", "7KNphB1nNHw80nIO"),
    ],
)
def test_chains_that_every_node_has(chain: str, wanted: str) -> None:
    rules = calico.render(State(), []).chains[chain]
    assert hashes(calico.lines(chain, rules)) == wanted.split()


def test_names_that_are_too_long_are_hashed() -> None:
    assert chain_name("cali-pro-", "kns.default") == "cali-pro-kns.default"
    assert chain_name("cali-pro-", "ksa.kube-system.coredns") == "cali-pro-_u2Tn2rSoAPffvE7JO6"


def test_interfaces_that_begin_alike_share_a_chain() -> None:
    ends = [("calia1", DB), ("calia2", BACKEND), ("calib1", DB)]
    chains = calico.render(State([], [DB, BACKEND]), ends).chains
    assert [rule.rpartition("--goto ")[::2] for rule in chains["cali-from-wl-dispatch"][:2]] == [
        ("--in-interface calia+ ", "cali-from-wl-dispatch-a"),
        ("--in-interface calib1 ", "cali-fw-calib1"),
    ]


def test_more_ports_than_one_rule_takes() -> None:
    assert calico._split([(port, port) for port in range(1, 32, 2)]) == [
        "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29",
        "31",
    ]
    assert calico._split([(1, 2)] * 8) == [",".join(["1:2"] * 7), "1:2"]


@pytest.fixture
def node() -> Cluster:
    return Cluster("vagrant")


def test_felix_stands_first_at_each_hook_and_puts_itself_back(node: Cluster) -> None:
    def first(chain: str) -> str:
        return next(line for line in node.node_rules("k8smaster").splitlines() if line.startswith(f"-A {chain} "))

    assert first("FORWARD") == '-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD'
    assert first("INPUT") == '-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT'
    assert first("OUTPUT") == '-A OUTPUT -m comment --comment "cali:tVnHkvAo15HuiPy0" -j cali-OUTPUT'
    node.shell("sudo iptables -I FORWARD 1 -j ACCEPT; kubectl run p --image=nginx --restart=Never")
    node.settle()
    assert "cali-FORWARD" in first("FORWARD")


def test_what_a_pod_had_goes_with_it() -> None:
    bench = Bench("vagrant")
    host = bench.cluster.nodes["k8smaster"].net
    interface = interface_name(Pod(namespace="x", name="a"))
    spec = "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}"
    bench.apply(policy("x", spec))
    chains = host.netfilter.table("filter").chains
    assert f"cali-tw-{interface}" in chains
    (own,) = [name for name in host.ipsets.names() if name.startswith("cali40s:")]
    assert host.ipsets.save(own).splitlines()[1:] == [f"add {own} {bench.ip('x/b')}"]
    bench.client.delete("pods", "a", "x")
    bench.cluster.settle()
    assert f"cali-tw-{interface}" not in chains
    assert own not in host.ipsets


def test_ipset_shows_whom_a_policy_means() -> None:
    bench = Bench("vagrant")
    bench.apply(policy("x", "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}"))
    (own,) = [name for name in bench.cluster.nodes["k8smaster"].net.ipsets.names() if name.startswith("cali40s:")]
    shown = bench.cluster.shell(f"sudo ipset list {own}; sudo ipset test {own} {bench.ip('x/b')}; ipset list")
    assert shown.stdout.endswith(f"Members:\n{bench.ip('x/b')}\n")
    assert "Type: hash:net\n" in shown.stdout
    assert "References: 1\n" in shown.stdout
    assert shown.stderr.splitlines() == [
        f"Warning: {bench.ip('x/b')} is in set {own}.",
        "ipset v7.17: Kernel error received: Operation not permitted",
    ]


def test_a_pod_that_felix_does_not_know_is_cut_off() -> None:
    """With felix gone, the rules that it left drop what has no chain."""
    bench = Bench("vagrant")
    bench.client.delete("daemonsets.apps", "calico-node", "kube-system")
    bench.cluster.settle()
    bench.client.create("pods", {
        "metadata": {"name": "late", "namespace": "x"},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    })  # fmt: skip
    bench.cluster.settle()
    assert bench.connects("x/a", "x/b", 80) == "open"
    assert bench.connects("x/late", "x/b", 80) == "silence"
