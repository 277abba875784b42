"""Does a pod go with a node? Selectors, affinity, taints: pure questions that the scheduler and DaemonSets ask.

Source: `staging/src/k8s.io/component-helpers/scheduling/corev1` (nodeaffinity, helpers.go), `pkg/apis/core/v1/helper`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kubesim.client import Object
from kubesim.machinery import objects

REPELLING = ("NoSchedule", "NoExecute")


def tolerates(toleration: Object, taint: Object) -> bool:
    """Toleration.ToleratesTaint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated(
    taints: Iterable[Object], tolerations: Iterable[Object], effects: Iterable[str] = REPELLING
) -> Object | None:
    """The first taint of these effects that nothing tolerates."""
    tolerations = list(tolerations)
    for taint in taints:
        if taint["effect"] in effects and not any(tolerates(each, taint) for each in tolerations):
            return taint
    return None


def taints(node: Object) -> list[Object]:
    return node["spec"].get("taints") or [] if node.get("spec") else []


def tolerations(pod: Object) -> list[Object]:
    return pod["spec"].get("tolerations") or []


def _in(value: str | None, values: list[str]) -> bool:
    return value is not None and value in values


def _compares(value: str | None, values: list[str], greater: bool) -> bool:
    try:
        number, limit = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return number > limit if greater else number < limit


OPERATORS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": _in,
    "NotIn": lambda value, values: not _in(value, values),
    "Exists": lambda value, _values: value is not None,
    "DoesNotExist": lambda value, _values: value is None,
    "Gt": lambda value, values: _compares(value, values, greater=True),
    "Lt": lambda value, values: _compares(value, values, greater=False),
}


def term_matches(term: Object, node: Object) -> bool:
    """One NodeSelectorTerm.  An empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    labels = objects.labels(node)
    known = {"metadata.name": objects.name(node)}
    return all(
        OPERATORS[each["operator"]](labels.get(each["key"]), each.get("values") or []) for each in expressions
    ) and all(OPERATORS[each["operator"]](known.get(each["key"]), each.get("values") or []) for each in fields)


def node_affinity(pod: Object) -> Object:
    return (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}


def selects_node(pod: Object, node: Object) -> bool:
    """GetRequiredNodeAffinity(pod).Match(node): spec.nodeSelector, and any of the required terms."""
    wanted = pod["spec"].get("nodeSelector") or {}
    if not wanted.items() <= objects.labels(node).items():
        return False
    required = node_affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(term_matches(each, node) for each in required.get("nodeSelectorTerms") or ())
