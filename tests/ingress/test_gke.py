"""GKE's ingress, as the computer outside sees it."""

from __future__ import annotations

import json

import pytest
from ingresslab import apply

from kubesim.cluster import Cluster
from kubesim.loadbalancer import gce

ADDRESS = "kubectl get ingress web -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"


def rules(*rows: tuple[str, str, str, str]) -> dict[str, object]:
    """Host, path, path type, service."""
    made = []
    for host, path, kind, service in rows:
        backend = {"service": {"name": service, "port": {"number": 80}}}
        made.append({"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}})
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {"rules": made}}


@pytest.fixture
def cluster() -> Cluster:
    found = Cluster("gke")
    obj = rules(("web.example", "/", "Prefix", "web"), ("inner.example", "/", "Prefix", "inner"))
    obj |= {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}
    found.shell(
        "kubectl create deployment web --image=luksa/kubia\n"
        "kubectl expose deployment web --port=80 --target-port=8080 --type=NodePort\n"
        "kubectl expose deployment web --name=inner --port=80 --target-port=8080\n" + apply(json.dumps(obj))
    )
    return found


def test_the_address_takes_a_minute_and_answers(cluster: Cluster) -> None:
    assert cluster.shell(f"sleep 30; {ADDRESS}").stdout == ""
    address = cluster.shell(f"sleep 40; {ADDRESS}").stdout
    assert address.startswith("34.117.")
    out = cluster.shell(f"curl -s -H 'Host: web.example' http://{address}/").stdout
    assert out.startswith("You've hit web-")
    unknown = cluster.shell(f"curl -s -w '%{{http_code}}' -H 'Host: other.example' http://{address}/").stdout
    assert unknown == "response 404 (backend NotFound), service rules for the path non-existent \n404"


def test_a_service_without_node_port_cannot_be_a_backend(cluster: Cluster) -> None:
    address = cluster.shell(f"sleep 70; {ADDRESS}").stdout
    assert (
        cluster.shell(f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: inner.example' http://{address}/").stdout
        == "502"
    )
    events = cluster.shell("kubectl describe ingress web | grep Translat").stdout
    assert 'service "default/inner" is type "ClusterIP", expected "NodePort" or "LoadBalancer"' in events


def test_a_deleted_ingress_leaves_no_address(cluster: Cluster) -> None:
    address = cluster.shell(f"sleep 70; {ADDRESS}").stdout
    assert address
    cluster.shell("kubectl delete ingress web; sleep 2")
    assert cluster.shell(f"curl -s --max-time 3 http://{address}/").exit_code in (7, 28)


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("a.example", "/foo/bar", "exact"),
        ("a.example", "/foo/baz", "prefix"),
        ("a.example", "/foobar", "root"),
        ("x.b.example", "/", "wild"),
        ("c.example", "/", None),
    ],
)
def test_the_best_rule_wins(host: str, path: str, service: str | None) -> None:
    ingress = rules(
        ("a.example", "/", "Prefix", "root"),
        ("a.example", "/foo", "Prefix", "prefix"),
        ("a.example", "/foo/bar", "Exact", "exact"),
        ("*.b.example", "/", "Prefix", "wild"),
    )
    found = gce.choose_backend(ingress, host, path)
    assert (found and found["service"]["name"]) == service


def test_openssl_makes_a_certificate_that_says_for_whom() -> None:
    found = Cluster("kind")
    result = found.shell(
        "openssl genrsa -out tls.key 2048 && openssl req -new -x509 -key tls.key -out tls.crt -days 10 -subj /CN=a.example\n"
        "openssl x509 -in tls.crt -noout -subject; head -1 tls.key; openssl ciphers"
    )
    assert result.stdout == "subject=CN = a.example\n-----BEGIN RSA PRIVATE KEY-----\n"
    assert "openssl: ciphers" in result.stderr


def test_its_certificate_is_a_secret_s(cluster: Cluster) -> None:
    cluster.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=web.example\n"
        "kubectl create secret tls web --cert=c --key=k\n"
        """kubectl patch ingress web --type=merge -p '{"spec":{"tls":[{"secretName":"web"}]}}'; sleep 100"""
    )
    address = cluster.shell(ADDRESS).stdout
    seen = cluster.run_outside(f"curl -skv --resolve web.example:443:{address} https://web.example/ 2>&1").stdout
    assert "subject: CN=web.example" in seen
