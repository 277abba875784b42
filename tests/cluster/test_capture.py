"""tcpdump on a node: a Service's address before the rules, a pod's behind them, and the node's own behind a masquerade."""

from __future__ import annotations

import re

from kubesim.cluster import Cluster

SETUP = """
kubectl create deployment web --image=nginx
kubectl expose deployment web --port=80
kubectl expose deployment web --name=door --port=80 --type=NodePort
kubectl run client --image=nginx --overrides='{"spec": {"nodeName": "kind-worker"}}'
kubectl patch deployment web -p '{"spec": {"template": {"spec": {"nodeName": "kind-worker2"}}}}'
kubectl rollout status deployment/web
kubectl wait --for=condition=Ready pod/client
sleep 1
"""


def heard(cluster: Cluster, node: str, trigger: str, expression: str) -> list[str]:
    """Interface, direction, source and destination of what passed the node while the trigger ran."""
    script = f"timeout 5 tcpdump -n -i any {expression} & sleep 1; {trigger}; wait"
    text = cluster.shell(script, cluster.terminal(f"node/{node}")).stdout
    return [" ".join(match) for match in re.findall(r"^[\d:.]+ (\S+) +(\S+) +IP (\S+) > (\S+):", text, re.MULTILINE)]


def test_before_and_after_the_rules(cluster: Cluster) -> None:
    assert cluster.shell(SETUP).exit_code == 0
    ask = "kubectl get {} -o jsonpath={{{}}}"
    service = cluster.shell(ask.format("svc web", ".spec.clusterIP")).stdout
    client = cluster.shell(ask.format("pod client", ".status.podIP")).stdout
    web = cluster.shell(ask.format("pod -l app=web", ".items[0].status.podIP")).stdout
    port = cluster.shell(ask.format("svc door", ".spec.ports[0].nodePort")).stdout
    worker, control = (
        cluster.shell(ask.format(f"node {name}", ".status.addresses[0].address")).stdout
        for name in ("kind-worker", "kind-control-plane")
    )

    passed = heard(
        cluster, "kind-worker", f"kubectl exec client -- curl -s {service} > /dev/null", f"tcp and port 80 and host {client}"
    )
    sport = passed[0].split()[2].rpartition(".")[2]
    veth = passed[0].split()[0]
    assert passed[:4] == [
        f"{veth} In {client}.{sport} {service}.80",
        f"eth0 Out {client}.{sport} {web}.80",
        f"eth0 In {web}.80 {client}.{sport}",
        f"{veth} Out {service}.80 {client}.{sport}",
    ]

    trigger = f"outside curl -s {worker}:{port} > /dev/null"
    passed = heard(cluster, "kind-worker", trigger, f"'tcp and (port {port} or host {web})'")
    outside, source = passed[0].split()[2].rpartition(".")[::2]
    masked = passed[1].split()[2].rpartition(".")[2]
    assert passed[:4] == [
        f"eth0 In {outside}.{source} {worker}.{port}",
        f"eth0 Out {worker}.{masked} {web}.80",
        f"eth0 In {web}.80 {worker}.{masked}",
        f"eth0 Out {worker}.{port} {outside}.{source}",
    ]
    assert control not in " ".join(passed)
