"""What a packet met on its way: Trace -> Hop -> Step, all frozen, all able to become JSON.

The shape is learnt from Batfish's traceroute: a trace is a list of hops, a hop is a host with the steps the packet took
there, and a verdict closes it.  Rules that were looked at and did not match stay in, with the reason: they are what a
learner asks about.  How it is drawn lives elsewhere
(`render`, `dot`, `kubelab`); a model holds no HTML.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from kubesim.net.packet import Packet


class Verdict(enum.StrEnum):
    """How a packet's way ends.  Closed: a walk that cannot tell says INSUFFICIENT_INFO, never nothing."""

    DELIVERED = "DELIVERED"  # a socket took it
    REFUSED = "REFUSED"  # it reached the address; nothing listens there (TCP RST, ICMP port unreachable)
    REJECTED = "REJECTED"  # a rule answered for the destination (REJECT)
    DROPPED = "DROPPED"  # a rule threw it away, silently
    NO_ROUTE = "NO_ROUTE"  # no route, or nobody answers ARP for the next hop
    TTL_EXCEEDED = "TTL_EXCEEDED"  # a loop, or traceroute at work
    INSUFFICIENT_INFO = "INSUFFICIENT_INFO"  # something on the way is not known well enough to say


class Kind(enum.StrEnum):
    """What sort of step it is."""

    SEND = "SEND"  # a program handed the packet to its kernel
    RESOLVE = "RESOLVE"  # a name became an address (the DNS exchange has traces of its own)
    RULE = "RULE"  # a netfilter rule looked at it
    POLICY = "POLICY"  # the end of a chain, or its default policy
    CONNTRACK = "CONNTRACK"  # the connection table knew it, or learnt it
    NAT = "NAT"  # source or destination were rewritten
    IPVS = (
        "IPVS"  # the kernel's load balancer gave it to a real server, turned an answer back, or had no virtual server
    )
    ROUTE = "ROUTE"  # the routing decision
    QUEUE = "QUEUE"  # a program in user space was asked for a verdict
    LINK = "LINK"  # it crossed a link to the next host
    DELIVER = "DELIVER"  # a socket took it, or nobody listened


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One look at the packet.

    `table`, `chain`, `rule` (its text as iptables-save or nft prints it) for rules; `matched` says whether it applied and
    `why` in a few words of a human's ("the destination is 10.96.0.1, not 10.96.0.10"); `before` and `after` are the
    packet's header where the step changed it.  `probability` is that of the branch at this step (1.0: certain).
    """

    kind: Kind
    table: str = ""
    chain: str = ""
    rule: str = ""
    matched: bool = True
    why: str = ""
    before: Packet | None = None
    after: Packet | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A host that the packet was on: `host` by the network's name for it ("kind-worker", "default/web-1"), `kind` "node",
    "pod", "outside", "internet" ... as the builder of the network labelled it, with the steps in order."""

    host: str
    kind: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A packet's whole way, and the reply's if one came back.

    `flow` is the packet as its sender sent it; `final` as it stood at its end.  `reason` is the verdict in words.
    `probability` is that of this branch among all (1.0 where nothing was random or one choice was drawn).
    `lookups` are the traces of the DNS exchanges that came before, `resolved` the (name, answer) pairs they gave.
    """

    flow: Packet
    final: Packet
    hops: tuple[Hop, ...]
    verdict: Verdict
    reason: str
    probability: float = 1.0
    reply: Trace | None = None
    lookups: tuple[Trace, ...] = ()
    resolved: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        from kubesim.net import render  # how it looks is not the model's

        return render.text(self)

    def explain(self) -> str:
        """What happened, in one sentence for somebody who has just begun."""
        from kubesim.net import render

        return render.explain(self)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists, with payloads left out."""
        told: dict[str, Any] = _plain(self)
        return told

    def steps(self) -> list[tuple[Hop, Step]]:
        """Every step with its hop, in order."""
        return [(hop, step) for hop in self.hops for step in hop.steps]


@cache
def _names(of: type) -> tuple[str, ...]:
    """The fields of a dataclass that are told; none if it is no dataclass."""
    return tuple(each.name for each in fields(of) if each.name != "payload") if is_dataclass(of) else ()


def _plain(value: Any) -> Any:
    if names := _names(type(value)):  # type: ignore[arg-type]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key != "payload"}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, enum.Enum) else value
