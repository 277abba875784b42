"""Versions that only older releases serve, and what newer ones say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubesim import http
from kubesim.apiserver.server import ApiServer
from kubesim.store.store import Store
from kubesim.world import World

INGRESS: dict[str, Any] = {
    "apiVersion": "extensions/v1beta1",
    "kind": "Ingress",
    "metadata": {"name": "web"},
    "spec": {
        "backend": {"serviceName": "other", "servicePort": "http"},
        "rules": [
            {
                "host": "a.example",
                "http": {"paths": [{"path": "/", "backend": {"serviceName": "web", "servicePort": 80}}]},
            }
        ],
    },
}
OLD, NEW = (
    "/apis/extensions/v1beta1/namespaces/default/ingresses",
    "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses",
)


def server(version: str) -> ApiServer:
    world = World(1, 1_580_000_000)
    found = ApiServer(world, Store(world), version=version)
    world.settle()
    return found


@pytest.fixture
def old() -> ApiServer:
    return server("v1.16.1")


def ask(api: ApiServer, method: str, path: str, body: Any = None, media: str = "application/json") -> tuple[int, Any]:
    headers = {"content-type": media} if body is not None else {}
    data = json.dumps(body).encode() if body is not None else None
    response = api.handle(http.request(method, path, data, headers))
    return response.status, response.json()


def test_an_ingress_of_extensions_is_kept_as_the_newest(old: ApiServer) -> None:
    status, made = ask(old, "POST", OLD, INGRESS)
    assert status == 201
    assert (made["apiVersion"], made["kind"]) == ("extensions/v1beta1", "Ingress")
    assert made["spec"]["backend"] == {"serviceName": "other", "servicePort": "http"}
    stored = old.registry.store.get("ingresses.networking.k8s.io", "default", "web")
    assert stored is not None
    assert stored["apiVersion"] == "networking.k8s.io/v1"
    assert stored["spec"]["defaultBackend"] == {"service": {"name": "other", "port": {"name": "http"}}}
    path = INGRESS["spec"]["rules"][0]["http"]["paths"][0]
    assert made["spec"]["rules"][0]["http"]["paths"] == [path]  # without pathType, which came with 1.18
    assert stored["spec"]["rules"][0]["http"]["paths"][0]["backend"] == {
        "service": {"name": "web", "port": {"number": 80}}
    }
    _, shown = ask(old, "GET", f"{NEW}/web")
    assert shown["apiVersion"] == "networking.k8s.io/v1beta1"
    assert shown["spec"] == made["spec"]


def test_a_list_and_a_patch_speak_the_version_that_was_asked(old: ApiServer) -> None:
    ask(old, "POST", OLD, INGRESS)
    patch = {"spec": {"backend": {"servicePort": 8080}}}
    status, patched = ask(old, "PATCH", f"{OLD}/web", patch, "application/strategic-merge-patch+json")
    assert (status, patched["spec"]["backend"]) == (200, {"serviceName": "other", "servicePort": 8080})
    _, listed = ask(old, "GET", OLD)
    assert (listed["kind"], listed["apiVersion"]) == ("IngressList", "extensions/v1beta1")
    assert [each["spec"]["backend"] for each in listed["items"]] == [patched["spec"]["backend"]]


def test_errors_name_the_group_that_was_asked(old: ApiServer) -> None:
    status, answer = ask(old, "GET", f"{OLD}/none")
    assert (status, answer["message"]) == (404, 'ingresses.extensions "none" not found')


def test_a_beta_that_became_stable_as_it_was(old: ApiServer) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1beta1",
        "kind": "ClusterRole",
        "metadata": {"name": "x"},
        "rules": [],
    }
    status, made = ask(old, "POST", "/apis/rbac.authorization.k8s.io/v1beta1/clusterroles", role)
    assert (status, made["apiVersion"]) == (201, "rbac.authorization.k8s.io/v1beta1")
    _, stable = ask(old, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x")
    assert stable["metadata"]["uid"] == made["metadata"]["uid"]


def test_a_newer_release_does_not_serve_them() -> None:
    new = server("v1.22.0")
    response = new.handle(http.request("POST", OLD, INGRESS))
    assert (response.status, response.body) == (404, b"404 page not found\n")


def test_in_between_it_warns() -> None:
    between = server("v1.20.4")
    response = between.handle(http.request("GET", OLD))
    words = (
        "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress"
    )
    assert response.header("Warning") == f'299 - "{words}"'


def test_a_wrong_type_is_told_in_the_version_that_was_asked(old: ApiServer) -> None:
    wrong = {**INGRESS, "spec": {"rules": "all"}}
    status, answer = ask(old, "POST", OLD, wrong)
    assert status == 400
    assert answer["message"].startswith(
        'Ingress in version "v1beta1" cannot be handled as a Ingress: json: cannot unmarshal string'
    )
