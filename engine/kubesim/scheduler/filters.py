"""Filters: why a pod cannot go to a node, in kube-scheduler's words; "" when it can.

Sources: `pkg/scheduler/framework/plugins/*`: nodename, nodeunschedulable, nodeaffinity, tainttoleration, nodeports,
noderesources/fit, interpodaffinity, podtopologyspread.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from kubesim.client import Object
from kubesim.machinery import objects, selectors
from kubesim.scheduler import matching, snapshot
from kubesim.scheduler.snapshot import NodeInfo

Filter = Callable[[Object, NodeInfo, list[NodeInfo]], str]
UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def node_unschedulable(pod: Object, info: NodeInfo, _all: list[NodeInfo]) -> str:
    if not info.node["spec"].get("unschedulable"):
        return ""
    if any(matching.tolerates(each, UNSCHEDULABLE) for each in matching.tolerations(pod)):
        return ""
    return "node(s) were unschedulable"


def node_name(pod: Object, info: NodeInfo, _all: list[NodeInfo]) -> str:
    wanted = pod["spec"].get("nodeName")
    return "" if not wanted or wanted == info.name else "node(s) didn't match the requested node name"


def taint_toleration(pod: Object, info: NodeInfo, _all: list[NodeInfo]) -> str:
    taint = matching.untolerated(matching.taints(info.node), matching.tolerations(pod))
    if taint is None:
        return ""
    return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"


def node_affinity(pod: Object, info: NodeInfo, _all: list[NodeInfo]) -> str:
    return "" if matching.selects_node(pod, info.node) else "node(s) didn't match Pod's node affinity/selector"


def node_ports(pod: Object, info: NodeInfo, _all: list[NodeInfo]) -> str:
    for address, protocol, port in snapshot.host_ports(pod):
        for other, taken_protocol, taken in info.ports:
            if (protocol, port) == (taken_protocol, taken) and (address == other or "0.0.0.0" in (address, other)):
                return "node(s) didn't have free ports for the requested pod ports"
    return ""


def resources_fit(pod: Object, info: NodeInfo, _all: list[NodeInfo]) -> str:
    limit = info.allocatable("pods")
    if limit is not None and len(info.pods) + 1 > limit:
        return "Too many pods"
    for name, amount in sorted(snapshot.requests(pod).items()):
        have = info.allocatable(name) or Fraction(0)
        if amount and amount + info.asked.get(name, Fraction(0)) > have:
            return f"Insufficient {name}"
    return ""


def _term_selects(term: Object, pod: Object, other: Object) -> bool:
    if objects.namespace(other) not in (term.get("namespaces") or [objects.namespace(pod)]):
        return False
    return selectors.from_label_selector(term.get("labelSelector") or {}).matches(objects.labels(other))


def _required(pod: Object, kind: str) -> list[Object]:
    found = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return found.get("requiredDuringSchedulingIgnoredDuringExecution") or []


def _domain(term: Object, info: NodeInfo, everywhere: list[NodeInfo]) -> list[Object] | None:
    """The pods in the node's topology domain; None when the node has no such label."""
    key = term["topologyKey"]
    value = objects.labels(info.node).get(key)
    if value is None:
        return None
    return [each for one in everywhere if objects.labels(one.node).get(key) == value for each in one.pods]


def pod_affinity(pod: Object, info: NodeInfo, everywhere: list[NodeInfo]) -> str:
    for term in _required(pod, "podAffinity"):
        near = _domain(term, info, everywhere)
        if near is not None and any(_term_selects(term, pod, other) for other in near):
            continue
        # The first of a group that wants to be together has nobody to go to: it may go anywhere.
        anyone = any(_term_selects(term, pod, other) for one in everywhere for other in one.pods)
        if near is None or anyone or not _term_selects(term, pod, pod):
            return "node(s) didn't match pod affinity rules"
    return ""


def pod_anti_affinity(pod: Object, info: NodeInfo, everywhere: list[NodeInfo]) -> str:
    for term in _required(pod, "podAntiAffinity"):
        near = _domain(term, info, everywhere)
        if near is not None and any(_term_selects(term, pod, other) for other in near):
            return "node(s) didn't match pod anti-affinity rules"
    for one in everywhere:
        for other in one.pods:
            for term in _required(other, "podAntiAffinity"):
                key = term["topologyKey"]
                here = objects.labels(info.node).get(key)
                if here is not None and objects.labels(one.node).get(key) == here and _term_selects(term, other, pod):
                    return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def topology_spread(pod: Object, info: NodeInfo, everywhere: list[NodeInfo]) -> str:
    for constraint in pod["spec"].get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key = constraint["topologyKey"]
        here = objects.labels(info.node).get(key)
        if here is None:
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        selector = selectors.from_label_selector(constraint.get("labelSelector") or {})
        counts: dict[str, int] = {}
        for one in everywhere:
            domain = objects.labels(one.node).get(key)
            if domain is not None and matching.selects_node(pod, one.node):
                found = sum(selector.matches(objects.labels(each)) and not objects.deleting(each) for each in one.pods)
                counts[domain] = counts.get(domain, 0) + found
        own = int(selector.matches(objects.labels(pod)))
        if counts.get(here, 0) + own - min(counts.values(), default=0) > constraint["maxSkew"]:
            return "node(s) didn't match pod topology spread constraints"
    return ""


# In the order in which the default plugins are asked; the first that refuses is the reason.
FILTERS: dict[str, Filter] = {
    "NodeUnschedulable": node_unschedulable,
    "NodeName": node_name,
    "TaintToleration": taint_toleration,
    "NodeAffinity": node_affinity,
    "NodePorts": node_ports,
    "NodeResourcesFit": resources_fit,
    "PodTopologySpread": topology_spread,
    "InterPodAffinity": pod_affinity,
    "InterPodAntiAffinity": pod_anti_affinity,
}


def why_not(pod: Object, info: NodeInfo, everywhere: list[NodeInfo]) -> str:
    """The first filter's reason against the node, "" when all let it pass."""
    for each in FILTERS.values():
        reason = each(pod, info, everywhere)
        if reason:
            return reason
    return ""
