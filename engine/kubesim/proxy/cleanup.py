"""What a kube-proxy takes away when it starts: the rules of a mode that it is not in.

Upstream: cmd/kube-proxy/app/server_linux.go, platformCleanup.  nftables clears up after iptables and ipvs, and these after
nftables; between iptables and ipvs nothing is cleared, since they share chains (whoever changes runs `kube-proxy --cleanup`,
or boots the node again).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.net import rules
from kubesim.net.netfilter import CommandError
from kubesim.proxy import iptables, ipvs

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.netfilter import Netfilter, Table

# KUBE-MARK-MASQ and KUBE-FIREWALL stay: the kubelet may use them too.
_NAT = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING")
_FILTER = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")


def others(host: Host, mode: str) -> None:
    """Take away what the other modes left on the node."""
    if mode == "nftables":
        for netfilter in (host.netfilter, host.netfilter6):
            iptables_leftovers(netfilter)
        ipvs_leftovers(host)
    else:
        nftables_leftovers(host)


def everything(host: Host) -> None:
    """`kube-proxy --cleanup`: what any mode left."""
    for mode in ("nftables", "iptables"):
        others(host, mode)


def nftables_leftovers(host: Host) -> None:
    """kube-proxy's tables."""
    gone = [family for family in ("ip", "ip6") if (family, "kube-proxy") in host.nft.tables]
    if gone:
        host.nft.apply("".join(f"delete table {family} kube-proxy\n" for family in gone))


def iptables_leftovers(netfilter: Netfilter) -> None:
    """The jumps out of the built-in chains, then the chains (iptables.CleanupLeftovers)."""
    present = {table.name: table for table in netfilter.tables()}
    for jump in iptables.JUMPS:
        table = present.get(jump.table)
        if table is not None and jump.chain in table.chains and jump.chain != "KUBE-FIREWALL":
            _unlink(table, jump.source, rules.parse_line(jump.rule, ipv6=netfilter.ipv6))
    if "nat" in present:
        services = [name for name in present["nat"].chains if name.startswith(iptables.SERVICE_CHAINS)]
        _remove(present["nat"], [*_NAT, *services])
    if "filter" in present:
        _remove(present["filter"], _FILTER)


def ipvs_leftovers(host: Host) -> None:
    """All virtual servers, the dummy interface, the chains, and the sets of IPv4 (upstream forgets those of IPv6, whose names
    differ: ipvs.CleanupLeftovers)."""
    host.ipvs.clear()
    host.remove_interface(ipvs.DUMMY)
    chains = {"nat": ipvs.NAT_CHAINS, "filter": ipvs.FILTER_CHAINS}
    for netfilter in (host.netfilter, host.netfilter6):
        present = {table.name: table for table in netfilter.tables()}
        for jump in ipvs.JUMPS:
            table = present.get(jump.table)
            if table is not None and jump.chain in table.chains:
                _unlink(table, jump.source, rules.parse_line(jump.rule, ipv6=netfilter.ipv6))
        for name, own in chains.items():
            if name in present:
                _remove(present[name], own)
    for name in ipvs.SETS:
        if name in host.ipsets and not host.ipsets.get(name).references:
            host.ipsets.destroy(name)


def _unlink(table: Table, chain: str, rule: rules.Rule) -> None:
    try:
        table.delete(chain, rule)
    except CommandError:
        return  # somebody took it away before
    table.done()


def _remove(table: Table, names: list[str] | tuple[str, ...]) -> None:
    there = [name for name in names if name in table.chains]
    for name in there:
        table.flush(name)
    for name in there:
        # Somebody else's rule may still lead there.
        if not table.chains[name].references:
            table.delete_chain(name)
    table.done()
