"""The iptables mode, as kube-proxy 1.36 writes it: Services and endpoints to text for `iptables-restore --noflush`.

Theory of operation
-------------------
Every port of a Service has chains of its own, named after a hash of its name:

    KUBE-SVC-  chooses among the endpoints of the Cluster traffic policy
    KUBE-SVL-  chooses among the endpoints of the Local traffic policy
    KUBE-EXT-  what comes to a node port, external or load balancer's address passes here first: masquerade, short cuts
    KUBE-FW-   lets only loadBalancerSourceRanges through to KUBE-EXT-
    KUBE-SEP-  one for each endpoint: hairpin masquerade, affinity, DNAT

and lines in the chains that all Services share: KUBE-SERVICES and KUBE-NODEPORTS in nat find the Service; in filter
KUBE-SERVICES, KUBE-EXTERNAL-SERVICES and KUBE-PROXY-FIREWALL reject or drop what nat had no endpoint for.

Naming a chain in the text (`:NAME - [0:0]`) empties it; with `--noflush` all others stay.  So a *partial* sync names the
shared chains and those of the Services that changed, and leaves the rest alone.  A `Fragment` is what one port of a
Service adds to the text; fragments of unchanged Services are kept, and only joined anew.

Upstream: pkg/proxy/iptables/proxier.go, syncProxyRules.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from kubesim.proxy import addresses, settings, topology
from kubesim.proxy.blocks import Blocks
from kubesim.proxy.model import Endpoint, PortName, ServiceName, ServicePort
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State

# Above this many endpoints kube-proxy leaves comments out of the endpoints' rules and sweeps stale chains more rarely.
LARGE_CLUSTER_ENDPOINTS = 1000

SERVICE_CHAINS = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-")
FILTER_CHAINS = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
NAT_CHAINS = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ")
NODEPORTS_LAST = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"


@dataclass(frozen=True, slots=True)
class Jump:
    """A rule in a built-in chain that leads to one of kube-proxy's; kept in place by `iptables -I` at full syncs."""

    table: str
    source: str
    chain: str
    comment: str = ""
    match: str = ""

    @property
    def rule(self) -> str:
        """The rule as its arguments stand after `-A CHAIN`."""
        words = [self.match, f'-m comment --comment "{self.comment}"' if self.comment else "", f"-j {self.chain}"]
        return " ".join(word for word in words if word)


_NEW = "-m conntrack --ctstate NEW"
_EXTERNAL = "kubernetes externally-visible service portals"
_PORTALS = "kubernetes service portals"
_FIREWALL = "kubernetes load balancer firewall"
# In the order in which they are ensured: each is inserted first, so the last one heads its chain.
JUMPS = (
    Jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, _NEW),
    Jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, _NEW),
    Jump("filter", "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports"),
    Jump("filter", "FORWARD", "KUBE-SERVICES", _PORTALS, _NEW),
    Jump("filter", "OUTPUT", "KUBE-SERVICES", _PORTALS, _NEW),
    Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", _FIREWALL, _NEW),
    Jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", _FIREWALL, _NEW),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", _FIREWALL, _NEW),
    Jump("nat", "OUTPUT", "KUBE-SERVICES", _PORTALS),
    Jump("nat", "PREROUTING", "KUBE-SERVICES", _PORTALS),
    Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    # The kubelet makes this chain too; both must agree.
    Jump("filter", "INPUT", "KUBE-FIREWALL"),
    Jump("filter", "OUTPUT", "KUBE-FIREWALL"),
)


def chain_hash(*parts: str) -> str:
    """The sixteen letters that end a chain's name: iptables allows 28 characters."""
    return base64.b32encode(hashlib.sha256("".join(parts).encode()).digest())[:16].decode()


@lru_cache(maxsize=4096)
def probability(n: int) -> str:
    """One of n, as the statistic match is told it."""
    return f"{1 / n:.10f}"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@dataclass(slots=True)
class Fragment:
    """What one port of a Service adds: lines of the shared chains in `filter` and `nat`; its own chains, all in nat, and
    their `rules`, of which only the number is kept once they are written."""

    filter: list[str] = field(default_factory=list)
    nat: list[str] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    rule_count: int = 0


class Renderer:
    """Keeps the fragments of one node's kube-proxy between syncs."""

    jumps: Sequence[Jump] = JUMPS
    # Chains that must exist before the text is restored, by table (1.22: the kubelet fills KUBE-MARK-DROP).
    ensured_chains: Sequence[tuple[str, str]] = ()
    service_chains: tuple[str, ...] = SERVICE_CHAINS

    def __init__(self, options: Settings) -> None:
        self.options = options
        self.large = False
        self._fragments: dict[PortName, Fragment] = {}
        # What they add to the shared chains, in the order of their names.
        self._filter, self._nat = Blocks(), Blocks()
        self._ports: dict[ServiceName, list[PortName]] = {}
        self._active: set[str] = set()

    def sync(self, state: State, changed: Iterable[ServiceName] | None = None, existing: Iterable[str] = ()) -> str:
        """The text that makes the kernel's rules those of `state`; see `pieces`."""
        return "".join(self.pieces(state, changed, existing))

    def pieces(
        self, state: State, changed: Iterable[ServiceName] | None = None, existing: Iterable[str] = ()
    ) -> list[str]:
        """That text in pieces of whole lines; what is written again as it was is the same string as before.

        `changed` are the Services to write again; None writes all (a full sync).  `existing` are the chains now in
        nat: those of Services that are no more are removed.
        """
        self.large = state.endpoint_count() > LARGE_CLUSTER_ENDPOINTS
        if changed is None:
            self._fragments.clear()
            self._filter, self._nat = Blocks(), Blocks()
            self._ports.clear()
            self._active.clear()
            changed = sorted({name.service for name in state.services})
        written: list[Fragment] = []
        for name in sorted(changed):
            written += self._rewrite(name, state)
        stale = sorted(
            chain for chain in existing if chain not in self._active and chain.startswith(self.service_chains)
        )
        return self._text(written, stale)

    def _rewrite(self, name: ServiceName, state: State) -> list[Fragment]:
        gone = dict.fromkeys(self._ports.pop(name, ()))
        for port in gone:
            self._active.difference_update(self._fragments.pop(port).chains)
        written = []
        ports = sorted(state.ports_of(name), key=lambda each: each.name)
        for service in ports:
            fragment = self.fragment(service, state.endpoints.get(service.name, ()))
            self._fragments[service.name] = fragment
            self._active.update(fragment.chains)
            gone.pop(service.name, None)
            self._put(service.name, fragment.filter, fragment.nat)
            written.append(fragment)
        for port in gone:
            self._put(port, (), ())
        if ports:
            self._ports[name] = [service.name for service in ports]
        return written

    def _put(self, name: PortName, filter_lines: Sequence[str], nat_lines: Sequence[str]) -> None:
        key = (str(name), name)
        self._filter.put(key, _lines(filter_lines))
        self._nat.put(key, _lines(nat_lines))

    def _text(self, written: Sequence[Fragment], stale: Sequence[str]) -> list[str]:
        filter_head = [f":{chain} - [0:0]" for chain in self.filter_chains()] + self.filter_head()
        nat_chains = [*NAT_CHAINS, *(chain for fragment in written for chain in fragment.chains), *stale]
        rules: list[str] = []
        for fragment in written:
            rules += fragment.rules
            fragment.rule_count = len(fragment.rules)
            fragment.rules = []
        return [
            _lines(["*filter", *filter_head]),
            *self._filter.pieces(),
            _lines([*self.filter_tail(), "COMMIT"]),
            _lines(["*nat", *(f":{chain} - [0:0]" for chain in nat_chains), *self.nat_head()]),
            *self._nat.pieces(),
            _lines(rules),
            _lines([*(f"-X {chain}" for chain in stale), *self.nat_tail(), "COMMIT"]),
        ]

    def rule_counts(self) -> dict[str, int]:
        """How many rules kube-proxy has in each table (metric sync_proxy_rules_iptables_total)."""
        fragments = self._fragments.values()
        own = sum(each.rule_count + len(each.nat) for each in fragments)
        return {
            "filter": len(self.filter_head()) + len(self.filter_tail()) + sum(len(each.filter) for each in fragments),
            "nat": len(self.nat_head()) + len(self.nat_tail()) + own,
        }

    # -- what does not depend on any Service ----------------------------------------------------------------

    def filter_chains(self) -> Sequence[str]:
        """The shared chains of filter."""
        return (*FILTER_CHAINS, "KUBE-FIREWALL") if self._guards_localhost() else FILTER_CHAINS

    def _guards_localhost(self) -> bool:
        return not self.options.ipv6 and self.options.localhost_node_ports

    def filter_head(self) -> list[str]:
        """route_localnet=1 opens 127.0.0.0/8 to the neighbours; this closes it again (kubernetes issue 90259)."""
        if not self._guards_localhost():
            return []
        return [
            '-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8'
            " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        ]

    def filter_tail(self) -> list[str]:
        """KUBE-FORWARD: what was marked for masquerade is let through, and what belongs to a connection."""
        mark = self.options.masquerade_mark
        lines = []
        if not self.options.conntrack_tcp_liberal:
            counted = settings.COUNTER_INVALID in self.options.counters
            count = f" -m nfacct --nfacct-name {settings.COUNTER_INVALID}" if counted else ""
            lines.append(f"-A KUBE-FORWARD -m conntrack --ctstate INVALID{count} -j DROP")
        lines += [
            f'-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT',
            '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule"'
            " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ]
        return lines

    def nat_head(self) -> list[str]:
        """Masquerade what carries the mark, taking it off; and the chain that puts it on."""
        mark = self.options.masquerade_mark
        random = " --random-fully" if self.options.random_fully else ""
        return [
            f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
            f"-A KUBE-POSTROUTING -j MARK --xor-mark {mark}",
            f'-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE{random}',
            f"-A KUBE-MARK-MASQ -j MARK --or-mark {mark}",
        ]

    def nat_tail(self) -> list[str]:
        """The way to KUBE-NODEPORTS, after all Services' own addresses."""
        head = f'-A KUBE-SERVICES -m comment --comment "{NODEPORTS_LAST}"'
        options = self.options
        chosen = options.node_port_addresses
        if chosen.match_all:
            loopback = ""
            if options.ipv6:
                loopback = " ! -d ::1/128"  # never works on IPv6: there is no route_localnet
            elif not options.localhost_node_ports:
                loopback = " ! -d 127.0.0.0/8"
            return [f"{head} -m addrtype --dst-type LOCAL{loopback} -j KUBE-NODEPORTS"]
        return [
            f"{head} -d {address} -j KUBE-NODEPORTS"
            for address in chosen.of_node(options.node_addresses)
            if not addresses.is_loopback(address) or (not options.ipv6 and options.localhost_node_ports)
        ]

    # -- what one port of a Service adds --------------------------------------------------------------------

    def fragment(self, service: ServicePort, endpoints: Sequence[Endpoint]) -> Fragment:
        """All lines that stem from this port."""
        options = self.options
        reach = topology.categorize(endpoints, service, options.node_name, options.topology_labels)
        out = Fragment()
        name = str(service.name)
        key = chain_hash(name, service.protocol)
        cluster_chain, local_chain = f"KUBE-SVC-{key}", f"KUBE-SVL-{key}"
        external_chain, firewall_chain = f"KUBE-EXT-{key}", f"KUBE-FW-{key}"
        protocol = f"-m {service.protocol} -p {service.protocol}"
        port = f"--dport {service.port}"

        internal_chain = local_chain if service.internal_local else cluster_chain
        internal = reach.anywhere and (bool(reach.local) or not service.internal_local)
        external = reach.anywhere and (bool(reach.local) or not service.external_local)
        uses_external = reach.anywhere and service.externally_accessible
        uses_firewall = reach.anywhere and bool(service.load_balancer_ips and service.source_ranges)
        # REJECT says that nobody is there at all; DROP, that a load balancer should ask another node.
        refuse = "DROP" if reach.anywhere else "REJECT"
        refused = f'-m comment --comment "{name} has no {"local " if reach.anywhere else ""}endpoints"'

        to_cluster_ip = f'-m comment --comment "{name} cluster IP" {protocol} -d {service.cluster_ip} {port}'
        if internal:
            out.nat.append(f"-A KUBE-SERVICES {to_cluster_ip} -j {internal_chain}")
        else:
            out.filter.append(f"-A KUBE-SERVICES {refused} {protocol} -d {service.cluster_ip} {port} -j {refuse}")
        for address in service.external_ips:
            if reach.anywhere:
                out.nat.append(
                    f'-A KUBE-SERVICES -m comment --comment "{name} external IP" {protocol} -d {address} {port}'
                    f" -j {external_chain}"
                )
            if not external:
                out.filter.append(f"-A KUBE-EXTERNAL-SERVICES {refused} {protocol} -d {address} {port} -j {refuse}")
        for address in service.load_balancer_ips:
            if reach.anywhere:
                out.nat.append(
                    f'-A KUBE-SERVICES -m comment --comment "{name} loadbalancer IP" {protocol} -d {address} {port}'
                    f" -j {firewall_chain if uses_firewall else external_chain}"
                )
            if uses_firewall:
                out.filter.append(
                    f'-A KUBE-PROXY-FIREWALL -m comment --comment "{name} traffic not accepted by {firewall_chain}"'
                    f" {protocol} -d {address} {port} -j DROP"
                )
        if not external:
            out.filter += [
                f"-A KUBE-EXTERNAL-SERVICES {refused} {protocol} -d {address} {port} -j {refuse}"
                for address in service.load_balancer_ips
            ]
        if service.node_port:
            self._node_port(out, service, name, external_chain, reach.anywhere)
            if not external:
                out.filter.append(
                    f"-A KUBE-EXTERNAL-SERVICES {refused} -m addrtype --dst-type LOCAL {protocol}"
                    f" --dport {service.node_port} -j {refuse}"
                )
        if service.health_check_node_port:
            out.filter.append(
                f'-A KUBE-NODEPORTS -m comment --comment "{name} health check node port" -m tcp -p tcp'
                f" --dport {service.health_check_node_port} -j ACCEPT"
            )

        if internal:
            if options.masquerade_all:
                out.rules.append(f"-A {internal_chain} {to_cluster_ip} -j KUBE-MARK-MASQ")
            elif options.local_detector is not None:
                # A route for the Service range may lead to any node; the answer must come back through it.
                outside = options.local_detector.iptables(local=False)
                out.rules.append(f"-A {internal_chain} {to_cluster_ip} {outside} -j KUBE-MARK-MASQ")
        if uses_external:
            out.chains.append(external_chain)
            out.rules += self._external(service, name, external_chain, cluster_chain)
            if external:
                out.rules.append(f"-A {external_chain} -j {local_chain if service.external_local else cluster_chain}")
        if uses_firewall:
            out.chains.append(firewall_chain)
            out.rules += self._firewall(service, name, firewall_chain, external_chain)

        chains = {each: f"KUBE-SEP-{chain_hash(name, service.protocol, str(each))}" for each in reach.all}
        if reach.cluster:
            out.chains.append(cluster_chain)
            out.rules += self._balance(service, name, cluster_chain, reach.cluster, chains)
        if reach.local:
            out.chains.append(local_chain)
            out.rules += self._balance(service, name, local_chain, reach.local, chains)
        comment = "" if self.large else f"-m comment --comment {name} "
        for endpoint, chain in chains.items():
            out.chains.append(chain)
            remember = f"-m recent --name {chain} --set " if service.affinity_seconds else ""
            out.rules += [
                f"-A {chain} {comment}-s {endpoint.address} -j KUBE-MARK-MASQ",
                f"-A {chain} {comment}{remember}{protocol} -j DNAT --to-destination {endpoint}",
            ]
        return out

    def _node_port(self, out: Fragment, service: ServicePort, name: str, external_chain: str, anywhere: bool) -> None:
        if not anywhere:
            return
        head = f"-A KUBE-NODEPORTS -m comment --comment {name} -m {service.protocol} -p {service.protocol}"
        tail = f"--dport {service.node_port}"
        if self._guards_localhost() and settings.COUNTER_LOCALHOST in self.options.counters:
            count = f"-m nfacct --nfacct-name {settings.COUNTER_LOCALHOST}"
            out.nat.append(f"{head} -d 127.0.0.0/8 {tail} {count} -j {external_chain}")
        out.nat.append(f"{head} {tail} -j {external_chain}")

    def _external(self, service: ServicePort, name: str, chain: str, cluster_chain: str) -> list[str]:
        head = f"-A {chain} -m comment --comment"
        if not service.external_local:
            return [f'{head} "masquerade traffic for {name} external destinations" -j KUBE-MARK-MASQ']
        lines = []
        if self.options.local_detector is not None:
            # A pod that asks a load balancer's address gets what it would get by going out and coming back.
            local = self.options.local_detector.iptables(local=True)
            lines.append(f'{head} "pod traffic for {name} external destinations" {local} -j {cluster_chain}')
        lines += [
            f'{head} "masquerade LOCAL traffic for {name} external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ',
            f'{head} "route LOCAL traffic for {name} external destinations" -m addrtype --src-type LOCAL -j {cluster_chain}',
        ]
        return lines

    def _firewall(self, service: ServicePort, name: str, chain: str, external_chain: str) -> list[str]:
        head = f'-A {chain} -m comment --comment "{name} loadbalancer IP"'
        lines = [f"{head} -s {cidr} -j {external_chain}" for cidr in service.source_ranges]
        if any(addresses.contains(cidr, self.options.node_ip) for cidr in service.source_ranges):
            # The node's own request to the address loops back with that address as its source.
            lines += [f"{head} -s {address} -j {external_chain}" for address in service.load_balancer_ips]
        lines.append(
            f'-A {chain} -m comment --comment "other traffic to {name} will be dropped by KUBE-PROXY-FIREWALL"'
        )
        return lines

    def _balance(
        self, service: ServicePort, name: str, chain: str, endpoints: Sequence[Endpoint], chains: dict[Endpoint, str]
    ) -> list[str]:
        """Affinity first, then one of n, one of n-1, ... and the last without a condition."""
        lines = []
        heads = [
            f"-A {chain}" if self.large else f'-A {chain} -m comment --comment "{name} -> {endpoint}"'
            for endpoint in endpoints
        ]
        if service.affinity_seconds:
            recent = f"--rcheck --seconds {service.affinity_seconds} --reap"
            lines += [
                f"{head} -m recent --name {chains[endpoint]} {recent} -j {chains[endpoint]}"
                for head, endpoint in zip(heads, endpoints, strict=True)
            ]
        for index, (head, endpoint) in enumerate(zip(heads, endpoints, strict=True)):
            left = len(endpoints) - index
            chance = f"-m statistic --mode random --probability {probability(left)} " if left > 1 else ""
            lines.append(f"{head} {chance}-j {chains[endpoint]}")
        return lines
