"""Addresses and ranges as kube-proxy reads them: leniently, one IP family at a time.

kube-proxy parses with `ParseIPSloppy` and `ParseCIDRSloppy` (k8s.io/utils/net), since old objects may hold IPv4 numbers
with leading zeros ("172.030.000.001"); iptables itself would read those as octal.  So what the rules show is always the
canonical text, never the object's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

Family = Literal["IPv4", "IPv6"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """The address as Go's net.IP prints it; "" when it is none.  An IPv4-mapped IPv6 address is IPv4 to Go."""
    if ":" not in text:
        parts = text.split(".")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
            return ""
        return ".".join(str(int(part)) for part in parts)
    try:
        parsed = ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    return str(parsed.ipv4_mapped or parsed)


def family(address: str) -> Family:
    """Of a canonical address."""
    return "IPv6" if ":" in address else "IPv4"


@lru_cache(maxsize=4096)
def network(text: str) -> Network | None:
    """A range, masked to its length as net.ParseCIDR's second result is; None when it is none."""
    address, slash, length = text.strip().partition("/")
    address = canonical(address)
    if not address or not slash or not length.isdigit():
        return None
    try:
        return ipaddress.ip_network(f"{address}/{int(length)}", strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=65536)
def contains(cidr: Network, address: str) -> bool:
    """net.IPNet.Contains, false for an empty address or one of the other family."""
    return bool(address) and ipaddress.ip_address(address) in cidr


def of_family(wanted: Family, texts: Iterable[str]) -> tuple[str, ...]:
    """The addresses of one family, canonical (proxy/util.MapIPsByIPFamily)."""
    found = (canonical(text) for text in texts)
    return tuple(address for address in found if address and family(address) == wanted)


def ranges_of_family(wanted: Family, texts: Iterable[str]) -> tuple[Network, ...]:
    """The ranges of one family (proxy/util.MapCIDRsByIPFamily)."""
    version = 6 if wanted == "IPv6" else 4
    found = (network(text) for text in texts)
    return tuple(cidr for cidr in found if cidr is not None and cidr.version == version)


def join(address: str, port: int) -> str:
    """net.JoinHostPort."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class NodePortAddresses:
    """Which of a node's addresses take NodePort traffic (proxy/util/nodeport_addresses.go).

    `cidrs` is `--nodeport-addresses` with both families mixed; none of a family means all addresses of it.
    """

    def __init__(self, wanted: Family, cidrs: Iterable[str] = ()) -> None:
        zero = "::/0" if wanted == "IPv6" else "0.0.0.0/0"
        self.cidrs = ranges_of_family(wanted, cidrs) or ranges_of_family(wanted, [zero])
        self.match_all = any(cidr.prefixlen == 0 for cidr in self.cidrs)

    def contains_ipv4_loopback(self) -> bool:
        """Whether NodePorts on 127.0.0.1 are asked for."""
        return any(
            cidr.version == 4 and (cidr.network_address.is_loopback or contains(cidr, "127.0.0.1"))
            for cidr in self.cidrs
        )

    def of_node(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Those of the node's addresses that match, in the node's order."""
        return tuple(
            dict.fromkeys(
                each for each in map(canonical, addresses) if any(contains(cidr, each) for cidr in self.cidrs)
            )
        )


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
