"""ps, crictl, systemctl and journalctl: what of a node's own life is there, and what says that it is not."""

from __future__ import annotations

import re

import pytest

from kubesim.cluster import Cluster


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    cluster = Cluster("kind")
    cluster.shell("kubectl run web --image=nginx; kubectl run box --image=busybox -- sleep 1000; sleep 5")
    return cluster


def node_of(cluster: Cluster, pod: str) -> str:
    return cluster.store.get("pods", "default", pod)["spec"]["nodeName"]


def test_ps_in_a_container(cluster: Cluster) -> None:
    assert re.fullmatch(
        r"PID   USER     TIME  COMMAND\n    1 root      0:00 sleep 1000\n +\d+ root      0:00 ps\n",
        cluster.shell("kubectl exec box -- ps").stdout,
    )
    assert cluster.shell("kubectl exec web -- ps").exit_code != 0  # as in the image


def test_ps_on_a_node(cluster: Cluster) -> None:
    text = cluster.run_on_node(node_of(cluster, "web"), "ps aux; ps").stdout
    assert text.startswith("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n")
    assert "0:00 /usr/bin/kubelet\n" in text
    assert "0:00 nginx -g daemon off;\n" in text
    assert "/usr/local/bin/kube-proxy" in text
    assert re.search(r"    PID TTY          TIME CMD\n +\d+ pts/0    00:00:00 bash\n +\d+ pts/0    00:00:00 ps\n$", text)
    assert "not simulated: ps: the option --forest" in cluster.shell("ps --forest").stderr


def test_crictl(cluster: Cluster) -> None:
    node = node_of(cluster, "web")
    table = cluster.run_on_node(node, "crictl ps").stdout.splitlines()
    assert table[0].split("  ")[0] == "CONTAINER"
    row = next(line.split() for line in table if " web " in line)
    identifier = cluster.store.get("pods", "default", "web")["status"]["containerStatuses"][0]["containerID"]
    assert identifier.startswith(f"containerd://{row[0]}")
    assert row[-5:][0] == "web"
    assert row[-1] == "default"
    assert any(line.split()[-4:-2] == ["web", "default"] for line in cluster.run_on_node(node, "crictl pods").stdout.splitlines())
    assert cluster.run_on_node(node, f"crictl exec {row[0]} hostname").stdout == "web\n"
    assert "start worker process" in cluster.run_on_node(node, f"crictl logs {row[0]}").stdout
    assert "not simulated: crictl: the command 'rmi'" in cluster.run_on_node(node, "crictl rmi x").stderr
    assert "not found" in cluster.run_on_node(node, "crictl logs 123nope").stderr


def test_a_container_that_ended_is_among_all(cluster: Cluster) -> None:
    cluster.shell("kubectl run once --image=busybox --restart=Never -- true; sleep 5")
    node = node_of(cluster, "once")
    assert "once" not in cluster.run_on_node(node, "crictl ps").stdout
    assert re.search(r"Exited +once +0 ", cluster.run_on_node(node, "crictl ps -a").stdout)


def test_the_kubelets_unit() -> None:
    cluster = Cluster("kind")
    assert "Active: active (running) since" in cluster.run_on_node("kind-worker", "systemctl status kubelet").stdout
    assert cluster.run_on_node("kind-worker", "systemctl stop kubelet; systemctl is-active kubelet").stdout == "inactive\n"
    cluster.advance(60)
    assert re.search(r"kind-worker +NotReady", cluster.shell("kubectl get nodes").stdout)
    assert cluster.run_on_node("kind-worker", "systemctl start kubelet; systemctl is-active kubelet").stdout == "active\n"
    cluster.advance(15)
    assert re.search(r"kind-worker +Ready", cluster.shell("kubectl get nodes").stdout)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("systemctl status containerd", "not simulated: systemctl: the unit containerd.service"),
        ("systemctl status nonsense", "Unit nonsense.service could not be found.\n"),
        ("systemctl restart nonsense", "Failed to restart nonsense.service: Unit nonsense.service not found.\n"),
        ("systemctl mask kubelet", "not simulated: systemctl: the command 'mask'"),
        ("journalctl -u kubelet", "not simulated: journalctl: the log of kubelet"),
        ("top", "not simulated: the command top"),
    ],
)
def test_what_is_not_there_says_so(cluster: Cluster, command: str, said: str) -> None:
    result = cluster.shell(command)
    assert said in result.stderr
    assert result.exit_code


def test_the_kernels_log(cluster: Cluster) -> None:
    script = "iptables -A OUTPUT -p icmp -j LOG --log-prefix 'ping: '; ping -c1 kind-worker >/dev/null; journalctl -k; dmesg"
    kernel, dmesg = cluster.shell(script).stdout.splitlines()
    assert re.match(r"Nov \d\d \d\d:\d\d:\d\d kind-control-plane kernel: ping: IN= OUT=eth0 SRC=", kernel)
    assert re.match(r"\[ *\d+\.\d{6}\] ping: IN= OUT=eth0 SRC=", dmesg)
