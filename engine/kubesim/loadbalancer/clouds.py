"""How clouds differ, as data."""

from __future__ import annotations

from dataclasses import dataclass

from kubesim.errors import LearnerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """`pool` is the range that addresses are given from, `source` the address that health checks come from.

    `seconds` is how long a new load balancer takes, at least and at most.  A node is asked every `period` seconds, and is
    out after `threshold` failures.  `asks_proxy`: with externalTrafficPolicy Cluster the checks ask kube-proxy's /healthz
    (10256), else they only open a connection to the node port; with Local all ask the Service's healthCheckNodePort.
    `fail_open`: when no node is well, all get traffic.
    """

    pool: str
    source: str
    seconds: tuple[float, float] = (20.0, 40.0)
    period: float
    threshold: int
    asks_proxy: bool
    fail_open: bool


CLOUDS = {
    # cloud-provider-gcp, gce_loadbalancer_external.go: 8 s, three failures; "all unhealthy: all get traffic" is the
    # documented behaviour of its passthrough balancers.
    "gke": Cloud(pool="34.82.0.0/16", source="35.191.0.1", period=8.0, threshold=3, asks_proxy=True, fail_open=True),
    # cloud-provider-azure, azure_loadbalancer_healthprobe.go: 5 s, two failures.
    "aks": Cloud(pool="20.105.0.0/16", source="168.63.129.16", period=5.0, threshold=2, asks_proxy=False, fail_open=False),
}


def find(name: str) -> Cloud:
    """The cloud of that name.  LearnerError names the known ones."""
    try:
        return CLOUDS[name]
    except KeyError:
        raise LearnerError(f"no cloud {name!r}", f"Known: {', '.join(CLOUDS)}.") from None
