"""The nftables mode, as kube-proxy 1.36 writes it: one table of its own, dispatch by maps, commands for `nft -f`.

Theory of operation
-------------------
Where iptables walks a list, nftables looks up: a packet's (address, protocol, port) is a key of the map `service-ips`, its
(protocol, port) one of `service-nodeports`, and the value is the chain to go to.  So a packet costs the same whatever
the number of Services, and a change of one Service touches its own chains and elements only:

    service-, local-   choose among the endpoints of the Cluster and the Local traffic policy, and DNAT
    external-          masquerade and short cuts of traffic from outside
    firewall-          loadBalancerSourceRanges
    endpoint-          DNAT and remembering the client, only where there is session affinity, with a set `affinity-`

Hairpin connections (a pod that reaches itself through its Service) are told by the set `hairpin-connections`, ports of a
cluster IP that no Service has by `cluster-ips`.  A chain that is no more is emptied first and deleted by a later
transaction, for kernels before 6.2 still think that a map refers to it.

Upstream: pkg/proxy/nftables/proxier.go, sigs.k8s.io/knftables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kubesim.proxy import addresses, iptables, topology
from kubesim.proxy.model import Endpoint, PortName, ServiceName, ServicePort
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State

# knftables.NameLengthMax less the longest prefix that a name gets here, hyphen included.
NAME_LENGTH = 256 - 16
# For how long a chain that was emptied is left alone, in seconds.
STALE_SECONDS = 1.0

BASE_CHAINS = {
    "filter-prerouting-pre-dnat": "filter hook prerouting priority -110",
    "filter-output-pre-dnat": "filter hook output priority -110",
    "filter-input": "filter hook input priority 0",
    "filter-forward": "filter hook forward priority 0",
    "filter-output": "filter hook output priority 0",
    "nat-prerouting": "nat hook prerouting priority -100",
    "nat-output": "nat hook output priority -100",
    "nat-postrouting": "nat hook postrouting priority 100",
}
REJECT_CHAIN = "reject-chain"
SHARED_CHAINS = (
    "nodeport-endpoints-check",
    "service-endpoints-check",
    "firewall-check",
    "services",
    "masquerading",
    "cluster-ips-check",
)
JUMPS = (
    ("filter-input", "ct state new jump nodeport-endpoints-check"),
    ("filter-input", "ct state new jump service-endpoints-check"),
    ("filter-forward", "ct state new jump service-endpoints-check"),
    ("filter-output", "ct state new jump service-endpoints-check"),
    ("filter-prerouting-pre-dnat", "ct state new jump firewall-check"),
    ("filter-output-pre-dnat", "ct state new jump firewall-check"),
    ("nat-output", "jump services"),
    ("nat-prerouting", "jump services"),
    ("nat-postrouting", "jump masquerading"),
    ("filter-forward", "ct state new jump cluster-ips-check"),
    ("filter-output", "ct state new jump cluster-ips-check"),
)
MAPS = {
    "no-endpoint-services": "vmap to drop or reject packets to services with no endpoints",
    "no-endpoint-nodeports": "vmap to drop or reject packets to service nodeports with no endpoints",
    "firewall-ips": "destinations that are subject to LoadBalancerSourceRanges",
    "service-ips": "ClusterIP, ExternalIP and LoadBalancer IP traffic",
    "service-nodeports": "NodePort traffic",
}

# An element's place: the set or map, and its key as nft writes it.
Key = tuple[str, str]


@dataclass(slots=True)
class Fragment:
    """What one port of a Service adds: chains with their rules, sets with their properties, and elements: what follows
    the key in the braces (a verdict, a comment), "" in a set."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    elements: dict[Key, str] = field(default_factory=dict)


def chain_base(*parts: str) -> str:
    """A name that says what it is, with a hash in front that tells long and similar ones apart."""
    name = "".join(parts)
    name = f"{iptables.chain_hash(name)[:8]}-{name}"
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..."


class Renderer:
    """Keeps the fragments of one node's kube-proxy, of one IP family."""

    def __init__(self, options: Settings) -> None:
        self.options = options
        self._ip = "ip6" if options.ipv6 else "ip"
        self._type = "ipv6_addr" if options.ipv6 else "ipv4_addr"
        self._fragments: dict[PortName, Fragment] = {}
        self._ports: dict[ServiceName, list[PortName]] = {}
        # Ports of one Service share elements (its cluster IP), ports of several a hairpin connection.
        self._users: Counter[Key] = Counter()
        self._stale: dict[str, float] = {}

    # -- texts ----------------------------------------------------------------------------------------------

    def full(self, state: State) -> str:
        """The commands that make the whole table where none is, in an order that `nft -f` takes."""
        self._forget()
        for name in sorted({port.service for port in state.services}):
            self._replace(name, state)
        fragments = [self._fragments[name] for name in sorted(self._fragments)]
        sets = {**self._sets(), **{name: what for each in fragments for name, what in each.sets.items()}}
        chains = {name: rules for each in fragments for name, rules in each.chains.items()}
        elements = {key: value for each in fragments for key, value in each.elements.items()}
        elements.update(dict.fromkeys(self._node_port_ips(), ""))
        rules: dict[str, list[str]] = {}
        for chain, rule in self._rules():
            rules.setdefault(chain, []).append(rule)
        rules.update(chains)
        lines = [self._add("table", "", '{ comment "rules for kube-proxy" ; }')]
        lines += [self._add("set", name, sets[name]) for name in sorted(sets)]
        lines += [self._add("map", name, what) for name, what in sorted(self._maps().items())]
        declared = {**self._chains(), **dict.fromkeys(chains, "")}
        lines += [self._add("chain", name, what) for name, what in sorted(declared.items())]
        lines += [self._add("rule", chain, rule) for chain in sorted(rules) for rule in rules[chain]]
        lines += [self._element("add", key, elements[key]) for key in sorted(elements)]
        return "\n".join(lines) + "\n"

    def install(self, state: State, chains: Iterable[str] = (), sets: Iterable[str] = ()) -> str:
        """The transaction of a full sync, in the order in which kube-proxy makes things: whatever of the table is there is
        kept or emptied and filled anew.  `chains` and `sets` are the names that the kernel has now; those that nobody
        wants go (clients that a set remembers stay)."""
        self._forget()
        for service in sorted({port.service for port in state.services}):
            self._replace(service, state)
        fragments = [self._fragments[port] for service in sorted(self._ports) for port in self._ports[service]]
        own = {name: rules for each in fragments for name, rules in each.chains.items()}
        properties = {name: what for each in fragments for name, what in each.sets.items()}
        elements = {key: value for each in fragments for key, value in each.elements.items()}
        elements.update(dict.fromkeys(self._node_port_ips(), ""))
        shared = {**self._sets(), **self._maps()}
        lines = [self._add("table", "", '{ comment "rules for kube-proxy" ; }')]
        for name, what in shared.items():
            kind = "map" if name in MAPS else "set"
            lines += [self._add(kind, name, what), self._command("flush", kind, name)]
        for name, what in self._chains().items():
            lines += [self._add("chain", name, what), self._command("flush", "chain", name)]
        lines += [self._add("rule", chain, rule) for chain, rule in self._rules()]
        lines += [self._add("set", name, what) for name, what in properties.items()]
        for chain in own:
            lines += [self._add("chain", chain), self._command("flush", "chain", chain)]
        lines += [self._add("rule", chain, rule) for chain, rules in own.items() for rule in rules]
        lines += [self._element("add", key, elements[key]) for key in elements]
        stale = [chain for chain in chains if chain not in own and chain not in self._chains()]
        lines += [self._command("flush", "chain", chain) for chain in stale]
        lines += [self._command("delete", "chain", chain) for chain in stale]
        lines += [
            self._command("delete", "set", name) for name in sets if name not in shared and name not in properties
        ]
        return "\n".join(lines) + "\n"

    def partial(self, state: State, changed: Iterable[ServiceName], now: float) -> str:
        """The transaction for the Services that changed, "" when it has nothing to do.  `now` in seconds: chains that
        became stale over a second ago are deleted."""
        lines = [
            self._command("delete", "chain", name) for name, since in self._stale.items() if now - since > STALE_SECONDS
        ]
        self._stale = {name: since for name, since in self._stale.items() if now - since <= STALE_SECONDS}
        for name in sorted(changed):
            before = [self._fragments[port] for port in self._ports.get(name, ())]
            shown = {key: value for each in before for key, value in each.elements.items()}
            self._replace(name, state)
            after = [self._fragments[port] for port in self._ports.get(name, ())]
            lines += self._transition(before, after, shown, now)
        return "\n".join(lines) + "\n" if lines else ""

    def _forget(self) -> None:
        self._fragments.clear()
        self._ports.clear()
        self._users.clear()
        self._stale.clear()

    def _replace(self, name: ServiceName, state: State) -> None:
        for port in self._ports.pop(name, ()):
            self._users.subtract(self._fragments.pop(port).elements.keys())
        ports = sorted(state.ports_of(name), key=lambda each: each.name)
        for service in ports:
            fragment = self.fragment(service, state.endpoints.get(service.name, ()))
            self._fragments[service.name] = fragment
            self._users.update(fragment.elements.keys())
        if ports:
            self._ports[name] = [service.name for service in ports]

    def _transition(
        self, before: Sequence[Fragment], after: Sequence[Fragment], shown: dict[Key, str], now: float
    ) -> Iterator[str]:
        old_chains = {chain for each in before for chain in each.chains}
        new_chains = {chain: rules for each in after for chain, rules in each.chains.items()}
        old_sets = {name for each in before for name in each.sets}
        new_sets = {name: what for each in after for name, what in each.sets.items()}
        wanted = {key: value for each in after for key, value in each.elements.items()}
        for name in sorted(new_sets.keys() - old_sets):
            yield self._add("set", name, new_sets[name])
        for chain, rules in new_chains.items():
            self._stale.pop(chain, None)
            yield self._add("chain", chain)
            yield self._command("flush", "chain", chain)
            for rule in rules:
                yield self._add("rule", chain, rule)
        for chain in sorted(old_chains - new_chains.keys()):
            self._stale[chain] = now
            yield self._command("flush", "chain", chain)
        for key, value in sorted(wanted.items()):
            if key not in shown:
                # Another Service's endpoint may be the same one: its hairpin element is there then.
                if self._users[key] == sum(key in each.elements for each in after):
                    yield self._element("add", key, value)
            elif shown[key] != value:
                yield self._element("delete", key, "")
                yield self._element("add", key, value)
        for key in sorted(shown.keys() - wanted.keys()):
            if not self._users[key]:
                del self._users[key]
                yield self._element("delete", key, "")
        for name in sorted(old_sets - new_sets.keys()):
            yield self._command("delete", "set", name)

    def _command(self, verb: str, kind: str, name: str) -> str:
        return f"{verb} {kind} {self._ip} kube-proxy {name}"

    def _add(self, kind: str, name: str, what: str = "") -> str:
        return " ".join(word for word in (f"add {kind} {self._ip} kube-proxy", name, what) if word)

    def _element(self, verb: str, key: Key, value: str) -> str:
        inside = f"{key[1]} {value}" if value else key[1]
        return f"{verb} element {self._ip} kube-proxy {key[0]} {{ {inside} }}"

    # -- what does not depend on any Service ----------------------------------------------------------------

    def _sets(self) -> dict[str, str]:
        ip = self._type
        hairpin = f"{ip} . {ip} . inet_proto . inet_service"
        sets = {
            "hairpin-connections": f'{{ type {hairpin} ; comment "service hairpin connections" ; }}',
            "cluster-ips": f'{{ type {ip} ; comment "Active ClusterIPs" ; }}',
        }
        if not self.options.node_port_addresses.match_all:
            sets["nodeport-ips"] = f'{{ type {ip} ; comment "IPs that accept NodePort traffic" ; }}'
        return sets

    def _maps(self) -> dict[str, str]:
        port = "inet_proto . inet_service : verdict"
        return {
            name: f'{{ type {port if name.endswith("nodeports") else f"{self._type} . {port}"} ; comment "{what}" ; }}'
            for name, what in MAPS.items()
        }

    def _chains(self) -> dict[str, str]:
        chains = {name: f"{{ type {what} ; }}" for name, what in BASE_CHAINS.items()}
        helper = '{ comment "helper for @no-endpoint-services / @no-endpoint-nodeports" ; }'
        return {**chains, **dict.fromkeys(SHARED_CHAINS, ""), REJECT_CHAIN: helper}

    def _node_port_ips(self) -> list[Key]:
        chosen = self.options.node_port_addresses
        if chosen.match_all:
            return []
        own = chosen.of_node(self.options.node_addresses)
        # NodePorts on localhost do not work in this mode: it does not set route_localnet.
        return [("nodeport-ips", address) for address in own if not addresses.is_loopback(address)]

    def _rules(self) -> Iterator[tuple[str, str]]:
        options, ip, mark = self.options, self._ip, self.options.masquerade_mark
        yield from JUMPS
        yield "masquerading", f"mark and {mark} != 0 mark set mark xor {mark} masquerade fully-random"
        hairpin = f"{ip} saddr . {ip} daddr . meta l4proto . th dport @hairpin-connections"
        yield "masquerading", f"ct status dnat {hairpin} masquerade fully-random"
        yield (
            "cluster-ips-check",
            f'{ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"',
        )
        if options.service_cidrs:
            ranges = ",".join(options.service_cidrs)
            yield (
                "cluster-ips-check",
                f'{ip} daddr {{ {ranges} }} drop comment "Drop traffic to unallocated ClusterIPs"',
            )
        local_check, local = f"{ip} daddr @nodeport-ips", f"{ip} daddr @nodeport-ips"
        if options.node_port_addresses.match_all:
            local_check = "ip6 daddr != ::1" if options.ipv6 else "ip daddr != 127.0.0.0/8"
            local = f"fib daddr type local {local_check}"
        to = f"{ip} daddr . meta l4proto . th dport"
        yield REJECT_CHAIN, "reject"
        yield "service-endpoints-check", f"{to} vmap @no-endpoint-services"
        yield "nodeport-endpoints-check", f"{local_check} meta l4proto . th dport vmap @no-endpoint-nodeports"
        yield "firewall-check", f"{to} vmap @firewall-ips"
        if options.masquerade_all:
            yield (
                "services",
                f'{ip} daddr @cluster-ips mark set mark or {mark} comment "masquerade all clusterIP traffic"',
            )
        elif options.local_detector is not None:
            outside = f"{options.local_detector.nftables(local=False)} mark set mark or {mark}"
            yield (
                "services",
                f'{ip} daddr @cluster-ips {outside} comment "masquerade clusterIP traffic from outside cluster"',
            )
        yield "services", f"{to} vmap @service-ips"
        yield "services", f"{local} meta l4proto . th dport vmap @service-nodeports"

    # -- what one port of a Service adds --------------------------------------------------------------------

    def fragment(self, service: ServicePort, endpoints: Sequence[Endpoint]) -> Fragment:
        """All that stems from this port."""
        options = self.options
        reach = topology.categorize(endpoints, service, options.node_name, options.topology_labels)
        out = Fragment()
        name = service.name
        parts = (f"{name.namespace}/{name.name}/{service.protocol}/{name.port}",)
        base = chain_base(*parts)
        cluster_chain, local_chain = f"service-{base}", f"local-{base}"
        external_chain, firewall_chain = f"external-{base}", f"firewall-{base}"
        internal = reach.anywhere and (bool(reach.local) or not service.internal_local)
        external = reach.anywhere and (bool(reach.local) or not service.external_local)
        refuse = f'comment "{name}" : ' + ("drop" if reach.anywhere else f"goto {REJECT_CHAIN}")

        def to(address: str) -> str:
            return f"{address} . {service.protocol} . {service.port}"

        out.elements["cluster-ips", service.cluster_ip] = ""
        if internal:
            chain = local_chain if service.internal_local else cluster_chain
            out.elements["service-ips", to(service.cluster_ip)] = f": goto {chain}"
        else:
            out.elements["no-endpoint-services", to(service.cluster_ip)] = refuse
        for address in (*service.external_ips, *service.load_balancer_ips):
            if reach.anywhere:
                out.elements["service-ips", to(address)] = f": goto {external_chain}"
            if not external:
                out.elements["no-endpoint-services", to(address)] = refuse
        if service.node_port:
            port = f"{service.protocol} . {service.node_port}"
            if reach.anywhere:
                out.elements["service-nodeports", port] = f": goto {external_chain}"
            if not external:
                out.elements["no-endpoint-nodeports", port] = refuse
        affinity = {each: chain_base(*parts, f"__{each.address.replace(':', '.')}/{each.port}") for each in reach.all}
        if not service.affinity_seconds:
            affinity = {}
        for endpoint, each in affinity.items():
            properties = f"type {self._type} ; flags dynamic,timeout ; timeout {service.affinity_seconds}s ;"
            out.sets[f"affinity-{each}"] = f"{{ {properties} }}"
            out.chains[f"endpoint-{each}"] = [
                f"update @affinity-{each} {{ {self._ip} saddr }}",
                f"meta l4proto {service.protocol} dnat to {endpoint}",
            ]
        if reach.cluster:
            out.chains[cluster_chain] = self._balance(service, reach.cluster, affinity)
        if reach.local:
            out.chains[local_chain] = self._balance(service, reach.local, affinity)
        if reach.anywhere and service.externally_accessible:
            policy = local_chain if service.external_local else cluster_chain
            out.chains[external_chain] = self._external(service, cluster_chain) + (
                [f"goto {policy}"] if external else []
            )
        if service.load_balancer_ips and service.source_ranges:
            for address in service.load_balancer_ips:
                out.elements["firewall-ips", to(address)] = f": goto {firewall_chain}"
            out.chains[firewall_chain] = [self._firewall(service)]
        for endpoint in reach.all:
            if endpoint.local:
                own = endpoint.address
                out.elements["hairpin-connections", f"{own} . {own} . {service.protocol} . {endpoint.port}"] = ""
        return out

    def _external(self, service: ServicePort, cluster_chain: str) -> list[str]:
        masquerade = f"mark set mark or {self.options.masquerade_mark}"
        if not service.external_local:
            return [f'{masquerade} comment "masquerade"']
        rules = []
        if self.options.local_detector is not None:
            pods = self.options.local_detector.nftables(local=True)
            rules.append(f'{pods} goto {cluster_chain} comment "short-circuit pod traffic"')
        return [
            *rules,
            f'fib saddr type local {masquerade} comment "masquerade local traffic"',
            f'fib saddr type local goto {cluster_chain} comment "short-circuit local traffic"',
        ]

    def _firewall(self, service: ServicePort) -> str:
        sources = [str(cidr) for cidr in service.source_ranges]
        if any(addresses.contains(cidr, self.options.node_ip) for cidr in service.source_ranges):
            sources += service.load_balancer_ips
        return f"{self._ip} saddr != {{ {' , '.join(sources)} }} drop"

    def _balance(self, service: ServicePort, endpoints: Sequence[Endpoint], affinity: dict[Endpoint, str]) -> list[str]:
        random = f"numgen random mod {len(endpoints)}"
        if not affinity:
            choices = " , ".join(f"{index} : {each.address} . {each.port}" for index, each in enumerate(endpoints))
            return [f"meta l4proto {service.protocol} dnat {self._ip} addr . port to {random} map {{ {choices} }}"]
        rules = [f"{self._ip} saddr @affinity-{affinity[each]} goto endpoint-{affinity[each]}" for each in endpoints]
        choices = " , ".join(f"{index} : goto endpoint-{affinity[each]}" for index, each in enumerate(endpoints))
        return [*rules, f"{random} vmap {{ {choices} }}"]
