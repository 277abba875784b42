"""Resources of a cluster as plain JSON, whichever version of their group the server has.

The official client's models speak for the newest version alone; a picture of a cluster of 2020 needs its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubelab.port import Port

Object = dict[str, Any]

# API groups, and their versions that the labs know: the first that the server has is taken.
VERSIONS = {
    "": ("v1",),
    "apps": ("v1",),
    "batch": ("v1",),
    "discovery.k8s.io": ("v1", "v1beta1"),
    "networking.k8s.io": ("v1", "v1beta1"),
}

# The kinds that checks look at: group and plural, and whether a namespace holds them.  More are a line each.
KINDS = {
    "ConfigMap": ("", "configmaps", True),
    "DaemonSet": ("apps", "daemonsets", True),
    "Deployment": ("apps", "deployments", True),
    "Endpoints": ("", "endpoints", True),
    "EndpointSlice": ("discovery.k8s.io", "endpointslices", True),
    "Event": ("", "events", True),
    "Ingress": ("networking.k8s.io", "ingresses", True),
    "IngressClass": ("networking.k8s.io", "ingressclasses", False),
    "Job": ("batch", "jobs", True),
    "Namespace": ("", "namespaces", False),
    "NetworkPolicy": ("networking.k8s.io", "networkpolicies", True),
    "Node": ("", "nodes", False),
    "Pod": ("", "pods", True),
    "ReplicaSet": ("apps", "replicasets", True),
    "Secret": ("", "secrets", True),
    "Service": ("", "services", True),
    "StatefulSet": ("apps", "statefulsets", True),
}

# How long a watch may be silent before it is taken to have told all that is past: (connect, read) in seconds.
SILENCE = (5, 0.4)


class Gone(Exception):
    """The server has forgotten what was written since then (410)."""


class Resource:
    """One resource of a namespace, or of the whole cluster ("")."""

    def __init__(self, port: Port, group: str, version: str, plural: str, namespace: str) -> None:
        from kubernetes import client

        where = [namespace] if namespace else []
        if group:
            custom = client.CustomObjectsApi(port.api_client())
            call: Callable[..., Any] = (
                custom.list_namespaced_custom_object if namespace else custom.list_cluster_custom_object
            )
            self._call = partial(call, group, version, *where, plural, _preload_content=False)
        else:
            # The client names its methods in the singular.
            words = {"endpoints": "endpoints", "configmaps": "config_map"}
            noun = words.get(plural, plural.removesuffix("s"))
            name = f"list_namespaced_{noun}" if namespace else f"list_{noun}"
            self._call = partial(
                getattr(client.CoreV1Api(port.api_client()), name), *where, _preload_content=False
            )

    def list(self, labels: str = "", fields: str = "") -> tuple[int, list[Object]]:
        """The revision, and the objects (with their kind) that the selectors choose."""
        found = json.loads(self._call(label_selector=labels, field_selector=fields).data)
        kind = found["kind"].removesuffix("List")
        return int(found["metadata"]["resourceVersion"]), [{**each, "kind": kind} for each in found.get("items") or []]

    def watch(self, since: int) -> Iterator[tuple[str, Object]]:
        """What was written after that revision: ADDED, MODIFIED or DELETED, and the object."""
        import urllib3.exceptions
        from kubernetes.client import ApiException

        try:
            answer = self._call(watch=True, resource_version=str(since), timeout_seconds=1, _request_timeout=SILENCE)
        except ApiException as error:
            if error.status == 410:
                raise Gone from None
            raise
        rest = b""
        try:
            for chunk in answer.stream():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    told = json.loads(line)
                    if told["type"] == "ERROR":
                        raise Gone
                    if told["type"] != "BOOKMARK":
                        yield told["type"], told["object"]
        except urllib3.exceptions.TimeoutError:
            pass
        finally:
            answer.release_conn()


def find(port: Port, group: str, plural: str, namespace: str | None = None) -> Resource | None:
    """The resource of a namespace (default: the lab's; "": the whole cluster's) in the newest version that both sides know, or
    None if the server has none of it."""
    from kubernetes.client import ApiException

    versions = VERSIONS[group]
    for version in versions:
        resource = Resource(port, group, version, plural, port.namespace if namespace is None else namespace)
        if len(versions) == 1:
            return resource
        try:
            resource.list()
        except ApiException as error:
            if error.status != 404:
                raise
        else:
            return resource
    return None


def items(port: Port, group: str, plural: str) -> list[Object]:
    """The objects there are."""
    resource = find(port, group, plural)
    return resource.list()[1] if resource is not None else []


def objects(port: Port, kind: str, namespace: str, labels: str, fields: str) -> list[Object]:
    """`Port.objects`, through the official client."""
    group, plural, namespaced = KINDS[kind]
    resource = find(port, group, plural, (namespace or port.namespace) if namespaced else "")
    return by_name(resource.list(labels, fields)[1]) if resource is not None else []


def by_name(found: list[Object]) -> list[Object]:
    return sorted(found, key=lambda obj: str(obj["metadata"]["name"]))


def slices(port: Port) -> list[Object]:
    """The EndpointSlices; on a server without them (before 1.17) its Endpoints in their shape."""
    if find(port, "discovery.k8s.io", "endpointslices") is not None:
        return items(port, "discovery.k8s.io", "endpointslices")
    return [_as_slice(each, subset) for each in items(port, "", "endpoints") for subset in each.get("subsets") or [{}]]


def _as_slice(endpoints: Object, subset: Object) -> Object:
    ready, unready = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
    return {
        "kind": "Endpoints",
        "metadata": {
            "name": endpoints["metadata"]["name"],
            "labels": {"kubernetes.io/service-name": endpoints["metadata"]["name"]},
        },
        "ports": subset.get("ports") or [],
        "endpoints": [
            {"addresses": [each["ip"]], "conditions": {"ready": is_ready}}
            for is_ready, listed in ((True, ready), (False, unready))
            for each in listed
        ],
    }
