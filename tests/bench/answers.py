"""DNS answers a CPU second, message to message: `measure()` gives JSON-able figures.

"program" is CoreDNS by itself with so many Services (of ten endpoints each, on a named port); "over_udp" is a query from a
node's socket to the cluster's DNS address and back, through the rules, in a small cluster.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from rules import service

SIZES = (100, 10_000)
COUNT = 1000
COREFILE = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    loadbalance
}
"""


def questions(name: str) -> dict[str, tuple[str, str]]:
    """What is asked, by what it is: name and type."""
    return {
        "A": (f"{name}.svc.cluster.local.", "A"),
        "SRV": (f"_http._tcp.{name}.svc.cluster.local.", "SRV"),
        "negative": (f"no-{name}.svc.cluster.local.", "A"),
    }


def program(size: int) -> dict[str, float]:
    from kubesim.cluster import Cluster
    from kubesim.dns import objects, plugins, server, wire
    from kubesim.dns.answers import Question

    cluster = Cluster("bare")
    known = objects.Objects(serial=1)
    known.namespace("ADDED", {"metadata": {"name": "bench"}})
    for index in range(1, size + 1):
        one, other = service(index)
        one["spec"]["ports"][0]["name"] = other["ports"][0]["name"] = "http"
        known.service("ADDED", one)
        known.slice("ADDED", other)
    machine = next(iter(cluster.nodes.values()), None) or cluster.machine("outside")
    around = plugins.Server(
        machine=machine, objects=known, synced=lambda: True, log=lambda _line: None, fatal=lambda _why: None
    )
    (dns,) = server.build(around, COREFILE)
    found = {}
    for what, (name, kind) in questions(f"s{size // 2}.bench").items():
        message = wire.query(Question(name, kind), 1)

        async def ask(message: bytes = message) -> None:
            for _ in range(COUNT):
                query = wire.parse_query(message)
                wire.response(query, await dns.answer(query, ("10.244.0.9", 40000), "udp"), limit=query.limit)

        gc.collect()
        start = time.process_time()
        cluster.run(ask())
        found[what] = COUNT / (time.process_time() - start)
    return found


def over_udp(preset: str) -> dict[str, float]:
    from kubesim.cluster import Cluster
    from kubesim.dns import wire
    from kubesim.dns.answers import Question

    cluster = Cluster(preset)
    cluster.shell("kubectl create deployment web --image=nginx --replicas=3; kubectl expose deployment web --port=80")
    cluster.settle()
    node, address = next(iter(cluster.nodes.values())), cluster.preset.dns_address
    found = {}
    for what, (name, kind) in questions("kube-dns.kube-system").items():
        message = wire.query(Question(name.replace("_http.", "_dns-tcp."), kind), 1)

        async def ask(message: bytes = message) -> None:
            for _ in range(COUNT):
                socket = node.net.udp()
                socket.send_to(message, address, 53)
                await socket.recv_from()
                socket.close()

        gc.collect()
        start = time.process_time()
        cluster.run(ask())
        found[what] = COUNT / (time.process_time() - start)
    return found


def measure(preset: str, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    by_size = {str(size): program(size) for size in sizes}
    first, last = by_size[str(sizes[0])], by_size[str(sizes[-1])]
    return {
        "program_answers_per_cpu_second": by_size,
        "growth": {f"{sizes[0]} to {sizes[-1]}": {what: last[what] / first[what] for what in first}},
        "over_udp_answers_per_cpu_second": over_udp(preset),
    }
