"""The ipvs mode, compared with what the real kube-proxy 1.36 did to a recorded IPVS, ipset and iptables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy_recorded import cases

from kubesim.proxy import addresses, case, ipvs, state


def node_addresses(each: dict[str, Any]) -> list[str]:
    """The recording does not say which addresses the node had; its virtual servers of node ports do."""
    specs = [service["spec"] for service in each["services"] or ()]
    ports = {str(port["nodePort"]) for spec in specs for port in spec["ports"] if port.get("nodePort")}
    others = {address for spec in specs for address in (spec["clusterIP"], *spec.get("externalIPs", ()))}
    for service in each["services"] or ():
        others |= {ingress["ip"] for ingress in service["status"]["loadBalancer"].get("ingress", ())}
    servers = [server["vs"].rpartition("/")[0].rpartition(":") for server in each["output"]["virtualServers"]]
    return [address.strip("[]") for address, _, port in servers if port in ports and address not in others]


def chains(text: str) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line
        elif line.startswith(":"):
            found.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith("-A"):
            found.setdefault((table, line.split()[1]), []).append(line)
    return found


def servers(made: ipvs.Ruleset) -> list[dict[str, Any]]:
    found = [
        {
            "vs": f"{addresses.join(each.address, each.port)}/{each.protocol.upper()}",
            "protocol": each.protocol.upper(),
            "scheduler": each.scheduler,
            "flags": each.flags,
            "timeout": each.timeout,
            "realServers": [f"{endpoint} weight=1" for endpoint in each.real_servers],
        }
        for each in made.servers.values()
    ]
    return sorted(found, key=lambda each: each["vs"])


def test_virtual_servers_sets_and_rules(shared: Path) -> None:
    found = cases(shared, "ipvs-upstream.json")
    wrong = {}
    for index, each in enumerate(found):
        output = each["output"]
        options = case.settings({**each, "nodeIPs": node_addresses(each)})
        options = replace(options, random_fully="--random-fully" in output["restore_input"])
        known = state.of_objects(options.family, options.node_name, each["services"] or (), each["endpointSlices"] or ())
        made = ipvs.render(known, options)
        # Upstream's test double names IPv6's sets as IPv4's; the real ones begin with KUBE-6-.
        restore = made.restore.replace("KUBE-6-", "KUBE-")
        sets = {name: sorted(entries) for name, entries in made.sets.items()}
        same = (
            servers(made) == output["virtualServers"]
            and sets == {name: each["entries"] for name, each in output["ipsets"].items()}
            and {name: ipvs.SETS[name][0] for name in sets} == {name: each["type"] for name, each in output["ipsets"].items()}
            and chains(restore) == chains(output["restore_input"])
        )
        if not same:
            wrong[f"{index} {each['test']}"] = made.text()
    print(f"ipvs, upstream's tests: {100 * (1 - len(wrong) / len(found)):.1f} % of {len(found)} syncs to the letter")
    assert not wrong


def test_the_text_has_what_ipset_and_ipvsadm_save() -> None:
    config = {"config": {"mode": "ipvs", "nodeName": "a"}, "services": [SERVICE], "endpointSlices": [SLICE]}
    text = case.rules(config)
    assert "add KUBE-CLUSTER-IP 10.96.0.7,tcp:80\n" in text
    assert "-A -t 10.96.0.7:80 -s rr -p 600\n-a -t 10.96.0.7:80 -r 10.244.1.2:8080 -m -w 1\n" in text


SERVICE = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "clusterIP": "10.96.0.7",
        "ports": [{"port": 80}],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
    },
}
SLICE = {
    "metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"port": 8080}],
    "endpoints": [{"addresses": ["10.244.1.2"]}],
}
