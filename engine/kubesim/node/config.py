"""How the kubelet of one node is set up."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletConfig:
    """`address` is the node's own, `pod_cidr` what its pods' addresses are taken from, `pool` all pods' range.

    `taints` are those that it registers with; `search` is not here: the node's /etc/resolv.conf has it.  `cluster` names the
    cluster where node names are derived from it (kind's providerID).  `memory` is a quantity.
    """

    node_name: str
    address: str
    hostname: str = ""
    interface: str = "eth0"
    version: str = "v1.36.2"
    pod_cidr: str = ""
    pool: str = ""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    cni: str = "kindnet"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    provider_id: str = ""
    cpus: int = 4
    memory: str = "8Gi"
    storage: str = "60Gi"
    max_pods: int = 110
    os_image: str = ""
    kernel: str = ""
    runtime: str = "containerd://2.1.3"
    architecture: str = "amd64"
    registry: str = "registry.k8s.io"
    manifests: str = "/etc/kubernetes/manifests"

    @property
    def minor(self) -> int:
        """16 of v1.16.2."""
        return int(self.version.lstrip("v").split(".")[1])

    @property
    def docker(self) -> bool:
        """Dockershim or cri-dockerd: its ids and files look different."""
        return self.runtime.startswith("docker")

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network(self.pod_cidr)
