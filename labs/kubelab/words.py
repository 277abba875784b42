"""A trace in words, for captions and explanations.  (The list of its steps is `kubesim.net.render`'s.)

Everything said here is read off the trace.  It never asks the cluster, and it holds no markup.
"""

from __future__ import annotations

from kubelab import rules
from kubesim.net.packet import Packet
from kubesim.net.trace import Hop, Kind, Step, Trace, Verdict

# A sign and a word for each verdict: never colour alone.
SIGNS = {
    Verdict.DELIVERED: "✓",
    Verdict.REFUSED: "✗",
    Verdict.REJECTED: "✗",
    Verdict.DROPPED: "∅",
    Verdict.NO_ROUTE: "∅",
    Verdict.TTL_EXCEEDED: "↻",
    Verdict.INSUFFICIENT_INFO: "?",
}
LABELS = {
    Verdict.DELIVERED: "delivered",
    Verdict.REFUSED: "refused by the destination",
    Verdict.REJECTED: "rejected by a rule",
    Verdict.DROPPED: "dropped in silence",
    Verdict.NO_ROUTE: "no route",
    Verdict.TTL_EXCEEDED: "went in circles",
    Verdict.INSUFFICIENT_INFO: "cannot be known",
}
# What a client sees (curl's exit codes, misconceptions.md): someone answered, or nobody did.
FELT = {
    Verdict.REFUSED: "curl says (7) connection refused, at once",
    Verdict.REJECTED: "curl says (7) connection refused, at once",
    Verdict.DROPPED: "curl waits until its time-out (28)",
    Verdict.NO_ROUTE: "curl waits until its time-out (28)",
}


def endpoint(address: str, port: int) -> str:
    """10.0.0.1:80, or without a port where there is none; IPv6 in brackets."""
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def source(packet: Packet) -> str:
    return endpoint(packet.src, packet.sport)


def destination(packet: Packet) -> str:
    return endpoint(packet.dst, packet.dport)


def place(step: Step) -> str:
    """The table and chain of a step: "nat KUBE-SERVICES"."""
    return " ".join(each for each in (step.table, step.chain) if each)


def rewrite(before: Packet, after: Packet) -> str:
    """What a NAT step changed: "destination 10.96.0.9:80 → 10.244.1.2:8080"."""
    parts = []
    if source(before) != source(after):
        parts.append(f"source {source(before)} → {source(after)}")
    if destination(before) != destination(after):
        parts.append(f"destination {destination(before)} → {destination(after)}")
    return " and ".join(parts)


def rewrites(trace: Trace) -> list[tuple[Hop, Step]]:
    """The steps that changed an address or a port."""
    return [
        (hop, step)
        for hop, step in trace.steps()
        if step.before is not None and step.after is not None and rewrite(step.before, step.after)
    ]


def last_rule(trace: Trace) -> Step | None:
    """The rule that matched last: for a packet that a rule ended, the one that did it."""
    matched = [step for _, step in trace.steps() if step.kind is Kind.RULE and step.matched]
    return matched[-1] if matched else None


def explain(trace: Trace) -> str:
    """The trace in a few sentences."""
    first, last = trace.hops[0].host, trace.hops[-1].host
    said = [f"{first} sent {_what(trace.flow)} to {destination(trace.flow)}."]
    for hop, step in rewrites(trace):
        assert step.before is not None
        assert step.after is not None
        said.append(f"{hop.host} rewrote its {rewrite(step.before, step.after)}.")
    match trace.verdict:
        case Verdict.DELIVERED:
            said.append(f"{last} took it.")
            if trace.reply is not None:
                said.append(_reply(trace.reply))
        case Verdict.REJECTED | Verdict.DROPPED:
            rule = last_rule(trace)
            about = rules.comment(rule.rule) if rule else ""
            did = "rejected" if trace.verdict is Verdict.REJECTED else "dropped"
            said.append(f"On {last} a rule {did} it" + (f": “{about}”." if about else "."))
        case Verdict.REFUSED:
            said.append(f"It reached {last}, whose kernel refused it: {trace.reason}.")
        case _:
            said.append(f"On {last} its way ended, {LABELS[trace.verdict]}: {trace.reason}.")
    felt = FELT.get(trace.verdict, "")
    if felt and trace.flow.protocol == "tcp":
        said.append(felt[0].upper() + felt[1:] + ".")
    return " ".join(said)


def headline(trace: Trace) -> str:
    """The verdict as a label: "✓ delivered"."""
    return f"{SIGNS[trace.verdict]} {LABELS[trace.verdict]}"


def _what(packet: Packet) -> str:
    if packet.protocol in ("icmp", "icmpv6"):
        return f"an ICMP {packet.icmp}"
    return "a TCP SYN" if packet.flags == "S" else f"a {packet.protocol.upper()} packet"


def _reply(reply: Trace) -> str:
    if reply.verdict is not Verdict.DELIVERED:
        return f"The reply did not come back: {reply.reason}."
    if not rewrite(reply.flow, reply.final):
        return "The reply came back."
    return f"The reply came back, turned round by conntrack, so that it seems to come from {source(reply.final)}."
