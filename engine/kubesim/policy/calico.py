"""What felix, Calico's agent on each node, writes for the pods of its node: iptables chains and ipsets, as text.

Theory of operation
-------------------
Each pod's end of its wire on the node has a chain for what comes from the pod (`cali-fw-IFACE`) and one for what goes to it
(`cali-tw-IFACE`); dispatch chains find them by the interface.  In there, answers are accepted first; then, if any policy
isolates the pod in that direction, each such policy's chain (`cali-po-...`, `cali-pi-...`) is asked in turn; one that allows
the packet puts the accept mark on it, and a packet without the mark after the last is dropped.  A pod that no policy isolates
is judged by its profiles instead: its namespace's (`kns.`) allows everything, its service account's (`ksa.`) says nothing.
Neither chain accepts: a packet between two pods of one node has to come through both, and only then is it accepted.

Packets that the node itself sends to its pods pass `cali-OUTPUT`, which lets them go: kubelet's probes need no policy.

Long names are hashed (`names`), and each rule carries in its comment a hash of itself and of all rules before it,
by which felix finds the rules that somebody tampered with.  The hashes here are derived as felix derives them, and come out
the same.  The form is that of v3.10 to v3.14 (2019 to 2020).

Sources: projectcalico/felix `rules/` (static.go, dispatch.go, endpoints.go, policy.go); libcalico-go
`lib/backend/k8s/conversion/conversion.go`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kubesim.policy import names
from kubesim.policy.model import Direction, Peer, Pod, Policy, Port, Rule, State

ACCEPT, PASS, ALL_BLOCKS, THIS_BLOCK = 0x10000, 0x20000, 0x40000, 0x80000
ALL_MARKS = 0xF0000
VXLAN_PORT = 4789
# xt_multiport's limit: a range takes two of the places.
PORTS_A_RULE = 15


class SetContents(NamedTuple):
    """An ipset: its type and members."""

    kind: str
    members: tuple[str, ...]


@dataclass
class Rendered:
    """All of one node: the filter table's chains, each a list of rules' words after `-A CHAIN`; ipsets by name; and what
    names mean, for traces.  `ends` says which pod and direction an endpoint's chain is about."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    sets: dict[str, SetContents] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    ends: dict[str, tuple[Pod, Direction]] = field(default_factory=dict)


def lines(chain: str, rules: Sequence[str]) -> list[str]:
    """The chain's rules for iptables-restore, each with its hash."""
    return [
        f'-A {chain} -m comment --comment "cali:{digest}" {rule}'
        for digest, rule in zip(names.rule_hashes(chain, rules), rules, strict=True)
    ]


# -- rules -------------------------------------------------------------------------------------------------------------


def _jump(target: str) -> str:
    return f"--jump {target}"


def _set_mark(mark: int, mask: int = 0) -> str:
    return f"--jump MARK --set-mark {mark:#x}/{mask or mark:#x}"


def _clear_mark(mark: int) -> str:
    return f"--jump MARK --set-mark 0/{mark:#x}"


def _has(mark: int) -> str:
    return f"-m mark --mark {mark:#x}/{mark:#x}"


def _has_not(mark: int) -> str:
    return f"-m mark --mark 0/{mark:#x}"


def _said(words: str) -> str:
    return f'-m comment --comment "{words}"'


STATIC: dict[str, list[str]] = {
    "cali-from-hep-forward": [],
    "cali-to-hep-forward": [],
    "cali-from-host-endpoint": [],
    "cali-to-host-endpoint": [],
    "cali-FORWARD": [
        _clear_mark(ALL_MARKS & ~ACCEPT),
        f"{_has_not(ACCEPT)} {_jump('cali-from-hep-forward')}",
        f"--in-interface cali+ {_jump('cali-from-wl-dispatch')}",
        f"--out-interface cali+ {_jump('cali-to-wl-dispatch')}",
        _jump("cali-to-hep-forward"),
        f"{_said('Policy explicitly accepted packet.')} {_has(ACCEPT)} {_jump('ACCEPT')}",
    ],
    "cali-wl-to-host": [
        _jump("cali-from-wl-dispatch"),
        f"{_said('Configured DefaultEndpointToHostAction')} {_jump('ACCEPT')}",
    ],
    "cali-INPUT": [
        f"{_said('Allow IPIP packets from Calico hosts')} -p 4 -m set --match-set cali40all-hosts-net src "
        f"-m addrtype --dst-type LOCAL {_jump('ACCEPT')}",
        f"{_said('Drop IPIP packets from non-Calico hosts')} -p 4 {_jump('DROP')}",
        "--in-interface cali+ --goto cali-wl-to-host",
        f"{_has(ACCEPT)} {_jump('ACCEPT')}",
        _clear_mark(ALL_MARKS),
        _jump("cali-from-host-endpoint"),
        f"{_said('Host endpoint policy accepted packet.')} {_has(ACCEPT)} {_jump('ACCEPT')}",
    ],
    "cali-OUTPUT": [
        f"{_has(ACCEPT)} {_jump('ACCEPT')}",
        f"--out-interface cali+ {_jump('RETURN')}",
        f"{_said('Allow IPIP packets to other Calico hosts')} -p 4 -m set --match-set cali40all-hosts-net dst "
        f"-m addrtype --src-type LOCAL {_jump('ACCEPT')}",
        _clear_mark(ALL_MARKS),
        _jump("cali-to-host-endpoint"),
        f"{_said('Host endpoint policy accepted packet.')} {_has(ACCEPT)} {_jump('ACCEPT')}",
    ],
}
_MEANINGS = {
    "cali-FORWARD": "what passes this node",
    "cali-from-wl-dispatch": "which pod does it come from",
    "cali-to-wl-dispatch": "which pod does it go to",
    "cali-wl-to-host": "from a pod to this node itself",
}


def render(state: State, endpoints: Iterable[tuple[str, Pod]], hosts: Iterable[str] = ()) -> Rendered:
    """`endpoints` are the node's pods with their interfaces, `hosts` all nodes' addresses."""
    out = Rendered(names=dict(_MEANINGS))
    out.sets["cali40all-hosts-net"] = SetContents("hash:net", tuple(hosts))
    ends = sorted(endpoints)
    for interface, pod in ends:
        _Endpoint(out, state, interface, pod).write()
    interfaces = [interface for interface, _pod in ends]
    _dispatch(out, "cali-from-wl-dispatch", "cali-fw-", "--in-interface", interfaces)
    _dispatch(out, "cali-to-wl-dispatch", "cali-tw-", "--out-interface", interfaces)
    # Last, so that what they jump to is there.
    out.chains.update(STATIC)
    return out


def _dispatch(out: Rendered, chain: str, prefix: str, option: str, interfaces: list[str]) -> None:
    """interfaceNameDispatchChains: by the interface's next character first, so that no chain gets long."""
    unknown = f"{_said('Unknown interface')} {_jump('DROP')}"
    common = _common(interfaces)
    groups: dict[str, list[str]] = {}
    for name in interfaces:
        groups.setdefault(name[: common + 1], []).append(name)
    rules = []
    for start, group in groups.items():
        own = [f"{option} {name} --goto {prefix}{name}" for name in group]
        if len(group) == 1:
            rules += own
        else:
            child = f"{chain}-{start[common:]}"
            out.chains[child] = [*own, unknown]
            rules.append(f"{option} {start}+ --goto {child}")
    out.chains[chain] = [*rules, unknown]


def _common(interfaces: list[str]) -> int:
    """How many characters sorted interfaces begin with in common."""
    if not interfaces:
        return 0
    pairs = enumerate(zip(interfaces[0], interfaces[-1], strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(map(len, interfaces)))


class _Way(NamedTuple):
    """How the chains of one direction are called: the pod's own, policies' and profiles'; and what only it asks first."""

    own: str
    policies: str
    profiles: str
    first: tuple[str, ...] = ()


_WAYS: dict[Direction, _Way] = {
    "ingress": _Way("cali-tw-", "cali-pi-", "cali-pri-"),
    "egress": _Way(
        "cali-fw-",
        "cali-po-",
        "cali-pro-",
        (
            f"{_said('Drop VXLAN encapped packets originating in pods')} -p 17 -m multiport "
            f"--destination-ports {VXLAN_PORT} {_jump('DROP')}",
            f"{_said('Drop IPinIP encapped packets originating in pods')} -p 4 {_jump('DROP')}",
        ),
    ),
}


class _Profile(NamedTuple):
    chain: str
    rules: list[str]
    meaning: str


@functools.lru_cache(maxsize=4096)
def _profiles(prefix: str, namespace: str, account: str) -> tuple[_Profile, _Profile]:
    """A pod's profiles: its namespace's, which allows everything, and its service account's, which says nothing."""
    return (
        _Profile(
            names.chain_name(prefix, f"kns.{namespace}"),
            [_set_mark(ACCEPT), f"{_has(ACCEPT)} {_jump('RETURN')}"],
            f"the profile of namespace {namespace}",
        ),
        _Profile(
            names.chain_name(prefix, f"ksa.{namespace}.{account}"),
            [],
            f"the profile of service account {namespace}/{account}",
        ),
    )


@functools.lru_cache(maxsize=4096)
def _endpoint_rules(direction: Direction, namespace: str, account: str, policies: tuple[str, ...]) -> list[str]:
    """A pod's own chain in one direction; `policies` are the chains of those that isolate it.  Most pods share theirs."""
    way = _WAYS[direction]
    rules = [
        f"-m conntrack --ctstate RELATED,ESTABLISHED {_jump('ACCEPT')}",
        f"-m conntrack --ctstate INVALID {_jump('DROP')}",
        _clear_mark(ACCEPT),
        *way.first,
    ]
    if policies:
        rules.append(f"{_said('Start of policies')} {_clear_mark(PASS)}")
        for policy in policies:
            rules.append(f"{_has_not(PASS)} {_jump(policy)}")
            rules.append(f"{_said('Return if policy accepted')} {_has(ACCEPT)} {_jump('RETURN')}")
        rules.append(f"{_said('Drop if no policies passed packet')} {_has_not(PASS)} {_jump('DROP')}")
    for profile in _profiles(way.profiles, namespace, account):
        rules.append(_jump(profile.chain))
        rules.append(f"{_said('Return if profile accepted')} {_has(ACCEPT)} {_jump('RETURN')}")
    rules.append(f"{_said('Drop if no profiles matched')} {_jump('DROP')}")
    return rules


class _Endpoint:
    """The two chains of a pod, and the chains of policies and profiles that they jump to."""

    def __init__(self, out: Rendered, state: State, interface: str, pod: Pod) -> None:
        self._out = out
        self._state = state
        self._interface = interface
        self._pod = pod

    def write(self) -> None:
        out, pod = self._out, self._pod
        for direction, way in _WAYS.items():
            policies = [self._policy(each, direction, way.policies) for each in self._state.selecting(pod, direction)]
            for profile in _profiles(way.profiles, pod.namespace, pod.account):
                out.chains[profile.chain] = profile.rules
                out.names[profile.chain] = profile.meaning
            chain = way.own + self._interface
            out.chains[chain] = _endpoint_rules(direction, pod.namespace, pod.account, tuple(policies))
            out.ends[chain] = (pod, direction)
            out.names[chain] = f"{'to' if direction == 'ingress' else 'from'} {pod}"

    def _policy(self, policy: Policy, direction: Direction, prefix: str) -> str:
        chain = names.chain_name(prefix, f"{policy.namespace}/knp.default.{policy.name}")
        if chain not in self._out.chains:
            writer = _PolicyRules(self._out, self._state, policy, direction)
            self._out.chains[chain] = [each for rule in policy.rules(direction) or () for each in writer.rules(rule)]
            self._out.names[chain] = f"{direction} of policy {policy}"
        return chain


class _PolicyRules:
    """The rules of one policy in one direction: k8sRuleToCalico, then ProtoRuleToIptablesRules."""

    def __init__(self, out: Rendered, state: State, policy: Policy, direction: Direction) -> None:
        self._out = out
        self._state = state
        self._namespace = policy.namespace
        self._side = "src" if direction == "ingress" else "dst"
        self._option = "--source" if direction == "ingress" else "--destination"

    def rules(self, rule: Rule) -> list[str]:
        """One for each protocol and peer, with all the ports of that protocol."""
        protocols: dict[str, list[Port]] = {}
        for port in rule.ports:
            protocols.setdefault(port.protocol, []).append(port)
        found: list[str] = []
        for protocol in sorted(protocols) or [""]:
            ports = protocols.get(protocol, [])
            if not all(port.number or port.name for port in ports):
                ports = []
            for peer in rule.peers or (None,):
                found += self._allow(protocol, ports, peer)
        return found

    def _allow(self, protocol: str, ports: list[Port], peer: Peer | None) -> list[str]:
        if peer is not None and peer.block is not None and ":" in peer.block.cidr:
            return []  # an IPv6 range: not for this table
        match = [f"-p {protocol}"] if protocol else []
        blocks = _Blocks()
        nets = [] if peer is None or peer.block is None else [peer.block.cidr]
        if nets:
            match.append(f"{self._option} {nets[0]}")
        elif peer is not None:
            match.append(f"-m set --match-set {self._peer_set(peer)} {self._side}")
        numbered = _split(_simplified([port for port in ports if port.number]))
        # Ports are always the receiver's: a policy that lets in asks the pod's own, one that lets out the peer's.
        named = [self._named_set(port, peer if self._side == "dst" else None) for port in ports if port.name]
        if len(numbered) + len(named) > 1:
            blocks.any_of(
                [f"-p {protocol} -m multiport --destination-ports {each}" for each in numbered]
                + [f"-m set --match-set {each} dst,dst" for each in named]
            )
        elif numbered:
            match.append(f"-m multiport --destination-ports {numbered[0]}")
        elif named:
            match.append(f"-m set --match-set {named[0]} dst,dst")
        if peer is not None and peer.block is not None and peer.block.but:
            blocks.none_of([f"{self._option} {each}" for each in peer.block.but if ":" not in each])
        if blocks.rules:
            match.append(_has(ALL_BLOCKS))
        return [*blocks.rules, " ".join([*match, _set_mark(ACCEPT)]), f"{_has(ACCEPT)} {_jump('RETURN')}"]

    def _peer_set(self, peer: Peer) -> str:
        name = names.set_name(names.unique("s", names.selector_of(peer, self._namespace)))
        if name not in self._out.sets:
            members = [ip for pod in self._state.members(peer, self._namespace) for ip in pod.ips if ":" not in ip]
            self._out.sets[name] = SetContents("hash:net", tuple(dict.fromkeys(members)))
            self._out.names[name] = names.in_words(peer, self._namespace)
        return name

    def _named_set(self, port: Port, peer: Peer | None) -> str:
        """Who has a container port of that name, with its number: a set of addresses and ports."""
        selecting = peer is not None and peer.block is None
        selector = names.selector_of(peer, self._namespace) if peer is not None and selecting else "all()"
        name = names.set_name(names.unique("n", f"{names.unique('s', selector)},{port.protocol},{port.name}"))
        if name not in self._out.sets:
            pods = self._state.members(peer, self._namespace) if peer is not None and selecting else self._state.pods
            members = [
                f"{ip},{each.protocol}:{each.number}"
                for pod in pods
                for each in pod.ports
                if (each.name, each.protocol) == (port.name, port.protocol)
                for ip in pod.ips
                if ":" not in ip
            ]
            self._out.sets[name] = SetContents("hash:ip,port", tuple(dict.fromkeys(members)))
            self._out.names[name] = f"container ports named {port.name}"
        return name


class _Blocks:
    """Conditions that one rule cannot hold (matchBlockBuilder): rules that keep their result in a mark of their own."""

    def __init__(self) -> None:
        self.rules: list[str] = []

    def _begin(self, mark: int) -> None:
        if not self.rules:
            self.rules.append(f"--jump MARK --set-mark {mark:#x}/{ALL_BLOCKS | THIS_BLOCK:#x}")

    def any_of(self, matches: list[str]) -> None:
        """The first block may write its result where the sum of all stands; it is only called once, and first."""
        self._begin(0)
        self.rules += [f"{match} {_set_mark(ALL_BLOCKS)}" for match in matches]

    def none_of(self, matches: list[str]) -> None:
        self._begin(ALL_BLOCKS)
        self.rules += [f"{match} {_clear_mark(ALL_BLOCKS)}" for match in matches]


def _simplified(ports: list[Port]) -> list[tuple[int, int]]:
    """SimplifyPorts: the fewest ranges that cover them."""
    ranges: list[tuple[int, int]] = []
    for low, high in sorted((port.number, port.end or port.number) for port in ports):
        if ranges and low <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
        else:
            ranges.append((low, high))
    return ranges


def _split(ranges: list[tuple[int, int]]) -> list[str]:
    """SplitPortList: as many as one multiport match takes."""
    splits: list[list[str]] = []
    room = 0
    for low, high in ranges:
        needed = 1 if low == high else 2
        if room < needed:
            splits.append([])
            room = PORTS_A_RULE
        splits[-1].append(str(low) if low == high else f"{low}:{high}")
        room -= needed
    return [",".join(each) for each in splits]
