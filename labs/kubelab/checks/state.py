"""Checks of state: an object of the API matches in part what is expected.

A mismatch says the field's path, what was expected and what is there (as Chainsaw does).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kubelab.checks.marking import Check, Finding, Subject

# Kind -> (class of the official client, the method's noun).  What the labs look at; more are a line each.
KINDS = {
    "ConfigMap": ("CoreV1Api", "config_map"),
    "DaemonSet": ("AppsV1Api", "daemon_set"),
    "Deployment": ("AppsV1Api", "deployment"),
    "Endpoints": ("CoreV1Api", "endpoints"),
    "EndpointSlice": ("DiscoveryV1Api", "endpoint_slice"),
    "Ingress": ("NetworkingV1Api", "ingress"),
    "IngressClass": ("NetworkingV1Api", "ingress_class"),
    "Job": ("BatchV1Api", "job"),
    "Namespace": ("CoreV1Api", "namespace"),
    "NetworkPolicy": ("NetworkingV1Api", "network_policy"),
    "Node": ("CoreV1Api", "node"),
    "Pod": ("CoreV1Api", "pod"),
    "ReplicaSet": ("AppsV1Api", "replica_set"),
    "Secret": ("CoreV1Api", "secret"),
    "Service": ("CoreV1Api", "service"),
    "StatefulSet": ("AppsV1Api", "stateful_set"),
}
CLUSTER_WIDE = frozenset({"IngressClass", "Namespace", "Node"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field that is not as expected; `path` as kubectl's JSONPath would write it."""

    path: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        there = "is not there" if self.actual is None else f"is {_show(self.actual)}"
        return f"{self.path} {there}, expected {_show(self.expected)}"


def state(
    kind: str, name: str, expected: dict[str, Any], *, success: str = "", failure: str = "", weight: float = 1.0
) -> Check:
    """The object `kind`/`name` ("NAME" in the lab's namespace, or "NAMESPACE/NAME") has at least these fields.  `failure` comes
    before the field's mismatch."""

    def check(subject: Subject) -> Finding:
        obj = read(subject, kind, name)
        if obj is None:
            return _none(subject, kind, name, weight)
        found = next(mismatches(expected, obj), None)
        if found is None:
            return Finding(passed=True, message=success or f"{kind} “{name}” is as it should be.", weight=weight)
        return Finding(
            passed=False,
            message=failure or f"{kind} “{name}” is not yet right.",
            explanation=f"{found}.",
            weight=weight,
        )

    return check


def matches(
    kind: str, name: str, holds: Callable[[dict[str, Any]], bool], *, success: str, failure: str, weight: float = 1.0
) -> Check:
    """The object is there, and a predicate over its JSON holds: for what no partial match can say."""

    def check(subject: Subject) -> Finding:
        obj = read(subject, kind, name)
        if obj is None:
            return _none(subject, kind, name, weight)
        passed = holds(obj)
        return Finding(passed=passed, message=success if passed else failure, weight=weight)

    return check


def absent(kind: str, name: str, *, success: str = "", failure: str, weight: float = 1.0) -> Check:
    """There is no such object."""

    def check(subject: Subject) -> Finding:
        gone = read(subject, kind, name) is None
        return Finding(
            passed=gone, message=(success or f"{kind} “{name}” is gone.") if gone else failure, weight=weight
        )

    return check


def split(subject: Subject, name: str) -> tuple[str, str]:
    """Namespace and name of "NAME" (the lab's namespace) or "NAMESPACE/NAME"."""
    namespace, _, plain = name.rpartition("/")
    return namespace or subject.port.namespace, plain


def read(subject: Subject, kind: str, name: str) -> dict[str, Any] | None:
    """The object "NAME", or "NAMESPACE/NAME", as the API's JSON, or None."""
    from kubernetes import client

    api = subject.port.api_client()
    group, noun = KINDS[kind]
    methods = getattr(client, group)(api)
    namespace, plain = split(subject, name)
    try:
        if kind in CLUSTER_WIDE:
            found = getattr(methods, f"read_{noun}")(plain)
        else:
            found = getattr(methods, f"read_namespaced_{noun}")(plain, namespace)
    except client.ApiException as error:
        if error.status == 404:
            return None
        raise
    return api.sanitize_for_serialization(found)


def listed(subject: Subject, kind: str, labels: str = "", namespace: str = "") -> list[dict[str, Any]]:
    """The objects of a namespace (default: the lab's) as the API's JSON, by name."""
    from kubernetes import client

    api = subject.port.api_client()
    group, noun = KINDS[kind]
    methods = getattr(client, group)(api)
    if kind in CLUSTER_WIDE:
        found = getattr(methods, f"list_{noun}")(label_selector=labels)
    else:
        found = getattr(methods, f"list_namespaced_{noun}")(namespace or subject.port.namespace, label_selector=labels)
    return sorted(api.sanitize_for_serialization(found)["items"], key=lambda obj: obj["metadata"]["name"])


def _none(subject: Subject, kind: str, name: str, weight: float) -> Finding:
    namespace, plain = split(subject, name)
    where = "" if kind in CLUSTER_WIDE else f" in namespace {namespace}"
    return Finding(passed=False, message=f"There is no {kind} “{plain}”{where}.", weight=weight)


def mismatches(expected: Any, actual: Any, path: str = "") -> Iterator[Mismatch]:
    """Where `actual` lacks what `expected` says.  Mappings match in part; each item of a list must match one there."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield Mismatch(path or ".", expected, actual)
            return
        for key, value in expected.items():
            yield from mismatches(value, actual.get(key), f"{path}{_segment(key)}")
    elif isinstance(expected, list):
        for index, item in enumerate(expected):
            candidates = actual if isinstance(actual, list) else []
            tried = [
                list(mismatches(item, candidate, f"{path}[{number}]")) for number, candidate in enumerate(candidates)
            ]
            if any(not each for each in tried):
                continue
            if len(tried) == 1:
                yield from tried[0]
            else:
                yield Mismatch(f"{path}[{index}]", item, actual)
    elif expected != actual:
        yield Mismatch(path or ".", expected, actual)


def _segment(key: str) -> str:
    return f".{key}" if re.fullmatch(r"[A-Za-z_]\w*", key) else f"['{key}']"


def _show(value: Any) -> str:
    return f"“{value}”" if isinstance(value, str) else str(value)
