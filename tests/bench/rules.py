"""Rules and walks by the number of Services: `measure()` gives JSON-able figures, in CPU seconds of this process.

A kube-proxy's whole sync is measured: from what it heard of Services, rendered to rules, to rules that the node's kernel has.
Each Service has ten endpoints.  "full" is the first sync, "change" the one after a Service lost an endpoint, the median of
some.  Walks go to one Service after the other, recorded, as `kubesim trace` makes them; "first_walk" is the first after the
full sync, which reads and indexes what it meets.
"""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

MODES = ("iptables", "nftables", "ipvs")
SIZES = (100, 1_000, 10_000)
ENDPOINTS = 10
WALKS = 500
CHANGES = 5


def clock(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def service(index: int, endpoints: int = ENDPOINTS) -> tuple[dict[str, Any], dict[str, Any]]:
    name, ip = f"s{index}", f"10.{96 + (index >> 16)}.{index >> 8 & 255}.{index & 255}"
    addresses = [f"10.{128 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(10 * index, 10 * index + endpoints)]
    return (
        {
            "metadata": {"name": name, "namespace": "bench"},
            "spec": {"clusterIP": ip, "ports": [{"port": 80, "protocol": "TCP"}]},
        },
        {
            "metadata": {
                "name": f"{name}-x",
                "namespace": "bench",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [{"port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [each], "nodeName": "node2"} for each in addresses],
        },
    )


class Node:
    """A node with a kube-proxy, and with a neighbour that gets all that leaves it."""

    def __init__(self, mode: str, size: int) -> None:
        from kubesim import net
        from kubesim.proxy import family, kernel, settings, state
        from kubesim.proxy.ipvs_family import IpvsFamily
        from kubesim.world import World

        world = World(seed=1)
        self.network = net.Network(world)
        self.node, self.beyond = self.network.host("node", "node"), self.network.host("beyond", "outside")
        self.network.link(self.node, "eth0", self.beyond, "eth0")
        self.node.add_address("eth0", "172.18.0.2/16")
        self.beyond.add_address("eth0", "172.18.0.1/16")
        self.node.routes.add("default", "eth0", "172.18.0.1")
        options = settings.Settings(node_name="node", node_ip="172.18.0.2", node_addresses=("127.0.0.1", "172.18.0.2"))
        self.state = state.State("IPv4", "node")
        for index in range(1, size + 1):
            one, other = service(index)
            self.state.service_changed(one)
            self.state.slice_changed(other)
        tables = kernel.Iptables(self.node.netfilter)
        if mode == "iptables":
            self.proxy: family.Family = family.IptablesFamily(world, self.state, options, tables, 34, 30.0)
        elif mode == "nftables":
            self.proxy = family.NftablesFamily(world, self.state, options, self.node.nft)
        else:
            self.proxy = IpvsFamily(world, self.node, self.state, options, tables, 30.0)

    def walk(self, index: int) -> Any:
        from kubesim import net

        packet = net.Packet(dst=service(index)[0]["spec"]["clusterIP"], dport=80, sport=40000, flags="S")
        return self.network.trace(self.node, packet)


def figures(mode: str, size: int) -> dict[str, float]:
    gc.collect()
    node = Node(mode, size)
    found = {"services": size, "endpoints": size * ENDPOINTS, "full_seconds": clock(node.proxy.sync)}
    changes = []
    for index in range(size // 2, size // 2 + CHANGES):
        node.state.slice_changed(service(index, ENDPOINTS - 1)[1])
        changes.append(clock(node.proxy.sync))
    assert (node.proxy.full_syncs, node.proxy.partial_syncs) == (1, CHANGES)
    found["change_seconds"] = statistics.median(changes)
    found["first_walk_seconds"] = clock(lambda: node.walk(1))
    asked = [1 + n % size for n in range(WALKS)]
    # Once to warm up: rules are read when a packet comes.
    for index in dict.fromkeys(asked):
        node.walk(index)
    gc.collect()
    found["walks_per_second"] = WALKS / clock(lambda: [node.walk(index) for index in asked])
    trace = node.walk(size // 2)
    assert trace.final.dst != service(size // 2)[0]["spec"]["clusterIP"], trace.reason
    found["steps_of_a_walk"] = sum(len(hop.steps) for hop in trace.hops)
    return found


def measure(sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Figures by mode and size, and by how much each grows from a size to the next, and from the first to the last."""
    answer: dict[str, Any] = {}
    pairs = [*itertools.pairwise(sizes), *([(sizes[0], sizes[-1])] if len(sizes) > 2 else [])]
    for mode in MODES:
        by_size = {size: figures(mode, size) for size in sizes}
        answer[mode] = {str(size): each for size, each in by_size.items()}
        answer[mode]["growth"] = {
            f"{low} to {high}": {name: by_size[high][name] / by_size[low][name] for name in by_size[low]}
            for low, high in pairs
        }
    return answer


if __name__ == "__main__":
    print(json.dumps(measure(tuple(map(int, sys.argv[1:])) or SIZES), indent=2))
