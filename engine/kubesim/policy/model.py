"""What NetworkPolicies allow: the API's objects as values, and a verdict on a connection with its reason.

The rules of the API (networking.k8s.io/v1, NetworkPolicySpec; KEP-2079 for endPort):

* A pod is isolated in a direction as soon as one policy of its namespace selects it with that direction in its policyTypes.
  Without policyTypes that is Ingress, and Egress too where the policy has egress rules.
* An isolated pod takes part in what any rule of any such policy allows: policies add up, none forbids.
* A connection needs the sender's leave (egress) and the receiver's (ingress).  Answers need none.
* Peers of one rule are alternatives.  A namespaceSelector and a podSelector in one peer both have to hold; a podSelector
  alone means the policy's own namespace; an empty selector selects everything; a rule without peers means anybody, one
  without ports any port and protocol.
* What comes from the pod's own node (kubelet's probes) is always let in.  Pods on the host's network are neither selected
  nor found by selectors: their addresses are the node's.

Everything here is pure; `evaluate` is both kindnet's verdict and what tests compare walks with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from kubesim.machinery import selectors
from kubesim.machinery.selectors import Selector
from kubesim.net import address

Object = dict[str, Any]
Direction = Literal["ingress", "egress"]
FINISHED = ("Succeeded", "Failed")


# -- values ----------------------------------------------------------------------------------------------------------


class ContainerPort(NamedTuple):
    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod on the pod network.  `ips` is empty until it has an address, `node` is where it was placed."""

    namespace: str
    name: str
    node: str = ""
    account: str = "default"
    ips: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ContainerPort, ...] = ()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Port(NamedTuple):
    """Ports of one protocol that a rule allows: all, `number` up to `end`, or the container port of that `name`."""

    protocol: str
    number: int = 0
    end: int = 0
    name: str = ""

    def covers(self, protocol: str, port: int, receiver: Pod | None) -> bool:
        if protocol != self.protocol:
            return False
        if self.name:
            return receiver is not None and ContainerPort(self.name, protocol, port) in receiver.ports
        return not self.number or self.number <= port <= (self.end or self.number)


class Block(NamedTuple):
    """An ipBlock: a range of addresses without some."""

    cidr: str
    but: tuple[str, ...] = ()

    def contains(self, ip: str) -> bool:
        return address.prefix(self.cidr).contains(ip) and not any(
            address.prefix(each).contains(ip) for each in self.but
        )


class Peer(NamedTuple):
    """Who is at the other end: a `block`, or pods by selectors (None where the policy says nothing)."""

    block: Block | None = None
    namespaces: Selector | None = None
    pods: Selector | None = None


class Rule(NamedTuple):
    """One ingress or egress rule; no peers are all peers, no ports all ports."""

    peers: tuple[Peer, ...] = ()
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A NetworkPolicy.  `ingress` or `egress` is None where it does not isolate in that direction."""

    namespace: str
    name: str
    pods: Selector
    ingress: tuple[Rule, ...] | None = None
    egress: tuple[Rule, ...] | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        return self.ingress if direction == "ingress" else self.egress

    def selects(self, pod: Pod) -> bool:
        return pod.namespace == self.namespace and self.pods.matches(pod.labels)


class Connection(NamedTuple):
    """Who wants to speak to whom, after any translation of addresses; `port` is 0 where the protocol has none."""

    protocol: str
    source: str
    destination: str
    port: int = 0

    @property
    def service(self) -> str:
        return f"{self.protocol} {self.port}" if self.port else self.protocol


class Verdict(NamedTuple):
    """`reason` is for a human; `policies` are those that select the pod that decided it."""

    allowed: bool
    reason: str
    policies: tuple[str, ...] = ()


# -- reading ---------------------------------------------------------------------------------------------------------


def pod_of(obj: Object) -> Pod | None:
    """A Pod as policies see it; None when it is not on the pod network: not placed, finished, or on the host's."""
    spec, status = obj["spec"], obj.get("status") or {}
    if not spec.get("nodeName") or spec.get("hostNetwork") or status.get("phase") in FINISHED:
        return None
    metadata = obj["metadata"]
    ips = tuple(each["ip"] for each in status.get("podIPs") or ()) or (
        (status["podIP"],) if status.get("podIP") else ()
    )
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=spec["nodeName"],
        account=spec.get("serviceAccountName") or "default",
        ips=ips,
        labels=metadata.get("labels") or {},
        ports=tuple(
            ContainerPort(port["name"], port.get("protocol", "TCP").lower(), port["containerPort"])
            for container in spec["containers"]
            for port in container.get("ports") or ()
            if port.get("name")
        ),
    )


def policy_of(obj: Object) -> Policy:
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return Policy(
        namespace=metadata["namespace"],
        name=metadata["name"],
        pods=selectors.from_label_selector(spec.get("podSelector") or {}),
        ingress=_rules(spec.get("ingress"), "from") if "Ingress" in types else None,
        egress=_rules(spec.get("egress"), "to") if "Egress" in types else None,
    )


def _rules(rules: list[Object] | None, peers: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(_peer(each) for each in rule.get(peers) or ()), tuple(_port(each) for each in rule.get("ports") or ())
        )
        for rule in rules or ()
    )


def _peer(peer: Object) -> Peer:
    block = peer.get("ipBlock")
    if block:
        return Peer(Block(block["cidr"], tuple(block.get("except") or ())))
    namespaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    return Peer(
        None,
        None if namespaces is None else selectors.from_label_selector(namespaces),
        None if pods is None else selectors.from_label_selector(pods),
    )


def _port(port: Object) -> Port:
    protocol, number = port.get("protocol", "TCP").lower(), port.get("port")
    if isinstance(number, str):
        return Port(protocol, name=number)
    return Port(protocol, number or 0, port.get("endPort") or 0)


# -- deciding --------------------------------------------------------------------------------------------------------


class State:
    """All that policies depend on at one moment.  `namespaces` are labels by name; `nodes` says which node has an address,
    for what a pod's own node sends it (a plug-in need not know: it looks at no such packet)."""

    def __init__(
        self,
        policies: Iterable[Policy] = (),
        pods: Iterable[Pod] = (),
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        nodes: Mapping[str, str] | None = None,
    ) -> None:
        self.pods = tuple(pods)
        self.namespaces = namespaces or {}
        self.nodes = nodes or {}
        self.policies: dict[str, list[Policy]] = {}
        for policy in policies:
            self.policies.setdefault(policy.namespace, []).append(policy)
        self._by_ip = {ip: pod for pod in self.pods for ip in pod.ips}

    def pod_at(self, ip: str) -> Pod | None:
        return self._by_ip.get(ip)

    def selecting(self, pod: Pod, direction: Direction) -> list[Policy]:
        """The policies that isolate the pod in that direction."""
        found = self.policies.get(pod.namespace, ())
        return [each for each in found if each.rules(direction) is not None and each.selects(pod)]

    def members(self, peer: Peer, namespace: str) -> list[Pod]:
        """The pods that a peer of a policy in that namespace selects."""
        return [pod for pod in self.pods if self._selects(peer, namespace, pod)]

    def evaluate(self, connection: Connection) -> Verdict:
        """Whether a connection may begin: the sender's egress is asked first, then the receiver's ingress."""
        sender, receiver = self.pod_at(connection.source), self.pod_at(connection.destination)
        verdict = Verdict(True, f"no policy selects {receiver or connection.destination} or who asks it")
        if sender is not None:
            verdict = self.one_side(sender, "egress", connection)
        if verdict.allowed and receiver is not None:
            if self.nodes.get(connection.source) == receiver.node and receiver.node:
                return Verdict(True, f"{connection.source} is {receiver}'s own node, whose packets are always let in")
            entry = self.one_side(receiver, "ingress", connection)
            if entry.policies or not verdict.policies:
                verdict = entry
        return verdict

    def one_side(self, pod: Pod, direction: Direction, connection: Connection) -> Verdict:
        """What the policies that select one end say."""
        selecting = self.selecting(pod, direction)
        names = tuple(str(each) for each in selecting)
        if not selecting:
            return Verdict(True, f"no policy selects {pod} for {direction}")
        ingress = direction == "ingress"
        ip = connection.source if ingress else connection.destination
        peer = self.pod_at(ip)
        receiver = pod if ingress else peer
        way = f"from {peer or ip}" if ingress else f"to {peer or ip}"
        for policy in selecting:
            for rule in policy.rules(direction) or ():
                if self._allows(rule, policy.namespace, connection, ip, peer, receiver):
                    return Verdict(
                        True, f"policy {policy}, which selects {pod}, allows {connection.service} {way}", names
                    )
        return Verdict(
            False,
            f"no policy that selects {pod} allows {connection.service} {way} (selected by {', '.join(names)})",
            names,
        )

    def _allows(
        self, rule: Rule, namespace: str, connection: Connection, ip: str, peer: Pod | None, receiver: Pod | None
    ) -> bool:
        if rule.ports and not any(port.covers(connection.protocol, connection.port, receiver) for port in rule.ports):
            return False
        return not rule.peers or any(self._is(each, namespace, ip, peer) for each in rule.peers)

    def _is(self, peer: Peer, namespace: str, ip: str, pod: Pod | None) -> bool:
        if peer.block is not None:
            return peer.block.contains(ip)
        return pod is not None and self._selects(peer, namespace, pod)

    def _selects(self, peer: Peer, namespace: str, pod: Pod) -> bool:
        if peer.block is not None:
            return False
        if peer.namespaces is None:
            if pod.namespace != namespace:
                return False
        elif not peer.namespaces.matches(self.namespaces.get(pod.namespace)):
            return False
        return peer.pods is None or peer.pods.matches(pod.labels)
