"""The ipvs mode: virtual servers in the kernel's load balancer, address sets, and the few iptables rules beside them.

Every address of a Service is bound to a dummy interface (`DUMMY`), so that the node takes packets for it, and is a
virtual server of IPVS whose real servers are the endpoints.  iptables only masquerades, filters source ranges, and closes
the node's own ports on those addresses; what it has to know of Services it asks of ipsets, so its rules do not grow.

Upstream: pkg/proxy/ipvs/proxier.go and ipset.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from kubesim.proxy import addresses, topology
from kubesim.proxy.iptables import Jump
from kubesim.proxy.model import Endpoint, ServicePort
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State

DUMMY = "kube-ipvs0"

# The flags of a virtual server: IP_VS_SVC_F_PERSISTENT, and for scheduler mh the source port's part in the hash.
PERSISTENT = 0x1
SOURCE_HASH = 0x10

# Name: type, and the comment of the rule that asks it.
SETS = {
    "KUBE-LOOP-BACK": ("hash:ip,port,ip", "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"),
    "KUBE-CLUSTER-IP": ("hash:ip,port", "Kubernetes service cluster ip + port for masquerade purpose"),
    "KUBE-EXTERNAL-IP": ("hash:ip,port", "Kubernetes service external ip + port for masquerade and filter purpose"),
    "KUBE-EXTERNAL-IP-LOCAL": (
        "hash:ip,port",
        "Kubernetes service external ip + port with externalTrafficPolicy=local",
    ),
    "KUBE-LOAD-BALANCER": ("hash:ip,port", "Kubernetes service lb portal"),
    "KUBE-LOAD-BALANCER-LOCAL": (
        "hash:ip,port",
        "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
    ),
    "KUBE-LOAD-BALANCER-FW": (
        "hash:ip,port",
        "Kubernetes service load balancer ip + port for load balancer with sourceRange",
    ),
    "KUBE-LOAD-BALANCER-SOURCE-IP": (
        "hash:ip,port,ip",
        "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
    ),
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": (
        "hash:ip,port,net",
        "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
    ),
    "KUBE-NODE-PORT-TCP": ("bitmap:port", "Kubernetes nodeport TCP port for masquerade purpose"),
    "KUBE-NODE-PORT-LOCAL-TCP": ("bitmap:port", "Kubernetes nodeport TCP port with externalTrafficPolicy=local"),
    "KUBE-NODE-PORT-UDP": ("bitmap:port", "Kubernetes nodeport UDP port for masquerade purpose"),
    "KUBE-NODE-PORT-LOCAL-UDP": ("bitmap:port", "Kubernetes nodeport UDP port with externalTrafficPolicy=local"),
    "KUBE-NODE-PORT-SCTP-HASH": (
        "hash:ip,port",
        "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
    ),
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": (
        "hash:ip,port",
        "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
    ),
    "KUBE-HEALTH-CHECK-NODE-PORT": ("bitmap:port", "Kubernetes health check node port"),
    "KUBE-IPVS-IPS": ("hash:ip", ""),
}
# Which rule a set that is not empty gets: table, chain, target, how it is matched, protocol.
SET_RULES = (
    ("KUBE-LOOP-BACK", "nat", "KUBE-POSTROUTING", "MASQUERADE", "dst,dst,src", ""),
    ("KUBE-LOAD-BALANCER", "nat", "KUBE-SERVICES", "KUBE-LOAD-BALANCER", "dst,dst", ""),
    ("KUBE-LOAD-BALANCER-LOCAL", "nat", "KUBE-LOAD-BALANCER", "RETURN", "dst,dst", ""),
    ("KUBE-NODE-PORT-LOCAL-TCP", "nat", "KUBE-NODE-PORT", "RETURN", "dst", "tcp"),
    ("KUBE-NODE-PORT-TCP", "nat", "KUBE-NODE-PORT", "KUBE-MARK-MASQ", "dst", "tcp"),
    ("KUBE-NODE-PORT-LOCAL-UDP", "nat", "KUBE-NODE-PORT", "RETURN", "dst", "udp"),
    ("KUBE-NODE-PORT-UDP", "nat", "KUBE-NODE-PORT", "KUBE-MARK-MASQ", "dst", "udp"),
    ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "nat", "KUBE-NODE-PORT", "RETURN", "dst,dst", "sctp"),
    ("KUBE-NODE-PORT-SCTP-HASH", "nat", "KUBE-NODE-PORT", "KUBE-MARK-MASQ", "dst,dst", "sctp"),
    ("KUBE-LOAD-BALANCER-FW", "filter", "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL", "dst,dst", ""),
    ("KUBE-LOAD-BALANCER-SOURCE-CIDR", "filter", "KUBE-SOURCE-RANGES-FIREWALL", "RETURN", "dst,dst,src", ""),
    ("KUBE-LOAD-BALANCER-SOURCE-IP", "filter", "KUBE-SOURCE-RANGES-FIREWALL", "RETURN", "dst,dst,src", ""),
)
NAT_CHAINS = ("KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-MARK-MASQ")
FILTER_CHAINS = (
    "KUBE-FORWARD", "KUBE-NODE-PORT", "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
)  # fmt: skip
JUMPS = (
    Jump("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
    Jump("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
    Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    Jump("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules"),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    Jump("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter"),
    Jump("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualServer:
    """One service of IPVS.  `timeout` is the persistence in seconds, 0 for none; the real servers all weigh 1."""

    address: str
    port: int
    protocol: str
    scheduler: str
    flags: int = 0
    timeout: int = 0
    real_servers: tuple[Endpoint, ...] = ()

    def save(self) -> list[str]:
        """As `ipvsadm-save -n` prints it."""
        where = f"-{'t' if self.protocol == 'tcp' else 'u' if self.protocol == 'udp' else '-sctp-service'}"
        where = f"{where} {addresses.join(self.address, self.port)}"
        persistent = f" -p {self.timeout}" if self.flags & PERSISTENT else ""
        return [
            f"-A {where} -s {self.scheduler}{persistent}",
            *(f"-a {where} -r {endpoint} -m -w 1" for endpoint in self.real_servers),
        ]


# Address, port, protocol.
Key = tuple[str, int, str]


@dataclass(slots=True)
class Part:
    """What one port of a Service needs: members of `sets`, virtual `servers`, addresses `bound` to the dummy interface, and
    rules of KUBE-IPVS-OUT-FILTER."""

    sets: dict[str, set[str]] = field(default_factory=dict)
    servers: dict[Key, VirtualServer] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    out_filter: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ruleset(Part):
    """All that the mode writes: the parts of all Services, and `restore` for iptables-restore."""

    restore: str = ""
    ipv6: bool = False

    def text(self) -> str:
        """The three parts one after the other: iptables-restore's text, `ipset save`, `ipvsadm-save -n`."""
        family = "inet6" if self.ipv6 else "inet"
        lines = [self.restore.rstrip("\n"), "# ipset save"]
        for name in sorted(self.sets):
            kind = SETS[name][0]
            options = "range 0-65535" if kind == "bitmap:port" else f"family {family} hashsize 1024 maxelem 65536"
            lines.append(f"create {set_name(name, self.ipv6)} {kind} {options}")
            lines += [f"add {set_name(name, self.ipv6)} {entry}" for entry in sorted(self.sets[name])]
        lines.append("# ipvsadm-save -n")
        for key in sorted(self.servers):
            lines += self.servers[key].save()
        return "\n".join(lines) + "\n"


def set_name(name: str, ipv6: bool) -> str:
    """IPv6's sets have names of their own (ipset.go, NewIPSet)."""
    return name.replace("KUBE-", "KUBE-6-", 1)[:31] if ipv6 else name


def render(state: State, options: Settings) -> Ruleset:
    """What kube-proxy in ipvs mode makes of the state."""
    out = Ruleset(sets={name: set() for name in SETS}, ipv6=options.ipv6)
    for name in sorted(state.services):
        _Writer(out, options, state.services[name], state.endpoints.get(name, ())).write()
    out.restore = restore({name for name, entries in out.sets.items() if entries}, out.out_filter, options)
    return out


def part(service: ServicePort, endpoints: Sequence[Endpoint], options: Settings) -> Part:
    """What one port of a Service needs."""
    out = Part()
    _Writer(out, options, service, endpoints).write()
    return out


class _Writer:
    """Adds one port of a Service."""

    def __init__(self, out: Part, options: Settings, service: ServicePort, endpoints: Sequence[Endpoint]) -> None:
        self.out = out
        self.options = options
        self.service = service
        self.endpoints = endpoints
        self.reach = topology.categorize(endpoints, service, options.node_name, options.topology_labels)

    def write(self) -> None:
        service = self.service
        for endpoint in self.endpoints:
            if endpoint.local:
                entry = f"{self._entry(endpoint.address, endpoint.port)},{endpoint.address}"
                self._put("KUBE-LOOP-BACK", entry)
        self._add("KUBE-CLUSTER-IP", service.cluster_ip)
        self._serve(service.cluster_ip, service.port, service.internal_local)
        for address in service.external_ips:
            self._add("KUBE-EXTERNAL-IP-LOCAL" if service.external_local else "KUBE-EXTERNAL-IP", address)
            self._serve(address, service.port, service.external_local)
        for address in service.load_balancer_ips:
            self._load_balancer(address)
        if service.node_port:
            self._node_port()
        if service.health_check_node_port:
            self._put("KUBE-HEALTH-CHECK-NODE-PORT", str(service.health_check_node_port))

    def _put(self, name: str, *entries: str) -> None:
        self.out.sets.setdefault(name, set()).update(entries)

    def _entry(self, address: str, port: int) -> str:
        return f"{address},{self.service.protocol}:{port}"

    def _add(self, name: str, address: str, more: str = "") -> None:
        self._put(name, self._entry(address, self.service.port) + more)

    def _load_balancer(self, address: str) -> None:
        service = self.service
        self._add("KUBE-LOAD-BALANCER", address)
        if service.external_local:
            self._add("KUBE-LOAD-BALANCER-LOCAL", address)
        if service.source_ranges:
            self._add("KUBE-LOAD-BALANCER-FW", address)
            for cidr in service.source_ranges:
                self._add("KUBE-LOAD-BALANCER-SOURCE-CIDR", address, f",{cidr}")
            if any(addresses.contains(cidr, self.options.node_ip) for cidr in service.source_ranges):
                self._add("KUBE-LOAD-BALANCER-SOURCE-IP", address, f",{address}")
            # A request of the node itself must not go to IPVS unseen (issue 119656).
            self.out.out_filter.append(
                f"-A KUBE-IPVS-OUT-FILTER -s {address} -m ipvs --vaddr {address}"
                f" --vproto {service.protocol} --vport {service.port} -j DROP"
            )
        self._serve(address, service.port, service.external_local)

    def _node_port(self) -> None:
        service = self.service
        own = self.options.node_port_addresses.of_node(self.options.node_addresses)
        own = tuple(address for address in own if not addresses.is_loopback(address))
        if not own:
            return
        sctp = service.protocol == "sctp"
        entries = {self._entry(address, service.node_port) for address in own} if sctp else {str(service.node_port)}
        protocol = f"{service.protocol.upper()}{'-HASH' if sctp else ''}"
        self._put(f"KUBE-NODE-PORT-{protocol}", *entries)
        if service.external_local:
            self._put(f"KUBE-NODE-PORT-LOCAL-{protocol}", *entries)
        for address in own:
            self._serve(address, service.node_port, service.external_local, bind=False)

    def _serve(self, address: str, port: int, local_only: bool, bind: bool = True) -> None:
        """A virtual server.  Under the Local policy without a local endpoint all are taken: pods of this node may reach
        them, and the answer to others gets lost (kubernetes pull request 97081)."""
        service, scheduler = self.service, self.options.scheduler
        flags = (PERSISTENT if service.affinity_seconds else 0) | (SOURCE_HASH if scheduler == "mh" else 0)
        chosen = self.reach.local if local_only and self.reach.local else self.reach.cluster
        self.out.servers[address, port, service.protocol] = VirtualServer(
            address=address,
            port=port,
            protocol=service.protocol,
            scheduler=scheduler,
            flags=flags,
            timeout=service.affinity_seconds,
            real_servers=chosen,
        )
        # An address that the node has anyway is not taken from its interface (netlink_linux.go leaves loopback out).
        if bind and (address not in self.options.node_addresses or addresses.is_loopback(address)):
            self.out.bound.add(address)
            self._put("KUBE-IPVS-IPS", address)


def _match(name: str, how: str, ipv6: bool, comment: bool = True) -> str:
    words = f"-m set --match-set {set_name(name, ipv6)} {how}"
    return f'-m comment --comment "{SETS[name][1]}" {words}' if comment else words


def restore(filled: AbstractSet[str], out_filter: Iterable[str], options: Settings) -> str:
    """The iptables rules, where these sets have members."""
    ipv6, mark = options.ipv6, options.masquerade_mark
    rules: dict[str, list[str]] = {"nat": [], "filter": []}
    nat, filtering = rules["nat"], rules["filter"]
    nat.append(f"-A KUBE-SERVICES -s {'::1/128' if ipv6 else '127.0.0.0/8'} -j RETURN")
    for name, table, chain, target, how, protocol in SET_RULES:
        if name in filled:
            only = f"-p {protocol} " if protocol else ""
            rules[table].append(f"-A {chain} {only}{_match(name, how, ipv6)} -j {target}")
    if "KUBE-CLUSTER-IP" in filled:
        if options.masquerade_all:
            how = "dst,dst"
        elif options.local_detector is not None:
            how = f"dst,dst {options.local_detector.iptables(local=False)}"
        else:
            how = "src,dst"  # what the node itself sends carries the virtual address, which the dummy interface has
        nat.append(f"-A KUBE-SERVICES {_match('KUBE-CLUSTER-IP', how, ipv6)} -j KUBE-MARK-MASQ")
    for name in ("KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"):
        if name in filled:
            match = f"-A KUBE-SERVICES {_match(name, 'dst,dst', ipv6)}"
            if name == "KUBE-EXTERNAL-IP":
                nat.append(f"{match} -j KUBE-MARK-MASQ")
            nat += [
                f"{match} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT",
                f"{match} -m addrtype --dst-type LOCAL -j ACCEPT",
            ]
    nat += [
        "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
        "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
    ]
    nat += [
        f"-A KUBE-SERVICES {_match(name, 'dst,dst', ipv6, comment=False)} -j ACCEPT"
        for name in ("KUBE-CLUSTER-IP", "KUBE-LOAD-BALANCER")
        if name in filled
    ]
    random = " --random-fully" if options.random_fully else ""
    nat += [
        f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
        f"-A KUBE-POSTROUTING -j MARK --xor-mark {mark}",
        f'-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE{random}',
        f"-A KUBE-MARK-MASQ -j MARK --or-mark {mark}",
    ]
    filtering.append("-A KUBE-SOURCE-RANGES-FIREWALL -j DROP")
    filtering += out_filter
    filtering += [
        f'-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT',
        '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule"'
        " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-A KUBE-NODE-PORT {_match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst', ipv6)} -j ACCEPT",
    ]
    for name in ("KUBE-LOAD-BALANCER", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"):
        filtering.append(f"-A KUBE-IPVS-FILTER {_match(name, 'dst,dst', ipv6, comment=False)} -j RETURN")
    health = _match("KUBE-HEALTH-CHECK-NODE-PORT", "dst", ipv6, comment=False)
    own = _match("KUBE-IPVS-IPS", "dst", ipv6, comment=False)
    filtering += [
        f"-A KUBE-IPVS-FILTER {health} -j RETURN",
        f"-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW {own} -j REJECT",
    ]
    lines = [
        "*nat",
        *_declared(NAT_CHAINS),
        *nat,
        "COMMIT",
        "*filter",
        *_declared(FILTER_CHAINS),
        *filtering,
        "COMMIT\n",
    ]
    return "\n".join(lines)


def _declared(chains: Iterable[str]) -> list[str]:
    return [f":{chain} - [0:0]" for chain in chains]
