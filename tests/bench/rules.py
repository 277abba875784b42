"""Rules and walks by the number of Services: `measure()` gives JSON-able figures, in CPU seconds of this process.

Each Service has ten endpoints.  "full" is kube-proxy's first sync, "change" the sync after one Service lost an endpoint; each
is split into rendering the text and loading it.  Walks go to a Service in the middle, recorded or not.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

SIZES = (100, 1_000, 10_000)
WALKS = 500


def clock(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def service(index: int, endpoints: int = 10) -> tuple[dict[str, Any], dict[str, Any]]:
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
    """A node with a neighbour that gets all that leaves it."""

    def __init__(self, mode: str, size: int) -> None:
        from kubesim import net
        from kubesim.proxy import iptables, kernel, nftables, settings, state
        from kubesim.world import World

        self.mode = mode
        self.world = World(seed=1)
        self.network = net.Network(self.world)
        self.node, self.beyond = self.network.host("node", "node"), self.network.host("beyond", "outside")
        self.network.link(self.node, "eth0", self.beyond, "eth0")
        self.node.add_address("eth0", "172.18.0.2/16")
        self.beyond.add_address("eth0", "172.18.0.1/16")
        self.node.routes.add("default", "eth0", "172.18.0.1")
        options = settings.Settings(node_name="node", node_ip="172.18.0.2", node_addresses=("127.0.0.1", "172.18.0.2"))
        pairs = [service(index) for index in range(1, size + 1)]
        self.state = state.of_objects("IPv4", "node", [one for one, _ in pairs], [other for _, other in pairs])
        self.tables = kernel.Iptables(self.node.netfilter)
        self.renderer: Any = iptables.Renderer(options) if mode == "iptables" else nftables.Renderer(options)
        self.jumps = iptables.JUMPS

    def full(self) -> list[str]:
        return self.renderer.pieces(self.state) if self.mode == "iptables" else [self.renderer.install(self.state)]

    def change(self, changed: Any) -> list[str]:
        if self.mode == "iptables":
            found: list[str] = self.renderer.pieces(self.state, changed)
            return found
        return [self.renderer.partial(self.state, changed, self.world.now)]

    def load(self, pieces: list[str]) -> None:
        if self.mode == "iptables":
            self.tables.ensure((), self.jumps)
            self.tables.restore(pieces)
        else:
            self.node.nft.apply("".join(pieces))


def figures(mode: str, size: int) -> dict[str, float]:
    from kubesim import net

    node = Node(mode, size)
    texts: list[list[str]] = []
    found = {"full_render": clock(lambda: texts.append(node.full())), "full_bytes": float(sum(map(len, texts[0])))}
    found["full_load"] = clock(lambda: node.load(texts[0]))
    middle = size // 2
    node.state.slice_changed(service(middle, 9)[1])
    changes = node.state.checkout()
    found["change_render"] = clock(lambda: texts.append(node.change(changes.services)))
    found["change_bytes"] = float(sum(map(len, texts[1])))
    found["change_load"] = clock(lambda: node.load(texts[1]))
    packet = net.Packet(dst=service(middle)[0]["spec"]["clusterIP"], dport=80, sport=40000, flags="S")

    def walk() -> None:
        for _ in range(WALKS):
            node.network.trace(node.node, packet)

    walk()
    found["walks_per_second"] = WALKS / clock(walk)
    return found


def measure(sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Figures by mode and size, and by how much each grows from a size to the next."""
    answer: dict[str, Any] = {}
    for mode in ("iptables", "nftables"):
        by_size = {size: figures(mode, size) for size in sizes}
        answer[mode] = {str(size): each for size, each in by_size.items()}
        answer[mode]["growth"] = {
            f"{low} to {high}": {name: by_size[high][name] / by_size[low][name] for name in by_size[low]}
            for low, high in itertools.pairwise(sizes)
        }
    return answer


if __name__ == "__main__":
    print(json.dumps(measure(tuple(map(int, sys.argv[1:])) or SIZES), indent=2))
