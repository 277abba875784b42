"""The timeline as text, and as a table whose first column is the picture: a lane for each that acts, a dot for each act.

The table says all that the picture shows, so the picture needs no words of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from kubelab import display, figures
from kubelab.timeline.telling import PEOPLE, UNKNOWN, Row

# A lane's width in pixels.
LANE = 20


class Timeline:
    """Who did what when: `acts` are groups of rows, each begun by a person.  `note` is said below."""

    def __init__(self, acts: Sequence[Sequence[Row]], note: str = "") -> None:
        self.acts = acts
        self.note = note

    @property
    def rows(self) -> list[Row]:
        return [row for act in self.acts for row in act]

    def __str__(self) -> str:
        if not self.rows:
            return f"Nothing happened in this namespace that the API still knows of. {self.note}".rstrip()
        width = max(len(_who(row)) for row in self.rows)
        lines = []
        for act in self.acts:
            lines += [f"{row.time:8}  {_who(row):{width}}  {_on(row)}: {row.what}" for row in act]
            lines.append("")
        return "\n".join([*lines, *([self.note] if self.note else [])]).rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> display.Bundle:
        if not self.rows:
            return {"text/plain": str(self)}
        lanes = {who: number for number, who in enumerate(dict.fromkeys(row.who for row in self.rows))}
        body = [
            figures.heading("Who did what, and in which order", 4),
            "<table><thead><tr><th>time</th>",
            f'<td style="width:{len(lanes) * LANE}px" aria-hidden="true"></td>',
            "<th>who</th><th>did what</th></tr></thead><tbody>",
        ]
        for act in self.acts:
            before: Row | None = None
            for row in act:
                body.append(_row(row, before, lanes, row is act[-1]))
                before = row
        body.append("</tbody></table>")
        if self.note:
            body.append(f'<p class="kw-soft kw-note">{escape(self.note)}</p>')
        return {"text/plain": str(self), "text/html": display.card("".join(body), "kw-card kw-timeline", more=_sheet())}


def _row(row: Row, before: Row | None, lanes: dict[str, int], last: bool) -> str:
    at = lanes[row.who]
    marks = [f'<i style="left:{number * LANE + LANE // 2}px"></i>' for number in range(len(lanes))]
    if before is not None and before.who != row.who:
        start, end = sorted((lanes[before.who], at))
        marks.append(f'<u style="left:{start * LANE + LANE // 2}px;width:{(end - start) * LANE}px"></u>')
    kind = "kw-dot kw-person" if row.who in (PEOPLE, UNKNOWN) else "kw-dot"
    marks.append(f'<b class="{kind}" style="left:{at * LANE + LANE // 2}px"></b>')
    begins = "" if before is not None else ' class="kw-act"'
    who = "" if before is not None and before.who == row.who else escape(_who(row))
    hidden = f'<span class="kw-hidden">{escape(_who(row))}</span>' if not who else ""
    on = ", ".join(_object(each) for each in row.on)
    return (
        f'<tr{begins}><td class="kw-time">{escape(row.time)}</td><td class="kw-lanes" aria-hidden="true">{"".join(marks)}</td>'
        f'<th scope="row">{who}{hidden}</th><td>{on}: {escape(row.what)}</td></tr>'
    )


def _who(row: Row) -> str:
    return f"{row.who}, with {row.tool}" if row.tool else row.who


def _on(row: Row) -> str:
    return ", ".join(row.on)


def _object(on: str) -> str:
    kind, _, name = on.partition(" ")
    return f"{escape(kind)} <code>{escape(name)}</code>"


@cache
def _sheet() -> str:
    text = resources.files("kubelab.timeline").joinpath("timeline.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", text)
