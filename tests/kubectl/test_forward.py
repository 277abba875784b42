"""kubectl port-forward and proxy, and logs of several containers, on a whole cluster in its own terminal."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster

TWO = """
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: two}}
spec:
  containers:
  - {name: one, image: busybox, command: [sh, -c, "echo first; sleep 2; echo again; sleep 1"]}
  - {name: other, image: busybox, command: [sh, -c, "sleep 1; echo second; sleep 2"]}
  restartPolicy: Never
"""


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    cluster = Cluster("kind")
    ready = cluster.shell(
        "kubectl create deployment web --image=nginx && kubectl expose deploy web --port=8000 --target-port=80"
        " && kubectl wait --for=condition=Available deploy/web"
    )
    assert ready.exit_code == 0, ready
    return cluster


def test_a_local_port_leads_into_the_pod(cluster):
    result = cluster.shell(
        "kubectl port-forward svc/web 8080:8000 > /tmp/forward 2>&1 &\n"
        "sleep 1; curl -s localhost:8080 | grep title; cat /tmp/forward; kill %1; sleep 1; curl -sS localhost:8080"
    )
    assert result.stdout == (
        "<title>Welcome to nginx!</title>\n"
        "Forwarding from 127.0.0.1:8080 -> 80\n"
        "Forwarding from [::1]:8080 -> 80\n"
        "Handling connection for 8080\n"
    )
    # Once kubectl has ended nobody listens there.
    assert result.exit_code == 7


def test_it_needs_neither_the_service_nor_its_rules(cluster):
    result = cluster.shell(
        "kubectl delete svc web > /dev/null; kubectl port-forward deploy/web :80 > /tmp/forward &\n"
        "sleep 1; port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\).*/\\1/p' /tmp/forward)\n"
        "curl -s -o /dev/null -w '%{http_code}' localhost:$port; kill %1\n"
        "kubectl expose deploy web --port=8000 --target-port=80 > /dev/null"
    )
    assert result.stdout == "200"


def test_a_port_where_nobody_listens_ends_it(cluster):
    result = cluster.shell(
        "kubectl port-forward deploy/web 8081:81 > /tmp/forward 2>&1 &\nsleep 1; curl -sS localhost:8081; wait; cat /tmp/forward"
    )
    assert "curl: (52) Empty reply from server" in result.stderr
    assert "failed to connect to localhost:81 inside namespace" in result.stdout
    assert result.stdout.endswith("error: lost connection to pod\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("svc/web 81", "error: Service web does not have a service port 81\n"),
        ("svc/web http", "error: Service 'web' does not have a named port 'http'\n"),
        ("deploy/web nope", "does not have a named port 'nope'\n"),
        ("deploy/web 80:x:y", "does not have a named port 'x:y'\n"),
        ("nope 80", 'Error from server (NotFound): pods "nope" not found\n'),
        (
            "deploy/web",
            "error: TYPE/NAME and list of ports are required for port-forward\n"
            "See 'kubectl port-forward -h' for help and examples\n",
        ),
        ("-n kube-system svc/kube-dns 53", "error: UDP protocol is not supported for 53\n"),
    ],
)
def test_what_cannot_be_forwarded(cluster, args, says):
    result = cluster.shell(f"kubectl port-forward {args}")
    assert result.exit_code == 1
    assert result.stderr.endswith(says)


def test_a_port_that_is_taken(cluster):
    result = cluster.shell(
        "kubectl port-forward --address 127.0.0.1 deploy/web 8090:80 > /dev/null &\n"
        "sleep 1; kubectl port-forward --address 127.0.0.1 deploy/web 8090:80; kill %1"
    )
    assert result.stderr == (
        "Unable to listen on port 8090: Listeners failed to create with the following errors: [unable to create listener: "
        "Error listen tcp4 127.0.0.1:8090: bind: address already in use]\n"
        "error: unable to listen on any of the requested ports: [{8090 80}]\n"
    )


def test_proxy_speaks_to_the_server_in_ones_name(cluster):
    result = cluster.shell(
        "kubectl proxy --port=8002 &\nsleep 1\n"
        'curl -s localhost:8002/api/v1/namespaces/default/services/web | grep -m1 -o \'"name": "web"\'\n'
        "curl -s -H 'Host: evil.example' localhost:8002/api\n"
        "curl -s -o /dev/null -w '%{http_code}\\n' localhost:8002/api/v1/namespaces/default/pods/x/exec\n"
        "kill %1"
    )
    assert result.stdout == 'Starting to serve on 127.0.0.1:8002\n"name": "web"\nForbidden\n403\n'


def test_logs_of_several_containers_come_as_they_are_written(cluster):
    cluster.machine("node/kind-control-plane").files.write("/tmp/two.yaml", TWO)
    result = cluster.shell(
        "kubectl apply -f /tmp/two.yaml; kubectl wait --for=condition=Ready pod/two\n"
        "kubectl logs -f two --all-containers --prefix & sleep 6"
    )
    assert result.stdout.splitlines()[2:] == [
        "[pod/two/one] first",
        "[pod/two/other] second",
        "[pod/two/one] again",
    ]
