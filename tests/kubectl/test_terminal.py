"""kubectl as a command of a simulated machine: the machine's files, editor and way to the server."""

from __future__ import annotations

import re

import pytest

from kubesim.cluster import Cluster


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster("bare")


def test_a_flag_for_the_program_is_taken_for_the_servers_name(cluster):
    result = cluster.shell("kubectl exec kubia curl -s http://10.120.0.1")
    assert result.stderr == (
        "The connection to the server 10.120.0.1 was refused - did you specify the right host or port?\n"
    )
    assert result.exit_code == 1


def test_the_server_of_the_kubeconfig_is_honoured(cluster):
    other = "sed 's/6443/6444/' ~/.kube/config > /tmp/other; kubectl --kubeconfig /tmp/other get ns"
    assert re.fullmatch(
        r"The connection to the server 127\.0\.0\.1:1?6444 was refused - did you specify the right host or port\?\n",
        cluster.shell(other).stderr,
    )
    assert cluster.shell("kubectl get ns default -o name").stdout == "namespace/default\n"
    assert "localhost:8080 was refused" in cluster.shell("KUBECONFIG=/dev/null kubectl get ns").stderr


def test_discovery_is_kept_between_commands(cluster):
    cluster.shell("kubectl get ns")
    asked = []
    handle = cluster.outside.api

    def listen(request):
        asked.append(request.path)
        return handle(request)

    cluster.outside.api = listen
    try:
        cluster.shell("kubectl get ns")
        assert asked == ["/version", "/api/v1/namespaces"] or asked == ["/api/v1/namespaces"]
        # A word that nobody knows may be new: it is looked for once more.
        cluster.shell("kubectl get widgets")
        assert "/apis" in asked
    finally:
        cluster.outside.api = handle


def test_an_editor_of_ones_own(cluster):
    cluster.shell("kubectl create cm note --from-literal=a=before")
    edited = cluster.shell("EDITOR='sed -i s/before/after/' kubectl edit cm note")
    assert edited.stdout == "configmap/note edited\n"
    assert cluster.shell("kubectl get cm note -o jsonpath={.data.a}").stdout == "after"
    unchanged = cluster.shell("KUBE_EDITOR=true EDITOR=false kubectl edit cm note")
    assert unchanged.stderr == "Edit cancelled, no changes made.\n"
    assert cluster.shell("ls /tmp/kubectl-edit*").exit_code != 0
    absent = cluster.shell("EDITOR=joe kubectl edit cm note").stderr
    assert absent.endswith('error: unable to launch the editor "joe"\n')
    assert cluster.shell("EDITOR=false kubectl edit cm note").stderr == (
        'error: there was a problem with the editor "false"\n'
    )
