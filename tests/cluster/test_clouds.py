"""Services of type LoadBalancer where there is a cloud, and where there is none."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster

ECHO = "kubectl create deployment echo --image=registry.k8s.io/e2e-test-images/agnhost:2.53 --replicas={replicas}"
ECHO += " -- /agnhost netexec --http-port=8080; sleep 10; kubectl expose deployment echo --port=80 --target-port=8080"
ECHO += " --type=LoadBalancer"
ADDRESS = "kubectl get svc echo -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"


@pytest.fixture(params=["gke", "aks"])
def cloud(request: pytest.FixtureRequest) -> Cluster:
    return Cluster(request.param)


def expose(cluster: Cluster, replicas: int = 2) -> str:
    """An echo server behind a load balancer; its address."""
    assert cluster.shell(ECHO.format(replicas=replicas)).exit_code == 0
    cluster.advance(60)
    return cluster.shell(ADDRESS).stdout


def test_an_address_comes_after_a_while(cloud: Cluster) -> None:
    cloud.shell("kubectl create service loadbalancer web --tcp=80")
    column = "kubectl get svc web --no-headers | awk '{print $4}'"
    assert cloud.shell(column).stdout == "<pending>\n"
    cloud.advance(15)
    assert cloud.shell(column).stdout == "<pending>\n"
    cloud.advance(30)
    assert cloud.shell(column).stdout.count(".") == 3
    events = cloud.shell("kubectl get events --no-headers | awk '{print $3}'").stdout.split()
    assert events == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]


def test_without_a_cloud_it_stays_pending(cluster: Cluster) -> None:
    cluster.shell("kubectl create service loadbalancer web --tcp=80")
    cluster.advance(600)
    assert "<pending>" in cluster.shell("kubectl get svc web").stdout


def test_the_packet_comes_to_a_node_with_the_balancer_s_address(cloud: Cluster) -> None:
    address = expose(cloud)
    traces = cloud.trace_branches("outside", f"http://{address}")
    assert sum(each.probability for each in traces) == pytest.approx(1)
    nodes = {each.hops[2].host for each in traces}
    assert nodes == set(cloud.nodes)
    for each in traces:
        assert [hop.host for hop in each.hops[:2]] == [cloud.outside.net.name, "load-balancer"]
        assert str(each.verdict).endswith("DELIVERED"), each
        # It is a node that rewrites the destination, not the balancer.
        assert any(step.chain.startswith("KUBE-FW-") for step in each.hops[2].steps), each.hops[2]


def test_local_policy_leaves_only_the_nodes_with_pods_and_the_client_s_address(cloud: Cluster) -> None:
    address = expose(cloud, replicas=1)
    ask = f"curl -s --max-time 5 http://{address}/clientip | cut -d: -f1"
    own = cloud.run_outside("hostname -i").stdout
    assert cloud.run_outside(ask).stdout != own
    cloud.shell("""kubectl patch svc echo -p '{"spec":{"externalTrafficPolicy":"Local"}}'""")
    cloud.advance(60)
    assert [cloud.run_outside(ask).stdout for _ in range(6)] == [own] * 6
    pod_node = cloud.shell("kubectl get pods -l app=echo -o jsonpath='{.items[0].spec.nodeName}'").stdout
    assert {each.hops[2].host for each in cloud.trace_branches("outside", f"http://{address}")} == {pod_node}


def test_source_ranges_keep_others_out(cloud: Cluster) -> None:
    address = expose(cloud)
    ask = f"curl -s -o /dev/null --max-time 3 http://{address}/; echo $?"
    assert cloud.run_outside(ask).stdout == "0\n"
    cloud.shell("""kubectl patch svc echo -p '{"spec":{"loadBalancerSourceRanges":["203.0.113.0/24"]}}'""")
    cloud.advance(10)
    assert cloud.run_outside(ask).stdout == "28\n"
    own = cloud.run_outside("hostname -i").stdout.strip()
    cloud.shell(f"""kubectl patch svc echo -p '{{"spec":{{"loadBalancerSourceRanges":["{own}/32"]}}}}'""")
    cloud.advance(10)
    assert cloud.run_outside(ask).stdout == "0\n"


def test_a_deleted_service_gives_its_address_back(cloud: Cluster) -> None:
    address = expose(cloud)
    cloud.shell("kubectl delete svc echo")
    assert "NotFound" in cloud.shell("kubectl get svc echo").stderr
    assert cloud.run_outside(f"curl -s --max-time 3 http://{address}/").exit_code == 28


def test_only_the_service_s_ports_are_open(cloud: Cluster) -> None:
    address = expose(cloud)
    assert cloud.run_outside(f"curl -s --max-time 3 http://{address}:8080/").exit_code == 28
