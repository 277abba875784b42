"""What a server is started with: its release, its ranges, its address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

NOWHERE = "192.168.0.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """kube-apiserver's flags.  `service_cidr` may hold two networks, one of each family, separated by a comma."""

    version: str = "v1.36.2"
    service_cidr: str = "10.96.0.0/12"
    node_port_range: str = "30000-32767"
    advertise: str = ""
    port: int = 6443

    @property
    def public_address(self) -> str:
        """Where it says that it is; one that listens on loopback only says the address of its machine's default route,
        and here it has no machine."""
        return self.advertise or NOWHERE

    @property
    def minor(self) -> int:
        """16 of v1.16.2."""
        return int(self.version.lstrip("v").split(".")[1])

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(part.strip()) for part in self.service_cidr.split(","))

    @property
    def families(self) -> tuple[str, ...]:
        """ "IPv4" and "IPv6" in the order of the ranges."""
        return tuple(f"IPv{network.version}" for network in self.networks)

    @property
    def ports(self) -> range:
        low, _, high = self.node_port_range.partition("-")
        return range(int(low), int(high) + 1)

    @property
    def api_address(self) -> str:
        """The Service `kubernetes`: the first address of the (first) range."""
        return str(self.networks[0][1])
