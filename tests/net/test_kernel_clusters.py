"""The kernel agrees on whole clusters: Hypothesis makes Services and their endpoints, kube-proxy's renderers write each
node's rules, namespaces and the simulated network load the same text, and every client asks every address of every Service.

What a client saw must be among what the walk's branches foretell; with session affinity it is always the same one.  Needs
root on Linux; skips aloud elsewhere.  Namespaces of the test's own only.
"""

from __future__ import annotations

from typing import Any

import hypothesis
import namespaces
import netlab
import pytest
import referee
import test_kernel
from hypothesis import strategies as st

from kubesim import net
from kubesim.proxy import addresses, iptables, kernel, nftables, settings, state

pytestmark = pytest.mark.slow

NODES = {"node1": "172.18.0.2", "node2": "172.18.0.3"}
PODS = {
    "a": ("node1", "10.244.1.2"),
    "b": ("node1", "10.244.1.3"),
    "c": ("node2", "10.244.2.2"),
    "d": ("node2", "10.244.2.3"),
}
CLIENTS = [*PODS, *NODES, "outside"]
# Every address range that Services may have; the outside client reaches them by way of node1.
RANGES = ("10.96.0.0/16", "192.0.2.0/24", "198.51.100.0/24")
TIMES = 4
LEAST = 1000  # connections for each mode

Object = dict[str, Any]
Cluster = list[tuple[Object, Object]]


@st.composite
def a_service(draw: st.DrawFn, index: int) -> tuple[Object, Object]:
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    ip = f"10.96.0.{10 + index}"
    spec: Object = {"type": kind, "clusterIP": ip, "clusterIPs": [ip]}
    protocol = draw(st.sampled_from(["TCP", "TCP", "UDP"]))
    spec["ports"] = [{"port": 80, "protocol": protocol}]
    spec["internalTrafficPolicy"] = draw(st.sampled_from(["Cluster", "Cluster", "Local"]))
    if draw(st.booleans()):
        spec["externalIPs"] = [f"198.51.100.{index}"]
    if kind != "ClusterIP" or "externalIPs" in spec:
        spec["externalTrafficPolicy"] = draw(st.sampled_from(["Cluster", "Local"]))
    if kind != "ClusterIP":
        spec["ports"][0]["nodePort"] = 30080 + index
    if draw(st.integers(0, 2)) == 0:
        spec |= {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    service: Object = {"metadata": {"name": f"s{index}", "namespace": "demo"}, "spec": spec}
    if kind == "LoadBalancer":
        service["status"] = {"loadBalancer": {"ingress": [{"ip": f"192.0.2.{index}", "ipMode": "VIP"}]}}
        ranges = draw(st.sampled_from([[], ["10.244.0.0/16"], ["172.18.0.1/32", "10.244.1.2/32"], ["172.18.0.0/16"]]))
        if ranges:
            spec["loadBalancerSourceRanges"] = ranges
    conditions = st.sampled_from(
        [
            {"ready": True, "serving": True, "terminating": False},
            {"ready": True, "serving": True, "terminating": False},
            {"ready": False, "serving": True, "terminating": True},
            {"ready": False, "serving": False, "terminating": False},
        ]
    )
    endpoints = [
        {"addresses": [address], "nodeName": node, "conditions": draw(conditions)}
        for name, (node, address) in PODS.items()
        if draw(st.booleans())
    ]
    return service, {
        "metadata": {
            "name": f"s{index}-x",
            "namespace": "demo",
            "labels": {"kubernetes.io/service-name": f"s{index}"},
        },
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": protocol}],
        "endpoints": endpoints,
    }


clusters = st.tuples(*(a_service(index) for index in range(1, 7))).map(list)


def targets(cluster: Cluster) -> list[tuple[str, int, str]]:
    """All addresses of its Services, and a port of the first that it has not."""
    found = [(cluster[0][0]["spec"]["clusterIP"], 81, "tcp")]
    for service, _ in cluster:
        spec = service["spec"]
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        protocol = spec["ports"][0]["protocol"].lower()
        found += [
            (ip, 80, protocol)
            for ip in (spec["clusterIP"], *spec.get("externalIPs", ()), *(each["ip"] for each in ingress))
        ]
        found += [
            (ip, port["nodePort"], protocol) for port in spec["ports"] if "nodePort" in port for ip in NODES.values()
        ]
    return found


def known(cluster: Cluster, node: str, mode: str) -> tuple[settings.Settings, state.State]:
    primary = [f"{NODES[node]}/32"] if mode == "nftables" else []
    options = settings.Settings(
        node_name=node,
        node_ip=NODES[node],
        node_addresses=("127.0.0.1", NODES[node]),
        node_port_addresses=addresses.NodePortAddresses("IPv4", primary),
        local_detector=settings.LocalDetector("cidr", "10.244.0.0/16"),
        service_cidrs=(RANGES[0],),
    )
    services, slices = zip(*cluster, strict=True)
    return options, state.of_objects("IPv4", node, services, slices)


def jumps() -> str:
    """What kube-proxy does by `iptables -N` and `-I`, as one text."""
    tables: dict[str, list[str]] = {}
    for each in iptables.JUMPS:
        tables.setdefault(each.table, []).append(f"-I {each.source} {each.rule}")
    text = ""
    for table, rules in tables.items():
        chains = dict.fromkeys(each.chain for each in iptables.JUMPS if each.table == table)
        text += "\n".join([f"*{table}", *(f":{chain} - [0:0]" for chain in chains), *rules, "COMMIT", ""])
    return text


def load(lab: netlab.Lab, real: referee.RealLab, cluster: Cluster, mode: str) -> None:
    for node in NODES:
        options, objects = known(cluster, node, mode)
        kernels, host = real.hosts[node], lab.network.hosts[node]
        kernels.run("nft flush ruleset")
        if mode == "nftables":
            text = nftables.Renderer(options).install(objects)
            kernels.run("nft -f -", text)
            host.nft.apply(text)
        else:
            text = iptables.Renderer(options).sync(objects)
            kernels.run("iptables-restore", jumps())
            kernels.run("iptables-restore --noflush", text)
            tables = kernel.Iptables(host.netfilter)
            tables.ensure((), iptables.JUMPS)
            tables.restore(text)
        kernels.run("conntrack -F", check=False)


def simulated() -> netlab.Lab:
    lab = netlab.build()
    lab.pod(lab.node2, "d", "10.244.2.3")
    for node in (lab.node1, lab.node2):
        node.sysctls["net.ipv4.conf.all.route_localnet"] = 1
    for pod in lab.pods.values():
        lab.serve(pod, 8080)
        pod.udp("0.0.0.0", 8080).answers = True
    for prefix in RANGES:
        lab.outside.routes.add(prefix, "eth0", NODES["node1"])
    return lab


@pytest.fixture(scope="module")
def real():
    namespaces.require()
    made = referee.RealLab()
    try:
        for name, (node, ip) in PODS.items():
            made.pod(node, name, ip)
            made.serve(name, 8080)
        made.hosts["outside"].run(" && ".join(f"ip route add {prefix} via {NODES['node1']}" for prefix in RANGES))
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_clusters_by_chance(real: referee.RealLab, mode: str) -> None:
    compared = 0

    @hypothesis.settings(
        max_examples=3, deadline=None, derandomize=True, database=None, phases=[hypothesis.Phase.generate]
    )
    @hypothesis.given(clusters)
    def agree(cluster: Cluster) -> None:
        nonlocal compared
        lab = simulated()
        load(lab, real, cluster, mode)
        asked = targets(cluster)
        answers = real.connect_all(CLIENTS, asked, TIMES)
        # Who asks several addresses of one Service at the same time may be remembered by two endpoints at once.
        sticky = {
            spec["clusterIP"]
            for spec in (service["spec"] for service, _ in cluster)
            if spec.get("sessionAffinity") == "ClientIP" and spec["type"] == "ClusterIP" and "externalIPs" not in spec
        }
        for client in CLIENTS:
            for target, seen in zip(asked, answers[client], strict=True):
                ip, port, protocol = target
                flags = "S" if protocol == "tcp" else ""
                packet = net.Packet(protocol=protocol, dst=ip, dport=port, sport=40000, flags=flags)
                branches = lab.network.trace(lab.network.hosts[client], packet, "branches")
                possible = {test_kernel.foretold(trace) for trace in branches}
                story = "\n".join(str(trace) for trace in branches)
                assert set(seen) <= possible, f"{client} -> {target}: the kernel {seen}, the walk {possible}\n{story}"
                assert target[0] not in sticky or len(set(seen)) == 1, f"{client} -> {target}: {seen}"
                compared += len(seen)

    agree()
    print(f"{mode}: {compared} connections, no difference")
    assert compared >= LEAST
