"""Traefik 1.7's provider, and 1.7 in its pod."""

from __future__ import annotations

from typing import Any

import pytest

from kubesim.cluster import Cluster
from kubesim.ingress import legacy


def objects(annotations: dict[str, str] | None = None, pods: int = 2) -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    metadata = {"name": "i", "namespace": "default", "annotations": annotations or {}}
    rules = [{"host": "a.example", "http": {"paths": [{"path": path, "backend": backend} for path in ("/", "/api")]}}]
    addresses = [{"ip": f"10.0.0.{n}", "targetRef": {"name": f"web-{n}"}} for n in range(1, pods + 1)]
    subsets = [{"addresses": addresses, "ports": [{"port": 8080}]}] if pods else []
    return {
        "ingresses": [{"metadata": metadata, "spec": {"rules": rules}}],
        "services": {("default", "web"): {"metadata": {"annotations": annotations}, "spec": {"ports": [{"port": 80}]}}},
        "endpoints": {("default", "web"): {"subsets": subsets}},
    }


def test_backends_are_pods() -> None:
    found = legacy.configuration(**objects())
    assert found.shown()["backends"]["a.example/api"]["servers"] == {
        "web-1": {"url": "http://10.0.0.1:8080", "weight": 1},
        "web-2": {"url": "http://10.0.0.2:8080", "weight": 1},
    }
    routes = found.shown()["frontends"]["a.example/api"]["routes"]
    assert routes == {"/api": {"rule": "PathPrefix:/api"}, "a.example": {"rule": "Host:a.example"}}


@pytest.mark.parametrize(
    ("host", "path", "name"),
    [("a.example", "/api/x", "a.example/api"), ("A.example", "/x", "a.example/"), ("b.example", "/", None)],
)
def test_the_longest_rule_is_asked_first(host: str, path: str, name: str | None) -> None:
    found = legacy.configuration(**objects()).route(host, path)
    assert (found and found.name) == name


def test_another_class_is_somebody_elses() -> None:
    assert not legacy.configuration(**objects({"kubernetes.io/ingress.class": "nginx"})).frontends
    assert legacy.configuration(**objects({"kubernetes.io/ingress.class": "traefik"})).frontends


def test_no_pods_is_503_and_no_service_404() -> None:
    assert legacy.configuration(**objects(pods=0)).backends["a.example/"].servers == {}
    gone = objects() | {"services": {}}
    assert legacy.configuration(**gone).frontends == {}


def test_an_unknown_flag_ends_it() -> None:
    cluster = Cluster("kind")
    out = cluster.shell(
        "kubectl run t --image=traefik:1.7.13 --restart=Never -- --providers.kubernetesingress; sleep 10; kubectl logs t"
    )
    assert out.stdout.endswith("Error parsing command: unknown flag: --providers.kubernetesingress\n")


def test_a_server_without_the_old_ingresses_is_asked_in_vain() -> None:
    """What it says is recorded in traefik's issue 8343: since 1.22 nothing serves extensions/v1beta1."""
    cluster = Cluster("kind")
    out = cluster.shell(
        "kubectl create ingress web --rule='/*=web:80' && kubectl create service clusterip web --tcp=80\n"
        "kubectl run t --image=traefik:1.7.13 -- --kubernetes; sleep 10; kubectl logs t | tail -1 | cut -d' ' -f3-\n"
        "curl -s $(kubectl get pod t -o jsonpath='{.status.podIP}')"
    )
    assert out.stdout.splitlines()[-2:] == [
        "      1 reflector.go:205] github.com/containous/traefik/vendor/k8s.io/client-go/informers/factory.go:86: Failed to list "
        "*v1beta1.Ingress: the server could not find the requested resource (get ingresses.extensions)",
        "404 page not found",
    ]
