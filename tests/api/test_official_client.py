"""The official client's own calls, generated and dynamic, on every resource: create, read, list, watch, patch, delete."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from kubesim.cluster import Cluster
from kubesim.fronts import inprocess

kubernetes = pytest.importorskip("kubernetes")
from kubernetes import client, dynamic, watch  # noqa: E402
from kubernetes.dynamic.discovery import LazyDiscoverer  # noqa: E402

LABELS = {"app": "a"}
POD = {"containers": [{"name": "c", "image": "nginx"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
ONCE = {"metadata": {"labels": LABELS}, "spec": {**POD, "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": LABELS}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
REGARDING = {"apiVersion": "v1", "kind": "Pod", "name": "x", "namespace": "kube-public"}
CRD = {
    "metadata": {"name": "gadgets.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Gadget", "plural": "gadgets"},
        "scope": "Namespaced",
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
# apiVersion, kind -> what there is beside the name.
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("v1", "Namespace"): {},
    ("v1", "Node"): {},
    ("v1", "Pod"): {"spec": POD},
    ("v1", "Service"): {"spec": {"ports": [{"port": 80}], "selector": LABELS}},
    ("v1", "Endpoints"): {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]},
    ("v1", "Event"): {"involvedObject": {**REGARDING, "namespace": "default"}, "reason": "Seen", "message": "m"},
    ("v1", "ConfigMap"): {"data": {"k": "v"}},
    ("v1", "Secret"): {"stringData": {"k": "v"}},
    ("v1", "ServiceAccount"): {},
    ("v1", "ReplicationController"): {"spec": {"replicas": 1, "selector": LABELS, "template": TEMPLATE}},
    ("v1", "PersistentVolumeClaim"): {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    ("v1", "PersistentVolume"): {
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
    },
    ("v1", "LimitRange"): {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    ("v1", "ResourceQuota"): {"spec": {"hard": {"pods": "100"}}},
    ("v1", "PodTemplate"): {"template": TEMPLATE},
    ("apps/v1", "Deployment"): {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    ("apps/v1", "ReplicaSet"): {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    ("apps/v1", "StatefulSet"): {"spec": {"serviceName": "a", "selector": SELECTOR, "template": TEMPLATE}},
    ("apps/v1", "DaemonSet"): {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    ("apps/v1", "ControllerRevision"): {"revision": 1, "data": {"a": 1}},
    ("batch/v1", "Job"): {"spec": {"template": ONCE}},
    ("batch/v1", "CronJob"): {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": ONCE}}}},
    ("networking.k8s.io/v1", "Ingress"): {
        "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}
    },
    ("networking.k8s.io/v1", "IngressClass"): {"spec": {"controller": "example.com/c"}},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"spec": {"podSelector": {}}},
    ("networking.k8s.io/v1", "ServiceCIDR"): {"spec": {"cidrs": ["10.200.0.0/24"]}},
    ("networking.k8s.io/v1", "IPAddress"): {
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": "default", "name": "kubernetes"}}
    },
    ("discovery.k8s.io/v1", "EndpointSlice"): {
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"port": 80}],
    },
    ("rbac.authorization.k8s.io/v1", "Role"): {
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    },
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): {
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    },
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): {"roleRef": ROLE},
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): {"roleRef": ROLE},
    ("coordination.k8s.io/v1", "Lease"): {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}},
    ("events.k8s.io/v1", "Event"): {
        "regarding": REGARDING, "reason": "Seen", "action": "Look", "type": "Normal", "note": "m",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/c", "reportingInstance": "c-0",
    },
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): CRD,
    ("policy/v1", "PodDisruptionBudget"): {"spec": {"minAvailable": 1, "selector": SELECTOR}},
    ("scheduling.k8s.io/v1", "PriorityClass"): {"value": 5},
    ("storage.k8s.io/v1", "StorageClass"): {"provisioner": "example.com/p"},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
    },
    ("autoscaling/v1", "HorizontalPodAutoscaler"): {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
    },
}  # fmt: skip
# Where nobody records events of the older kind, which have no eventTime: this client stumbles over those on any cluster.
QUIET = {"events.k8s.io/v1": "kube-public"}
NAMES = {"IPAddress": "10.96.7.7", "CustomResourceDefinition": "gadgets.example.com"}
CASES = [pytest.param(*each, id=f"{each[0]}-{each[1]}".replace("/", "-")) for each in OBJECTS]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster("bare")


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Any:
    return inprocess.api_client(cluster)


@pytest.fixture(scope="module")
def dynamic_client(api: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    cache: Path = tmp_path_factory.mktemp("discovery") / "cache.json"
    return dynamic.DynamicClient(api, cache_file=str(cache), discoverer=LazyDiscoverer)


def sample(version: str, kind: str, name: str) -> dict[str, Any]:
    body = copy.deepcopy(OBJECTS[version, kind])
    metadata = {**body.pop("metadata", {}), "name": NAMES.get(kind, name)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def snake(kind: str) -> str:
    """As the generator names it: ServiceCIDR is service_cidr, IPAddress ip_address."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()


class Generated:
    """The calls of one kind in the generated client."""

    def __init__(self, api: Any, version: str, kind: str) -> None:
        group, _, number = version.rpartition("/")
        parts = "".join(part.capitalize() for part in re.split(r"[.]", group.removesuffix(".k8s.io"))) or "Core"
        self.api = getattr(client, f"{parts}{number.capitalize()}Api")(api)
        self.kind = snake(kind)
        self.scope = () if hasattr(self.api, f"create_{self.kind}") else (QUIET.get(version, "default"),)

    def __call__(self, verb: str, *args: Any, **more: Any) -> Any:
        return self.method(verb)(*args, *self.scope, **more)

    def method(self, verb: str) -> Any:
        return getattr(self.api, f"{verb}_{'namespaced_' if self.scope else ''}{self.kind}")


def gone(cluster: Cluster, read: Any) -> bool:
    """Controllers take finalizers away in their own time."""
    for _ in range(30):
        try:
            read()
        except client.ApiException as error:
            return error.status == 404
        cluster.advance(2)
    return False


@pytest.mark.parametrize(("version", "kind"), CASES)
def test_the_generated_client(cluster: Cluster, api: Any, version: str, kind: str) -> None:
    calls = Generated(api, version, kind)
    body = sample(version, kind, "gen")
    name = body["metadata"]["name"]
    made = calls.method("create")(*calls.scope, body)
    assert (made.metadata.name, made.kind, made.api_version) == (name, kind, version)
    read = calls("read", name)
    assert read.metadata.uid == made.metadata.uid
    listed = calls("list")
    assert name in [each.metadata.name for each in listed.items]
    # What was read can be sent back as it is, with something changed.
    read = calls("read", name)
    read.metadata.labels = {**(read.metadata.labels or {}), "replaced": "yes"}
    replaced = calls.method("replace")(name, *calls.scope, read)
    assert replaced.metadata.labels["replaced"] == "yes"
    patched = calls.method("patch")(name, *calls.scope, {"metadata": {"labels": {"patched": "yes"}}})
    assert patched.metadata.labels["patched"] == patched.metadata.labels["replaced"] == "yes"
    seen = []
    stream = watch.Watch()
    since = listed.metadata.resource_version
    for event in stream.stream(calls.method("list"), *calls.scope, resource_version=since, timeout_seconds=5):
        if event["object"].metadata.name == name:
            seen.append((event["type"], event["object"].metadata.labels.get("patched")))
            if seen[-1][1]:
                stream.stop()
    assert seen[-1] == ("MODIFIED", "yes")
    calls("delete", name)
    assert gone(cluster, lambda: calls("read", name))


@pytest.mark.parametrize(("version", "kind"), CASES)
def test_the_dynamic_client(cluster: Cluster, dynamic_client: Any, version: str, kind: str) -> None:
    resource = dynamic_client.resources.get(api_version=version, kind=kind)
    scope = {"namespace": QUIET.get(version, "default")} if resource.namespaced else {}
    body = sample(version, kind, "dyn")
    name = body["metadata"]["name"]
    made = resource.create(body=body, **scope)
    assert (made.metadata.name, made.kind, made.apiVersion) == (name, kind, version)
    assert resource.get(name=name, **scope).metadata.uid == made.metadata.uid
    listed = resource.get(**scope)
    assert name in [each.metadata.name for each in listed.items]
    there = resource.get(name=name, **scope).to_dict()
    there["metadata"].setdefault("labels", {})["replaced"] = "yes"
    resource.replace(body=there, name=name, **scope)
    patch = {"metadata": {"labels": {"patched": "yes"}}}
    patched = resource.patch(body=patch, name=name, content_type="application/merge-patch+json", **scope)
    assert patched.metadata.labels.to_dict() == {
        **patched.metadata.labels.to_dict(),
        "patched": "yes",
        "replaced": "yes",
    }
    watcher = watch.Watch()
    since = listed.metadata.resourceVersion
    for event in resource.watch(resource_version=since, timeout=5, watcher=watcher, **scope):
        if event["raw_object"]["metadata"]["name"] == name:
            last = event
            if "patched" in event["raw_object"]["metadata"].get("labels", {}):
                watcher.stop()
    assert (last["type"], last["raw_object"]["metadata"]["labels"]["patched"]) == ("MODIFIED", "yes")
    applied = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": {"applied": "yes"}}}
    done = dynamic_client.server_side_apply(resource, body=applied, name=name, field_manager="me", **scope)
    assert done.metadata.labels["applied"] == "yes"
    resource.delete(name=name, **scope)
    assert gone(cluster, lambda: resource.get(name=name, **scope))


@pytest.mark.parametrize(
    ("call", "body", "field"),
    [
        (
            "create_self_subject_access_review",
            {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}},
            "allowed",
        ),
        ("create_self_subject_rules_review", {"spec": {"namespace": "default"}}, "resource_rules"),
        (
            "create_subject_access_review",
            {"spec": {"user": "u", "groups": ["system:masters"], "resourceAttributes": {"verb": "list"}}},
            "allowed",
        ),
    ],
)
def test_reviews(api: Any, call: str, body: dict[str, Any], field: str) -> None:
    assert getattr(getattr(client.AuthorizationV1Api(api), call)(body).status, field)


def test_an_event_is_one_whatever_it_is_called(cluster: Cluster, api: Any) -> None:
    older, newer = client.CoreV1Api(api), client.EventsV1Api(api)
    body = sample("events.k8s.io/v1", "Event", "one")
    newer.create_namespaced_event("kube-public", body)
    read = older.read_namespaced_event("one", "kube-public")
    assert (read.message, read.involved_object.name, read.reporting_component) == ("m", "x", "example.com/c")
    found = newer.list_namespaced_event("kube-public", field_selector="regarding.name=x")
    assert [each.metadata.name for each in found.items] == ["one"]
    older.delete_namespaced_event("one", "kube-public")
    assert not newer.list_namespaced_event("kube-public").items


def test_an_autoscaler_is_one_in_both_versions(cluster: Cluster, api: Any) -> None:
    first, second = client.AutoscalingV1Api(api), client.AutoscalingV2Api(api)
    body = sample("autoscaling/v1", "HorizontalPodAutoscaler", "one")
    body["spec"]["targetCPUUtilizationPercentage"] = 60
    first.create_namespaced_horizontal_pod_autoscaler("default", body)
    (metric,) = second.read_namespaced_horizontal_pod_autoscaler("one", "default").spec.metrics
    assert (metric.resource.name, metric.resource.target.average_utilization) == ("cpu", 60)
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }
    second.patch_namespaced_horizontal_pod_autoscaler("one", "default", {"spec": {"metrics": [memory]}})
    read = first.read_namespaced_horizontal_pod_autoscaler("one", "default")
    assert read.spec.target_cpu_utilization_percentage is None
    # Sent back as it is, nothing is lost.
    first.replace_namespaced_horizontal_pod_autoscaler("one", "default", read)
    (metric,) = second.read_namespaced_horizontal_pod_autoscaler("one", "default").spec.metrics
    assert metric.resource.name == "memory"
