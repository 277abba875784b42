"""MetalLB: addresses from pools, and one node that answers ARP for each."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster

MANIFEST = "https://raw.githubusercontent.com/metallb/metallb/v0.15.2/config/manifests/metallb-native.yaml"
WEB = """\
kubectl create deployment web --image=registry.k8s.io/e2e-test-images/agnhost:2.53 --replicas=2 -- /agnhost netexec
kubectl expose deployment web --port=80 --target-port=8080 --type=LoadBalancer
kubectl rollout status deployment web
sleep 3
"""
ASK = "curl -s -o /dev/null --max-time 3 http://172.18.255.200/; echo $?"
OWNER = "kubectl get events --field-selector reason=nodeAssigned -o jsonpath='{.items[*].message}' | tr ' ' '\\n' | grep kind"


def custom(kind: str, name: str, spec: str) -> str:
    """kubectl apply of one of MetalLB's objects."""
    return (
        "kubectl apply -f - <<'EOF'\napiVersion: metallb.io/v1beta1\n"
        f"kind: {kind}\nmetadata: {{name: {name}, namespace: metallb-system}}\nspec: {spec}\nEOF\nsleep 1\n"
    )


@pytest.fixture
def metal(cluster: Cluster) -> Cluster:
    """A kind cluster with MetalLB that is not configured yet, and a Service that waits."""
    done = cluster.shell(f"kubectl apply -f {MANIFEST} && sleep 8\n{WEB}")
    assert done.exit_code == 0, done.stderr
    return cluster


def external(cluster: Cluster, name: str = "web") -> str:
    return cluster.shell(f"kubectl get svc {name} --no-headers | awk '{{print $4}}'").stdout.strip()


def test_no_pool_no_address_no_advertisement_no_answer(metal: Cluster) -> None:
    assert external(metal) == "<pending>"
    metal.shell(custom("IPAddressPool", "lan", "{addresses: [172.18.255.200-172.18.255.201]}"))
    assert external(metal) == "172.18.255.200"
    # An address that nobody answers ARP for: the packet has nowhere to go.
    assert metal.run_outside(ASK).stdout != "0\n"
    assert metal.trace("outside", "http://172.18.255.200").verdict.name != "DELIVERED"
    metal.shell(custom("L2Advertisement", "lan", "{ipAddressPools: [other]}"))
    assert metal.run_outside(ASK).stdout != "0\n"
    metal.shell(custom("L2Advertisement", "lan", "{ipAddressPools: [lan]}"))
    assert metal.run_outside(ASK).stdout == "0\n"
    trace = metal.trace("outside", "http://172.18.255.200")
    owner = metal.shell(OWNER).stdout.strip().strip('"')
    assert trace.hops[1].host == owner
    assert any(step.chain.startswith("KUBE-EXT-") for step in trace.hops[1].steps)


@pytest.fixture
def lan() -> Cluster:
    """kind with MetalLB as the add-on sets it up."""
    cluster = Cluster("kind+metallb")
    assert cluster.shell(WEB).exit_code == 0
    return cluster


def test_the_add_on_is_ready_to_use(lan: Cluster) -> None:
    assert external(lan) == "172.18.255.200"
    assert lan.run_outside(ASK).stdout == "0\n"


def test_another_node_answers_when_the_owner_is_gone(lan: Cluster) -> None:
    owner = lan.trace("outside", "http://172.18.255.200").hops[1].host
    lan.run_outside(f"docker stop {owner}")
    assert lan.run_outside(ASK).stdout == "28\n"
    lan.advance(8)
    assert lan.trace("outside", "http://172.18.255.200").hops[1].host not in (owner, "kind-control-plane")
    lan.run_outside(f"docker start {owner}")
    lan.advance(20)
    # All agree again on who it is: by the hash, the first one.
    assert lan.trace("outside", "http://172.18.255.200").hops[1].host == owner


def test_with_local_policy_only_a_node_with_a_pod_answers(lan: Cluster) -> None:
    lan.shell("""kubectl patch svc web -p '{"spec":{"externalTrafficPolicy":"Local"}}'""")
    lan.shell("kubectl scale deployment web --replicas=1; sleep 5")
    node = lan.shell("kubectl get pods -l app=web -o jsonpath='{.items[0].spec.nodeName}'").stdout
    assert lan.trace("outside", "http://172.18.255.200").hops[1].host == node
    assert lan.run_outside("curl -s http://172.18.255.200/clientip | cut -d: -f1").stdout == "172.18.0.1\n"
    lan.shell("kubectl scale deployment web --replicas=0; sleep 5")
    assert lan.run_outside(ASK).stdout in ("7\n", "28\n")


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        ("metallb.io/address-pool=other", 'Failed to allocate IP for "default/two": unknown pool "other"'),
        ("metallb.io/loadBalancerIPs=10.9.9.9", 'Failed to allocate IP for "default/two": ["10.9.9.9"] is not allowed in config'),
    ],
)
def test_why_there_is_no_address(lan: Cluster, annotation: str, says: str) -> None:
    lan.shell(f"kubectl create service loadbalancer two --tcp=80; kubectl annotate svc two {annotation}; sleep 2")
    assert says in lan.shell("kubectl get events --field-selector reason=AllocationFailed").stdout


def test_a_pool_runs_out_and_what_is_given_back_is_given_again(metal: Cluster) -> None:
    metal.shell(custom("IPAddressPool", "one", "{addresses: [172.18.255.200/32]}"))
    metal.shell("kubectl create service loadbalancer two --tcp=80; sleep 2")
    assert external(metal, "two") == "<pending>"
    said = metal.shell("kubectl get events --field-selector reason=AllocationFailed").stdout
    assert 'Failed to allocate IP for "default/two": no available IPs' in said
    metal.shell("kubectl delete svc web; sleep 2")
    assert external(metal, "two") == "172.18.255.200"
    metal.shell("""kubectl patch svc two -p '{"spec":{"type":"ClusterIP"}}'; sleep 2""")
    assert metal.shell("kubectl get svc two -o jsonpath='{.status.loadBalancer}'").stdout == "{}"
