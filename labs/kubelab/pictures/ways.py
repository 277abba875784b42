"""A packet's way as a drawing for a page, or all the ways that a random choice can go, as one.

`kubesim.net.dot` draws everything that a packet met, for whoever wants it whole.  This draws what a page has room for: from
top to bottom the hosts as boxes, and in them only what had a consequence (the scenes of the stepper).  Ways that share a
beginning share its boxes; where they part, each arrow says its chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab import rules, words
from kubelab.pictures.look import BAD, CHANGE, FONT, GOOD, QUIET, identifier, quote
from kubelab.stepper import scenes
from kubelab.stepper.scenes import Scene
from kubesim.net.trace import Kind, Trace, Verdict


def dot(traces: Sequence[Trace]) -> str:
    """DOT text of these ways.  The answer's way is drawn, dashed, where there is only one."""
    drawing = _Drawing()
    for trace in traces:
        drawing.add(trace)
    if len(traces) == 1:
        drawing.answer(traces[0])
    return drawing.text()


# What the box of a host says that only passed the packet on.
HANDED_ON = "hands it on"


class _Drawing:
    def __init__(self) -> None:
        # host -> its kind; node id -> (host, label, attributes); (from, to) -> (label, share, attributes).
        self._hosts: dict[str, str] = {}
        self._nodes: dict[str, tuple[str, str, str]] = {}
        self._edges: dict[tuple[str, str], tuple[str, float, str]] = {}
        self._first = ""
        self._last = ""

    def add(self, trace: Trace) -> None:
        """One way: a node for each scene with a consequence, and for each host that only passes the packet on."""
        for hop in trace.hops:
            self._hosts.setdefault(hop.host, hop.kind)
        told = [scene for scene in scenes.of(trace) if scene.way == "request" and scene.kind is not Kind.RESOLVE]
        before = ""
        carried = words.destination(trace.flow)
        for scene in told:
            alone = scene.kind is Kind.ROUTE and not any(
                each.host == scene.host and each.kind is not Kind.ROUTE for each in told
            )
            if scene.kind is Kind.ROUTE and not alone:
                continue
            node = self._node(scene, alone)
            if before:
                crosses = self._nodes[before][0] != scene.host
                label = f"to {carried}" if crosses else ""
                self._edge(before, node, label, trace.probability)
            else:
                self._first = node
            before = node
            carried = words.destination(scene.after)
        self._last = before

    def answer(self, trace: Trace) -> None:
        """The answer, as one dashed arrow back: its own stations are the same hosts, the other way."""
        reply = trace.reply
        if reply is None or not self._first or self._first == self._last:
            return
        if reply.verdict is not Verdict.DELIVERED:
            label = "the answer is lost"
        elif reply.flow.icmp and reply.flow.icmp != "echo-reply":
            label = f"ICMP {reply.flow.icmp}"
        elif reply.flow.flags.startswith("R"):
            label = "reset (RST)"
        else:
            label = f"the answer,\nseen as from\n{words.source(reply.final)}"
        self._edges[(self._last, self._first)] = (label, 1.0, "style=dashed, constraint=false")

    def _node(self, scene: Scene, alone: bool) -> str:
        label, look = _label(scene, alone)
        # The same chain on the same host is one box, unless it rewrites to somewhere else.
        name = identifier("n", f"{scene.host}|{scene.place}|{scene.kind}|{label if scene.changed else ''}")
        self._nodes.setdefault(name, (scene.host, label, look))
        return name

    def _edge(self, start: str, end: str, label: str, share: float) -> None:
        known, sum_, look = self._edges.get((start, end), (label, 0.0, ""))
        self._edges[(start, end)] = (known, sum_ + share, look)

    def text(self) -> str:
        lines = [
            "digraph ways {",
            f'  graph [rankdir=TB, bgcolor=transparent, fontname="{FONT}", fontsize=11, nodesep=0.3, ranksep=0.34, pad=0.1];',
            f'  node [shape=box, style=rounded, fontname="{FONT}", fontsize=10.5, margin="0.16,0.07", penwidth=1.1];',
            f'  edge [fontname="{FONT}", fontsize=9.5, penwidth=1.2, arrowsize=0.7];',
        ]
        for host, kind in self._hosts.items():
            lines += self._host(host, kind)
        for (start, end), (label, share, look) in self._edges.items():
            chance = "" if share > 0.9999 else rules.chance(share)
            said = "\n".join(f" {each} " for each in (chance if self._parts(start) else "", *label.split("\n")) if each)
            lines.append(f"  {start} -> {end} [label={quote(said)}{', ' + look if look else ''}];")
        return "\n".join([*lines, "}"]) + "\n"

    def _host(self, host: str, kind: str) -> list[str]:
        """A host's boxes in a frame; a host with one box is that box (an arrow would cross the frame's title)."""
        boxes = [(name, label, look) for name, (where, label, look) in self._nodes.items() if where == host]
        if len(boxes) == 1:
            name, label, look = boxes[0]
            named = host if kind in ("", host) else f"{kind} {host}"
            return [f"  {name} [label={quote(named + chr(10) + label)}{look}];"]
        frame = f'label={quote(host)}; labeljust=l; style=rounded; color="{QUIET}"; margin=12;'
        inside = [f"    {name} [label={quote(label)}{look}];" for name, label, look in boxes]
        return [f"  subgraph {identifier('cluster', host)} {{", f"    {frame}", *inside, "  }"]

    def _parts(self, start: str) -> bool:
        """Whether dice part the ways here: only there an arrow says its chance.  (A host that hands on has none.)"""
        return HANDED_ON not in self._nodes[start][1] and sum(each == start for each, _end in self._edges) > 1


def _label(scene: Scene, alone: bool) -> tuple[str, str]:
    """What a box says, and how it looks."""
    if alone:
        return HANDED_ON, ', style="rounded,dashed"'
    if scene.kind is Kind.IPVS and scene.verdict is not None:
        return f"IPVS\n{words.SIGNS[scene.verdict]} no real server", f', color="{BAD}", penwidth=2'
    if scene.verdict is not None:
        good = scene.verdict is Verdict.DELIVERED
        sign = words.headline_of(scene.verdict)
        chain = f"{scene.place.split()[-1]}\n" if scene.rule else ""
        about = rules.comment(scene.rule)
        said = f"{chain}{sign}" + (f"\n“{about}”" if about else "")
        return said, f', color="{GOOD if good else BAD}", penwidth=2'
    if scene.kind is Kind.SEND:
        return f"sends to {words.destination(scene.after)}", ""
    chain = scene.place.split()[-1] if scene.place else ""
    if scene.changed:
        side, _, change = words.rewrite(scene.before, scene.after).partition(" ")
        return f"{chain}\n{side} becomes\n{change.partition(' → ')[2]}", f', color="{CHANGE}", penwidth=2'
    return chain or scene.title, ""
