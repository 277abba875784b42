"""Network policies."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl.describe.page import Page, selector
from kubesim.machinery import objects

Object = dict[str, Any]


def network_policy(page: Page, obj: Object) -> None:
    spec = obj.get("spec") or {}
    page.field("Name", objects.name(obj))
    page.field("Namespace", objects.namespace(obj))
    when = (obj["metadata"].get("creationTimestamp") or "").replace("T", " ").replace("Z", " +0000 UTC")
    page.field("Created on", when)
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.line(0, "Spec:")
    chosen = selector(spec.get("podSelector") or {})
    if chosen == "<none>":
        chosen = "<none> (Allowing the specific traffic to all pods in this namespace)"
    page.line(1, f"PodSelector:     {chosen}")
    types = spec.get("policyTypes") or []
    for kind, title, peers, way in (
        ("Ingress", "Allowing ingress traffic:", "from", "From"),
        ("Egress", "Allowing egress traffic:", "to", "To"),
    ):
        if kind not in types:
            page.line(1, f"Not affecting {kind.lower()} traffic")
            continue
        page.line(1, title)
        rules = spec.get(kind.lower()) or []
        if not rules:
            page.line(2, f"<none> (Selected pods are isolated for {kind.lower()} connectivity)")
        for index, rule in enumerate(rules):
            _rule(page, rule, peers, way)
            if index != len(rules) - 1:
                page.line(2, "----------")
    page.line(1, f"Policy Types: {', '.join(types)}")


def _rule(page: Page, rule: Object, peers: str, way: str) -> None:
    if rule.get("ports"):
        for port in rule["ports"]:
            page.line(2, f"To Port: {port.get('port', '')}/{port.get('protocol', 'TCP')}")
    else:
        page.line(2, "To Port: <any> (traffic allowed to all ports)")
    if not rule.get(peers):
        page.line(2, f"{way}: <any> (traffic not restricted by {'source' if peers == 'from' else 'destination'})")
    for peer in rule.get(peers) or ():
        page.line(2, f"{way}:")
        for key, title in (("namespaceSelector", "NamespaceSelector"), ("podSelector", "PodSelector")):
            if peer.get(key) is not None:
                page.line(3, f"{title}: {selector(peer[key])}")
        if peer.get("ipBlock"):
            page.line(3, "IPBlock:")
            page.line(4, f"CIDR: {peer['ipBlock']['cidr']}")
            page.line(4, f"Except: {', '.join(peer['ipBlock'].get('except') or [])}")
