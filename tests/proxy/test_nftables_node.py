"""kube-proxy in nftables mode on a node: the table that the kernel then lists, transactions, and changing the mode."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from proxy_lab import Lab, endpoint_slice, service

from kubesim import net
from kubesim.cluster import Cluster
from kubesim.proxy import case, nftables, settings, state
from kubesim.world import World


def blocks(listing: str) -> dict[str, list[str]]:
    """A listing's sets and chains by table, each as one text, in order."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^table ", listing, flags=re.M)[1:]:
        head, _, rest = part.partition(" {\n")
        found[head] = re.findall(r"^\t(?:set|map|chain) .*?^\t\}$", rest, flags=re.M | re.S)
    return found


def by_service(found: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """What all Services share, in order; and each Service port's own, whose order among ports is that of a Go map.  Where
    there is affinity, endpoints' names are hashes of their own."""
    kinds = "service|local|external|firewall|endpoint|affinity"
    shared = [each for each in found if not re.match(rf"\t\w+ ({kinds})-[A-Z2-7]{{8}}-", each)]
    own: dict[str, list[str]] = {}
    for each in found:
        if each not in shared:
            name = re.match(r"\t\w+ \w+-[A-Z2-7]{8}-(\S+?)(?:__\S+)? \{", each)
            assert name, each
            own.setdefault(name[1], []).append(each)
    return shared, own


def test_the_recorded_cluster_as_the_kernel_listed_it(shared: Path) -> None:
    recorded = shared / "golden" / "proxy" / "cluster"

    def items(name: str) -> list[dict[str, Any]]:
        found = json.loads((recorded / name).read_text())
        return found["items"] if isinstance(found, dict) else found

    [node] = [each for each in items("input-nodes.json") if each["metadata"]["name"] == "node-1"]
    host = net.Network(World()).host("node-1", "node")
    for family, own, pods, cidrs in (
        ("IPv4", ("127.0.0.1", "192.168.0.2"), "10.244.0.0/16", ("10.96.0.0/12",)),
        ("IPv6", ("::1",), "", ()),
    ):
        options = settings.Settings(
            family=family,  # type: ignore[arg-type]
            node_name="node-1",
            node_ip="192.168.0.2",
            node_addresses=own,
            node_port_addresses=case.NodePortAddresses(family, ["192.168.0.2/32"]),  # type: ignore[arg-type]
            local_detector=settings.LocalDetector("cidr", pods) if pods else None,
            topology_labels=node["metadata"]["labels"],
            service_cidrs=cidrs,
        )
        known = state.of_objects(family, "node-1", items("input-services.json"), items("input-endpointslices.json"))  # type: ignore[arg-type]
        host.nft.apply(nftables.Renderer(options).install(known))
    ours, theirs = blocks(str(host.nft)), blocks((recorded / "node1.nft-ruleset.txt").read_text())
    assert list(ours) == list(theirs) == ["ip kube-proxy", "ip6 kube-proxy"]
    for table in theirs:
        assert by_service(ours[table]) == by_service(theirs[table])
    assert len("".join(str(host.nft).split())) == len("".join((recorded / "node1.nft-ruleset.txt").read_text().split()))


@pytest.fixture
def proxy() -> Lab:
    lab = Lab()
    lab.start(mode="nftables")
    return lab


def test_a_change_is_a_transaction_and_a_stale_chain_goes_later(proxy: Lab) -> None:
    tables = proxy.machine.net.nft.tables
    proxy.objects.apply("services", service())
    proxy.objects.apply("endpointslices.discovery.k8s.io", endpoint_slice("10.244.1.2"))
    proxy.world.advance(2)
    table = tables["ip", "kube-proxy"]
    [name] = [each for each in table.chains if each.endswith("default/web/tcp/")]
    assert [str(rule) for rule in table.chains[name].rules] == [
        "meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.244.1.2 . 8080 }"
    ]
    before = table.chains["services"].rules
    proxy.objects.delete("services", "web", "default")
    proxy.world.advance(2)
    assert table.chains[name].rules == []
    assert table.chains["services"].rules is before, "what did not change was not written again"
    assert not table.sets["service-ips"].elements


def test_the_configmap_changes_the_mode_and_the_old_modes_rules_go() -> None:
    cluster = Cluster("kind")

    def change(old: str, new: str) -> None:
        done = cluster.shell(
            f"kubectl -n kube-system get cm kube-proxy -o json | sed 's/mode: {old}/mode: {new}/' | kubectl replace -f -;"
            "kubectl -n kube-system delete pod -l k8s-app=kube-proxy; sleep 10"
        )
        assert done.exit_code == 0, done.stderr

    ask = "kubectl get --raw /version >/dev/null && curl -sk -o /dev/null -w '%{http_code}' https://10.96.0.1/version"
    assert cluster.shell(ask).stdout == "200"
    change("iptables", "nftables")
    assert "KUBE-SERVICES" not in cluster.shell("iptables-save").stdout
    assert "KIND-MASQ-AGENT" in cluster.shell("iptables-save").stdout, "others' rules stay"
    assert cluster.shell("nft list tables | grep kube").stdout == "table ip kube-proxy\ntable ip6 kube-proxy\n"
    assert cluster.shell(ask).stdout == "200"
    assert cluster.shell("nft flush chain ip kube-proxy services").exit_code == 0
    assert cluster.shell(f"{ask} --max-time 1").stdout == "000"
    change("nftables", "iptables")
    assert cluster.shell("nft list ruleset").stdout == ""
    assert "KUBE-SERVICES" in cluster.shell("iptables-save").stdout
    assert cluster.shell(ask).stdout == "200"


def test_nft_says_what_is_wrong_where() -> None:
    done = Cluster("kind").shell("nft list chain ip kube-proxy services")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: No such file or directory\nlist chain ip kube-proxy services\n              ^^^^^^^^^^\n",
    )
