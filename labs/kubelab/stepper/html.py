"""The stepper as HTML that needs no script: radio buttons, CSS and an inline SVG.

It still steps where JavaScript is off (nbconvert's HTML, nbgrader's feedback); the widget enhances the very same markup.
Where even the style sheet is taken away (an untrusted notebook) all scenes stand one under the other.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib import resources

from kubelab import figures, words
from kubelab.stepper import scenes as scenes_module
from kubelab.stepper.scenes import Scene
from kubesim.net.packet import Packet
from kubesim.net.trace import Hop, Trace, Verdict

# The rail's measures, in SVG units (pixels at full width).
BOX, GAP, TOP = 178, 62, 58
HEIGHT = 122


def render(trace: Trace, title: str = "") -> str:
    """The stepper for one trace.  `title` is what was asked for ("pod/client → http://web")."""
    scenes = scenes_module.of(trace)
    hosts = scenes_module.hosts(trace)
    title = title or f"{words.source(trace.flow)} → {words.destination(trace.flow)}"
    me = figures.new_id("step", repr((title, trace)))
    tone = "kw-good" if trace.verdict is Verdict.DELIVERED and not words.unheard(trace) else "kw-bad"
    parts = [
        f'<div class="kw" id="{me}" role="group" aria-label="A packet step by step: {escape(title)}">',
        f"<style>{_style(me, scenes, hosts)}</style>",
        f'<input type="checkbox" class="kw-predict" id="{me}_p"><label class="kw-mode" for="{me}_p">Let me predict</label>',
        *(_dot(me, number, scene, scenes) for number, scene in enumerate(scenes)),
        f'<div class="kw-head">{figures.heading(escape(title), 4)}',
        f'<span class="kw-verdict {tone}">{escape(words.headline(trace))}</span></div>',
        f'<p class="kw-explain">{escape(words.explain(trace))}</p>',
        _rail(me, trace, scenes, hosts),
        '<div class="kw-scenes">',
        *(_scene(me, number, scene, len(scenes)) for number, scene in enumerate(scenes)),
        "</div>",
        '<p class="kw-hidden" aria-live="polite"></p>',
        "</div>",
    ]
    return "\n".join(parts)


@cache
def _sheet() -> str:
    text = resources.files("kubelab.stepper").joinpath("stepper.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", text)


def _style(me: str, scenes: list[Scene], hosts: list[Hop]) -> str:
    """The sheet with this figure's id, and what is shown for each scene."""
    rules = [_sheet().replace("#KW", f"#{me}")]
    columns = {hop.host: number for number, hop in enumerate(hosts)}
    tags = _tags(scenes)
    furthest = 0
    for number, scene in enumerate(scenes):
        at = f"#{me} #{me}_{number}:checked ~"
        column = columns[scene.host]
        furthest = max(furthest, column)
        rules.append(
            f"{at} .kw-scenes .kw-s{number}{{display:block}}"
            f"{at} .kw-rail .kw-mover{{transform:translateX({column * (BOX + GAP)}px)}}"
            f"{at} .kw-rail .kw-t{tags[number]}{{display:block}}"
            f"{at} .kw-rail .kw-h{column} rect{{stroke:var(--accent);stroke-width:2.4}}"
        )
        if scene.verdict is not None:
            rules.append(f"{at} .kw-rail .kw-end{column}{{display:block}}")
        # Predicting: no host that has not been seen, and no header, sign or end that has not been revealed.
        guess = f"#{me}:not(:has(#{me}_v{number}:checked)) #{me}_p:checked ~ #{me}_{number}:checked ~ .kw-rail"
        if number == 0 or tags[number] != tags[number - 1]:
            rules.append(f"{guess} .kw-t{tags[number]}{{display:none}}")
            if number and scene.way == scenes[number - 1].way:
                rules.append(f"{guess} .kw-t{tags[number - 1]}{{display:block}}")
        rules.append(f"{guess} .kw-end{{display:none}}")
        unseen = [
            f"#{me} #{me}_p:checked ~ #{me}_{number}:checked ~ .kw-rail .kw-l{each}"
            for each in range(furthest + 1, len(hosts))
        ]
        if unseen:
            rules.append(",".join(unseen) + "{visibility:hidden}")
    return "\n".join(rules)


def _tags(scenes: list[Scene]) -> list[int]:
    """For each scene the number of its header: the same addresses on the same way share one."""
    seen: dict[tuple[str, ...], int] = {}
    return [
        seen.setdefault(
            (scene.note,) if scene.note else (scene.way, words.source(scene.after), words.destination(scene.after)),
            len(seen),
        )
        for scene in scenes
    ]


def _dot(me: str, number: int, scene: Scene, scenes: list[Scene]) -> str:
    new_host = number > 0 and scenes[number - 1].host != scene.host
    classes = "kw-dot" + (" kw-turn" if scene.changed else "") + (" kw-first" if new_host else "")
    said = f"Step {number + 1} of {len(scenes)}, {scene.host}: {scene.title}. {scene.text}"
    asked = f"Step {number + 1} of {len(scenes)}, {scene.host}. Predict: {scene.question}"
    return (
        f'<input type="radio" class="{classes}" name="{me}" id="{me}_{number}"'
        f'{" checked" if number == 0 else ""} aria-label="{escape(said)}" data-question="{escape(asked)}">'
    )


def _rail(me: str, trace: Trace, scenes: list[Scene], hosts: list[Hop]) -> str:
    """The hosts in a row, and the packet with its addresses above the one where it is."""
    # No narrower than four hosts: with two, a host would be as wide as half the page.
    width = max(len(hosts), 4) * (BOX + GAP) - GAP
    out = [
        f'<svg class="kw-rail" viewBox="-36 0 {width + 72} {HEIGHT}" role="img" aria-labelledby="{me}_rt {me}_rd">',
        f'<title id="{me}_rt">The hosts on the way</title><desc id="{me}_rd">{escape(words.explain(trace))}</desc>',
    ]
    for number, hop in enumerate(hosts):
        x = number * (BOX + GAP)
        if number:
            out.append(f'<line class="kw-wire kw-l{number}" x1="{x - GAP}" x2="{x}" y1="{TOP + 31}" y2="{TOP + 31}"/>')
        name = hop.host if len(hop.host) <= 23 else f"{hop.host[:13]}…{hop.host[-9:]}"
        radius = 14 if hop.kind == "pod" else 4
        out.append(
            f'<g class="kw-host kw-h{number} kw-l{number}"><title>{escape(hop.host)}</title>'
            f'<rect x="{x}" y="{TOP}" width="{BOX}" height="62" rx="{radius}"/>'
            f'<text class="kw-kind" x="{x + BOX / 2}" y="{TOP + 23}" text-anchor="middle">{escape(hop.kind)}</text>'
            f'<text x="{x + BOX / 2}" y="{TOP + 43}" text-anchor="middle">{escape(name)}</text></g>'
        )
    out += _ends(scenes, hosts)
    out.append('<g class="kw-mover">')
    shown: set[int] = set()
    for scene, tag in zip(scenes, _tags(scenes), strict=True):
        if tag not in shown:
            shown.add(tag)
            out.append(_tag(tag, scene, trace))
    out.append("</g></svg>")
    return "".join(out)


def _ends(scenes: list[Scene], hosts: list[Hop]) -> list[str]:
    """The verdict's sign on the corner of the host where a way ended."""
    columns = {hop.host: number for number, hop in enumerate(hosts)}
    out = []
    for scene in scenes:
        if scene.verdict is None:
            continue
        column = columns[scene.host]
        x = column * (BOX + GAP) + BOX
        tone = "kw-good" if scene.verdict is Verdict.DELIVERED else "kw-bad"
        out.append(
            f'<g class="kw-end kw-end{column} {tone}"><circle cx="{x}" cy="{TOP}" r="13"/>'
            f'<text x="{x}" y="{TOP + 5}" text-anchor="middle">{words.SIGNS[scene.verdict]}</text></g>'
        )
    return out


def _tag(tag: int, scene: Scene, trace: Trace) -> str:
    packet = scene.after
    sender = trace.flow if scene.way == "request" or trace.reply is None else trace.reply.flow
    rewritten = " kw-rewritten" if words.rewrite(sender, packet) else ""
    arrow = "→" if scene.way == "request" else "←"
    first, second = words.source(packet), words.destination(packet)
    # In the direction of travel on the rail: the client's side is left.
    left, right = (first, second) if scene.way == "request" else (second, first)
    text = scene.note or f"{left} {arrow} {right}"
    above = "DNS" if scene.note else f"{scene.way}{', rewritten' if rewritten else ''}"
    wide = max(150, round(len(text) * 7.0) + 18)
    return (
        f'<g class="kw-tag kw-t{tag}{rewritten}"><line class="kw-stem" x1="{BOX / 2}" x2="{BOX / 2}" y1="42" y2="{TOP - 1}"/>'
        f'<rect x="{BOX / 2 - wide / 2}" y="14" width="{wide}" height="28" rx="6"/>'
        f'<text class="kw-way" x="{BOX / 2}" y="9" text-anchor="middle">{above}</text>'
        f'<text x="{BOX / 2}" y="32" text-anchor="middle">{escape(text)}</text></g>'
    )


def _scene(me: str, number: int, scene: Scene, count: int) -> str:
    where = f"<b>{escape(scene.host)}</b>" + (f" · {escape(scene.place)}" if scene.place else "")
    where += " · the way back" if scene.way == "reply" else ""
    answer = [f'<p class="kw-title">{escape(scene.title)}</p>']
    if scene.text:
        answer.append(f"<p>{escape(scene.text)}</p>")
    if scene.rule:
        answer.append(f'<pre class="kw-rule">{figures.rule_html(scene.rule)}</pre>')
    if scene.missed:
        answer.append(_missed(scene))
    if scene.folded:
        answer.append(f'<p class="kw-folded">Passed by without effect: {escape(scene.folded)}.</p>')
    if scene.verdict is not None and scene.way == "request":
        tone = "kw-good" if scene.verdict is Verdict.DELIVERED else "kw-bad"
        answer.append(
            f'<p class="{tone}"><b>{words.SIGNS[scene.verdict]} {escape(words.LABELS[scene.verdict])}</b></p>'
        )
    back = f'<label for="{me}_{number - 1}">‹ Back</label>' if number else '<span class="kw-off">‹ Back</span>'
    onward = (
        f'<label for="{me}_{number + 1}">Next ›</label>' if number + 1 < count else '<span class="kw-off">Next ›</span>'
    )
    return (
        f'<section class="kw-scene kw-s{number}" aria-label="Step {number + 1} of {count}">'
        f'<input type="checkbox" class="kw-reveal" id="{me}_v{number}" aria-label="Show what happens in step {number + 1}">'
        f'<div class="kw-grid"><div><p class="kw-where">{where}</p>'
        f'<div class="kw-ask"><p class="kw-title">{escape(scene.question)}</p>'
        f'<label class="kw-reveal-label" for="{me}_v{number}">Show what happens</label></div>'
        f'<div class="kw-answer">{"".join(answer)}</div></div>{_packet(scene)}</div>'
        f'<div class="kw-nav">{back}{onward}<span class="kw-count">{number + 1} of {count}</span></div></section>'
    )


def _missed(scene: Scene) -> str:
    count = len(scene.missed)
    items = "".join(
        f'<li><code>{figures.rule_html(each.rule)}</code><span class="kw-not">✗ {escape(each.why)}</span></li>'
        for each in scene.missed
    )
    many = "s" if count > 1 else ""
    said = f"{count} rule{many} before it did not match" if scene.rule else f"The {count} rule{many}, and why not"
    return f"<details><summary>{said}</summary><ul>{items}</ul></details>"


def _packet(scene: Scene) -> str:
    if scene.note:
        return ""
    rows = [
        ("source", words.source(scene.before), words.source(scene.after)),
        ("destination", words.destination(scene.before), words.destination(scene.after)),
    ]
    cells = []
    for name, old, new in rows:
        value = (
            f'<span class="kw-old">{escape(old)}</span><span class="kw-new">{escape(new)}</span>'
            if old != new
            else escape(new)
        )
        cells.append(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>')
    what = f"{scene.before.protocol.upper()} {_flags(scene.before)}".strip()
    caption = "What the packet says" + ('<span class="kw-answer">, before and after</span>' if scene.changed else "")
    return (
        f'<table class="kw-packet"><caption>{caption}</caption><tbody>{"".join(cells)}'
        f'<tr><th scope="row">what</th><td>{escape(what)}</td></tr></tbody></table>'
    )


def _flags(packet: Packet) -> str:
    names = {"S": "SYN", "SA": "SYN, ACK", "A": "ACK", "R": "RST", "RA": "RST, ACK", "FA": "FIN, ACK", "PA": "data"}
    return packet.icmp or names.get(packet.flags, packet.flags)
