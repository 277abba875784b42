"""kubectl debug and the proxy subresources: the kubelet runs ephemeral containers, the walk carries what is proxied."""

from __future__ import annotations

import pytest

from kubesim import http
from kubesim.cluster import Cluster


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    found = Cluster("kind")
    result = found.shell(
        "kubectl create deployment web --image=nginx; kubectl expose deploy web --port 80; kubectl rollout status deploy web;"
        "kubectl run pod --image=nginx --port=80; kubectl wait --for=condition=Ready pod/pod"
    )
    assert result.exit_code == 0, result.stderr
    return found


def test_a_container_comes_into_a_running_pod(cluster: Cluster) -> None:
    result = cluster.shell("kubectl debug pod --image=busybox -c looker -- sleep 1000; sleep 3")
    assert (result.stdout, result.stderr) == ("", "")
    pod = cluster.store.get("pods", "default", "pod")
    assert pod is not None
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    (status,) = pod["status"]["ephemeralContainerStatuses"]
    assert (status["name"], status["ready"], list(status["state"])) == ("looker", False, ["running"])
    # On the pod's own network.
    result = cluster.shell("kubectl exec pod -c looker -- wget -qO- localhost")
    assert "Welcome to nginx" in result.stdout
    assert "looker" in cluster.shell("kubectl describe pod pod").stdout.partition("Ephemeral Containers:")[2]


def test_with_input_it_is_attached(cluster: Cluster) -> None:
    result = cluster.shell(
        "echo 'wget -qO- localhost' | kubectl debug pod -i --image=busybox --target=pod -c asker -- sh"
    )
    assert result.stdout.startswith('Targeting container "pod". If you don\'t see processes from this container')
    assert "Welcome to nginx" in result.stdout


def test_a_pod_on_a_node_sees_its_disk(cluster: Cluster) -> None:
    result = cluster.shell("kubectl debug node/kind-worker --image=busybox -i -- cat /host/etc/hostname")
    assert result.stdout.startswith("Creating debugging pod node-debugger-kind-worker-")
    assert result.stdout.endswith("\nkind-worker\n")


def test_a_copy_has_one_more_container_and_no_labels(cluster: Cluster) -> None:
    result = cluster.shell(
        "kubectl debug pod --copy-to=copy --image=busybox -c x --profile=general -- sleep 99; sleep 3"
    )
    assert result.exit_code == 0, result.stderr
    copy = cluster.store.get("pods", "default", "copy")
    assert copy is not None
    assert [each["name"] for each in copy["spec"]["containers"]] == ["pod", "x"]
    assert copy["spec"]["containers"][1]["securityContext"] == {"capabilities": {"add": ["SYS_PTRACE"]}}
    assert copy["spec"]["shareProcessNamespace"]
    assert "labels" not in copy["metadata"]
    assert copy["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("debug pod", "error: you must specify --image when not using --copy-to."),
        ("debug nope --image=x", 'Error from server (NotFound): pods "nope" not found'),
        ("debug deploy/web --image=x", 'error: "apps/v1, Kind=Deployment" not supported by debug'),
        ("debug pod --image=x --profile=zz", "error: unknown profile: zz"),
        (
            "debug pod --image=x -c a --target=zz",
            'The Pod "pod" is invalid: spec.ephemeralContainers[0].targetContainerName: Not found: "zz"',
        ),
        (
            """patch pod pod -p '{"spec":{"ephemeralContainers":[{"name":"b","image":"c"}]}}'""",
            "pod updates may not change fields other than",
        ),
    ],
)
def test_what_is_refused(command: str, message: str) -> None:
    fresh = Cluster("kind")
    fresh.shell("kubectl run pod --image=nginx; kubectl create deployment web --image=nginx; sleep 3")
    result = fresh.shell(f"kubectl {command}")
    assert result.exit_code == 1
    assert message in result.stderr


SERVICE = "/api/v1/namespaces/default/services"


def ask(cluster: Cluster, path: str, method: str = "GET") -> http.Response:
    return cluster.api.handle(http.request(method, path))


@pytest.mark.parametrize(
    "path",
    [
        f"{SERVICE}/web/proxy/",
        f"{SERVICE}/web:80/proxy/",
        f"{SERVICE}/http:web:/proxy/",
        "/api/v1/namespaces/default/pods/pod/proxy/",
    ],
)
def test_http_through_the_api_server(cluster: Cluster, path: str) -> None:
    answer = ask(cluster, path)
    assert (answer.status, b"Welcome to nginx" in answer.body) == (200, True)
    assert answer.header("Server").startswith("nginx/")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        (f"{SERVICE}/none/proxy/", 503, 'no endpoints available for service "none"'),
        (f"{SERVICE}/web:81/proxy/", 503, 'no service port 81 found for service "web"'),
        (f"{SERVICE}/nope/proxy/", 404, 'endpoints "nope" not found'),
        (f"{SERVICE}/ftp:web:80/proxy/", 400, 'invalid service request "ftp:web:80"'),
        ("/api/v1/namespaces/default/pods/pod:81/proxy/", 503, "error trying to reach service: dial tcp 10.244."),
        ("/api/v1/nodes/nope/proxy/healthz", 404, 'nodes "nope" not found'),
    ],
)
def test_who_is_not_there(cluster: Cluster, path: str, status: int, message: str) -> None:
    cluster.shell("kubectl create service clusterip none --tcp=80 2>/dev/null; sleep 1")
    answer = ask(cluster, path)
    assert answer.status == status, answer.body
    assert answer.json()["message"].startswith(message)


def test_the_kubelet_and_the_first_slash(cluster: Cluster) -> None:
    assert ask(cluster, "/api/v1/nodes/kind-worker/proxy/healthz").body == b"ok"
    pods = ask(cluster, "/api/v1/nodes/kind-worker/proxy/pods").json()["items"]
    assert {each["spec"]["nodeName"] for each in pods} == {"kind-worker"}
    answer = ask(cluster, f"{SERVICE}/web/proxy")
    assert (answer.status, answer.header("Location")) == (301, f"{SERVICE}/web/proxy/")


def test_a_port_where_nobody_listens(cluster: Cluster) -> None:
    """What is proxied is a packet: the pod's own host refuses it."""
    answer = ask(cluster, "/api/v1/namespaces/default/pods/pod:9/proxy/")
    assert answer.json()["message"].endswith(":9: connect: connection refused")


def test_there_is_no_metrics_api(cluster: Cluster) -> None:
    for what in ("nodes", "pods"):
        assert cluster.shell(f"kubectl top {what}").stderr == "error: Metrics API not available\n"
