"""A packet's way as moments where kube-proxy writes nftables: look-ups in maps, one throw of dice, rules that say no."""

from __future__ import annotations

import pytest

from kubelab.stepper import scenes
from kubesim.cluster import Cluster

SWITCH = """
kubectl -n kube-system get configmap kube-proxy -o yaml | sed 's/ mode: .*/ mode: nftables/' | kubectl replace -f -
kubectl -n kube-system rollout restart daemonset kube-proxy
kubectl -n kube-system rollout status daemonset kube-proxy
kubectl create deployment web --image=gcr.io/google-samples/hello-app:1.0 --replicas=3
kubectl expose deployment web --port=80 --target-port=8080 --type=NodePort
kubectl rollout status deployment web
"""


@pytest.fixture(scope="module")
def cluster():
    made = Cluster("kind", 1)
    made.run_outside(SWITCH)
    made.settle()
    return made


def told(cluster, source, target, host="kind-worker"):
    found = [each for each in scenes.of(cluster.trace(source, target)) if each.host == host and each.way == "request"]
    return {each.title.partition("service-")[0]: each.text for each in found}


def field(cluster, path):
    return cluster.run_outside(f"kubectl get service web -o jsonpath='{{{path}}}'").stdout


def test_a_service_is_looked_up_and_its_endpoint_drawn(cluster):
    address = field(cluster, ".spec.clusterIP")
    moments = told(cluster, "node/kind-worker", f"http://{address}")
    assert list(moments)[1:4] == [
        "nat-output hands it to services",
        "services looks it up: ",
        "The destination is rewritten",
    ]
    assert (
        f"in the map service-ips, however much is in it. It has {address} . tcp . 80"
        in moments["services looks it up: "]
    )
    drawn = moments["The destination is rewritten"]
    assert drawn.startswith(
        f"Its destination is to become one of 3, drawn at random. Destination {address}:80 → 10.244."
    )


def test_who_comes_by_the_node_port_is_masqueraded_by_a_rule(cluster):
    moments = told(cluster, "outside", f"http://172.18.0.3:{field(cluster, '.spec.ports[0].nodePort')}")
    assert "nat-postrouting hands it to masquerading" in moments
    assert not any("No rule is asked" in each for each in moments.values())


def test_a_port_that_the_service_has_not_is_refused_by_a_rule_that_says_so(cluster):
    moments = told(cluster, "node/kind-worker", f"http://{field(cluster, '.spec.clusterIP')}:8080")
    assert list(moments)[-1] == "cluster-ips-check: REJECT, for “Reject traffic to invalid ports of ClusterIPs”"
    assert moments["filter-output hands it to cluster-ips-check"] == "It is what this rule asks for: ct state new."


def test_where_no_map_has_the_packet_the_chain_of_services_is_named(cluster):
    moments = told(cluster, "node/kind-worker", f"http://127.0.0.1:{field(cluster, '.spec.ports[0].nodePort')}")
    assert moments["No rule of services is for this packet"].startswith(
        "3 rules were asked. None wants destination 127.0.0.1"
    )


def test_a_map_that_says_drop_is_named(cluster):
    cluster.run_outside("""kubectl scale deployment web --replicas=1; kubectl rollout status deployment web
    kubectl patch service web -p '{"spec":{"externalTrafficPolicy":"Local"}}'""")
    cluster.settle()
    pods = cluster.run_outside("kubectl get pods -o jsonpath='{.items[*].spec.nodeName}'").stdout.split()
    node, address = ("kind-worker2", "172.18.0.2") if "kind-worker" in pods else ("kind-worker", "172.18.0.3")
    moments = told(cluster, "outside", f"http://{address}:{field(cluster, '.spec.ports[0].nodePort')}", node)
    assert list(moments)[-1] == "nodeport-endpoints-check: the map says “dropped”"
