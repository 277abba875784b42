"""Scores: how good a node is for a pod, 0 to 100 each, times the plugin's weight.

Sources: `pkg/scheduler/framework/plugins/*`; weights from `pkg/scheduler/apis/config/v1/default_plugins.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from kubesim.client import Object
from kubesim.machinery import objects
from kubesim.scheduler import matching, snapshot
from kubesim.scheduler.snapshot import NodeInfo

MOST = 100
Score = Callable[[Object, list[NodeInfo]], list[float]]


def taint_toleration(pod: Object, nodes: list[NodeInfo]) -> list[float]:
    """The fewer taints of PreferNoSchedule that it does not tolerate, the better."""
    tolerations = matching.tolerations(pod)
    counts = [
        sum(
            matching.untolerated([each], tolerations, ("PreferNoSchedule",)) is not None
            for each in matching.taints(one.node)
        )
        for one in nodes
    ]
    return _normalized(counts, reverse=True)


def node_affinity(pod: Object, nodes: list[NodeInfo]) -> list[float]:
    preferred = matching.node_affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") or []
    weights = [
        sum(each["weight"] for each in preferred if matching.term_matches(each["preference"], one.node))
        for one in nodes
    ]
    return _normalized(weights) if preferred else [0.0] * len(nodes)


def spread(pod: Object, nodes: list[NodeInfo]) -> list[float]:
    """The fewer siblings (pods of the same workload) a node has, the better: the default topology spread."""
    owner = objects.owner(pod)
    if owner is None:
        return [float(MOST)] * len(nodes)
    counts = [
        sum((objects.owner(each) or {}).get("uid") == owner["uid"] and not objects.deleting(each) for each in one.pods)
        for one in nodes
    ]
    return _normalized(counts, reverse=True)


def least_allocated(pod: Object, nodes: list[NodeInfo]) -> list[float]:
    """The more of its CPU and memory is free, the better (NodeResourcesFit's LeastAllocated)."""
    asked = snapshot.requests(pod, nonzero=True)
    found = []
    for one in nodes:
        shares = []
        for name in ("cpu", "memory"):
            have = one.allocatable(name)
            if have:
                free = have - one.compared.get(name, Fraction(0)) - asked.get(name, Fraction(0))
                shares.append(max(0.0, float(free * MOST / have)))
        found.append(float(int(sum(shares) / len(shares))) if shares else 0.0)
    return found


def image_locality(pod: Object, nodes: list[NodeInfo]) -> list[float]:
    """A node that has the images already is a little better."""
    wanted = {each.get("image") for each in pod["spec"]["containers"]}
    found = []
    for one in nodes:
        known = {
            name for each in (one.node.get("status") or {}).get("images") or () for name in each.get("names") or ()
        }
        found.append(MOST * len(wanted & known) / len(wanted) if wanted else 0.0)
    return found


def _normalized(values: list[int], reverse: bool = False) -> list[float]:
    """helper.DefaultNormalizeScore: the greatest becomes 100 (or, reversed, 0)."""
    most = max(values, default=0)
    if not most:
        return [float(MOST) if reverse else 0.0] * len(values)
    scaled = [MOST * each // most for each in values]
    return [float(MOST - each if reverse else each) for each in scaled]


SCORES: dict[str, tuple[int, Score]] = {
    "TaintToleration": (3, taint_toleration),
    "NodeAffinity": (2, node_affinity),
    "PodTopologySpread": (2, spread),
    "NodeResourcesFit": (1, least_allocated),
    "ImageLocality": (1, image_locality),
}


def rank(pod: Object, nodes: list[NodeInfo]) -> list[float]:
    """The weighted sum of all scores, a number for each node."""
    total = [0.0] * len(nodes)
    for weight, score in SCORES.values():
        for index, value in enumerate(score(pod, nodes)):
            total[index] += weight * value
    return total
