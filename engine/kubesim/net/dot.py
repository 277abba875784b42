"""A trace as a graph in DOT: hosts as boxes, the chains that a packet went through inside them, its way as arrows.

Text only; who draws it is another matter (`dot`, Graphviz in the browser).  Colours are few and never alone: what ended
a packet is also said in words, and the answer's way is dashed.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from kubesim.net.packet import endpoint
from kubesim.net.trace import Kind, Trace, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kubesim.net.packet import Packet
    from kubesim.net.trace import Hop, Step

_GOOD = (Verdict.DELIVERED,)
# Letters in a line of a reason; texts at one box or arrow.
WIDTH = 36
FEW = 3


def dot(trace: Trace | Sequence[Trace], *, reply: bool = True, name: str = "trace") -> str:
    """The graph of one trace, or of all branches together (each arrow then tells its share)."""
    graph = _Graph(name)
    traces = [trace] if isinstance(trace, Trace) else list(trace)
    for each in traces:
        graph.way(each, reply=reply and len(traces) == 1)
    return str(graph)


class _Graph:
    def __init__(self, name: str) -> None:
        self._name = name
        self._hosts: dict[str, list[tuple[str, str, str]]] = {}
        self._kinds: dict[str, str] = {}
        self._nodes: dict[tuple[str, str], str] = {}
        # (from, to) -> labels, probability, style; in the order in which they first appear.
        self._edges: dict[tuple[str, str, str], tuple[dict[str, None], float]] = {}
        # What packets become at a node.
        self._rewrites: dict[str, dict[str, None]] = {}

    def way(self, trace: Trace, *, reply: bool) -> None:
        share = trace.probability
        last = ""
        flow = trace.flow
        for number, hop in enumerate(trace.hops):
            last = self._hop(hop, last, share, "" if number == 0 else _target(flow))
            for step in hop.steps:
                if step.kind in (Kind.NAT, Kind.IPVS) and step.after is not None:
                    flow = step.after
        end = self._node(trace.hops[-1].host if trace.hops else "?", f"end {trace.verdict}", str(trace.verdict), "end")
        if trace.verdict not in _GOOD:
            self._edge(last, end, "\n".join(textwrap.wrap(trace.reason, WIDTH)), share, "")
        if reply and trace.reply is not None:
            before = last
            for number, hop in enumerate(trace.reply.hops):
                if number == 0 and trace.hops and hop.host == trace.hops[-1].host:
                    continue  # it goes out where the packet came to
                here = self._node(hop.host, "socket" if hop is trace.reply.hops[-1] else "answer", "", "")
                self._edge(before, here, "answer" if before == last else "", 1.0, "dashed")
                before = here

    def _hop(self, hop: Hop, last: str, share: float, label: str) -> str:
        """A host's boxes; `label` is what the packet looks like when it comes in.  Returns the last box."""
        self._kinds[hop.host] = hop.kind
        seen = False
        for step in hop.steps:
            if step.kind is Kind.NAT:
                if seen:
                    self._rewrites.setdefault(last, {})[_nat_label(step)] = None
                continue
            where, text = _place(step)
            if not where:
                continue
            node = self._node(hop.host, where, text, "")
            if last and node != last:
                self._edge(last, node, label, share, "")
                label = ""
            last, seen = node, True
            if step.kind is Kind.IPVS:
                label = _nat_label(step)
        if not seen:
            node = self._node(hop.host, "passes", "", "")
            if last:
                self._edge(last, node, label, share, "")
            last = node
        return last

    def _node(self, host: str, where: str, text: str, style: str) -> str:
        found = self._nodes.get((host, where))
        if found is None:
            found = self._nodes[(host, where)] = f"n{len(self._nodes)}"
            self._hosts.setdefault(host, []).append((found, text or where, style))
        return found

    def _edge(self, start: str, end: str, label: str, share: float, style: str) -> None:
        if not start or start == end:
            return
        key = (start, end, style)
        labels, sum_ = self._edges.get(key, ({}, 0.0))
        self._edges[key] = (labels | {label: None} if label else labels, sum_ + share)

    def __str__(self) -> str:
        used = {each for start, end, _style in self._edges for each in (start, end)}
        lines = [
            f"digraph {_quoted(self._name)} {{",
            "  rankdir=LR; compound=true; fontname=Helvetica; bgcolor=transparent;",
            "  node [shape=box, style=rounded, fontname=Helvetica, fontsize=11];",
            "  edge [fontname=Helvetica, fontsize=10];",
        ]
        for number, (host, nodes) in enumerate(self._hosts.items()):
            shown = [node for node in nodes if node[0] in used or len(nodes) == 1]
            kind = self._kinds.get(host, "")
            lines.append(f"  subgraph cluster_{number} {{")
            lines.append(
                f"    label={_quoted(f'{host} ({kind})' if kind else host)}; style={_BOXES.get(kind, 'solid')};"
            )
            for node, text, style in shown:
                shape = ", shape=octagon" if style == "end" else ""
                words = "\n".join([text, *_few(self._rewrites.get(node, {}))])
                lines.append(f"    {node} [label={_quoted(words)}{shape}];")
            lines.append("  }")
        for (start, end, style), (labels, share) in self._edges.items():
            words = "\n".join([*_few(labels), *([f"{share:.1%}"] if share <= 0.9999 else [])])
            # The answer goes where the boxes already are: it is not to move them.
            look = f", style={style}, constraint=false" if style else ""
            lines.append(f"  {start} -> {end} [label={_quoted(words)}{look}];")
        lines.append("}")
        return "\n".join(lines) + "\n"


_BOXES = {"node": "bold", "outside": "dashed", "internet": "dashed"}


def _place(step: Step) -> tuple[str, str]:
    """The node a step belongs to, "" when it makes none, and what it says."""
    if step.kind is Kind.SEND:
        return "socket", "sends"
    if step.kind is Kind.RULE and step.matched and step.rule:
        if step.chain.isupper() and "-" not in step.chain:
            return "", ""  # the kernel's own chains are on every way
        if step.rule.endswith((" -j RETURN", " return")):
            return "", ""  # it leads nowhere
        return f"{step.table}/{step.chain}", step.chain
    if step.kind is Kind.IPVS and step.matched:
        return f"ipvs/{step.chain}", f"IPVS\n{step.rule.removeprefix('-A ')}"
    if step.kind is Kind.DELIVER:
        return "socket", "listens" if step.matched else "nobody listens"
    return "", ""


def _nat_label(step: Step) -> str:
    before, after = step.before, step.after
    if before is None or after is None:
        return ""
    if (before.dst, before.dport) != (after.dst, after.dport):
        return f"to {endpoint(after.dst, after.dport)}"
    return f"from {after.src}"


def _target(flow: Packet) -> str:
    return f"{flow.protocol} {flow.icmp}" if flow.icmp else f"{flow.protocol} to {endpoint(flow.dst, flow.dport)}"


def _few(texts: Iterable[str]) -> list[str]:
    """The texts, or how many they are where they would fill the picture."""
    found = [text for text in texts if text]
    return found if len(found) <= FEW else [*found[: FEW - 1], f"and {len(found) - FEW + 1} more"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
