"""`kubegrade grade`, as a person at a terminal has it: a bar, a table, and files."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from kubegrade import batch, feedback, gradebook, notebooks, pages, submissions
from kubegrade.jobs import Job, Key
from kubegrade.report import Report
from kubegrade.start import Options, Started
from kubesim.errors import LearnerError


def grade(
    submitted: Path, options: Options, started: Started, before_that: Mapping[Key, Report] | None = None
) -> list[Report]:
    """Grade a folder and write all that was asked for.  The reports, without outputs and traces.

    With `before_that` (`kubegrade regrade`) only those are graded of whom it has a report, and into the book go only the marks
    that have changed since.
    """
    console = Console(stderr=True, highlight=False)
    if options.collect:
        console.print("Nothing is run: the parts' reports are taken.", style="dim")
    elif options.distributed:
        console.print("Sandbox: each machine looks for its own.", style="dim")
    elif started.layers.sufficient:
        console.print(f"Sandbox: {started.layers}.", style="dim")
    else:
        console.print(f"[bold]No sandbox[/bold] (there is: {started.layers}): what students wrote runs as you.")
    jobs = find(submitted, options)
    if before_that is not None:
        jobs = [job for job in jobs if job.key in before_that]
    elsewhere = _elsewhere(options, started)
    course = submissions.course(submitted)
    path = options.gradebook or course / "gradebook.db"
    journal_path = journal_of(path)
    if options.again:
        journal_path.unlink(missing_ok=True)
    journal = batch.Journal(journal_path)
    writer = Writer(path, course, options)
    by_key = {job.key: job for job in jobs}
    reports: list[Report] = []
    before = 0
    interrupted = False
    bar = Progress(
        TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"),
        console=console,
    )  # fmt: skip
    try:
        with bar:
            task = bar.add_task("", total=len(jobs))

            def told(report: Report, new: bool) -> None:
                nonlocal before
                before += not new
                if new and not report.fault:
                    old = before_that.get(report.key) if before_that is not None else None
                    writer.write(report, by_key[report.key], differing(old, report) if old is not None else None)
                reports.append(replace(report, said=(), marks=tuple(replace(m, trace="") for m in report.marks)))
                bar.update(task, advance=1, description=report.student[:40])

            batch.run(
                jobs,
                journal,
                workers=options.jobs or cores(),
                layers=started.layers,
                bounds=started.bounds,
                limits=started.limits,
                first=started.worker,
                told=told,
                meanwhile=writer.prepare,
                elsewhere=elsewhere,
            )
    except KeyboardInterrupt:
        interrupted = True
    finally:
        journal.close()
        writer.close()
    reports.sort(key=lambda each: (each.lab, each.student, each.notebook))
    if options.table:
        pages.write(options.table, reports, options.form)
    if options.dump:
        pages.write(options.dump.with_suffix(".json"), reports)
    if options.feedback:
        feedback.class_pages(options.feedback, reports)
    if before_that is None:
        _summary(reports, before)
    if interrupted:
        left = len(jobs) - len(reports)
        raise LearnerError(f"stopped; {left} of {len(jobs)} are not graded yet", "Run the same command again to go on.")
    faults = [each for each in reports if each.fault]
    if faults:
        raise LearnerError(
            f"{len(faults)} of {len(jobs)} could not be graded, by a fault of this program ({faults[0].fault})",
            "Nothing was written for them. Run the same command again to try them once more.",
        )
    return reports


def find(submitted: Path, options: Options) -> list[Job]:
    """The jobs that these options mean."""
    checks = str(options.checks.resolve()) if options.checks else ""
    jobs = submissions.find(submitted, options.lab, seed_by=options.seed_by, checks=checks)
    if options.share:
        number, of = options.share
        return jobs[number::of]
    return jobs


def journal_of(gradebook: Path) -> Path:
    """Where it is written down what is done already."""
    return gradebook.with_name(gradebook.name + ".kubegrade.jsonl")


def differing(old: Report, new: Report) -> set[str]:
    """The tasks of which the gradebook would say something else now."""

    def said(report: Report) -> dict[str, tuple[object, ...]]:
        return {
            each.task: (each.points, each.max, each.manual, each.message, each.explanation, each.notes, report.reason)
            for each in report.marks
        }

    was, is_now = said(old), said(new)
    return {task for task, told in is_now.items() if was.get(task) != told}


def _elsewhere(options: Options, started: Started) -> Callable[[Sequence[Job]], Iterator[Report]] | None:
    """What grades in this machine's place, if anything is to."""
    if options.collect:
        from kubegrade.collect import taken

        return taken(options.collect)
    if options.distributed:
        from kubegrade.machines import grader

        return grader(options, started)
    return None


class Writer:
    """What is written for each report as it comes: the gradebook, nbgrader's autograded copy, the feedback page."""

    def __init__(self, path: Path, course: Path, options: Options) -> None:
        self._path = path
        self._book: gradebook.Book | None = None
        self._course = course
        self._feedback = options.feedback
        # A part of a class may stand on a disk that it can only read: whoever collects the parts writes these copies.
        self._copies = options.share is None and (course / "submitted").is_dir()

    def open(self) -> gradebook.Book:
        """The gradebook; opening it takes a while."""
        if self._book is None:
            self._book = gradebook.Book(self._path)
        return self._book

    def prepare(self) -> None:
        """Open the book, and keep the garbage collector from going through all that is imported for it, again and again."""
        gc.disable()
        self.open()
        gc.freeze()
        gc.enable()

    def write(self, report: Report, job: Job, only: Collection[str] | None = None) -> None:
        source = Path(job.source)
        self.open().add_assignment(report.lab, source)
        self.open().write(report, _timestamp(job), only)
        if self._copies:
            target = self._course / "autograded" / report.student / report.lab / f"{report.notebook}.ipynb"
            _put(target, gradebook.autograded(report, source, _handed_in(job)))
        if self._feedback:
            page = self._feedback / report.student / f"{report.notebook}.html"
            _put(page, feedback.page(report))

    def close(self) -> None:
        if self._book is not None:
            self._book.close()


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _handed_in(job: Job) -> Path | None:
    if job.file:
        return Path(job.file)
    try:
        source = notebooks.source(Path(job.source).read_bytes())
        return notebooks.choose(Path(job.folder), job.notebook, source)[0]
    except (notebooks.Unreadable, OSError):
        return None


def _timestamp(job: Job) -> str:
    """When it was handed in, as nbgrader's exchange writes it down."""
    path = Path(job.folder) / "timestamp.txt"
    if not job.folder or path.is_symlink() or not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")[:100].strip()
    from datetime import datetime

    try:
        datetime.strptime(text[:19], "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return ""
    return text


def _put(path: Path, text: str) -> None:
    """Write a file whole: nobody ever sees a half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def _summary(reports: list[Report], before: int) -> None:
    console = Console(file=sys.stdout, highlight=False)
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("student", "left"),
        ("lab", "left"),
        ("points", "right"),
        ("to read", "right"),
        ("odd", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for report in reports:
        waiting = sum(each.manual for each in report.marks)
        odd = (
            report.fault
            or report.reason
            or " ".join([*report.notes, *(note for each in report.marks for note in each.notes)])
        )
        table.add_row(
            click.unstyle(report.student),
            report.lab,
            f"{report.points:g} of {report.max:g}",
            str(waiting or ""),
            odd[:160],
        )
    console.print(table, markup=False)
    if before:
        console.print(f"{before} of {len(reports)} were graded before, and nothing has changed.", style="dim")
