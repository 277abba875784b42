"""Requests are packets: what carries them can be broken, and then they do not arrive."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster
from kubesim.shell.terminal import Result


@pytest.fixture
def web(any_cluster: Cluster) -> Cluster:
    """A Service `web` of three pods, and a pod `client`."""
    done = any_cluster.shell(
        "kubectl create deployment web --image=nginx --replicas=3; kubectl expose deployment web --port=80;"
        "kubectl run client --image=nginx --restart=Never; sleep 10"
    )
    assert done.exit_code == 0, done.stderr
    any_cluster.settle()
    return any_cluster


def cluster_ip(cluster: Cluster, name: str = "web") -> str:
    return cluster.shell(f"kubectl get svc {name} -o jsonpath='{{.spec.clusterIP}}'").stdout


def on_node(cluster: Cluster, command: str) -> Result:
    """A command on the first node: a ClusterIP is known on nodes and in pods, and nowhere else."""
    return cluster.run_on_node(next(iter(cluster.nodes)), command)


CURL = "curl -s -o /dev/null -w '%{http_code}' --max-time 2"


def test_a_flushed_chain_stops_the_service_until_the_next_sync(web: Cluster) -> None:
    address = cluster_ip(web)
    assert on_node(web, f"{CURL} http://{address}").stdout == "200"
    assert on_node(web, "sudo iptables -t nat -F KUBE-SERVICES").exit_code == 0
    result = on_node(web, f"{CURL} http://{address}")
    assert (result.stdout, result.exit_code) == ("000", 28)
    web.advance(60 * 60 + 60)
    assert on_node(web, f"{CURL} http://{address}").stdout == "200"


def test_the_service_name_is_resolved_by_a_dns_pod(web: Cluster) -> None:
    inside = f"kubectl exec client -- {CURL} http://web"
    assert web.shell(inside).stdout == "200"
    web.shell("kubectl -n kube-system scale deployment coredns --replicas=0; sleep 40")
    result = web.shell("kubectl exec client -- curl -s --max-time 3 http://web")
    assert "command terminated with exit code" in result.stderr
    assert result.exit_code in (6, 28), result.stderr
    assert web.shell(f"kubectl exec client -- {CURL} http://{cluster_ip(web)}").stdout == "200", (
        "by address it still works"
    )


def test_no_endpoints_is_refused_at_once(web: Cluster) -> None:
    web.shell("kubectl scale deployment web --replicas=0; sleep 40")
    before = web.world.now
    result = on_node(web, f"curl -s --max-time 5 http://{cluster_ip(web)}")
    assert result.exit_code == 7
    assert web.world.now - before < 1


def test_connections_spread_over_the_pods(web: Cluster) -> None:
    address = cluster_ip(web)
    on_node(web, f"for i in $(seq 60); do curl -s http://{address} >/dev/null; done")
    counts = [
        int(web.shell(f"kubectl logs {name} | grep -c 'GET / '").stdout)
        for name in web.shell("kubectl get pods -l app=web -o name").stdout.split()
    ]
    assert sum(counts) == 60
    assert min(counts) >= 8, counts


def test_what_the_pod_sees_as_its_client(web: Cluster) -> None:
    """Pod to ClusterIP keeps the client's address (it is not masqueraded)."""
    client = web.shell("kubectl get pod client -o jsonpath='{.status.podIP}'").stdout
    web.shell("kubectl exec client -- curl -s http://web")
    logs = web.shell("kubectl logs -l app=web --tail=-1").stdout
    assert [line.split()[0] for line in logs.splitlines() if "GET / " in line] == [client]


def test_an_undeclared_port_of_a_cluster_ip_hangs(web: Cluster) -> None:
    assert on_node(web, f"curl -s --max-time 2 http://{cluster_ip(web)}:81").exit_code == 28
