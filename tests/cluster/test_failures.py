"""Nodes that go, and pods that have to."""

from __future__ import annotations

from kubesim.cluster import Cluster

WHERE = "kubectl get pods -l app=web --no-headers -o wide | awk '{print $3, $7}' | sort"


def on(cluster: Cluster, node: str) -> None:
    """Two nginx pods, both on that node, behind a Service."""
    other = next(each for each in ("kind-worker", "kind-worker2") if each != node)
    cluster.shell(
        f"kubectl cordon {other}; kubectl create deployment web --image=nginx --replicas=2; sleep 10;"
        f"kubectl uncordon {other}; kubectl expose deployment web --port=80"
    )
    assert cluster.shell(WHERE).stdout == f"Running {node}\n" * 2


def test_a_dead_node_is_noticed_and_its_pods_are_moved(cluster: Cluster) -> None:
    on(cluster, "kind-worker")
    address = cluster.shell("kubectl get svc web -o jsonpath='{.spec.clusterIP}'").stdout
    ask = f"curl -s -o /dev/null --max-time 5 http://{address}; echo $?"
    assert cluster.shell(ask).stdout == "0\n"
    cluster.fail_node("kind-worker")
    assert cluster.shell(ask).stdout != "0\n"
    cluster.advance(75)
    status = "kubectl get node kind-worker --no-headers | awk '{print $2}'"
    assert cluster.shell(status).stdout == "NotReady\n"
    assert cluster.shell("kubectl get endpoints web -o jsonpath='{.subsets[*].addresses}' 2>/dev/null").stdout == ""
    assert cluster.shell(WHERE).stdout == "Running kind-worker\n" * 2
    cluster.advance(310)
    assert cluster.shell(WHERE).stdout == "Running kind-worker2\n" * 2 + "Terminating kind-worker\n" * 2
    assert cluster.shell(ask).stdout == "0\n"


def test_a_node_that_comes_back_ends_what_was_moved(cluster: Cluster) -> None:
    on(cluster, "kind-worker")
    cluster.fail_node("kind-worker")
    cluster.advance(400)
    cluster.recover_node("kind-worker")
    cluster.advance(60)
    assert cluster.shell(WHERE).stdout == "Running kind-worker2\n" * 2
    nodes = cluster.shell("kubectl get nodes --no-headers | awk '{print $2}' | sort -u")
    assert nodes.stdout == "Ready\n"


def test_a_short_loss_moves_nothing(cluster: Cluster) -> None:
    on(cluster, "kind-worker")
    cluster.fail_node("kind-worker")
    cluster.advance(90)
    cluster.recover_node("kind-worker")
    cluster.advance(60)
    assert cluster.shell(WHERE).stdout == "Running kind-worker\n" * 2
    ready = cluster.shell("kubectl get pods -l app=web --no-headers | awk '{print $2}'").stdout
    assert ready == "1/1\n1/1\n"


def test_a_drain_waits_for_the_disruption_budget(cluster: Cluster) -> None:
    on(cluster, "kind-worker")
    cluster.shell("kubectl create pdb web --selector=app=web --min-available=1; sleep 1")
    column = "kubectl get pdb web -o jsonpath='{.status.disruptionsAllowed}/{.status.currentHealthy}/{.status.expectedPods}'"
    assert cluster.shell(column).stdout == "1/2/2"
    drained = cluster.shell("kubectl drain kind-worker --ignore-daemonsets")
    assert drained.exit_code == 0
    assert "Cannot evict pod as it would violate the pod's disruption budget." in drained.stderr
    cluster.settle()
    assert cluster.shell(WHERE).stdout == "Running kind-worker2\n" * 2


def test_kube_apiserver_s_flags_take_effect_when_its_manifest_changes() -> None:
    cluster = Cluster("vagrant")
    path = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    cluster.shell(f"sudo sed -i 's/- kube-apiserver$/&\\n    - --service-node-port-range=32000-32001/' {path}; sleep 1.2")
    refused = cluster.shell("kubectl get pods")
    assert refused.stderr == (
        "The connection to the server 10.0.2.15:6443 was refused - did you specify the right host or port?\n"
    )
    assert refused.exit_code == 1
    cluster.advance(20)
    created = cluster.shell("kubectl create service nodeport a --tcp=80; kubectl create service nodeport b --tcp=80")
    assert created.exit_code == 0
    ports = cluster.shell("kubectl get svc a b -o jsonpath='{.items[*].spec.ports[0].nodePort}'").stdout
    assert sorted(ports.split()) == ["32000", "32001"]
    assert "range is full" in cluster.shell("kubectl create service nodeport c --tcp=80").stderr


def test_a_bad_flag_keeps_kube_apiserver_down() -> None:
    cluster = Cluster("vagrant")
    path = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    cluster.shell(f"sudo sed -i 's/- kube-apiserver$/&\\n    - --service-node-port-range=many/' {path}")
    cluster.advance(60)
    assert cluster.shell("kubectl get pods").exit_code == 1
    cluster.shell(f"sudo sed -i '/many/d' {path}")
    cluster.advance(60)
    assert cluster.shell("kubectl get pods").exit_code == 0


def test_without_its_control_plane_what_runs_goes_on(cluster: Cluster) -> None:
    on(cluster, "kind-worker")
    address = cluster.shell("kubectl get svc web -o jsonpath='{.spec.clusterIP}'").stdout
    cluster.fail_node("kind-control-plane")
    assert "no route to host" in cluster.run_on_node("kind-worker2", "kubectl get pods").stderr
    assert cluster.run_on_node("kind-worker2", f"curl -s -o /dev/null http://{address}").exit_code == 0
    cluster.recover_node("kind-control-plane")
    assert cluster.run_on_node("kind-worker2", "kubectl get pods").exit_code == 0
