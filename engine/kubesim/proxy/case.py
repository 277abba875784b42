"""Rules for one case: objects and settings in, text out, and where packets then go.  Behind `kubesim rules`.

A case is a dict in the form of the recorded ones: `config`, `services`, `endpointSlices`, and optionally `nodeIPs` and
`packets`.  `config.mode` chooses the renderer; absent settings have kube-proxy's defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubesim.errors import LearnerError, NotSimulated
from kubesim.proxy import addresses, iptables, ipvs, nftables, packets, state
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


def mode(case: Case) -> str:
    """iptables, nftables or ipvs."""
    return (case.get("config") or {}).get("mode") or "iptables"


def _known(case: Case, options: Settings) -> state.State:
    services, slices = case.get("services") or (), case.get("endpointSlices") or ()
    return state.of_objects(options.family, options.node_name, services, slices)


def rules(case: Case) -> str:
    """What kube-proxy writes for the case at its first sync."""
    options = settings(case)
    known = _known(case, options)
    match mode(case):
        case "iptables":
            return iptables.Renderer(options).sync(known)
        case "nftables":
            return nftables.Renderer(options).full(known)
        case "ipvs":
            return ipvs.render(known, options).text()
        case other:
            raise LearnerError(f"unknown proxy mode {other!r}", "Modes: iptables, nftables, ipvs.")


def run_case(case: Case) -> dict[str, Any]:
    """`rules`, and for each of the case's packets where they send it."""
    text = rules(case)
    answer: dict[str, Any] = {"rules": text}
    found = case.get("packets")
    if found:
        options = settings(case)
        match mode(case):
            case "iptables":
                load = packets.iptables_rules(text, options)
            case "nftables":
                load = packets.nftables_rules(text)
            case _:
                load = packets.ipvs_rules(_known(case, options), options)
        answer["packets"] = packets.decide(load, options, case.get("nodeIPs") or (), found)
    return answer


def rules_for(
    objects: Iterable[Mapping[str, Any]], node: str, mode: str = "iptables", cluster_cidr: str = "", node_ip: str = ""
) -> str:
    """What kube-proxy on that node would write for these objects: Services, EndpointSlices, and Nodes if there are any.

    Objects need no defaults.  `cluster_cidr` may name a range of each family; each family that a Service has gets its
    text.  LearnerError when a Node of that name is wanted and is not among the Nodes given.
    """
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for obj in objects:
        by_kind.setdefault(obj.get("kind", ""), []).append(obj)
    nodes = {each["metadata"]["name"]: each for each in by_kind.get("Node", ())}
    if nodes and node not in nodes:
        raise LearnerError(f"no node {node!r} among the objects", f"Nodes: {', '.join(sorted(nodes))}.")
    status = (nodes.get(node) or {}).get("status") or {}
    own = [each["address"] for each in status.get("addresses") or () if each["type"] == "InternalIP"]
    own = list(filter(None, [node_ip, *map(addresses.canonical, own)]))
    services = by_kind.get("Service", [])
    texts = []
    families = _families(services)
    for family in families:
        cidrs = addresses.ranges_of_family(family, cluster_cidr.split(","))
        ips = addresses.of_family(family, own)
        config: dict[str, Any] = {
            "mode": mode,
            "ipFamily": family,
            "nodeName": node,
            "nodeIP": next(iter(ips), ""),
            "hasRandomFully": True,
            # In nftables mode NodePorts are taken on the node's primary address only.
            "nodePortAddresses": [f"{ip}/{128 if ':' in ip else 32}" for ip in ips[:1]] if mode == "nftables" else [],
            "localDetector": {"ifLocal": ["-s", str(cidrs[0])]} if cidrs else None,
            "topologyLabels": ((nodes.get(node) or {}).get("metadata") or {}).get("labels"),
        }
        slices = by_kind.get("EndpointSlice", [])
        if len(families) > 1:
            texts.append(f"# {family}\n")
        texts.append(rules({"config": config, "services": services, "endpointSlices": slices, "nodeIPs": own}))
    return "".join(texts)


def _families(services: Iterable[Mapping[str, Any]]) -> list[Family]:
    """IPv4, and IPv6 when a Service has an address there (or all have)."""
    given = [each.get("spec") or {} for each in services]
    ips = [ip for spec in given for ip in spec.get("clusterIPs") or [spec.get("clusterIP") or ""]]
    both: tuple[Family, ...] = ("IPv4", "IPv6")
    return [family for family in both if addresses.of_family(family, ips)] or ["IPv4"]
