"""How connections spread over a Service's endpoints: ten thousand of them, by the rules that kube-proxy wrote.

iptables and nftables roll dice, and the spread is that of dice.  ipvs takes turns (rr): there the spread is even to the
connection, which a chi-square test alone would call too good to be true.
"""

from __future__ import annotations

from collections import Counter

import pytest

from kubesim.cluster import Cluster
from kubesim.net.packet import Packet
from kubesim.net.trace import Verdict

CONNECTIONS = 10_000
# The chi-square distribution's 99.9 % quantile for so many endpoints (one degree of freedom less).
QUANTILE = {2: 10.828, 3: 13.816, 5: 18.467}

SETUP = """
kubectl create deployment web --image=nginx
kubectl expose deployment web --port=80
"""
MODE = """
kubectl -n kube-system get configmap kube-proxy -o yaml | sed 's/mode: .*/mode: MODE/' | kubectl apply -f - 2>/dev/null
kubectl -n kube-system rollout restart daemonset kube-proxy
kubectl -n kube-system rollout status daemonset kube-proxy
"""


@pytest.fixture(scope="module", params=["iptables", "nftables", "ipvs"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    cluster = Cluster("kind", seed=1)
    assert cluster.shell(SETUP).exit_code == 0
    if request.param != "iptables":
        assert cluster.shell(MODE.replace("MODE", request.param)).exit_code == 0
    assert cluster.run_on_node("kind-worker", "curl -s localhost:10249/proxyMode").stdout == request.param
    return cluster


@pytest.mark.parametrize("count", sorted(QUANTILE))
def test_ten_thousand_connections(cluster: Cluster, count: int) -> None:
    scale = f"kubectl scale deployment web --replicas={count} && kubectl rollout status deployment web && sleep 2"
    assert cluster.shell(scale).exit_code == 0
    address = cluster.shell("kubectl get service web -o jsonpath={.spec.clusterIP}").stdout
    pods = cluster.shell("kubectl get pods -l app=web -o jsonpath={.items[*].status.podIP}").stdout.split()
    client = cluster.machine("node/kind-worker").net
    seen: Counter[str] = Counter()
    for number in range(CONNECTIONS):
        # A connection's first packet decides; each from a port of its own, so that none finds an older one in conntrack.
        sent = client.stack.send(Packet(dst=address, sport=count * 10_000 + number, dport=80, flags="S"))
        assert sent.verdict is Verdict.DELIVERED
        seen[sent.final.dst] += 1
    assert sorted(seen) == sorted(pods)
    expected = CONNECTIONS / count
    if cluster.network.hosts["kind-worker"].ipvs.services:
        assert max(seen.values()) - min(seen.values()) <= 1
    statistic = sum((each - expected) ** 2 / expected for each in seen.values())
    assert statistic < QUANTILE[count], seen
