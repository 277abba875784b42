"""What a server says of itself: its APIServices, the lease of its identity, since when old tokens are tracked.

Sources: kube-aggregator `pkg/controllers/autoregister`, `pkg/controlplane/apiserver/aggregator.go` (the priorities), KEP-1965
(identity leases), KEP-2799 (legacy tokens).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kubesim import ids

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

# group -> groupPriorityMinimum
PRIORITIES = {
    "": 18000,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700,
    "apps": 17800,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "coordination.k8s.io": 16500,
    "discovery.k8s.io": 16200,
    "events.k8s.io": 17750,
    "extensions": 17150,
    "flowcontrol.apiserver.k8s.io": 16100,
    "networking.k8s.io": 17200,
    "node.k8s.io": 16300,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "resource.k8s.io": 16200,
    "scheduling.k8s.io": 16600,
    "storage.k8s.io": 16800,
}
# (group, version) -> versionPriority, where it is not 15.
VERSION_PRIORITIES = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 21,
}
AUTOMANAGED = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
# Seconds for which an identity lease holds (IdentityLeaseDurationSeconds).
LEASE_SECONDS = 3600
# The host name of a server that runs on none of the nodes; any would do.
NOWHERE = "vm"


def objects_of(server: ApiServer) -> Iterator[tuple[str, Object]]:
    """(resource, object) of all that is registered at the start."""
    for group, versions in server.served.groups().items():
        for version in versions:
            if group != "apiregistration.k8s.io":
                yield "apiservices.apiregistration.k8s.io", _api_service(group, version)
    if server.settings.minor >= 26:
        yield "leases.coordination.k8s.io", _lease(server)
        since = ids.timestamp(server.world.now)[:10]
        name = "kube-apiserver-legacy-service-account-token-tracking"
        yield "configmaps", {"metadata": {"name": name, "namespace": "kube-system"}, "data": {"since": since}}


def _api_service(group: str, version: str) -> Object:
    spec: Object = {"group": group} if group else {}
    spec |= {
        "version": version,
        "groupPriorityMinimum": PRIORITIES.get(group, 1000),
        "versionPriority": VERSION_PRIORITIES.get((group, version), 15),
    }
    return {"metadata": {"name": f"{version}.{group}", "labels": AUTOMANAGED}, "spec": spec}


def _lease(server: ApiServer) -> Object:
    """The lease is named by the host; who holds it changes with every start."""
    host = NOWHERE
    digest = hashlib.sha256(host.encode()).digest()[:16]
    name = "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()
    settings = server.settings
    address = f"{settings.public_address}:{settings.port}"
    return {
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": host},
            "annotations": {"kubernetes.io/peer-advertise-address": address},
        },
        "spec": {
            "holderIdentity": f"{name}_{ids.uid(server.world)}",
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": ids.micro_timestamp(server.world.now),
        },
    }
