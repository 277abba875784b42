"""Pages that need no script and nothing from the network: one for each student, and one for the class.

A student's page says what each task earned and why, with the packet behind it step by step (`kubelab.stepper`, which is CSS
alone).  What hidden checks looked at is on no page.  All that a student wrote is escaped.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from kubegrade.report import Mark, Report

STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6477; --line: #d9dee8; --card: #fff; --page: #f5f6fa;
  --good: #1a7f4b; --bad: #b3261e; --wait: #8a5a00; --bar: #3b6fd4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a2abbd; --line: #39414f; --card: #1e232c; --page: #14171d;
  --good: #62d296; --bad: #ff8a80; --wait: #f0c063; --bar: #7aa2f7; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.2rem 4rem; font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
  background: var(--page); }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 0 0 .3rem; }
.soft { color: var(--soft); } .total { font-size: 1.3rem; font-weight: 650; margin: .3rem 0 1.2rem; }
section { background: var(--card); border: 1px solid var(--line); border-left: .35rem solid var(--line); border-radius: .5rem;
  padding: 1rem 1.2rem; margin: 0 0 1rem; overflow-x: auto; }
section.good { border-left-color: var(--good); } section.bad { border-left-color: var(--bad); }
section.wait { border-left-color: var(--wait); }
.points { float: right; font-weight: 650; } p { margin: .35rem 0; }
ul { margin: .4rem 0; padding-left: 1.2rem; } pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0; }
.good .sign { color: var(--good); } .bad .sign { color: var(--bad); } .wait .sign { color: var(--wait); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .6rem; vertical-align: top;
  border-bottom: 1px solid var(--line); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } svg .bar { fill: var(--bar); } svg .axis { stroke: var(--line); }
"""


def page(report: Report) -> str:
    """A student's page."""
    total = f"{report.points:g} of {report.max:g} points"
    waiting = [each for each in report.marks if each.manual]
    if waiting:
        total += f", and {sum(each.max for each in waiting):g} that your teacher gives"
    parts = [
        f'<h1>{escape(report.lab)}</h1><p class="soft">{escape(report.student)}</p>',
        f'<p class="total">{total}</p>',
    ]
    odd = [each for each in (report.reason, *report.notes) if each]
    if odd:
        items = "".join(f"<li>{escape(each)}</li>" for each in odd)
        parts.append(f'<section class="wait"><h2>About your notebook</h2><ul>{items}</ul></section>')
    parts += [_task(each) for each in report.marks]
    return _whole(f"{report.lab}: {report.student}", "".join(parts))


def _task(mark: Mark) -> str:
    tone, sign, said = _tone(mark)
    points = "?" if mark.points is None else f"{mark.points:g}"
    parts = [
        f'<span class="points">{points} of {mark.max:g}</span>',
        f'<h2><span class="sign" aria-hidden="true">{sign}</span> {escape(mark.title)}</h2><p class="soft">{said}</p>',
    ]
    if mark.message:
        parts.append(f"<p>{escape(mark.message)}</p>")
    if mark.explanation:
        parts.append(f"<p>{escape(mark.explanation)}</p>")
    findings = dict.fromkeys(mark.findings)
    if len(findings) > 1:
        found = "".join(f"<li>{'✓' if passed else '✗'} {escape(message)}</li>" for passed, message in findings)
        parts.append(f"<ul>{found}</ul>")
    if mark.trace:
        parts.append(f"<details><summary>The packet behind this, step by step</summary>{mark.trace}</details>")
    if mark.text and mark.manual:
        parts.append(f"<details><summary>What you wrote</summary><pre>{escape(mark.text)}</pre></details>")
    if mark.notes:
        parts.append(f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in mark.notes)}</ul>")
    return f'<section class="{tone}">{"".join(parts)}</section>'


def _tone(mark: Mark) -> tuple[str, str, str]:
    if mark.manual:
        return "wait", "✎", "Your teacher reads this one."
    if mark.passed:
        return "good", "✓", "Done."
    return "bad", "✗", "Partly done." if mark.points else "Not yet."


# -- the class ------------------------------------------------------------------------------------------------------


def class_pages(folder: Path, reports: Sequence[Report]) -> list[Path]:
    """A page for the teacher on each notebook of a class: how it went, what most got wrong, who has what."""
    written = []
    for lab, notebook in sorted({(each.lab, each.notebook) for each in reports}):
        some = [each for each in reports if (each.lab, each.notebook) == (lab, notebook)]
        path = folder / f"{notebook}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(class_page(lab, some), encoding="utf-8")
        written.append(path)
    return written


def class_page(lab: str, reports: Sequence[Report]) -> str:
    """The teacher's page on one notebook."""
    graded = [each for each in reports if not each.fault]
    most = max((each.max + sum(m.max for m in each.marks if m.manual) for each in graded), default=0.0)
    points = [each.points for each in graded]
    middle = f"median {statistics.median(points):g}, mean {statistics.fmean(points):.1f}" if points else "nobody yet"
    seconds = sorted(each.seconds for each in graded) or [0.0]
    times = f"{statistics.median(seconds):.1f} s a submission (median), {seconds[-1]:.1f} s the slowest"
    waiting = sum(m.manual for each in graded for m in each.marks)
    unread = f" · {waiting} answers to read" if waiting else ""
    parts = [
        f"<h1>{escape(lab)}</h1>",
        f'<p class="total">{len(graded)} graded: {middle}, of {most:g} points{unread}</p>',
        f'<section><h2>How the points fall</h2>{distribution(points, most)}<p class="soft">{times}.</p></section>',
        f"<section><h2>Task by task</h2>{_tasks(graded)}</section>",
        f"<section><h2>Everybody</h2>{_everybody(graded)}</section>",
    ]
    return _whole(f"{lab}: the class", "".join(parts))


def distribution(points: Sequence[float], most: float, bins: int = 10) -> str:
    """A histogram of points as an SVG, with its numbers in words for those who do not see it."""
    counts = [0] * bins
    for each in points:
        counts[min(bins - 1, int(each / most * bins)) if most else 0] += 1
    width, height, base = 760, 200, 168
    step = width / bins
    tallest = max([*counts, 1])
    bars, told = [], []
    for number, count in enumerate(counts):
        low, high = most * number / bins, most * (number + 1) / bins
        told.append(f"{low:g} to {high:g}: {count}")
        tall = 130 * count / tallest
        x = number * step
        bars.append(
            f'<rect class="bar" x="{x + 4:.1f}" y="{base - tall:.1f}" width="{step - 8:.1f}" height="{tall:.1f}" rx="3">'
            f"<title>{low:g} to {high:g} points: {count}</title></rect>"
            f'<text x="{x + step / 2:.1f}" y="{base - tall - 6:.1f}" text-anchor="middle">{count or ""}</text>'
            f'<text x="{x + 2:.1f}" y="{base + 20}">{low:g}</text>'
        )
    described = "; ".join(told)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Students by points. {described}" width="100%">'
        f'<line class="axis" x1="0" x2="{width}" y1="{base}" y2="{base}"/>{"".join(bars)}'
        f'<text x="{width - 2}" y="{base + 20}" text-anchor="end">{most:g}</text></svg>'
    )


def _tasks(reports: Sequence[Report]) -> str:
    """Each task: who did it, and what was said most often to those who did not."""
    rows = []
    for task in dict.fromkeys(mark.task for report in reports for mark in report.marks):
        marks = [mark for report in reports for mark in report.marks if mark.task == task]
        done = sum(each.passed for each in marks)
        # What is wrong with a whole file is said below, and of no task.
        read = [mark for report in reports if not report.reason for mark in report.marks if mark.task == task]
        missed = Counter(each.message for each in read if not each.passed and not each.manual and each.message)
        often = "".join(f"<li>{count} × {escape(message)}</li>" for message, count in missed.most_common(3))
        unread = sum(each.manual for each in marks)
        share = f"{unread} to read" if unread else f"{done} of {len(marks)}"
        rows.append(
            f'<tr><td>{escape(marks[0].title)}</td><td class="n">{share}</td><td>{f"<ul>{often}</ul>" if often else ""}</td></tr>'
        )
    head = '<tr><th>task</th><th class="n">done</th><th>what was missing most often</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _everybody(reports: Sequence[Report]) -> str:
    rows = []
    for report in sorted(reports, key=lambda each: (each.points, each.student)):
        marks = "".join(
            f'<td class="n">{"?" if mark.points is None else f"{mark.points:g}"}</td>' for mark in report.marks
        )
        odd = " ".join(filter(None, (report.reason, *report.notes)))
        rows.append(
            f'<tr><td>{escape(report.student)}</td><td class="n">{report.points:g}</td>{marks}'
            f'<td class="soft">{escape(odd[:200])}</td></tr>'
        )
    tasks = [each.task for each in reports[0].marks] if reports else []
    head = "".join(f'<th class="n">{escape(each)}</th>' for each in tasks)
    return (
        f'<table><thead><tr><th>student</th><th class="n">points</th>{head}<th>about the notebook</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _whole(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        # Nothing on these pages runs or is fetched, whatever a student has written.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
