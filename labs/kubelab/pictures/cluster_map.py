"""The cluster now: which Service selects which pods, on which node they run.

Drawn from the API's objects (as plain JSON) and from nothing else: Service, EndpointSlice, Pod.  The arrow from a Service goes
through its EndpointSlices, as the real chain of cause does: a pod that is not in a slice gets no traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.pictures.look import FONT, GOOD, QUIET, identifier, quote

Object = dict[str, Any]


def dot(services: Sequence[Object], slices: Sequence[Object], pods: Sequence[Object]) -> str:
    """DOT text, left to right: Services, their slices, the pods in their nodes."""
    lines = [
        "digraph map {",
        f'  graph [rankdir=LR, bgcolor=transparent, fontname="{FONT}", fontsize=11, nodesep=0.22, ranksep=0.75, pad=0.1];',
        f'  node [shape=box, style=rounded, fontname="{FONT}", fontsize=11, margin="0.16,0.08", penwidth=1.1];',
        f'  edge [fontname="{FONT}", fontsize=9.5, penwidth=1.1, arrowsize=0.7];',
    ]
    for service in services:
        name = _name(service)
        lines.append(
            f"  {identifier('svc', name)} [label={quote(_service_label(service))}, penwidth=1.8, style=solid];"
        )
    by_address = {each: pod for pod in pods for each in _addresses(pod)}
    for each in slices:
        lines += _slice(each, services, by_address)
    for service in services:
        if service["spec"].get("selector") and not _slices_of(service, slices):
            lines.append(f'  {identifier("none", _name(service))} [shape=plaintext, label="no EndpointSlice"];')
            lines.append(
                f"  {identifier('svc', _name(service))} -> {identifier('none', _name(service))} [style=dotted];"
            )
    # Pods behind no Service stand with the others all the same, not where the arrows begin.
    start = next((identifier("slice", _name(each)) for each in slices), "")
    chosen = {address for each in slices for address, _ready in _endpoints(each)}
    lines += [
        f"  {start} -> {identifier('pod', _name(pod))} [style=invis, weight=0];"
        for pod in pods
        if start and chosen.isdisjoint(_addresses(pod))
    ]
    lines += _nodes(pods)
    return "\n".join([*lines, "}"]) + "\n"


def text(services: Sequence[Object], slices: Sequence[Object], pods: Sequence[Object]) -> str:
    """The same in lines: also the picture's description."""
    lines = []
    for service in services:
        targets = [
            f"{address}{'' if ready else ' (not ready)'}"
            for each in _slices_of(service, slices)
            for address, ready in _endpoints(each)
        ]
        lines.append(f"Service {_name(service)} ({_selector(service)}): {', '.join(targets) or 'no endpoints'}.")
    for pod in pods:
        address = next(iter(_addresses(pod)), "no address")
        lines.append(f"Pod {_name(pod)} ({_labels(pod)}): {address} on {pod['spec'].get('nodeName', 'no node')}.")
    return "\n".join(lines) or "Nothing is here yet."


def _slice(each: Object, services: Sequence[Object], by_address: dict[str, Object]) -> list[str]:
    name = _name(each)
    owner = each["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
    service = next((found for found in services if _name(found) == owner), None)
    ports = ", ".join(str(port.get("port", "any")) for port in each.get("ports") or []) or "no ports"
    endpoints = _endpoints(each)
    label = f"EndpointSlice\n{name}\n" + (f"port {ports}" if endpoints else "no endpoints")
    lines = [f"  {identifier('slice', name)} [label={quote(label)}];"]
    if service is not None:
        lines.append(
            f"  {identifier('svc', owner)} -> {identifier('slice', name)} [label={quote(_selector(service))}];"
        )
    for address, ready in endpoints:
        pod = by_address.get(address)
        to = identifier("pod", _name(pod)) if pod is not None else identifier("ip", address)
        if pod is None:
            lines.append(f"  {to} [label={quote(address)}];")
        look = f'color="{GOOD}", penwidth=1.8' if ready else f'color="{QUIET}", style=dashed, label="not ready"'
        lines.append(f"  {identifier('slice', name)} -> {to} [{look}];")
    return lines


def _nodes(pods: Sequence[Object]) -> list[str]:
    nodes: dict[str, list[Object]] = {}
    for pod in pods:
        nodes.setdefault(pod["spec"].get("nodeName", ""), []).append(pod)
    lines = []
    for node in sorted(nodes):
        lines.append(f"  subgraph {identifier('cluster', node or 'none')} {{")
        where = quote(f"node {node}" if node else "not on a node yet")
        lines.append(f'    label={where}; labeljust=l; style=solid; color="{QUIET}"; margin=10;')
        for pod in sorted(nodes[node], key=_name):
            address = next(iter(_addresses(pod)), "no address yet")
            ready = "ready" if _ready(pod) else f"{pod.get('status', {}).get('phase', 'Pending')}, not ready"
            label = f"{_name(pod)}\n{address}\n{_labels(pod)}\n{ready}"
            look = "rounded" if _ready(pod) else "rounded,dashed"
            lines.append(f'    {identifier("pod", _name(pod))} [label={quote(label)}, style="{look}"];')
        lines.append("  }")
    return lines


def _service_label(service: Object) -> str:
    spec = service["spec"]
    ports = ", ".join(f"{port['port']} → {port.get('targetPort', port['port'])}" for port in spec.get("ports") or [])
    return "\n".join(
        each for each in (f"Service {_name(service)}", spec.get("clusterIP", spec.get("type", "")), ports) if each
    )


def _selector(service: Object) -> str:
    return (
        ",".join(f"{key}={value}" for key, value in sorted((service["spec"].get("selector") or {}).items()))
        or "no selector"
    )


def _labels(pod: Object) -> str:
    # The template hash tells ReplicaSets apart; no learner selects by it.
    labels = pod["metadata"].get("labels") or {}
    return (
        ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "pod-template-hash") or "no labels"
    )


def _slices_of(service: Object, slices: Sequence[Object]) -> list[Object]:
    return [
        each
        for each in slices
        if each["metadata"].get("labels", {}).get("kubernetes.io/service-name") == _name(service)
    ]


def _endpoints(each: Object) -> list[tuple[str, bool]]:
    """(address, ready) of a slice.  Upstream: a missing `ready` reads as ready (discovery/v1 EndpointConditions)."""
    return sorted(
        (address, (endpoint.get("conditions") or {}).get("ready") is not False)
        for endpoint in each.get("endpoints") or []
        for address in endpoint["addresses"]
    )


def _addresses(pod: Object) -> list[str]:
    return [each["ip"] for each in pod.get("status", {}).get("podIPs") or []]


def _ready(pod: Object) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in pod.get("status", {}).get("conditions") or []
    )


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])
