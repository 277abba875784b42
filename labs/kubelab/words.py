"""A trace in words, for captions and explanations.

Everything said here is read off the trace.  It never asks the cluster, and it holds no markup.
"""

from __future__ import annotations

from kubesim.net import packet as packet_module
from kubesim.net import render
from kubesim.net.packet import Packet
from kubesim.net.trace import Kind, Step, Trace, Verdict

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


def source(packet: Packet) -> str:
    """Address and port, or the address alone where the protocol has no ports."""
    return packet_module.endpoint(packet.src, packet.sport) if packet.sport else packet.src


def destination(packet: Packet) -> str:
    return packet_module.endpoint(packet.dst, packet.dport) if packet.dport else packet.dst


def wanted(packet: Packet) -> str:
    """What a rule would have to ask for to match: "destination 10.96.0.9, protocol tcp, port 80"."""
    port = f", port {packet.dport}" if packet.dport else ""
    return f"destination {packet.dst}, protocol {packet.protocol}{port}"


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


def explain(trace: Trace) -> str:
    """The trace in a sentence or two: what happened, and how a client feels it."""
    felt = felt_as(trace)
    return render.explain(trace) + (f" {felt[0].upper()}{felt[1:]}." if felt else "")


def felt_as(trace: Trace) -> str:
    """What curl says of it (curl(1), EXIT CODES), "" where it is no matter for curl."""
    if trace.flow.protocol != "tcp" or (trace.verdict is Verdict.DELIVERED and not unheard(trace)):
        return ""
    if trace.verdict is Verdict.NO_ROUTE and len(trace.hops) == 1:
        return "curl says (7), for its own machine finds no way there"
    if trace.reply is None or trace.reply.verdict is not Verdict.DELIVERED:
        return "curl hears nothing, and waits until its time-out (28)"
    if trace.verdict in (Verdict.REFUSED, Verdict.REJECTED):
        return "curl says (7) connection refused, at once"
    return f"curl says (7), for an ICMP {trace.reply.flow.icmp} came back"


def unheard(trace: Trace) -> bool:
    """Whether it was delivered, and its answer lost on the way back."""
    reply = trace.reply
    return trace.verdict is Verdict.DELIVERED and reply is not None and reply.verdict is not Verdict.DELIVERED


def headline(trace: Trace) -> str:
    """The verdict as a label: "✓ delivered"."""
    if unheard(trace):
        return "∅ delivered, its answer lost"
    last = trace.hops[-1].steps[-1] if trace.hops and trace.hops[-1].steps else None
    if last is not None and last.kind is Kind.IPVS and trace.verdict is Verdict.REJECTED:
        return f"{SIGNS[trace.verdict]} rejected by IPVS"
    return headline_of(trace.verdict)


def headline_of(verdict: Verdict) -> str:
    return f"{SIGNS[verdict]} {LABELS[verdict]}"
