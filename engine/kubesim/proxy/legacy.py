"""The iptables modes of kube-proxy 1.16 and 1.22, as presets of those years show them.

They differ from today's (`iptables`) in more than words: node ports and load balancers lead straight to the Service's
chain, the Local policy has a KUBE-XLB- chain, what may not pass is *marked* for a drop that the kubelet's KUBE-FIREWALL
carries out, there are no partial syncs, and endpoints that terminate are never used.  What sets the two apart from each
other is in their `Form`.

Upstream: pkg/proxy/iptables/proxier.go of release-1.16 and release-1.22.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubesim.proxy import addresses, iptables
from kubesim.proxy.iptables import Fragment, Jump
from kubesim.proxy.model import Endpoint, ServiceName, ServicePort
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State

_NEW = "-m conntrack --ctstate NEW"
_EXTERNAL = "kubernetes externally-visible service portals"
_PORTALS = "kubernetes service portals"
SERVICE_CHAINS = ("KUBE-SVC-", "KUBE-SEP-", "KUBE-FW-", "KUBE-XLB-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one release writes its rules.

    `colon`: a port without a name still ends the Service's name in ":" (until 1.18).  `digits` of a probability.
    `comments`: rules of endpoints carry the Service's name (1.16 meant to, but dropped the result of Go's append).
    `masquerade_first`: the masquerade rules stand in KUBE-SERVICES and KUBE-NODEPORTS, before the jump, and not in
    KUBE-SVC- (until 1.21).  `clears_mark`: KUBE-POSTROUTING takes the mark off again (since 1.19).
    """

    colon: bool
    digits: int
    comments: bool
    masquerade_first: bool
    clears_mark: bool
    filter_chains: tuple[str, ...]
    jumps: tuple[Jump, ...]


V1_16 = Form(
    colon=True,
    digits=5,
    comments=False,
    masquerade_first=True,
    clears_mark=False,
    filter_chains=("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD"),
    jumps=(
        Jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, _NEW),
        Jump("filter", "FORWARD", "KUBE-SERVICES", _PORTALS, _NEW),
        Jump("filter", "OUTPUT", "KUBE-SERVICES", _PORTALS, _NEW),
        Jump("filter", "INPUT", "KUBE-SERVICES", _PORTALS, _NEW),
        Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
        Jump("nat", "OUTPUT", "KUBE-SERVICES", _PORTALS),
        Jump("nat", "PREROUTING", "KUBE-SERVICES", _PORTALS),
        Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    ),
)
V1_22 = Form(
    colon=False,
    digits=10,
    comments=True,
    masquerade_first=False,
    clears_mark=True,
    filter_chains=("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS"),
    jumps=(
        Jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, _NEW),
        Jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, _NEW),
        Jump("filter", "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports"),
        Jump("filter", "FORWARD", "KUBE-SERVICES", _PORTALS, _NEW),
        Jump("filter", "OUTPUT", "KUBE-SERVICES", _PORTALS, _NEW),
        Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
        Jump("nat", "OUTPUT", "KUBE-SERVICES", _PORTALS),
        Jump("nat", "PREROUTING", "KUBE-SERVICES", _PORTALS),
        Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    ),
)


class Renderer(iptables.Renderer):
    """See the module."""

    ensured_chains = (("nat", "KUBE-MARK-DROP"),)
    service_chains = SERVICE_CHAINS

    def __init__(self, options: Settings, form: Form) -> None:
        super().__init__(options)
        self.form = form
        self.jumps = form.jumps

    def pieces(
        self, state: State, changed: Iterable[ServiceName] | None = None, existing: Iterable[str] = ()
    ) -> list[str]:
        """Always the whole: partial syncs came with 1.26."""
        return super().pieces(state, None, existing)

    def filter_chains(self) -> Sequence[str]:
        return self.form.filter_chains

    def filter_head(self) -> list[str]:
        return []

    def filter_tail(self) -> list[str]:
        mark = self.options.masquerade_mark
        lines = [
            "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
            f'-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT',
        ]
        established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        if self.form is V1_22:
            source = destination = ""  # the names stayed when the pods' range went from the rules
        elif self.options.local_detector is not None:
            cidr = self.options.local_detector.value
            source, destination = f"-s {cidr} ", f"-d {cidr} "
        else:
            return lines
        lines += [
            f'-A KUBE-FORWARD {source}-m comment --comment "kubernetes forwarding conntrack pod source rule" {established}',
            '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack pod destination rule"'
            f" {destination}{established}",
        ]
        return lines

    def nat_head(self) -> list[str]:
        if self.form.clears_mark:
            return super().nat_head()
        mark = f"{self.options.masquerade_mark}/{self.options.masquerade_mark}"
        return [
            '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT"'
            f" -m mark --mark {mark} -j MASQUERADE",
            f"-A KUBE-MARK-MASQ -j MARK --set-xmark {mark}",
        ]

    def nat_tail(self) -> list[str]:
        head = f'-A KUBE-SERVICES -m comment --comment "{iptables.NODEPORTS_LAST}"'
        chosen = self.options.node_port_addresses
        if chosen.match_all:
            return [f"{head} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"]
        return [f"{head} -d {address} -j KUBE-NODEPORTS" for address in chosen.of_node(self.options.node_addresses)]

    def fragment(self, service: ServicePort, endpoints: Sequence[Endpoint]) -> Fragment:
        usable = tuple(each for each in endpoints if each.ready)
        if self.form is V1_22 and service.internal_local and not service.external_local:
            usable = tuple(each for each in usable if each.local)  # topology.FilterEndpoints of 1.22
        return _Writer(self.form, self.options, service, usable, large=self.large).fragment()


class _Writer:
    """Writes the lines of one port of a Service."""

    def __init__(
        self, form: Form, options: Settings, service: ServicePort, endpoints: tuple[Endpoint, ...], *, large: bool
    ) -> None:
        self.form = form
        self.options = options
        self.service = service
        self.endpoints = endpoints
        self.out = Fragment()
        name = str(service.name)
        self.name = f"{name}:" if form.colon and not service.name.port else name
        key = iptables.chain_hash(self.name, service.protocol)
        self.chain, self.local_chain, self.firewall_chain = f"KUBE-SVC-{key}", f"KUBE-XLB-{key}", f"KUBE-FW-{key}"
        self.chains = {
            each: f"KUBE-SEP-{iptables.chain_hash(self.name, service.protocol, str(each))}" for each in endpoints
        }
        self.protocol = f"-m {service.protocol} -p {service.protocol}"
        self.comment = f"-m comment --comment {self.name} " if form.comments and not large else ""
        self.refused = f'-m comment --comment "{self.name} has no endpoints" {self.protocol}'

    def fragment(self) -> Fragment:
        service = self.service
        if self.endpoints:
            self.out.chains.append(self.chain)
        if service.external_local:
            self.out.chains.append(self.local_chain)
        self._cluster_ip()
        for address in service.external_ips:
            self._external_ip(address)
        if service.load_balancer_ips:
            self._load_balancer()
        if service.node_port:
            self._node_port()
        if self.form is V1_22 and service.health_check_node_port:
            self.out.filter.append(
                f'-A KUBE-NODEPORTS -m comment --comment "{self.name} health check node port" -m tcp -p tcp'
                f" --dport {service.health_check_node_port} -j ACCEPT"
            )
        if self.endpoints:
            self._endpoints()
            if service.external_local:
                self._local()
        return self.out

    def _to(self, address: str, what: str) -> str:
        host = f"{address}/{128 if ':' in address else 32}"
        return f'-m comment --comment "{self.name} {what}" {self.protocol} -d {host} --dport {self.service.port}'

    def _refuse(self, chain: str, address: str) -> str:
        host = f"{address}/{128 if ':' in address else 32}"
        return f"-A {chain} {self.refused} -d {host} --dport {self.service.port} -j REJECT"

    def _masquerade(self, rule: str, chain: str = "KUBE-SERVICES") -> None:
        """Where the masquerade rule of a destination stands."""
        if self.form.masquerade_first:
            self.out.nat.append(f"-A {chain} {rule} -j KUBE-MARK-MASQ")
        else:
            self.out.rules.append(f"-A {self.chain} {rule} -j KUBE-MARK-MASQ")

    def _cluster_ip(self) -> None:
        if not self.endpoints:
            self.out.filter.append(self._refuse("KUBE-SERVICES", self.service.cluster_ip))
            return
        rule = self._to(self.service.cluster_ip, "cluster IP")
        if self.options.masquerade_all:
            self._masquerade(rule)
        elif self.options.local_detector is not None:
            self._masquerade(f"{rule} {self.options.local_detector.iptables(local=False)}")
        self.out.nat.append(f"-A KUBE-SERVICES {rule} -j {self.chain}")

    def _external_ip(self, address: str) -> None:
        if not self.endpoints:
            self.out.filter.append(self._refuse("KUBE-EXTERNAL-SERVICES", address))
            return
        rule = self._to(address, "external IP")
        if self.form is V1_16:
            # What did not come from a bridge (a pod) nor from the node itself; and addresses that are the node's own.
            self.out.nat += [
                f"-A KUBE-SERVICES {rule} -j KUBE-MARK-MASQ",
                f"-A KUBE-SERVICES {rule} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j {self.chain}",
                f"-A KUBE-SERVICES {rule} -m addrtype --dst-type LOCAL -j {self.chain}",
            ]
            return
        if not self.service.external_local:
            local = self.options.local_detector
            self._masquerade(rule if local is None else f"{rule} {local.iptables(local=False)}")
        self.out.nat.append(f"-A KUBE-SERVICES {rule} -j {self._external_target}")

    @property
    def _external_target(self) -> str:
        return self.local_chain if self.service.external_local else self.chain

    def _load_balancer(self) -> None:
        service = self.service
        if not self.endpoints:
            chain = "KUBE-SERVICES" if self.form is V1_16 else "KUBE-EXTERNAL-SERVICES"
            self.out.filter += [self._refuse(chain, address) for address in service.load_balancer_ips]
            return
        self.out.chains.append(self.firewall_chain)
        head = f'-A {self.firewall_chain} -m comment --comment "{self.name} loadbalancer IP"'
        for address in service.load_balancer_ips:
            self.out.nat.append(f"-A KUBE-SERVICES {self._to(address, 'loadbalancer IP')} -j {self.firewall_chain}")
            if not service.external_local:
                self.out.rules.append(f"{head} -j KUBE-MARK-MASQ")
            if service.source_ranges:
                self.out.rules += [f"{head} -s {cidr} -j {self._external_target}" for cidr in service.source_ranges]
                if any(addresses.contains(cidr, self.options.node_ip) for cidr in service.source_ranges):
                    host = f"{address}/{128 if ':' in address else 32}"
                    self.out.rules.append(f"{head} -s {host} -j {self._external_target}")
            else:
                self.out.rules.append(f"{head} -j {self._external_target}")
            self.out.rules.append(f"{head} -j KUBE-MARK-DROP")

    def _node_port(self) -> None:
        port = f"--dport {self.service.node_port}"
        if not self.endpoints:
            self.out.filter.append(
                f'-A KUBE-EXTERNAL-SERVICES -m comment --comment "{self.name} has no endpoints"'
                f" -m addrtype --dst-type LOCAL {self.protocol} {port} -j REJECT"
            )
            return
        rule = f"-m comment --comment {self.name} {self.protocol} {port}"
        if self.service.external_local:
            # A request from the node itself to 127.0.0.1 would leave with a source that nobody can answer.
            loopback = "::1/128" if self.options.ipv6 else "127.0.0.0/8"
            self.out.nat.append(f"-A KUBE-NODEPORTS {rule} -s {loopback} -j KUBE-MARK-MASQ")
        else:
            self._masquerade(rule, "KUBE-NODEPORTS")
        self.out.nat.append(f"-A KUBE-NODEPORTS {rule} -j {self._external_target}")

    def _chance(self, left: int) -> str:
        if left == 1:
            return ""
        return f"-m statistic --mode random --probability {1 / left:.{self.form.digits}f} "

    def _affinity(self, head: str, endpoint: Endpoint) -> str:
        chain = self.chains[endpoint]
        return f"{head}-m recent --name {chain} --rcheck --seconds {self.service.affinity_seconds} --reap -j {chain}"

    def _endpoints(self) -> None:
        rules = self.out.rules
        head = f"-A {self.chain} {self.comment}"
        if self.service.affinity_seconds:
            rules += [self._affinity(head, each) for each in self.endpoints]
        for index, endpoint in enumerate(self.endpoints):
            rules.append(f"{head}{self._chance(len(self.endpoints) - index)}-j {self.chains[endpoint]}")
        for endpoint, chain in self.chains.items():
            self.out.chains.append(chain)
            host = f"{endpoint.address}/{128 if self.options.ipv6 else 32}"
            remember = f"-m recent --name {chain} --set " if self.service.affinity_seconds else ""
            rules += [
                f"-A {chain} {self.comment}-s {host} -j KUBE-MARK-MASQ",
                f"-A {chain} {self.comment}{remember}{self.protocol} -j DNAT --to-destination {endpoint}",
            ]

    def _local(self) -> None:
        """KUBE-XLB-: pods and the node itself reach every endpoint, others only those of this node."""
        head = f"-A {self.local_chain} -m comment --comment"
        from_node = "-m addrtype --src-type LOCAL"
        if self.options.local_detector is not None:
            pods = self.options.local_detector.iptables(local=True)
            redirect = '"Redirect pods trying to reach external loadbalancer VIP to clusterIP"'
            self.out.rules.append(f"{head} {redirect} {pods} -j {self.chain}")
        self.out.rules += [
            f'{head} "masquerade LOCAL traffic for {self.name} LB IP" {from_node} -j KUBE-MARK-MASQ',
            f'{head} "route LOCAL traffic for {self.name} LB IP to service chain" {from_node} -j {self.chain}',
        ]
        here = [each for each in self.endpoints if each.local]
        if not here:
            self.out.rules.append(f'{head} "{self.name} has no local endpoints" -j KUBE-MARK-DROP')
        if self.service.affinity_seconds:
            self.out.rules += [self._affinity(f"{head} {self.name} ", each) for each in here]
        for index, endpoint in enumerate(here):
            chance = self._chance(len(here) - index)
            self.out.rules.append(f'{head} "Balancing rule {index} for {self.name}" {chance}-j {self.chains[endpoint]}')


def renderer(options: Settings, minor: int) -> iptables.Renderer:
    """The iptables mode of Kubernetes 1.`minor`: the nearest form that is kept here.

    Today's began with 1.24 (KUBE-EXT-); 1.23 is nearer to 1.22, and what came before 1.20 to 1.16.
    """
    if minor >= 24:
        return iptables.Renderer(options)
    return Renderer(options, V1_22 if minor >= 20 else V1_16)
