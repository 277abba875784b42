"""Resources of the lab's namespace as plain JSON, whichever version of their group the server has.

The official client's models speak for the newest version alone; a picture of a cluster of 2020 needs its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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

# How long a watch may be silent before it is taken to have told all that is past: (connect, read) in seconds.
SILENCE = (5, 0.4)


class Gone(Exception):
    """The server has forgotten what was written since then (410)."""


class Resource:
    """One resource of the lab's namespace."""

    def __init__(self, port: Port, group: str, version: str, plural: str) -> None:
        from kubernetes import client

        if group:
            call = client.CustomObjectsApi(port.api_client()).list_namespaced_custom_object
            self._call: Callable[..., Any] = lambda **more: call(
                group, version, port.namespace, plural, _preload_content=False, **more
            )
        else:
            # The client names its methods in the singular.
            noun = plural if plural == "endpoints" else plural.removesuffix("s")
            named = getattr(client.CoreV1Api(port.api_client()), f"list_namespaced_{noun}")
            self._call = lambda **more: named(port.namespace, _preload_content=False, **more)

    def list(self) -> tuple[int, list[Object]]:
        """The revision, and the objects (with their kind)."""
        found = json.loads(self._call().data)
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


def find(port: Port, group: str, plural: str) -> Resource | None:
    """The resource in the newest version that both sides know, or None if the server has none of it."""
    from kubernetes.client import ApiException

    versions = VERSIONS[group]
    for version in versions:
        resource = Resource(port, group, version, plural)
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
