"""The documents, block by block: the page that lists them is fresh and true, and what no recorded session shows is shown here."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from kubesim.cluster import Cluster


@pytest.fixture(scope="module")
def documents(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("documents", root / "tools/documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh(documents: ModuleType) -> None:
    assert documents.PAGE.read_text() == documents.page(), "run tools/documents.py"


def test_every_block_is_listed_once(documents: ModuleType, shared: Path) -> None:
    seeds = [each.read_text() for each in sorted((shared / "seeds").iterdir())]
    listed = {each["document"]: len(each["blocks"]) for each in documents.load()}
    assert listed == {number: documents.blocks(text) for number, text in enumerate(seeds)}


def test_every_block_is_covered_or_left_out_for_a_reason(documents: ModuleType) -> None:
    for each in documents.load():
        for block in each["blocks"]:
            assert bool(block.get("by")) != bool(block.get("out")), block


def test_what_is_named_is_there(documents: ModuleType, shared: Path, root: Path) -> None:
    cases = {
        case
        for path in (shared / "sessions").glob("*.session")
        for case in re.findall(r"^## (\S+)", path.read_text(), re.MULTILINE)
    }
    for each in documents.load():
        for block in each["blocks"]:
            for name in documents.covering(block):
                path, _, test = name.partition("::")
                assert f"def {test}(" in (root / path).read_text() if test else name in cases, name


# -- blocks that no session has ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minikube() -> Cluster:
    """The two programs of document 4, with their Services."""
    cluster = Cluster("minikube")
    done = cluster.shell(
        "kubectl create deployment ms-hello-dep --image=pgolard/ms-hello:v4;"
        "kubectl create deployment ms-bye-dep --image=pgolard/ms-bye:v4;"
        "kubectl expose deployment ms-hello-dep --name=ms-hello-svc --port=17 --target-port=7777"
    )
    assert done.exit_code == 0, done.stderr
    cluster.settle()
    return cluster


def test_a_pod_curls_itself() -> None:
    cluster = Cluster("vagrant")
    cluster.shell("k create deployment deploy-test --image=nginx; sleep 10")
    result = cluster.shell("k exec deploy/deploy-test -- curl --silent 127.0.0.1 | grep '<title>'")
    assert result.stdout == "<title>Welcome to nginx!</title>\n", result.stderr


def test_a_service_as_yaml() -> None:
    cluster = Cluster("kubeadm")
    cluster.shell(
        "kubectl create deployment hello-world --image=gcr.io/google-samples/hello-app:1.0;"
        "kubectl expose deployment hello-world --port=80 --target-port=8080"
    )
    found = yaml.safe_load(cluster.shell("kubectl get svc hello-world -o yaml").stdout)
    assert found["spec"]["selector"] == {"app": "hello-world"}
    assert found["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 8080}]
    assert found["spec"]["clusterIPs"] == [found["spec"]["clusterIP"]]


def test_telnet_to_a_pod(minikube: Cluster) -> None:
    result = minikube.shell(
        "IP=$(kubectl get pods -l app=ms-bye-dep -o jsonpath='{.items[0].status.podIP}');"
        "kubectl exec deploy/ms-hello-dep -- timeout 3 telnet $IP 9999"
    )
    assert "Connected to 172.17.0." in result.stdout + result.stderr
    assert "Escape character is '^]'." in result.stdout


def test_expose_shows_what_it_would_do(minikube: Cluster) -> None:
    command = (
        "kubectl --dry-run=true -o yaml expose deployment ms-bye-dep --name=ms-bye-svc --port=19 --target-port=9999"
        " --type=ClusterIP"
    )
    result = minikube.shell(command)
    found = yaml.safe_load(result.stdout)
    assert found is not None, result.stderr
    assert (found["metadata"]["name"], found["spec"]["type"]) == ("ms-bye-svc", "ClusterIP")
    assert found["spec"]["ports"] == [{"port": 19, "protocol": "TCP", "targetPort": 9999}]
    assert minikube.shell("kubectl get svc ms-bye-svc").exit_code == 1, "it was shown only"


def test_curl_s_meter(minikube: Cluster) -> None:
    result = minikube.shell("kubectl exec deploy/ms-bye-dep -- curl -X GET http://ms-hello-svc:17")
    assert result.stdout == "This is the hello world custom node parent"
    assert "% Total    % Received % Xferd" in result.stderr
    assert re.search(r"^100 +42 +(100 +)?42", result.stderr.replace("\r", "\n"), re.MULTILINE)


def test_describe_a_headless_service(minikube: Cluster) -> None:
    minikube.shell(
        "kubectl expose deployment ms-hello-dep --name=headless --port=17 --target-port=7777 --cluster-ip=None"
    )
    minikube.settle()
    lines = minikube.shell("kubectl describe svc headless").stdout.splitlines()
    found = {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}
    assert found["Type"] == "ClusterIP"
    assert found["IP"] == "None"
    assert found["Endpoints"].startswith("172.17.0.")
    assert found["Endpoints"].endswith(":7777")


def test_three_ports_with_their_node_ports(minikube: Cluster) -> None:
    result = minikube.shell(
        """
kubectl apply -f - <<'EOF'
kind: Service
apiVersion: v1
metadata: {name: my-service}
spec:
  type: NodePort
  selector: {app: ms-hello-dep}
  ports:
  - {name: http, nodePort: 30475, port: 8089, targetPort: 7777}
  - {name: metrics, nodePort: 31261, port: 5555, targetPort: 5555}
  - {name: health, nodePort: 30013, port: 8443, targetPort: 8085}
EOF
sleep 5; kubectl get svc my-service --no-headers | awk '{print $5}'
curl -s $(minikube ip):30475; echo; curl -s $(minikube ip):31261; echo $?
"""
    )
    assert result.stdout.splitlines() == [
        "service/my-service created",
        "8089:30475/TCP,5555:31261/TCP,8443:30013/TCP",
        "This is the hello world custom node parent",
        "7",
    ], result.stderr
