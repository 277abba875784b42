"""A whole class: workers side by side, a journal of what is done, and whoever wants to know.

Kill it at any moment: what was done stands in the journal, line by line, and the next run goes on from there.  A worker that
dies is replaced, and its submission graded again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubegrade import sandbox, submissions, wire
from kubegrade.jobs import Bounds, Job, Key
from kubegrade.process import Process
from kubegrade.report import Report, from_json

# A submission that ends this many workers is given up.
PATIENCE = 3
# How many submissions one worker has at work: its forks take a while each.
LANES = 8


def grade(
    jobs: Sequence[Job],
    *,
    workers: int,
    layers: sandbox.Layers,
    bounds: Bounds,
    limits: sandbox.Limits,
    meanwhile: Callable[[], None] = lambda: None,
    first: Process | None = None,
) -> Iterator[Report]:
    """The reports of the jobs, as they come; `workers` of them are at work at a time.  Closing it ends all it has started.

    `meanwhile` is called once, while the workers warm up; `first` is a worker that has been started already.
    """
    waiting = deque((job, 1) for job in jobs)
    tries: dict[Key, int] = {}
    workers = max(1, min(workers, len(jobs)))
    shares = [min(LANES, workers - first) for first in range(0, workers, LANES)]
    running: dict[Process, int] = {}

    ready: queue.SimpleQueue[Process] = queue.SimpleQueue()

    def fill(process: Process, lanes: int) -> None:
        # As many again as are at work wait at the worker.
        while waiting and len(process.jobs) < 2 * lanes:
            job, attempt = waiting.popleft()
            tries[job.key] = attempt
            # A worker that is dead already shows it when its answer is awaited.
            with contextlib.suppress(wire.Closed):
                process.give(job, lanes)

    def start(lanes: int, process: Process | None = None) -> None:
        process = process or Process(layers, bounds, limits)
        running[process] = lanes
        process.tell(ready)
        fill(process, lanes)

    try:
        for lanes in shares if jobs else []:
            start(lanes, first)
            first = None
        meanwhile()
        while running:
            process = ready.get()
            if process not in running:
                continue
            try:
                report = process.take()
            except wire.Closed:
                lanes = running.pop(process)
                process.end()
                for number, job in enumerate(process.jobs.values()):
                    # Those behind were only waiting there, and are no suspects.
                    if number >= lanes:
                        waiting.append((job, tries[job.key]))
                    elif tries[job.key] < PATIENCE:
                        waiting.append((job, tries[job.key] + 1))
                    else:
                        yield _given_up(job)
                if waiting:
                    start(lanes)
                continue
            fill(process, running[process])
            if not process.jobs:
                del running[process]
                process.end()
            yield report
    finally:
        for process in [*running, *filter(None, [first])]:
            process.end()


def _given_up(job: Job) -> Report:
    told = f"{PATIENCE} workers ended while they graded it"
    return Report(student=job.student, lab=job.lab, notebook=job.notebook, digest=job.digest, fault=told)


# -- what is done already -----------------------------------------------------------------------------------------


def recorded(path: Path) -> dict[Key, dict[str, Any]]:
    """What a journal says, as JSON: the last report of each student's notebook.  Nothing if there is no such file."""
    done: dict[Key, dict[str, Any]] = {}
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            told = json.loads(line)
            done[(told["student"], told["lab"], told["notebook"])] = told
        except (ValueError, KeyError, TypeError):
            continue
    return done


class Journal:
    """A file with a line for each report, written before anybody is told.  A line that was cut off by a crash is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = recorded(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def known(self, job: Job) -> Report | None:
        """The report of this very job, from an earlier run."""
        told = self._done.get(job.key)
        return from_json(told) if told is not None and told["digest"] == job.digest else None

    def add(self, report: Report) -> None:
        """Keep a report; it is on the disk when this returns.  Outputs and traces are not kept."""
        slim = replace(report, said=(), marks=tuple(replace(each, trace="") for each in report.marks))
        self._file.write(json.dumps(slim.to_json(), separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def run(
    jobs: Sequence[Job],
    journal: Journal,
    *,
    workers: int,
    layers: sandbox.Layers,
    bounds: Bounds,
    limits: sandbox.Limits,
    told: Callable[[Report, bool], None],
    meanwhile: Callable[[], None] = lambda: None,
    first: Process | None = None,
    elsewhere: Callable[[Sequence[Job]], Iterator[Report]] | None = None,
) -> None:
    """Grade what the journal does not know yet; `told` is given every report, and whether it is new.

    `elsewhere` grades in this machine's place (`kubegrade.machines`).
    """
    todo = []
    for job in stamped(jobs):
        known = journal.known(job)
        if known is not None:
            told(known, False)
        else:
            todo.append(job)
    if elsewhere is not None:
        meanwhile()
        reports = elsewhere(todo)
    else:
        reports = grade(
            todo, workers=workers, layers=layers, bounds=bounds, limits=limits, meanwhile=meanwhile, first=first
        )
    for report in reports:
        # First to whoever writes books and pages, then into the journal: what stands there is done.
        told(report, True)
        if not report.fault:
            journal.add(report)


def stamped(jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs with the digests of all that decides them."""
    versions: dict[tuple[str, str], str] = {}
    for job in jobs:
        of = (job.source, job.checks)
        if of not in versions:
            versions[of] = submissions.against(job)
        yield replace(job, digest=submissions.digest(job, versions[of]))
