"""Who asks and who may: tokens, impersonation, RBAC's decisions in upstream's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubesim import http
from kubesim.cluster import Cluster

JANE = http.User(name="jane", groups=("dev", "system:authenticated"))
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    found = Cluster("bare")
    for path, obj in {
        f"{RBAC}/namespaces/default/roles": {
            "metadata": {"name": "reader"},
            "rules": [
                {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]},
            ],
        },
        f"{RBAC}/namespaces/default/rolebindings": {
            "metadata": {"name": "devs"},
            "subjects": [{"kind": "Group", "name": "dev"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        },
        f"{RBAC}/clusterroles": {
            "metadata": {"name": "stand-in"},
            "rules": [
                {"apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"], "verbs": ["impersonate"]},
                {"nonResourceURLs": ["/openapi/*"], "verbs": ["get"]},
            ],
        },
        f"{RBAC}/clusterrolebindings": {
            "metadata": {"name": "stand-ins"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stand-in"},
        },
    }.items():
        assert found.api.handle(http.request("POST", path, obj)).status == 201
    found.settle()
    return found


def ask(cluster: Cluster, user: http.User | None, method: str, path: str, body: Any = None, **headers: str) -> Any:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    answer = cluster.api.handle(http.request(method, path, body, named, user))
    return answer.status, answer.json()


def token(cluster: Cluster, account: str = "default", **spec: Any) -> str:
    path = f"/api/v1/namespaces/default/serviceaccounts/{account}/token"
    status, answer = ask(cluster, None, "POST", path, {"spec": spec})
    assert status == 201, answer
    return str(answer["status"]["token"])


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        (
            "GET",
            "/api/v1/nodes",
            'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/default/deployments/web",
            'deployments.apps "web" is forbidden: User "jane" cannot delete resource "deployments" in API group "apps" '
            'in the namespace "default"',
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/pods",
            'pods is forbidden: User "jane" cannot deletecollection resource "pods" in API group "" in the namespace "default"',
        ),
        (
            "GET",
            "/api/v1/namespaces/default/pods?watch=1",
            'pods is forbidden: User "jane" cannot watch resource "pods" in API group "" in the namespace "default"',
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods/web/exec?command=ls",
            'pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "default"',
        ),
        (
            "GET",
            "/api/v1/namespaces/default",
            'namespaces "default" is forbidden: User "jane" cannot get resource "namespaces" in API group "" in the namespace '
            '"default"',
        ),
        ("GET", "/api/v1/namespaces/default/configmaps/two", None),
        ("GET", "/metrics", 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)
def test_what_jane_may_not_do(cluster: Cluster, method: str, path: str, message: str | None) -> None:
    status, answer = ask(cluster, JANE, method, path)
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert message is None or answer["message"] == message


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/namespaces/default/pods", 200),
        ("/api/v1/namespaces/default/pods/web/log", 404),
        ("/api/v1/namespaces/default/configmaps/one", 404),
        ("/version", 200),
        ("/apis", 200),
    ],
)
def test_what_jane_may_do(cluster: Cluster, path: str, status: int) -> None:
    assert ask(cluster, JANE, "GET", path)[0] == status


def test_nobody_known_sees_that_it_lives_and_no_more(cluster: Cluster) -> None:
    assert cluster.api.handle(http.request("GET", "/readyz", user=http.ANONYMOUS)).status == 200
    status, answer = ask(cluster, http.ANONYMOUS, "GET", "/api/v1/pods")
    assert status == 403
    assert answer["message"].startswith('pods is forbidden: User "system:anonymous" cannot list resource "pods"')


def test_who_is_named_like_a_component_is_none(cluster: Cluster) -> None:
    scheduler = http.User(name="system:kube-scheduler", groups=("system:authenticated",))
    assert ask(cluster, scheduler, "GET", "/api/v1/pods")[0] == 200
    assert ask(cluster, scheduler, "GET", "/api/v1/secrets")[0] == 403
    assert ask(cluster, http.User(name="system:made-up", groups=()), "GET", "/api/v1/pods")[0] == 403


def test_a_token_says_who_asks(cluster: Cluster) -> None:
    bearer = f"Bearer {token(cluster)}"
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    # Whatever the front thought.
    _, answer = ask(cluster, http.ANONYMOUS, "POST", reviews, {}, authorization=bearer)
    who = answer["status"]["userInfo"]
    account = cluster.store.get("serviceaccounts", "default", "default")
    assert who["username"] == "system:serviceaccount:default:default"
    assert who["uid"] == account["metadata"]["uid"]
    assert ask(cluster, None, "GET", "/openapi/v3", authorization=bearer)[0] == 200
    assert ask(cluster, None, "GET", "/api/v1/pods", authorization=bearer)[0] == 403


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", "x"])
def test_a_credential_that_nobody_issued_is_refused(cluster: Cluster, header: str) -> None:
    status, answer = ask(cluster, None, "GET", "/api/v1/pods", authorization=header)
    assert (status, answer["message"], answer["reason"]) == (401, "Unauthorized", "Unauthorized")


def test_a_token_lives_as_long_as_its_account(cluster: Cluster) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    ask(cluster, None, "POST", accounts, {"metadata": {"name": "brief"}})
    bearer = f"Bearer {token(cluster, 'brief')}"
    assert ask(cluster, None, "GET", "/version", authorization=bearer)[0] == 200
    ask(cluster, None, "DELETE", f"{accounts}/brief")
    ask(cluster, None, "POST", accounts, {"metadata": {"name": "brief"}})
    assert ask(cluster, None, "GET", "/version", authorization=bearer)[0] == 401


def test_a_token_of_another_audience_or_another_cluster_is_none_here(cluster: Cluster) -> None:
    other = f"Bearer {token(cluster, audiences=['vault'])}"
    assert ask(cluster, None, "GET", "/version", authorization=other)[0] == 401
    # The same seed, but what the tokens are keyed with is a secret.
    served = Cluster("bare", secret="s")
    forged = f"Bearer {token(cluster)}"
    assert ask(served, None, "GET", "/version", authorization=forged)[0] == 401


def test_what_is_wrong_with_a_token_request(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    status, answer = ask(cluster, None, "POST", path, {"spec": {"expirationSeconds": 5}})
    assert status == 422
    assert (
        "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes" in answer["message"]
    )


def test_a_token_review(cluster: Cluster) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = ask(cluster, None, "POST", path, {"spec": {"token": token(cluster)}})[1]["status"]
    assert status["authenticated"]
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    status = ask(cluster, None, "POST", path, {"spec": {"token": "x"}})[1]["status"]
    assert "authenticated" not in status
    assert "invalid bearer token" in status["error"]


def test_in_the_name_of_another(cluster: Cluster) -> None:
    pods, nodes = "/api/v1/namespaces/default/pods", "/api/v1/nodes"
    assert ask(cluster, None, "GET", nodes, impersonate_user="jane")[0] == 403
    assert ask(cluster, None, "GET", pods, impersonate_user="jane", impersonate_group="dev")[0] == 200
    account = http.User(name="system:serviceaccount:default:default", groups=("system:authenticated",))
    # jane without her groups: only her name was allowed.
    assert ask(cluster, account, "GET", pods, impersonate_user="jane")[0] == 403
    status, answer = ask(cluster, account, "GET", pods, impersonate_user="root")
    assert status == 403
    assert answer["message"] == (
        'users "root" is forbidden: User "system:serviceaccount:default:default" cannot impersonate resource "users" in API '
        'group "" at the cluster scope'
    )
    assert ask(cluster, account, "GET", pods, impersonate_user="jane", impersonate_group="system:masters")[0] == 403
    assert ask(cluster, None, "GET", pods, impersonate_group="dev")[0] == 500


def test_why_something_is_allowed(cluster: Cluster) -> None:
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    wish = {"verb": "list", "resource": "pods", "namespace": "default"}
    body = {"spec": {"user": "jane", "groups": ["dev"], "resourceAttributes": wish}}
    assert ask(cluster, None, "POST", path, body)[1]["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "devs/default" of Role "reader" to Group "dev"',
    }
    body = {"spec": {"user": "jane", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}}}
    assert ask(cluster, None, "POST", path, body)[1]["status"] == {"allowed": False}


def test_the_limit_of_a_body(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    big = json.dumps({"metadata": {"name": "big"}, "data": {"a": "x" * (3 * 1024 * 1024)}}).encode()
    status, answer = ask(cluster, None, "POST", path, big)
    assert (status, answer["message"]) == (413, "Request entity too large: limit is 3145728")
