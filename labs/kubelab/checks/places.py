"""The addresses of a place, asked of the place itself: of the API for a pod, of `ip addr` for a machine."""

from __future__ import annotations

import re
from typing import Any

from kubelab.checks import state
from kubelab.checks.marking import Subject
from kubesim.errors import LearnerError

_ADDRESS = re.compile(r"\binet6? ([0-9a-fA-F.:]+)/")


def addresses(subject: Subject, place: str) -> list[str]:
    """The addresses of "pod/NAME", "pod/NAMESPACE/NAME", "node/NAME", "node" (all nodes) or "outside", sorted; a place that is
    none of these is an address itself.  LearnerError if there is no such pod or node."""
    kind, _, rest = place.partition("/")
    if kind == "pod" and rest:
        return pod_addresses(subject, rest)
    if place == "outside":
        return _of_machine(subject.port.run_outside("ip -o addr").stdout)
    if kind == "node":
        names = [rest] if rest else nodes(subject)
        return sorted(
            {each for node in names for each in _of_machine(subject.port.run_on_node(node, "ip -o addr").stdout)}
        )
    return [place]


def name(place: str) -> str:
    """A place in words: "any node", "pod client"."""
    if place == "node":
        return "a node"
    return place.replace("/", " ", 1)


def nodes(subject: Subject) -> list[str]:
    """The names of the cluster's nodes, sorted."""
    return [each["metadata"]["name"] for each in state.listed(subject, "Node")]


def pod_addresses(subject: Subject, pod: str) -> list[str]:
    """The addresses of the pod "NAME" or "NAMESPACE/NAME".  LearnerError if it is not there or has none."""
    found = state.read(subject, "Pod", pod)
    if found is None:
        raise LearnerError(f"The check looks at pod “{pod}”, and there is none.")
    given = _pod_ips(found)
    if not given:
        raise LearnerError(f"Pod “{pod}” has no address yet (it is {found['status'].get('phase')}).")
    return given


def ready_addresses(subject: Subject, labels: str) -> list[str]:
    """The addresses of the lab's ready pods that carry these labels ("app=web"), sorted."""
    ready = [
        pod
        for pod in state.listed(subject, "Pod", labels)
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    ]
    return sorted(each for pod in ready for each in _pod_ips(pod))


def _pod_ips(pod: dict[str, Any]) -> list[str]:
    return sorted(each["ip"] for each in pod["status"].get("podIPs", []))


def _of_machine(listing: str) -> list[str]:
    found = [each for each in _ADDRESS.findall(listing) if each not in ("127.0.0.1", "::1")]
    return sorted(dict.fromkeys(found))
