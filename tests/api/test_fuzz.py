"""Whatever is sent, the server answers: never with an error of its own, never with an exception, never without an end."""

from __future__ import annotations

import json
from typing import Any

import pytest
import replaying
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubesim import http, schema

Json = Any

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "labels": {"app": "a"}, "annotations": {"n": "1"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "ports": [{"containerPort": 80, "name": "http"}],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
        ],
        "volumes": [{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}}],
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "a", "finalizers": ["example.com/f"]},
    "spec": {
        "type": "LoadBalancer",
        "selector": {"app": "a"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080, "protocol": "TCP"}],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
        "ipFamilies": ["IPv4"],
        "clusterIP": "10.96.0.77",
        "externalIPs": ["1.2.3.4"],
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
    },
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
    "spec": {
        "replicas": 2,
        "selector": {
            "matchLabels": {"app": "a"},
            "matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}],
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
    },
}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "a", "labels": {"kubernetes.io/service-name": "a"}},
    "addressType": "IPv4",
    "endpoints": [
        {"addresses": ["10.1.2.3"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "a"}}
    ],
    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
}
ENDPOINTS = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {"name": "a"},
    "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}],
}
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a"},
    "data": {"k": "v"},
    "binaryData": {"b": "AA=="},
}
INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "a"},
    "spec": {
        "rules": [
            {
                "host": "a.example.com",
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "a", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ],
        "tls": [{"hosts": ["a.example.com"], "secretName": "s"}],
    },
}
OPTIONS = {
    "kind": "DeleteOptions",
    "apiVersion": "v1",
    "gracePeriodSeconds": 0,
    "propagationPolicy": "Foreground",
    "preconditions": {"uid": "u", "resourceVersion": "1"},
}
SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 3}}
BINDING = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
JSON_PATCH = [
    {"op": "add", "path": "/metadata/labels/x", "value": "y"},
    {"op": "move", "from": "/spec", "path": "/metadata/annotations/n"},
    {"op": "test", "path": "/metadata/name", "value": "a"},
]
STRATEGIC_PATCH = {
    "metadata": {"$retainKeys": ["name"], "finalizers": ["f"], "$deleteFromPrimitiveList/finalizers": ["f"]},
    "spec": {
        "$setElementOrder/containers": [{"name": "c"}],
        "containers": [{"name": "c", "image": "x"}, {"name": "d", "$patch": "delete"}],
        "ports": [{"port": 80, "$patch": "replace"}],
    },
}

NAMESPACED = "/api/v1/namespaces/default"
COLLECTIONS = {
    f"{NAMESPACED}/pods": POD,
    f"{NAMESPACED}/services": SERVICE,
    f"{NAMESPACED}/endpoints": ENDPOINTS,
    f"{NAMESPACED}/configmaps": CONFIG_MAP,
    "/apis/apps/v1/namespaces/default/deployments": DEPLOYMENT,
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices": SLICE,
    "/apis/networking.k8s.io/v1/namespaces/default/ingresses": INGRESS,
}
SUBRESOURCES = [
    "",
    "",
    "",
    "/status",
    "/scale",
    "/log",
    "/exec",
    "/binding",
    "/eviction",
    "/proxy/x",
    "/ephemeralcontainers",
]
TYPES = [
    "application/json",
    "application/yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
    "",
]
ACCEPTED = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "*/*;q=x",
    "",
]
PARAMETERS = {
    "watch": ["true", "false", "x"],
    "resourceVersion": ["0", "1", "-1", "x", "99999999999999999999"],
    "resourceVersionMatch": ["Exact", "NotOlderThan", "x"],
    "limit": ["1", "-1", "x"],
    "continue": ["x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIifQ"],
    "labelSelector": ["a=b", "a in (b", "!a", "a>1", ",", "a in (b,c),d notin (e)"],
    "fieldSelector": ["metadata.name=a", "x=y", "=", "status.phase!=Running"],
    "timeoutSeconds": ["1", "-5", "x"],
    "sendInitialEvents": ["true", "x"],
    "allowWatchBookmarks": ["true"],
    "dryRun": ["All", "x"],
    "fieldManager": ["me", "x" * 200],
    "force": ["true", "x"],
    "fieldValidation": ["Strict", "Warn", "Ignore", "x"],
    "gracePeriodSeconds": ["0", "-1", "x"],
    "propagationPolicy": ["Orphan", "x"],
    "orphanDependents": ["true", "x"],
    "includeObject": ["None", "x"],
    "pretty": ["true"],
    "command": ["ls"],
}
WORDS = st.sampled_from(
    ["", "a", "-", "A b", "name", "10.0.0.1", "25%", "1e3", "é", "x" * 300, "$patch", "2026-01-01T00:00:00Z", "\x00"]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70000), st.sampled_from([2**63, -(2**70), 0.5, 1e300]), WORDS
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2), max_leaves=4
)


def places(value: Json, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a document, itself first."""
    inner: list[tuple[Any, Json]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def put(value: Json, place: tuple[Any, ...], new: Json) -> Json:
    if not place:
        return new
    key, *rest = place
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[key] = put(value[key], tuple(rest), new)
    return copy


@st.composite
def mutated(draw: st.DrawFn, document: Json) -> Json:
    """A document with up to three parts of it replaced or taken over by another."""
    for _ in range(draw(st.integers(0, 3))):
        known = places(document)
        place = draw(st.sampled_from(known))
        part = document
        for key in place:
            part = part[key]
        renamed = (
            {("x" if draw(st.booleans()) else key): each for key, each in part.items()}
            if isinstance(part, dict)
            else [part]
        )
        document = put(document, place, draw(st.one_of(ANYTHING, st.just(renamed))))
    return document


@st.composite
def requests(draw: st.DrawFn) -> http.Request:
    collection = draw(st.sampled_from(sorted(COLLECTIONS)))
    method = draw(st.sampled_from(["POST", "POST", "PUT", "PATCH", "PATCH", "PATCH", "DELETE", "GET", "HEAD", "BREW"]))
    path = collection
    if method not in ("POST",) or draw(st.integers(0, 5)) == 0:
        path += draw(st.sampled_from(["/a", "/a", "/a", "", "/b", "/%2e", "//", "/a/b/c"])) + draw(
            st.sampled_from(SUBRESOURCES)
        )
    if draw(st.integers(0, 8)) == 0:
        parts = path.split("/")
        parts[draw(st.integers(0, len(parts) - 1))] = draw(WORDS)
        path = "/".join(parts)
    document = draw(
        st.sampled_from(
            [COLLECTIONS[collection]] * 4 + [OPTIONS, SCALE, BINDING, JSON_PATCH, STRATEGIC_PATCH, POD, SERVICE]
        )
    )
    body = json.dumps(draw(mutated(document))).encode()
    if draw(st.integers(0, 15)) == 0:
        body = draw(
            st.one_of(st.binary(max_size=20), st.just(body[:-3]), st.just(b"k8s\x00" + body), st.just(b"{}" * 3))
        )
    names = draw(st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=2))
    query = tuple((name, draw(st.sampled_from(PARAMETERS[name]))) for name in names)
    kind = draw(st.sampled_from(TYPES)) if method == "PATCH" or draw(st.integers(0, 5)) == 0 else "application/json"
    headers = {"content-type": kind, "accept": draw(st.sampled_from(ACCEPTED))}
    return http.Request(method=method, path=path, query=query, headers=headers, body=body)


def answer(server: Any, request: http.Request) -> http.Response:
    found = server.handle(request)
    assert found.status != 500, found.body
    assert 200 <= found.status < 600
    return found


FIRST = [
    http.request("POST", collection, {**document, "metadata": {**document["metadata"], "name": "a"}})
    for collection, document in COLLECTIONS.items()
]


@settings(max_examples=120, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(requests(), min_size=1, max_size=8))
def test_it_always_answers(sent: list[http.Request]) -> None:
    bare = replaying.Bare(controllers=False)
    bare.api.client("kube").create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    for each in FIRST:
        assert answer(bare.api, each).status == 201
    streams = []
    for each in sent:
        found = answer(bare.api, each)
        if found.stream is not None:
            streams.append(found.stream)
        bare.world.drain()
    bare.world.advance(61)
    for stream in streams:
        stream.read()
        stream.close()
    for collection in COLLECTIONS:
        listed = answer(bare.api, http.request("GET", collection))
        assert listed.status == 200
        json.loads(listed.body)


WATCHABLE = sorted(name for name, each in schema.RESOURCES.items() if "watch" in each.verbs)


@pytest.mark.parametrize("accept", ["", ";as=Table;v=v1;g=meta.k8s.io", ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"])
def test_every_resource_sends_bookmarks(accept: str) -> None:
    bare = replaying.Bare(controllers=False)
    streams = {}
    for name in WATCHABLE:
        each = schema.RESOURCES[name]
        for version in each.versions:
            if bare.api.served.find(each.group, version, each.plural) is None:
                continue
            root = f"/apis/{each.group}/{version}" if each.group else f"/api/{version}"
            url = f"{root}/{each.plural}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true"
            found = answer(
                bare.api,
                http.request(
                    "GET", f"{url}&resourceVersionMatch=NotOlderThan", headers={"accept": f"application/json{accept}"}
                ),
            )
            assert found.stream is not None, (url, found.body)
            streams[url] = found.stream
    bare.world.advance(61)
    assert len(streams) > 40
    for url, stream in streams.items():
        kinds = [json.loads(line)["type"] for line in (stream.read() or b"").splitlines()]
        assert kinds.count("BOOKMARK") == 2, (url, kinds)
