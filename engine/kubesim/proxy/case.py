"""Rules for one case: objects and settings in, text out.  Behind `kubesim rules`.

A case is a dict in the form of the recorded ones: `config`, `services`, `endpointSlices`, and optionally `nodeIPs` and
`packets`.  `config.mode` chooses the renderer; absent settings have kube-proxy's defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubesim.errors import NotSimulated
from kubesim.proxy import addresses, iptables, ipvs, nftables, state
from kubesim.proxy.addresses import Family, NodePortAddresses
from kubesim.proxy.settings import LocalDetector, Settings

Case = Mapping[str, Any]


def settings(case: Case) -> Settings:
    """The `config` of a case."""
    config = case.get("config") or {}
    family: Family = config.get("ipFamily") or "IPv4"
    node_ips = tuple(case.get("nodeIPs") or ())
    node_ip = config.get("nodeIP") or ""
    loopback = "::1" if family == "IPv6" else "127.0.0.1"
    own = dict.fromkeys((loopback, addresses.canonical(node_ip), *map(addresses.canonical, node_ips)))
    cidrs = config.get("serviceCIDRs") or ()
    return Settings(
        family=family,
        node_name=config.get("nodeName") or "",
        node_ip=addresses.canonical(node_ip),
        node_addresses=addresses.of_family(family, own),
        node_port_addresses=NodePortAddresses(family, _list(config.get("nodePortAddresses"))),
        local_detector=_detector(config.get("localDetector")),
        masquerade_all=bool(config.get("masqueradeAll")),
        masquerade_mark=config.get("masqueradeMark", "0x00004000"),
        random_fully=bool(config.get("hasRandomFully")),
        localhost_node_ports=config.get("localhostNodePorts") is not False,
        conntrack_tcp_liberal=bool(config.get("conntrackTCPLiberal")),
        counters=frozenset(name for name, there in (config.get("nfAcctCounters") or {}).items() if there),
        topology_labels=config.get("topologyLabels") or {},
        service_cidrs=tuple(cidrs.split(",")) if isinstance(cidrs, str) else tuple(cidrs),
        scheduler=config.get("scheduler") or "rr",
    )


def _list(value: str | Sequence[str] | None) -> list[str]:
    """A list, or the way Go prints one: "[a b]"."""
    if isinstance(value, str):
        return value.strip("[]").replace(",", " ").split()
    return list(value or ())


def _detector(value: Mapping[str, Sequence[str]] | None) -> LocalDetector | None:
    """From the words of the match for local traffic, in iptables' form or nft's."""
    if not value:
        return None
    match list(value["ifLocal"]):
        case ["-s", cidr] | ["ip" | "ip6", "saddr", cidr]:
            return LocalDetector("cidr", cidr)
        case ["-i" | "iifname", name] if name[-1:] in "+*":
            return LocalDetector("prefix", name[:-1])
        case ["-i" | "iifname", name]:
            return LocalDetector("interface", name)
        case words:
            raise NotSimulated(f"local traffic detected by {' '.join(words)!r}")


def rules(case: Case) -> str:
    """What kube-proxy writes for the case at its first sync."""
    options = settings(case)
    known = state.of_objects(
        options.family, options.node_name, case.get("services") or (), case.get("endpointSlices") or ()
    )
    mode = (case.get("config") or {}).get("mode") or "iptables"
    if mode == "iptables":
        return iptables.Renderer(options).sync(known)
    if mode == "nftables":
        return nftables.Renderer(options).full(known)
    if mode == "ipvs":
        return ipvs.render(known, options).text()
    raise NotSimulated(f"proxy mode {mode!r}", "Modes: iptables, nftables, ipvs.")
