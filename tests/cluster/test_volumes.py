"""What containers find under their mounts."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  nodeName: kind-worker
  containers:
  - name: writer
    image: busybox
    command: [sleep, 1d]
    volumeMounts: [{writer}]
  - name: reader
    image: busybox
    command: [sleep, 1d]
    volumeMounts: [{reader}]
  volumes:
  - {volume}
"""


def start(cluster: Cluster, volume: str, writer: str, reader: str = "") -> None:
    manifest = POD.format(volume=volume, writer=writer, reader=reader or writer)
    result = cluster.shell(f"kubectl apply -f - <<'END'\n{manifest}END\n")
    assert result.exit_code == 0, result.stderr
    cluster.settle()


def run(cluster: Cluster, container: str, script: str) -> str:
    result = cluster.shell(f"kubectl exec web -c {container} -- sh -c '{script}'")
    return result.stdout + result.stderr


def test_an_empty_dir_is_shared_and_outlives_its_containers(cluster: Cluster) -> None:
    start(cluster, "{name: v, emptyDir: {}}", "{name: v, mountPath: /out}", "{name: v, mountPath: /in, readOnly: true}")
    run(cluster, "writer", "echo hello > /out/file")
    assert run(cluster, "reader", "cat /in/file") == "hello\n"
    assert "Read-only file system" in run(cluster, "reader", "echo no > /in/file")
    run(cluster, "writer", "kill -9 1; kill 1")
    cluster.advance(30)
    assert run(cluster, "writer", "cat /out/file") == "hello\n"


def test_sub_paths_are_directories_of_it(cluster: Cluster) -> None:
    start(cluster, "{name: v, emptyDir: {}}", "{name: v, mountPath: /a, subPath: one}", "{name: v, mountPath: /all}")
    run(cluster, "writer", "echo 1 > /a/file")
    assert run(cluster, "reader", "cat /all/one/file") == "1\n"


def test_a_host_path_is_the_node_s(cluster: Cluster) -> None:
    volume = "{name: v, hostPath: {path: /srv/data, type: DirectoryOrCreate}}"
    start(cluster, volume, "{name: v, mountPath: /data}")
    run(cluster, "writer", "echo here > /data/file")
    assert cluster.run_on_node("kind-worker", "cat /srv/data/file").stdout == "here\n"
    cluster.run_on_node("kind-worker", "echo there > /srv/data/other")
    assert run(cluster, "reader", "cat /data/other") == "there\n"


def test_a_host_path_of_the_wrong_type_is_said(cluster: Cluster) -> None:
    start(cluster, "{name: v, hostPath: {path: /nowhere, type: Directory}}", "{name: v, mountPath: /data}")
    events = cluster.shell("kubectl describe pod web").stdout
    assert 'failed for volume "v" : hostPath type check failed: /nowhere is not a directory' in events
    assert "ContainerCreating" in cluster.shell("kubectl get pod web").stdout


@pytest.mark.parametrize(("mount", "after"), [("mountPath: /c", "new"), ("mountPath: /c/key, subPath: key", "old")])
def test_a_changed_config_map_reaches_the_volume_but_no_sub_path(cluster: Cluster, mount: str, after: str) -> None:
    cluster.shell("kubectl create configmap conf --from-literal=key=old --from-literal=other=x")
    start(cluster, "{name: v, configMap: {name: conf}}", f"{{name: v, {mount}}}")
    cluster.shell("""kubectl patch configmap conf -p '{"data":{"key":"new"}}'""")
    assert run(cluster, "reader", "cat /c/key") == "old"
    cluster.advance(100)
    assert run(cluster, "reader", "cat /c/key") == after
    assert "Read-only file system" in run(cluster, "reader", "echo no > /c/key")
