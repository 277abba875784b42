"""The roles that a cluster begins with: who may do what before anybody made a role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from replaying import Bare

from kubesim import http
from kubesim.apiserver import authorization
from kubesim.apiserver.controllers import bootstraproles
from kubesim.apiserver.server import ApiServer
from kubesim.store.store import Store
from kubesim.world import World

# The build that was recorded is a distribution's; these are its own.
NOT_UPSTREAM = {"system:controller:service-ca-cert-publisher", "system:openshift:public-info-viewer"}
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def server(version: str = "v1.36.2") -> ApiServer:
    world = World(1)
    return ApiServer(world, Store(world), version=version)


def may(api: ApiServer, user: http.User, verb: str, resource: str, namespace: str = "default", group: str = "") -> bool:
    return authorization.allowed(
        api, user, authorization.Wish(verb=verb, group=group, resource=resource, namespace=namespace)
    )


def account(name: str) -> http.User:
    return http.User(
        name=f"system:serviceaccount:kube-system:{name}", groups=("system:serviceaccounts", "system:authenticated")
    )


def names(api: ApiServer) -> list[str]:
    return [each["metadata"]["name"] for each in api.store.list("clusterroles.rbac.authorization.k8s.io")]


def test_rules_are_those_of_a_real_server(shared: Path) -> None:
    recorded = json.loads((shared / "golden/api/02-bootstrap/043-clusterroles-table.json").read_text())
    answer = json.loads(Bare().api.handle(http.request("GET", ROLES)).body)
    ours = {item["metadata"]["name"]: _comparable(item) for item in answer["items"]}
    theirs = {item["metadata"]["name"]: _comparable(item) for item in recorded["response_body"]["items"]}
    assert ours == {name: role for name, role in theirs.items() if name not in NOT_UPSTREAM}


def _comparable(role: dict[str, Any]) -> dict[str, Any]:
    metadata = role["metadata"]
    rules = [{field: sorted(values) for field, values in rule.items()} for rule in role["rules"]]
    owners = [(each["manager"], each["operation"], each["fieldsV1"]) for each in metadata["managedFields"]]
    said = (metadata["labels"], metadata["annotations"], role.get("aggregationRule"))
    return {"said": said, "rules": rules, "owners": owners}


def test_a_controller_may_do_its_work_and_no_more() -> None:
    api = server()
    endpoints = account("endpoint-controller")
    assert may(api, endpoints, "update", "endpoints")
    assert may(api, endpoints, "list", "pods")
    assert not may(api, endpoints, "delete", "pods")


def test_users_may_ask_what_they_may_do_and_nothing_else() -> None:
    api = server()
    bob = http.User(name="bob", groups=("system:authenticated",))
    assert may(api, bob, "create", "selfsubjectaccessreviews", "", "authorization.k8s.io")
    assert not may(api, bob, "list", "pods")


@pytest.mark.parametrize(
    ("role", "verb", "resource", "expected"),
    [
        ("view", "list", "pods", True),
        ("view", "get", "secrets", False),
        ("edit", "get", "secrets", True),
        ("edit", "create", "services", True),
        ("edit", "create", "rolebindings", False),
        ("admin", "create", "rolebindings", True),
    ],
)
def test_roles_for_people_grow(role: str, verb: str, resource: str, expected: bool) -> None:
    api = server()
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}
    binding = {"metadata": {"name": "bob"}, "subjects": [subject], "roleRef": reference}
    api.client(http.User()).create("rolebindings.rbac.authorization.k8s.io", binding, "default")
    group = "rbac.authorization.k8s.io" if resource == "rolebindings" else ""
    assert may(api, http.User(name="bob", groups=()), verb, resource, "default", group) is expected
    assert not may(api, http.User(name="bob", groups=()), verb, resource, "kube-system", group)


def test_each_release_has_its_roles() -> None:
    assert "system:controller:endpointslice-controller" not in names(server("v1.16.1"))
    assert "system:controller:endpointslice-controller" in names(server("v1.21.5"))


def test_releases_before_133_did_not_watch_endpoints() -> None:
    role = next(
        each for each in bootstraproles.parse(bootstraproles.TABLE.read_text(), 18) if "endpoint-c" in each.name
    )
    assert [rule["verbs"] for rule in role.rules if rule.get("resources") == ["endpoints"]] == [
        ["create", "delete", "get", "list", "update"]
    ]


def test_clusters_of_a_process_share_the_rules_but_not_the_uids() -> None:
    one, two = (server().store.get("clusterroles.rbac.authorization.k8s.io", "", "admin") for _ in range(2))
    assert one is not None
    assert two is not None
    assert one["rules"] is two["rules"]
    assert one["metadata"] is not two["metadata"]


def test_a_role_grows_by_those_that_its_selector_matches() -> None:
    bare = Bare()
    roles = bare.api.client(http.User())
    kind = "clusterroles.rbac.authorization.k8s.io"
    before = roles.get(kind, "view")
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    rule = {"apiGroups": ["example.com"], "resources": ["gadgets"], "verbs": ["get", "list", "watch"]}
    roles.create(kind, {"metadata": {"name": "gadgets", "labels": labels}, "rules": [rule]})
    bare.world.advance(1)
    assert rule in roles.get(kind, "view")["rules"]
    # And, in turn, those that gather view.
    assert all(rule in roles.get(kind, name)["rules"] for name in ("edit", "admin"))
    roles.delete(kind, "gadgets")
    bare.world.advance(1)
    assert roles.get(kind, "view")["rules"] == before["rules"]
