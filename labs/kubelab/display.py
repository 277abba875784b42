"""How things look in a notebook: a mime bundle for each kind of result.

Each view wraps a plain value, says it in text for a terminal (`__str__`, text/plain), and in HTML for a page.  HTML needs
no script and nothing from the network; colours come from the page's theme, and never say anything alone.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib import resources
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from kubelab import figures, rules, words
from kubelab.checks.marking import Finding, Result
from kubelab.pictures import figure, ways
from kubelab.stepper import html as stepper_html
from kubelab.stepper import scenes
from kubesim.net.trace import Hop, Trace, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubelab.stepper.widget import Stepper

Bundle = dict[str, Any]


class Note(str):
    """A line for the learner: a string that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Figure:
    """A drawing, and what it says in text."""

    def __init__(self, source: str, *, title: str, description: str, text: str) -> None:
        self.dot = source
        self.title = title
        self.description = description
        self.text = text

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        html = figure.html(self.dot, title=self.title, description=self.description, fallback=self.text)
        return {"text/plain": self.text, "text/html": html}


class TraceView:
    """One packet's way: shows itself as a stepper; `picture()` draws it whole."""

    def __init__(self, trace: Trace, title: str = "") -> None:
        self.trace = trace
        self.title = title

    @property
    def verdict(self) -> Verdict:
        return self.trace.verdict

    @property
    def reason(self) -> str:
        return self.trace.reason

    @property
    def hops(self) -> tuple[Hop, ...]:
        return self.trace.hops

    @property
    def reply(self) -> Trace | None:
        return self.trace.reply

    def explain(self) -> str:
        """The trace in one to three sentences."""
        return words.explain(self.trace)

    def picture(self) -> Figure:
        """The whole way as one drawing."""
        return ways_figure([self.trace], self.title)

    def stepper(self) -> Stepper:
        """The live widget itself, for those who want its `step`."""
        from kubelab.stepper.widget import Stepper

        return Stepper.of(self.trace, self.title)

    def __str__(self) -> str:
        return listing(self.trace, self.title)

    def __repr__(self) -> str:
        return f"<{self.title or 'trace'}: {words.headline(self.trace)}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        bundle: Bundle = {"text/plain": str(self)}
        if in_kernel():
            widget = self.stepper()
            bundle |= widget_bundle(widget)
            # The very same markup: where scripts are off it still steps.
            bundle["text/html"] = widget.html
        else:
            bundle["text/html"] = stepper_html.render(self.trace, self.title)
        bundle["text/plain"] = str(self)
        return bundle


class WaysView:
    """All the ways that a random choice can go: a drawing, with the probabilities."""

    def __init__(self, traces: Sequence[Trace], title: str = "") -> None:
        self.traces = list(traces)
        self.title = title

    def __len__(self) -> int:
        return len(self.traces)

    def __iter__(self) -> Any:
        return iter(self.traces)

    def __str__(self) -> str:
        return "\n".join(
            f"{rules.chance(each.probability):>8}  {words.headline(each)}"
            f"  {words.destination(each.final)} on {each.hops[-1].host}"
            for each in self.traces
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        bundle = ways_figure(self.traces, self.title)._repr_mimebundle_()
        return {"text/plain": str(self), "text/html": bundle["text/html"]}


def ways_figure(traces: Sequence[Trace], title: str) -> Figure:
    """A drawing of one way or of all."""
    title = title or "A packet's way"
    told = words.explain(traces[0]) if len(traces) == 1 else f"{len(traces)} ways, chosen at random."
    return Figure(
        ways.dot(traces),
        title=title,
        description=f"{title}. {told}",
        text="\n".join(listing(each, title) for each in traces),
    )


def listing(trace: Trace, title: str) -> str:
    """The scenes as lines, by host, and the trace in words.  (Every rule that was looked at: `kubesim trace`.)"""
    lines = [f"{title}: {words.headline(trace)}"]
    told = scenes.of(trace)
    for scene, before in zip(told, (None, *told), strict=False):
        if before is None or (before.host, before.way) != (scene.host, scene.way):
            lines.append(f"  {scene.host}{', on the way back' if scene.way == 'reply' else ''}")
        lines.append(f"    {scene.title}")
    return "\n".join([*lines, words.explain(trace)])


class Output:
    """What a command printed, and its exit code.  `said` is the same text as it came: pairs of "out" or "err" and a piece."""

    def __init__(self, stdout: str, stderr: str, exit_code: int, said: Sequence[tuple[str, str]] = ()) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.exit_code = exit_code
        self.said = said or [each for each in (("out", stdout), ("err", stderr)) if each[1]]

    def __str__(self) -> str:
        said = "".join(text for _stream, text in self.said)
        return said.rstrip("\n") + (f"\n[exit code {self.exit_code}]" if self.exit_code else "")

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        parts = []
        if self.said:
            pieces = [(stream, "".join(text for _, text in run)) for stream, run in groupby(self.said, itemgetter(0))]
            written = "".join(
                _lines(text) if stream == "out" else f'<span class="kw-err">{escape(text)}</span>'
                for stream, text in pieces
            )
            parts.append(f"<pre>{written.rstrip(chr(10))}</pre>")
        if self.exit_code:
            parts.append(f'<p class="kw-exit">exit code {self.exit_code}</p>')
        body = "".join(parts) or '<p class="kw-exit">(no output)</p>'
        return {"text/plain": str(self), "text/html": card(body, "kw-term")}


class CheckView:
    """How a task stands.  `note` is shown as it is, in a fixed pitch: a script, say.  `score` stands in place of the points,
    where none are counted."""

    def __init__(self, result: Result, note: str = "", score: str = "") -> None:
        self.result = result
        self.note = note
        self.score = score

    @property
    def points(self) -> float:
        return self.result.points

    @property
    def max(self) -> float:
        return self.result.max

    @property
    def passed(self) -> bool:
        return self.result.passed

    @property
    def message(self) -> str:
        return self.result.message

    def __str__(self) -> str:
        told = str(self.result)
        if self.score:
            told = told.replace(f"{self.result.points:g} of {self.result.max:g} points", self.score, 1)
        return f"{told}\n{self.note}".rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        return {"text/plain": str(self), "text/html": check_card(self.result, self.note, self.score)}


def check_card(result: Result, note: str = "", score: str = "") -> str:
    """A task's result as HTML: the sign, the points, the message, why, each finding, and the packet behind it."""
    tone = "pass" if result.passed else "fail"
    sign = "✓" if result.passed else "✗"
    parts = [
        figures.heading(
            f'<span class="kw-{tone}-text">{sign} {escape(result.title)}</span>'
            f'<span class="kw-points">{escape(score or f"{result.points:g} of {result.max:g} points")}</span>',
            4,
        ),
        f'<p class="kw-message">{escape(result.message)}</p>',
    ]
    if result.explanation:
        parts.append(f'<p class="kw-why">{escape(result.explanation)}</p>')
    if len(result.findings) > 1:
        parts.append(f"<ul>{''.join(_finding(each) for each in result.findings)}</ul>")
    if note:
        parts.append(f'<pre class="kw-note">{escape(note)}</pre>')
    if result.trace is not None:
        stepper = stepper_html.render(result.trace)
        parts.append(f"<details><summary>The packet behind this, step by step</summary>{stepper}</details>")
    return card("".join(parts), f"kw-card kw-{tone}")


def _finding(found: Finding) -> str:
    tone, sign = ("pass", "✓") if found.passed else ("fail", "✗")
    return f'<li><span class="kw-{tone}-text">{sign}</span> {escape(found.message)}</li>'


def card(body: str, classes: str, more: str = "") -> str:
    """HTML in a card of its own, with its style (`more` of it, if need be; `#KW` stands for the card)."""
    me = figures.new_id("card", classes + body)
    style = (_sheet() + more).replace("#KW", f"#{me}")
    return f'<div class="{classes}" id="{me}"><style>{style}</style>{body}</div>'


@cache
def _sheet() -> str:
    text = resources.files("kubelab").joinpath("cards.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", text)


def _lines(text: str) -> str:
    """Output for HTML: columns stay as they are; a rule wraps at its matches, with its target emphasised."""
    return "".join(
        f'<span class="kw-line">{figures.rule_html(line)}</span>' if line.startswith("-A ") else escape(line + end)
        for line, end in (
            (each.rstrip("\n"), each[len(each.rstrip("\n")) :]) for each in text.splitlines(keepends=True)
        )
    )


def widget_bundle(widget: Any) -> Bundle:
    """What a widget shows of itself."""
    made = widget._repr_mimebundle_()
    return dict(made[0] if isinstance(made, tuple) else made or {})


def in_kernel() -> bool:
    """Whether a notebook's kernel runs this: only there is somebody for a widget to talk to."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None
