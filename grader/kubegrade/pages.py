"""Files for people and for learning management systems: CSV, Canvas, Moodle, JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kubegrade.report import Report
from kubesim.errors import LearnerError

Rows = tuple[list[str], list[list[Any]]]


def plain(reports: Sequence[Report]) -> Rows:
    """A row for each task of each student."""
    header = ["student", "lab", "notebook", "task", "points", "max", "manual", "message", "notes"]
    rows = [
        [
            *(r.student, r.lab, r.notebook, m.task, "" if m.points is None else f"{m.points:g}", f"{m.max:g}"),
            *(int(m.manual), safe(m.message), safe(" ".join([*m.notes, *r.notes]))),
        ]
        for r in reports
        for m in r.marks
    ]
    return header, rows


def canvas(reports: Sequence[Report]) -> Rows:
    """What Canvas imports: a row for a student, a column for an assignment, the possible points in the second row.

    https://community.canvaslms.com: "How do I import grades in the Gradebook?"; SIS Login ID is the student's name here.
    """
    labs, table = _by_student(reports)
    header = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *labs]
    possible = ["    Points Possible", "", "", "", "", *(f"{_possible(reports, lab):g}" for lab in labs)]
    rows = [
        [safe(who), "", "", safe(who), "", *(_shown(points.get(lab)) for lab in labs)] for who, points in table.items()
    ]
    return header, [possible, *rows]


def moodle(reports: Sequence[Report]) -> Rows:
    """What Moodle imports: the user's name, a column for an assignment, and one for its feedback."""
    labs, table = _by_student(reports)
    told = {(r.student, r.lab): " ".join(f"{m.title}: {m.message}" for m in r.marks) for r in reports}
    header = ["username", *(column for lab in labs for column in (lab, f"{lab} feedback"))]
    rows = [
        [safe(who), *(each for lab in labs for each in (_shown(points.get(lab)), safe(told.get((who, lab), ""))))]
        for who, points in table.items()
    ]
    return header, rows


FORMS: dict[str, Callable[[Sequence[Report]], Rows]] = {"plain": plain, "canvas": canvas, "moodle": moodle}


def write(path: Path, reports: Sequence[Report], form: str = "plain") -> None:
    """A CSV file in one of FORMS, or all reports as JSON if it ends in .json."""
    if path.suffix == ".json":
        path.write_text(json.dumps([each.to_json() for each in reports], indent=1) + "\n", encoding="utf-8")
        return
    if form not in FORMS:
        raise LearnerError(f"no form {form!r}", f"Forms: {', '.join(FORMS)}.")
    header, rows = FORMS[form](reports)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _by_student(reports: Sequence[Report]) -> tuple[list[str], dict[str, dict[str, float]]]:
    table: dict[str, dict[str, float]] = {}
    for report in reports:
        points = table.setdefault(report.student, {})
        points[report.lab] = points.get(report.lab, 0.0) + report.points
    return sorted({each.lab for each in reports}), table


def _possible(reports: Sequence[Report], lab: str) -> float:
    one: dict[str, float] = {each.notebook: sum(m.max for m in each.marks) for each in reports if each.lab == lab}
    return sum(one.values())


def _shown(points: float | None) -> str:
    return "" if points is None else f"{points:g}"


def safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
