"""The server by its one entrance: what comes back, and what is left behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
import replaying

SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture
def client() -> replaying.Client:
    bare = replaying.Bare(controllers=False)
    bare.api.client("kube").create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    return replaying.Client(bare)


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def taken(client: replaying.Client) -> tuple[set[int], set[int], list[str]]:
    registry = client.bare.api.registry
    strategy = registry.strategy(registry.resource("services"))
    addresses = [each["metadata"]["name"] for each in registry.store.list("ipaddresses.networking.k8s.io")]
    return set(strategy.addresses["IPv4"].taken), set(strategy.ports.taken), addresses


class TestNothingHalfMade:
    @pytest.mark.parametrize(
        "bad",
        [
            service("x", type="NodePort", sessionAffinity="Cookie"),
            service("x", type="NodePort", ports=[{"port": 80}, {"port": 81}]),
            service("x", type="NodePort", ports=[{"port": 80, "nodePort": 80}]),
            service("x", clusterIP="10.96.0.1"),
            service("Bad_Name", type="NodePort"),
        ],
    )
    def test_a_refused_service_holds_no_address_and_no_port(self, client, bad):
        before = taken(client)
        status, _ = client.json("POST", SERVICES, bad)
        assert status == 422
        assert taken(client) == before

    def test_a_name_that_is_taken_holds_nothing_new(self, client):
        client.json("POST", SERVICES, service("x"))
        before = taken(client)
        status, answer = client.json("POST", SERVICES, service("x", type="NodePort"))
        assert (status, answer["message"]) == (409, 'services "x" already exists')
        assert taken(client) == before

    def test_a_dry_run_stores_and_holds_nothing(self, client):
        before = taken(client), client.bare.store.revision
        status, answer = client.json("POST", f"{SERVICES}?dryRun=All", service("x", type="NodePort"))
        assert (status, answer["spec"]["type"]) == (201, "NodePort")
        assert (taken(client), client.bare.store.revision) == before

    def test_a_deleted_service_gives_back_what_it_held(self, client):
        before = taken(client)
        client.json("POST", SERVICES, service("x", type="LoadBalancer", externalTrafficPolicy="Local"))
        assert taken(client) != before
        client.json("DELETE", f"{SERVICES}/x")
        assert taken(client) == before


def test_no_address_and_no_port_is_given_twice(client):
    for number in range(300):
        client.json("POST", SERVICES, service(f"s{number}", type="NodePort"))
    items = client.get(SERVICES)["items"]
    addresses = [each["spec"]["clusterIP"] for each in items]
    ports = [each["spec"]["ports"][0]["nodePort"] for each in items if each["spec"]["type"] == "NodePort"]
    assert len(set(addresses)) == len(addresses) == 301
    assert len(set(ports)) == len(ports) == 300


def test_a_patch_that_changes_nothing_keeps_the_version(client):
    _, before = client.json("POST", SERVICES, service("x"))
    patch = {"spec": {"type": "ClusterIP"}}
    _, after = client.json("PATCH", f"{SERVICES}/x", patch, "application/merge-patch+json")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_two_writers_of_one_version_conflict(client):
    _, first = client.json("POST", SERVICES, service("x"))
    assert (
        client.json("PUT", f"{SERVICES}/x", {**first, "metadata": {**first["metadata"], "labels": {"a": "1"}}})[0]
        == 200
    )
    status, answer = client.json(
        "PUT", f"{SERVICES}/x", {**first, "metadata": {**first["metadata"], "labels": {"a": "2"}}}
    )
    assert (status, answer["reason"]) == (409, "Conflict")


def test_a_watcher_sees_what_a_list_would(client):
    watch = client.ask("GET", f"{SERVICES}?watch=true&resourceVersion=0").stream
    for name in ("a", "b", "c"):
        client.json("POST", SERVICES, service(name))
    client.json("DELETE", f"{SERVICES}/b")
    seen: dict[str, Any] = {}
    for line in watch.read().splitlines():
        event = json.loads(line)
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            del seen[name]
        else:
            seen[name] = event["object"]["metadata"]["resourceVersion"]
    listed = {e["metadata"]["name"]: e["metadata"]["resourceVersion"] for e in client.get(SERVICES)["items"]}
    assert seen == listed


def test_a_version_that_is_forgotten_is_gone(client):
    client.json("POST", SERVICES, service("x"))
    client.bare.store.compact()
    answer = client.ask("GET", f"{SERVICES}?watch=true&resourceVersion=1")
    assert answer.status == 200
    event = json.loads(answer.stream.read())
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert answer.stream.read() is None


def test_pages_show_the_list_as_it_was_when_it_began(client):
    for name in ("a", "b", "c"):
        client.json("POST", SERVICES, service(name))
    first = client.get(f"{SERVICES}?limit=2")
    client.json("DELETE", f"{SERVICES}/c")
    client.json("POST", SERVICES, service("d"))
    rest = client.get(f"{SERVICES}?limit=2&continue={first['metadata']['continue']}")
    assert first["metadata"]["remainingItemCount"] == 2
    assert [each["metadata"]["name"] for each in first["items"] + rest["items"]] == ["a", "b", "c", "kubernetes"]


@pytest.mark.parametrize(
    ("body", "media", "message"),
    [
        ("{", "application/json", "unexpected end of JSON input"),
        ("a: [", "application/yaml", "did not find expected node content"),
        ('{"kind":"Pod","apiVersion":"v1"}', "application/json", "cannot be handled as a Service"),
        (
            '{"spec":{"ports":"x"}}',
            "application/json",
            "Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
    ],
)
def test_bad_bodies_get_the_servers_words(client, body, media, message):
    status, _, text = client.send("POST", SERVICES, body, {"Content-Type": media})
    assert status == 400
    assert message in json.loads(text)["message"]


def test_unknown_fields_are_told_or_refused(client):
    bad = service("x", bogus=1)
    _, headers, _ = client.send("POST", f"{SERVICES}?dryRun=All", bad)
    assert headers["warning"] == ['299 - "unknown field \\"spec.bogus\\""']
    status, answer = client.json("POST", f"{SERVICES}?fieldValidation=Strict", bad)
    assert (status, answer["message"].endswith('strict decoding error: unknown field "spec.bogus"')) == (400, True)
    assert client.json("GET", f"{SERVICES}/x")[0] == 404


def test_the_service_kubernetes_comes_back(client):
    client.json("DELETE", f"{SERVICES}/kubernetes")
    assert client.json("GET", f"{SERVICES}/kubernetes")[0] == 404
    client.bare.world.advance(11)
    assert client.get(f"{SERVICES}/kubernetes")["spec"]["clusterIP"] == "10.96.0.1"


def test_the_same_seed_gives_the_same_bytes():
    def answers() -> list[str]:
        client = replaying.Client(replaying.Bare(controllers=False))
        return [client.send("POST", SERVICES, service(f"s{n}", type="NodePort"))[2] for n in range(3)]

    assert answers() == answers()
