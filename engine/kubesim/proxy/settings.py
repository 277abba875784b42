"""What the rules depend on besides the objects: kube-proxy's options as they bear on one IP family of one node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kubesim.proxy.addresses import Family, NodePortAddresses


@dataclass(frozen=True, slots=True)
class LocalDetector:
    """How kube-proxy tells its own node's (or cluster's) pods from others (`--detect-local-mode`; proxy/util/localdetector.go).

    By source range ("cidr": ClusterCIDR and NodeCIDR), by bridge interface ("interface"), or by the beginning of the
    interface's name ("prefix").
    """

    kind: Literal["cidr", "interface", "prefix"]
    value: str

    def iptables(self, local: bool) -> str:
        """The match of iptables, or its opposite."""
        match = {"cidr": f"-s {self.value}", "interface": f"-i {self.value}", "prefix": f"-i {self.value}+"}[self.kind]
        return match if local else f"! {match}"

    def nftables(self, local: bool) -> str:
        """The same for nft."""
        operator = "" if local else "!= "
        if self.kind == "cidr":
            return f"{'ip6' if ':' in self.value else 'ip'} saddr {operator}{self.value}"
        return f"iifname {operator}{self.value}{'*' if self.kind == 'prefix' else ''}"


# nfacct counters that kube-proxy makes at a full sync where the kernel has them (metrics/metrics.go).
COUNTER_INVALID = "ct_state_invalid_dropped_pkts"
COUNTER_LOCALHOST = "localhost_nps_accepted_pkts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One family's options.

    `masquerade_mark` is the bit as kube-proxy prints it (0x00004000).  `node_addresses` are the node's own, in the order
    of its interfaces, for `--nodeport-addresses` to choose from.  `service_cidrs` are the ServiceCIDRs of the family
    (nftables only).  `counters` are the nfacct counters that exist.  `topology_labels` are the node's labels.
    """

    family: Family = "IPv4"
    node_name: str = ""
    node_ip: str = ""
    node_addresses: tuple[str, ...] = ()
    node_port_addresses: NodePortAddresses = field(default_factory=lambda: NodePortAddresses("IPv4"))
    local_detector: LocalDetector | None = None
    masquerade_all: bool = False
    masquerade_mark: str = "0x00004000"
    random_fully: bool = True
    localhost_node_ports: bool = True
    conntrack_tcp_liberal: bool = False
    counters: frozenset[str] = frozenset()
    topology_labels: Mapping[str, str] = field(default_factory=dict)
    service_cidrs: tuple[str, ...] = ()
    scheduler: str = "rr"

    @property
    def ipv6(self) -> bool:
        return self.family == "IPv6"
