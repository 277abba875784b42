"""Every flavour of pod network keeps Kubernetes' promises: pods see each other's own addresses, on any node; a pod reaches
itself through a Service; the world beyond is reached by the node's address."""

from __future__ import annotations

from kubesim.cluster import Cluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"


def start(cluster: Cluster, name: str, node: str) -> str:
    """A pod on that node that answers on 8080; its address."""
    made = cluster.shell(
        f"kubectl create -f - <<'END'\n"
        f'{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"{name}"}}}},'
        f'"spec":{{"nodeName":"{node}","containers":[{{"name":"c","image":"{AGNHOST}","args":["netexec"]}}]}}}}\nEND\n'
    )
    assert made.exit_code == 0, made.stderr
    cluster.settle()
    return cluster.shell(f"kubectl get pod {name} -o jsonpath='{{.status.podIP}}'").stdout


def ask(cluster: Cluster, pod: str, url: str) -> str:
    return cluster.shell(f"kubectl exec {pod} -- curl -s --max-time 5 {url}").stdout


def test_pods_see_each_other_s_own_addresses(any_cluster: Cluster) -> None:
    first, *_, last = [*any_cluster.nodes, *any_cluster.nodes]
    here = start(any_cluster, "a", first)
    for name, node in (("same", first), ("other", last)):
        address = start(any_cluster, name, node)
        seen = ask(any_cluster, "a", f"http://{address}:8080/clientip")
        assert seen.rpartition(":")[0] == here


def test_a_pod_reaches_itself_through_its_service(any_cluster: Cluster) -> None:
    start(any_cluster, "a", next(iter(any_cluster.nodes)))
    any_cluster.shell("kubectl expose pod a --port=80 --target-port=8080; sleep 2")
    address = any_cluster.shell("kubectl get svc a -o jsonpath='{.spec.clusterIP}'").stdout
    assert ask(any_cluster, "a", f"http://{address}/hostname") == "a"


def test_the_world_sees_a_node(any_cluster: Cluster) -> None:
    start(any_cluster, "a", next(iter(any_cluster.nodes)))
    trace = any_cluster.trace("pod/a", "http://example.com")
    node = any_cluster.preset.nodes[0]
    [router] = [hop for hop in trace.hops if hop.host == any_cluster.outside.net.name]
    arrived = next(step.before for step in router.steps if step.before is not None)
    assert arrived.src == node.address
