"""What schemathesis makes of our own OpenAPI documents: no answer but the API's, no exception, nothing without an end.

A bounded number of examples for each document, the same ones each time; KUBESIM_FUZZ=20 makes it twenty times as many.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any
from urllib.parse import urlencode

import pytest
import replaying
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kubesim import http

schemathesis = pytest.importorskip("schemathesis")

# Documents, and how many examples of each.
DOCUMENTS = {
    "api/v1": 120,
    "apis/apps/v1": 60,
    "apis/batch/v1": 30,
    "apis/networking.k8s.io/v1": 50,
    "apis/discovery.k8s.io/v1": 20,
    "apis/policy/v1": 20,
    "apis/rbac.authorization.k8s.io/v1": 40,
    "apis/authorization.k8s.io/v1": 20,
    "apis/authentication.k8s.io/v1": 10,
    "apis/coordination.k8s.io/v1": 10,
    "apis/autoscaling/v2": 20,
    "apis/autoscaling/v1": 20,
    "apis/events.k8s.io/v1": 20,
    "apis/apiextensions.k8s.io/v1": 40,
    "apis/storage.k8s.io/v1": 20,
}
# Server-side apply of what is no valid document is a 500 on the real server too (apiserver `pkg/endpoints/handlers/patch.go`).
APPLY = "application/apply-patch+yaml"
# So is a resourceVersion that is no number, in a watch and in an update: etcd's own store finds out.
UNPARSED = b"strconv.ParseUint: parsing"


@pytest.fixture(scope="module")
def bare() -> Any:
    found = replaying.Bare(controllers=False)
    found.api.client("kube").create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    return found


def request_of(case: Any) -> http.Request:
    """What schemathesis would send."""
    sent = case.as_transport_kwargs(base_url="http://kubesim")
    body = sent.get("data", sent.get("json"))
    if body is not None and not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()
    query = urlencode(sent.get("params") or {}, doseq=True)
    headers = {key: str(value) for key, value in dict(sent.get("headers") or {}).items()}
    url = sent["url"] + (f"?{query}" if query else "")
    return http.request(sent["method"], url, body, headers)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_answers_whatever_its_own_schema_allows(bare: Any, name: str) -> None:
    document = json.loads(bare.api.handle(http.request("GET", f"/openapi/v3/{name}")).body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = schemathesis.openapi.from_dict(document)
        operations = [each.ok() for each in loaded.get_all_operations()]
    assert operations
    strategy = st.sampled_from(operations).flatmap(lambda each: each.as_strategy())

    @settings(
        max_examples=DOCUMENTS[name] * int(os.environ.get("KUBESIM_FUZZ", "1")),
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, there=st.integers(0, 3))
    def check(case: Any, there: int) -> None:
        # Most go where there is something: a namespace, and objects that an earlier example made.
        if there and "namespace" in (case.path_parameters or {}):
            case.path_parameters["namespace"] = "default"
        if there > 1 and "name" in (case.path_parameters or {}):
            case.path_parameters["name"] = "a"
        if there > 1 and isinstance(case.body, dict) and isinstance(case.body.get("metadata"), dict):
            case.body["metadata"] = {**case.body["metadata"], "name": "a", "namespace": "default"}
        request = request_of(case)
        answer = bare.api.handle(request)
        allowed = answer.status != 500 or request.headers.get("content-type") == APPLY or UNPARSED in answer.body
        assert allowed, (request.method, request.path, request.query, request.body, answer.body)
        assert 200 <= answer.status < 600
        if answer.stream is not None:
            answer.stream.read()
            answer.stream.close()
        elif answer.status >= 400 and request.method != "HEAD" and answer.body[:1] == b"{":
            assert json.loads(answer.body)["kind"] == "Status"
        bare.world.advance(1)

    check()
    listed = bare.api.handle(http.request("GET", "/api/v1/pods"))
    assert listed.status == 200
