"""Which of a Service's endpoints this node may use, and whether there are any at all.

Upstream: pkg/proxy/topology.go, CategorizeEndpoints.  Ready endpoints are usable; where there is none, those that are
terminating but still serve (KEP-1669).  Hints narrow the Cluster policy's endpoints to the node's zone or the node itself,
but only while every ready endpoint has hints and at least one is hinted here (KEP-2433, KEP-3015); otherwise they are
ignored as a whole, so that a half-written slice never loses traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubesim.proxy.model import Endpoint, ServicePort

ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """`cluster` and `local` by traffic policy, empty when the port never uses that policy; `all` is their union.
    `anywhere`: the Service has a usable endpoint on some node, though perhaps not on this one."""

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    all: tuple[Endpoint, ...] = ()
    anywhere: bool = False


NONE = Reachable()


def categorize(
    endpoints: Sequence[Endpoint], service: ServicePort, node_name: str, topology_labels: Mapping[str, str]
) -> Reachable:
    """See the module."""
    if not endpoints:
        return NONE
    cluster: tuple[Endpoint, ...] = ()
    hinted = False
    if service.uses_cluster_endpoints:
        ready = tuple(each for each in endpoints if each.ready)
        cluster = _hinted(ready, node_name, topology_labels.get(ZONE_LABEL, ""))
        hinted = len(cluster) != len(ready)
        cluster = cluster or tuple(each for each in endpoints if each.serving and each.terminating)
    if not service.uses_local_endpoints:
        return Reachable(cluster=cluster, all=cluster, anywhere=bool(cluster))

    here = [each for each in endpoints if each.local]
    local = tuple(each for each in here if each.ready)
    fell_back = False
    if not local:
        local = tuple(each for each in here if each.serving and each.terminating)
        fell_back = bool(local)
    anywhere = any(each.ready or (each.serving and each.terminating) for each in endpoints)
    if not service.uses_cluster_endpoints:
        both = local
    elif not hinted and not fell_back:
        both = cluster
    else:
        both = tuple(sorted({*cluster, *local}, key=str))
    return Reachable(cluster=cluster, local=local, all=both, anywhere=anywhere)


def _hinted(ready: tuple[Endpoint, ...], node_name: str, zone: str) -> tuple[Endpoint, ...]:
    """The ready endpoints that hints leave for this node."""
    if ready and all(each.node_hints for each in ready):
        here = tuple(each for each in ready if node_name in each.node_hints)
        if here:
            return here
    if ready and all(each.zone_hints for each in ready):
        near = tuple(each for each in ready if zone in each.zone_hints)
        if near:
            return near
    return ready
