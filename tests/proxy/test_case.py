"""`kubesim rules`: objects in, rules out, and where the rules then send packets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from proxy_recorded import cases, chains

from kubesim import net
from kubesim.errors import LearnerError
from kubesim.proxy import case, iptables, kernel, settings, state
from kubesim.world import World


def leaves_the_node(each: dict[str, Any], packet: dict[str, Any], answer: dict[str, Any]) -> bool:
    """The recorder's first known difference from Linux: KUBE-EXTERNAL-SERVICES hangs on INPUT and FORWARD only, so a
    packet of the node's own to a load balancer's or external IP without endpoints leaves it (golden README)."""
    own = packet["sourceIP"] in [*each["nodeIPs"], "127.0.0.1", "::1"]
    refused = packet["output"] == "REJECT" and packet.get("what") in ("loadBalancerIP", "externalIP")
    return own and refused and answer == {"output": "", "masq": False}


def hairpin_elsewhere(each: dict[str, Any], packet: dict[str, Any], answer: dict[str, Any]) -> bool:
    """The second: another node's endpoint "calls itself" through this node.  The hairpin set holds this node's endpoints
    only, so nothing masquerades it."""
    here = {
        address
        for one in each["endpointSlices"]
        for endpoint in one["endpoints"] or ()
        for address in endpoint["addresses"]
        if endpoint.get("nodeName") == each["config"]["nodeName"]
    }
    itself = any(output.startswith(packet["sourceIP"] + ":") for output in packet["output"].split(", "))
    return itself and packet["sourceIP"] not in here and packet["masq"] and not answer["masq"]


@pytest.mark.parametrize(
    ("name", "exception"),
    [
        ("iptables-generated.json", leaves_the_node),
        ("iptables-upstream.json", leaves_the_node),
        ("nftables-generated.json", hairpin_elsewhere),
        ("nftables-upstream.json", hairpin_elsewhere),
    ],
)
def test_packets_go_where_the_recorder_saw_them_go(shared: Path, name: str, exception: Callable[..., bool]) -> None:
    wrong, total, excepted = [], 0, 0
    for each in cases(shared, name):
        if not each.get("packets") or (name.startswith("iptables") and not each.get("full_sync", True)):
            continue
        for packet, answer in zip(each["packets"], case.run_case(each)["packets"], strict=True):
            total += 1
            output = ", ".join(dict.fromkeys(packet["output"].split(", ")))
            if answer == {"output": output, "masq": packet["masq"]}:
                continue
            if exception(each, packet, answer):
                excepted += 1
            else:
                wrong.append(f"{each['id']} {packet} -> {answer}")
    print(f"{name}: {100 * (1 - len(wrong) / total):.2f} % of {total} packets, {excepted} excepted by rule")
    assert not wrong
    assert total > 150


def asked_service(each: dict[str, Any], packet: dict[str, Any]) -> dict[str, Any]:
    """The spec of the Service that a packet is for."""
    for service in each["services"]:
        spec = service["spec"]
        ips = {spec.get("clusterIP"), *spec.get("externalIPs", ()), *(
            one.get("ip") for one in (service.get("status", {}).get("loadBalancer") or {}).get("ingress") or ()
        )}  # fmt: skip
        for port in spec.get("ports", ()):
            to_node = packet["destPort"] == port.get("nodePort") and packet["destIP"] in each["nodeIPs"]
            if to_node or (packet["destIP"] in ips and packet["destPort"] == port["port"]):
                return spec
    return {}


def test_ipvs_leads_to_the_same_pods(shared: Path) -> None:
    """No packets through ipvs were recorded.  Where no Local policy is in play (there the modes differ, upstream too), the
    endpoints must be those that iptables was recorded to choose from, and the masquerade the same."""
    wrong, total = [], 0
    for each in cases(shared, "iptables-generated.json")[:120]:
        as_ipvs = {**each, "config": {**each["config"], "mode": "ipvs"}}
        answers = case.run_case(as_ipvs).get("packets", ())
        for packet, answer in zip(each.get("packets") or (), answers, strict=True):
            spec = asked_service(each, packet)
            local = "Local" in (spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy"))
            itself = f"{packet['sourceIP']}:" in packet["output"]
            if not spec or local or "loadBalancerSourceRanges" in spec or ":" not in packet["output"] or itself:
                continue
            total += 1
            same = set(answer["output"].split(", ")) == set(packet["output"].split(", "))
            if not same or answer["masq"] != packet["masq"]:
                wrong.append((each["id"], packet, answer))
    assert total > 1000
    assert not wrong, f"{len(wrong)} of {total}: {wrong[:3]}"


def test_a_node_of_a_real_cluster(shared: Path) -> None:
    """What the kernel showed after the real kube-proxy's sync, but for the Services' order, which is a Go map's."""
    recorded = shared / "golden" / "proxy" / "cluster"

    def items(name: str) -> list[dict[str, Any]]:
        found = json.loads((recorded / name).read_text())
        return found["items"] if isinstance(found, dict) else found

    [node] = [each for each in items("input-nodes.json") if each["metadata"]["name"] == "node-1"]
    host = net.Network(World()).host("node-1", "node")
    for family, netfilter, file in (
        ("IPv4", host.netfilter, "node1.iptables-save.txt"),
        ("IPv6", host.netfilter6, "node1.ip6tables-save.txt"),
    ):
        options = settings.Settings(
            family=family,  # type: ignore[arg-type]
            node_name="node-1",
            node_ip="192.168.0.2",
            node_port_addresses=case.NodePortAddresses(family),  # type: ignore[arg-type]
            local_detector=settings.LocalDetector("cidr", "10.244.0.0/16"),
            counters=frozenset({settings.COUNTER_INVALID, settings.COUNTER_LOCALHOST}),
            topology_labels=node["metadata"]["labels"],
            localhost_node_ports=family == "IPv4",
        )
        known = state.of_objects(family, "node-1", items("input-services.json"), items("input-endpointslices.json"))  # type: ignore[arg-type]
        tables = kernel.Iptables(netfilter)
        tables.ensure((), iptables.JUMPS)
        tables.restore(iptables.Renderer(options).sync(known))
        tables.set_canaries()
        assert chains(netfilter.save()) == chains((recorded / file).read_text())


SERVICE = {
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "ports": [{"port": 80}]},
}
SLICE = {
    "kind": "EndpointSlice",
    "metadata": {"name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"port": 8080}],
    "endpoints": [{"addresses": ["10.244.1.2"], "nodeName": "a"}],
}
NODE = {
    "kind": "Node",
    "metadata": {"name": "a"},
    "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.2"}]},
}


def test_objects_need_no_defaults_and_each_family_gets_its_text() -> None:
    text = case.rules_for([SERVICE, SLICE, NODE], "a", cluster_cidr="10.244.0.0/16")
    assert text.startswith("# IPv4\n*filter\n")
    assert "-j DNAT --to-destination 10.244.1.2:8080\n" in text
    assert '--comment "default/web has no endpoints" -m tcp -p tcp -d fd00::7 --dport 80 -j REJECT\n' in text


def test_nftables_takes_node_ports_on_the_primary_address_only() -> None:
    text = case.rules_for([SERVICE, SLICE, NODE], "a", mode="nftables")
    assert "add element ip kube-proxy nodeport-ips { 172.18.0.2 }\n" in text


def test_an_unknown_node_or_mode_is_named() -> None:
    with pytest.raises(LearnerError, match="no node 'b' among the objects"):
        case.rules_for([SERVICE, NODE], "b")
    with pytest.raises(LearnerError, match="unknown proxy mode 'magic'"):
        case.rules_for([SERVICE], "a", mode="magic")


def test_the_order_of_the_objects_does_not_matter() -> None:
    objects = [SERVICE, SLICE, NODE]
    assert case.rules_for(objects, "a") == case.rules_for(list(reversed(objects)), "a")
