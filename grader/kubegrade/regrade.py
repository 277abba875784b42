"""`kubegrade regrade`: a check was wrong, has been corrected, and only what that changes is graded and written anew.

The journal has for each report the digests of all that decided it (`submissions.PARTS`).  Where they are today's, nothing is
done; where they differ, the submission is graded once more, and the gradebook is given those marks that came out differently.
So a teacher's own scores of other tasks, and their flags, stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kubegrade import batch, run, start, submissions
from kubegrade.jobs import Key
from kubegrade.report import Report, from_json
from kubesim.errors import LearnerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done: `old` are all reports there are, `due` those that no longer stand, each with the submissions.PARTS that
    have changed since; `new` counts what was never graded."""

    old: dict[Key, Report]
    due: dict[Key, list[str]]
    new: int


def plan(submitted: Path, options: start.Options) -> Plan:
    """Compare what was written down with what is there today.  LearnerError if nothing was graded yet."""
    path = run.journal_of(options.gradebook or submissions.course(submitted) / "gradebook.db")
    recorded = batch.recorded(path)
    if not recorded:
        raise LearnerError(f"nothing has been graded yet: there is no {path.name}", "First: kubegrade grade")
    planned = Plan(old={}, due={}, new=0)
    new = 0
    for job in batch.stamped(run.find(submitted, options)):
        told = recorded.get(job.key)
        if told is None:
            new += 1
            continue
        planned.old[job.key] = from_json(told)
        if told["digest"] != job.digest:
            planned.due[job.key] = submissions.changed(told["digest"], job.digest)
    return replace(planned, new=new)


def show(planned: Plan) -> None:
    """Who would be graded again, and why."""
    console = Console(file=sys.stdout, highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("student", "lab", "points", "changed since"):
        table.add_column(name, overflow="fold")
    for key, parts in planned.due.items():
        old = planned.old[key]
        why = ", ".join(submissions.PARTS[each] for each in parts)
        table.add_row(old.student, old.lab, f"{old.points:g} of {old.max:g}", why)
    if planned.due:
        console.print(table, markup=False)
    console.print(f"{len(planned.due)} to be graded again; {_rest(planned)}", style="dim")


def regrade(submitted: Path, options: start.Options, planned: Plan) -> list[tuple[Report, Report]]:
    """Grade again what is due, and say which marks came out differently.  Old and new reports."""
    if not planned.due:
        show(planned)
        return []
    started = start.start(options)
    try:
        reports = run.grade(submitted, options, started, planned.old)
    finally:
        if started.worker is not None:
            started.worker.end()
    pairs = [(planned.old[each.key], each) for each in reports if each.key in planned.due]
    _tell(pairs, planned)
    return pairs


def _tell(pairs: Sequence[tuple[Report, Report]], planned: Plan) -> None:
    console = Console(file=sys.stdout, highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("student", "lab", "task", "was", "is", "message"):
        table.add_column(name, justify="right" if name in ("was", "is") else "left", overflow="fold")
    for old, new in pairs:
        was = {each.task: each.points for each in old.marks}
        for mark in new.marks:
            if was.get(mark.task) != mark.points:
                before, now = ("?" if each is None else f"{each:g}" for each in (was.get(mark.task), mark.points))
                table.add_row(new.student, new.lab, mark.task, before, now, mark.message)
    if table.row_count:
        console.print(table, markup=False)
    console.print(f"{len(pairs)} graded again, {table.row_count} marks changed; {_rest(planned)}", style="dim")


def _rest(planned: Plan) -> str:
    new = f" {planned.new} were never graded: kubegrade grade." if planned.new else ""
    return f"{len(planned.old) - len(planned.due)} stand as they are.{new}"
