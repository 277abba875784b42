"""A trace as text for a terminal, and in one sentence.

    a asked 10.96.0.10:80, which node1 turned into 10.244.1.2:80, and b answered.

    tcp a:40000 -> 10.96.0.10:80
      a (pod)
        route    to 10.96.0.10 by eth0 via 169.254.1.1
      node1 (node)
        rule   + nat/KUBE-SERVICES: -A KUBE-SERVICES -d 10.96.0.10/32 ... -j KUBE-SVC-X
                 on to KUBE-SVC-X
        nat      destination 10.96.0.10:80 becomes 10.244.1.2:80
      ...
    DELIVERED: a program on a listens on tcp port 80

`+` marks rules that applied, `-` those that were looked at and did not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.net.packet import endpoint
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from kubesim.net.packet import Packet
    from kubesim.net.trace import Hop, Step, Trace


def text(trace: Trace, *, rules: bool = True, lookups: bool = False) -> str:
    """The whole story, its sense first; without `rules` those that did not apply are left out.

    The lookups of names are a line each, unless `lookups` asks for their ways too.
    """
    lines = [explain(trace), ""]
    if lookups:
        for lookup in trace.lookups:
            lines += ["a name was looked up:", *_indented(_body(lookup, rules=False), 2), ""]
    else:
        # A and AAAA are asked for side by side, and mostly go the same way.
        lines += dict.fromkeys(f"a name was looked up: {explain(lookup)}" for lookup in trace.lookups)
    for name, answer in trace.resolved:
        lines += [f"{name} is {answer}", ""]
    return "\n".join([*lines, *_body(trace, rules)])


def _body(trace: Trace, rules: bool) -> list[str]:
    lines = [f"{trace.flow}" + (f"  (probability {trace.probability:.4g})" if trace.probability < 1 else "")]
    lines += _way(trace, rules)
    if trace.reply is not None:
        lines.append(f"the answer: {what(trace.reply.flow)}")
        lines += _way(trace.reply, rules)
    return lines


def _way(trace: Trace, rules: bool) -> list[str]:
    lines: list[str] = []
    for hop in trace.hops:
        lines.append(f"  {hop.host}" + (f" ({hop.kind})" if hop.kind else ""))
        for step in hop.steps:
            if rules or step.matched or step.kind is not Kind.RULE:
                lines += _indented(_step(step), 4)
    lines.append(f"{trace.verdict}: {trace.reason}")
    return lines


def _step(step: Step) -> list[str]:
    sign = " " if step.kind is not Kind.RULE else "+" if step.matched else "-"
    head = f"{step.kind.lower():<9} {sign} "
    chance = f"  [probability {step.probability:.4g}]" if step.probability < 1 else ""
    if step.kind is Kind.RULE and step.rule:
        return [f"{head}{step.table}: {step.rule}", f"{'':<12} {step.why}{chance}"]
    if step.kind is Kind.IPVS:
        return [f"{head}at {step.chain}: {step.why}{chance}"]
    if step.kind in (Kind.RULE, Kind.POLICY):
        return [f"{head}{step.table}/{step.chain}: {step.why}"]
    return [f"{head}{step.why}{chance}"]


def _indented(lines: list[str], by: int) -> list[str]:
    return [" " * by + line for line in lines]


def what(packet: Packet) -> str:
    """A packet with what it says: flags or the ICMP message."""
    if packet.icmp:
        return str(packet)
    if packet.protocol == "sctp" and packet.flags == "R":
        return f"{packet} [ABORT]"
    names = {"S": "SYN", "SA": "SYN, ACK", "A": "ACK", "PA": "data", "FA": "FIN", "R": "RST", "RA": "RST"}
    return f"{packet} [{names.get(packet.flags, packet.flags)}]" if packet.flags else str(packet)


# -- in one sentence ---------------------------------------------------------------------------------------------


def explain(trace: Trace) -> str:
    """What happened, for somebody who has just begun."""
    sender = trace.hops[0].host if trace.hops else trace.flow.src
    asked = endpoint(trace.flow.dst, trace.flow.dport) if not trace.flow.icmp else trace.flow.dst
    story = f"{sender} {'pinged' if trace.flow.icmp else 'asked'} {asked}"
    if _is_lost_outside(trace):
        return f"{story}, and heard nothing: {_lost(trace, sender)}."
    translated = _translation(trace)
    if translated:
        story += f", {translated}"
    return f"{story}, {_end(trace)}."


def _is_lost_outside(trace: Trace) -> bool:
    """Whether it was lost in the wide world, where an address is that nobody has: what was done to it on the way is beside
    the point."""
    return trace.verdict is Verdict.DROPPED and len(trace.hops) > 1 and trace.hops[-1].kind == "internet"


def _lost(trace: Trace, sender: str) -> str:
    """Where it left, and why it could."""
    nodes = [hop.host for hop in trace.hops if hop.kind == "node"]
    to = trace.final.dst
    if (trace.flow.dst, trace.flow.dport) != (to, trace.final.dport):
        return f"{to} is no address in the cluster, so the packet went out to the internet, where nobody has it"
    if not nodes:
        return f"{to} is no address that {sender} has a way to, so the packet went out to the internet, where nobody has it"
    asked = to if trace.flow.icmp else endpoint(to, trace.flow.dport)
    return (
        f"no rule and no route of {nodes[-1]} is for {asked}, so the packet went out to the internet, "
        "where nobody has that address"
    )


def _translation(trace: Trace) -> str:
    flow, final = trace.flow, trace.final
    words = []
    if (final.dst, final.dport) != (flow.dst, flow.dport):
        turned = _turned(trace) or {"something": endpoint(final.dst, final.dport)}
        (host, to), *others = turned.items()
        words.append(f"which {host} turned into {to}" + "".join(f" and {each} into {other}" for each, other in others))
    if final.src != flow.src:
        words.append(f"with {final.src} as its sender, since {_where(trace, 'src')} masqueraded it")
    return ", ".join(words)


def _turned(trace: Trace) -> dict[str, str]:
    """What each host made of the destination, in their order."""
    return {hop.host: endpoint(after.dst, after.dport) for hop, after in _rewritten(trace, "dst")}


def _where(trace: Trace, side: str) -> str:
    """The host that rewrote that side last."""
    return next((hop.host for hop, _ in reversed(_rewritten(trace, side))), "something")


def _rewritten(trace: Trace, side: str) -> list[tuple[Hop, Packet]]:
    """Where that side was rewritten, and the packet after it."""
    return [
        (hop, step.after)
        for hop, step in trace.steps()
        if step.kind in (Kind.NAT, Kind.IPVS)
        and step.before is not None
        and step.after is not None
        and _side(step.before, side) != _side(step.after, side)
    ]


def _side(packet: Packet, side: str) -> tuple[str, int]:
    return (packet.dst, packet.dport) if side == "dst" else (packet.src, packet.sport)


def _end(trace: Trace) -> str:
    last = trace.hops[-1].host if trace.hops else "nobody"
    reply = trace.reply
    if trace.verdict is Verdict.DELIVERED:
        if reply is None:
            return f"and {last} received it"
        if reply.verdict is Verdict.DELIVERED:
            return f"and {last} answered"
        return f"and {last} answered, but the answer was lost: {reply.reason}"
    if trace.verdict is Verdict.REFUSED:
        return f"and was refused, because {trace.reason}"
    if trace.verdict is Verdict.REJECTED:
        return f"and was rejected on {last} by {_culprit(trace)}"
    if trace.verdict is Verdict.DROPPED:
        culprit = _culprit(trace)
        if not culprit:
            return f"and heard nothing: {trace.reason}"
        told = _steps_end(trace)
        return f"and heard nothing: {culprit} on {last} dropped the packet" + (f", because {told}" if told else "")
    if trace.verdict is Verdict.NO_ROUTE:
        return f"but the packet got no further than {last}: {trace.reason}"
    if trace.verdict is Verdict.TTL_EXCEEDED:
        return f"but {trace.reason}"
    return f"and where it ended cannot be told: {trace.reason}"


def _culprit(trace: Trace) -> str:
    """The rule or policy that ended it, with its comment where it has one; "" when no rule did."""
    steps = trace.steps()
    if not steps:
        return ""
    step = steps[-1][1]
    if step.kind is Kind.POLICY:
        return f"the policy of chain {step.chain}"
    if step.kind is Kind.IPVS:
        return f"IPVS, because {step.why}"
    if step.kind is Kind.QUEUE:
        program, told, _ = step.why.partition(": ")
        return program if told else ""
    if step.kind is not Kind.RULE or not step.matched:
        return ""
    comment = _comment(step.rule)
    if comment:
        return f'the rule "{comment}" in chain {step.chain}'
    # nft's verdict maps: "@NAME has KEY: VERDICT".
    found, has, rest = step.why.partition(" has ")
    if has and found.startswith("@"):
        return f"the map {found[1:]}, which has {rest.partition(':')[0]}, in chain {step.chain}"
    return f"a rule in chain {step.chain} ({step.rule})"


def _steps_end(trace: Trace) -> str:
    """What the last step says of why: "dropped: WHY" by a rule whose writer left word, "PROGRAM: WHY" by a queue's."""
    step = trace.steps()[-1][1]
    said, _, told = step.why.partition(": ")
    return told if step.kind is Kind.QUEUE or said == "dropped" else ""


def _comment(rule: str) -> str:
    """The last comment: Calico's first is a hash of the rule.  (nft writes it without the dashes.)"""
    _, found, rest = rule.rpartition('comment "')
    if found:
        return rest.partition('" ')[0].rstrip('"')
    _, found, rest = rule.rpartition("--comment ")
    return rest.partition(" ")[0] if found else ""
