"""A warm process that grades one submission after the other, each in forks of its own.

    main -> worker -> referees (forks: each has a cluster, and marks)
                 \\-> zygote -> warden -> inmate (runs the student's cells, behind walls)

The worker itself never touches what a student wrote, except to read the notebook's JSON.  If a referee dies, what it had
told until then stands.  `kubegrade.batch` talks with a worker over its standard input and output, in frames of JSON.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubegrade
import kubelab
import kubesim
from kubegrade import inside, notebooks, referee, sandbox, wire
from kubegrade.hosted import Course
from kubegrade.jobs import Bounds, Job
from kubegrade.report import Draft, Mark, Report, Said
from kubegrade.zygote import Inmate, Zygote
from kubelab import lab as labs
from kubelab import spec as specs
from kubelab.embedded import Embedded

# What the referee may map beyond what the worker has: the cluster that a submission can make grow.
REFEREE_MEMORY = 1 << 30
# Files beside the notebook that are copied into the scratch folder.
MOST_FILES, LARGEST_FILE = 50, 8 << 20


@dataclass(slots=True)
class Attempt:
    """A referee at work: its process, the wire to it, what it has told so far, and the moment at which it is given up."""

    job: Job
    course: Course
    plan: notebooks.Plan
    blank: Report
    notes: list[str]
    files: list[Path]
    begun: float
    number: int = 1
    pid: int = 0
    channel: wire.Channel | None = None
    patience: float = 0.0
    scratch: Path = Path()
    draft: Draft = field(default_factory=Draft)
    killed: bool = False


class Worker:
    """See the module.  `bounds` and `limits` are for each submission; `scratch` is an empty folder for it to use."""

    def __init__(self, layers: sandbox.Layers, bounds: Bounds, limits: sandbox.Limits, scratch: Path) -> None:
        self._layers = layers
        self._bounds = bounds
        self._scratch = scratch
        # Before anything of a lab is loaded: what the zygote does not have, no submission can find.
        self._zygote = Zygote(layers, limits, scratch)
        own = [Path(each.__file__).parent for each in (kubegrade, kubelab, kubesim) if each.__file__]
        self._readable = [*inside.readable(), *inside.handles(own)]
        self._courses: dict[tuple[str, str, str], Course] = {}
        self._clusters: dict[tuple[str, int | None], list[Embedded]] = {}
        self._beginnings: dict[str, referee.Beginning | None] = {}

    def grade(self, job: Job) -> Report:
        """Grade one submission.  What is wrong with it is in the report; an exception is this program's own fault."""
        begun = self.begin(job)
        while isinstance(begun, Attempt):
            assert begun.channel is not None
            begun = self.go_on(begun)
        return begun

    def begin(self, job: Job) -> Attempt | Report:
        """Start a referee on a submission, or say at once why there is nothing to grade."""
        begun = time.monotonic()
        course = self._course(job)
        blank = Report(
            student=job.student, lab=job.lab, notebook=job.notebook, digest=job.digest, marks=tuple(_blank(course))
        )
        notes: list[str] = []
        files: list[Path] = []
        try:
            if job.data is not None:
                cells = notebooks.parse(wire.data(job.data))
            elif job.file:
                cells = notebooks.read(Path(job.file))
            else:
                folder = _real_folder(Path(job.folder))
                path, notes = notebooks.choose(folder, job.notebook, course.source)
                cells = notebooks.read(path)
                files = _beside(folder, path)
        except (notebooks.Unreadable, wire.Malformed) as problem:
            told = [_replace_message(each, str(problem)) for each in blank.marks]
            return _replace(blank, marks=tuple(told), reason=str(problem))
        plan = notebooks.plan(course.source, cells)
        attempt = Attempt(job, course, plan, blank, notes, files, begun)
        self._fork(attempt)
        return attempt

    def go_on(self, attempt: Attempt) -> Attempt | Report:
        """Take in what a referee has told next; the report when it was the last.

        A referee or an inmate that was killed, and not by itself or by us, gets a second chance from the beginning.
        """
        assert attempt.channel is not None
        try:
            told = attempt.channel.receive(attempt.patience)
            if "end" not in told:
                attempt.killed = _take(attempt.draft, told) or attempt.killed
                return attempt
        except (wire.Closed, wire.Malformed):
            attempt.killed = True
        except wire.Late:
            attempt.draft.notes.append("The grading of this submission did not come to an end and was stopped.")
        self.stop(attempt)
        if attempt.killed and attempt.number == 1:
            attempt.number, attempt.killed, attempt.draft = 2, False, Draft()
            self._fork(attempt)
            return attempt
        plan, draft = attempt.plan, attempt.draft
        marks = [_texts(attempt.course, plan, draft.marks.get(each.task, each)) for each in attempt.blank.marks]
        return _replace(
            attempt.blank,
            marks=tuple(marks),
            notes=tuple(dict.fromkeys([*attempt.notes, *plan.notes.get("", []), *draft.notes])),
            said=tuple(draft.said[index] for index in sorted(draft.said)),
            seconds=round(time.monotonic() - attempt.begun, 3),
            attempts=attempt.number,
        )

    def stop(self, attempt: Attempt) -> None:
        """End a referee; its inmate ends with it."""
        assert attempt.channel is not None
        attempt.channel.close()
        os.kill(attempt.pid, signal.SIGKILL)
        os.waitpid(attempt.pid, 0)
        shutil.rmtree(attempt.scratch, ignore_errors=True)

    def close(self) -> None:
        """End the zygote and its nest, and let go of all handles."""
        self._forget()
        self._zygote.close()
        for handle in self._readable:
            os.close(handle)
        self._readable.clear()

    def _forget(self) -> None:
        for beginning in self._beginnings.values():
            if beginning is not None and beginning.nest is not None:
                beginning.nest.close()
        self._beginnings.clear()

    # -- one submission -----------------------------------------------------------------------------------------

    def _fork(self, attempt: Attempt) -> None:
        ports = self._warm(attempt.job, attempt.course)
        attempt.scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        ours, theirs = socket.socketpair()
        attempt.pid = os.fork()
        if attempt.pid == 0:
            code = 1
            try:
                ours.close()
                sandbox.die_with_parent()
                self._referee(attempt, ports, wire.Channel(theirs))
                code = 0
            except wire.Closed:
                # The worker has gone: nobody is there to be told.
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        attempt.channel = wire.Channel(ours)
        # Its own bounds end a referee; this is for one that is stuck.
        attempt.patience = time.monotonic() + self._bounds.submission + 60 + 30 * len(attempt.blank.marks)

    def _referee(self, attempt: Attempt, ports: list[Embedded], channel: wire.Channel) -> None:
        """The life of a referee, in its own process."""
        gc.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.platform.startswith("linux"):
            mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + REFEREE_MEMORY,) * 2)
        spare, course, plan = list(ports), attempt.course, attempt.plan
        # It runs commands and requests that a stranger wrote, in a cluster that is made of Python.
        folders = [Path(attempt.job.lab_folder)] if attempt.job.lab_folder else []
        sandbox.confine(self._layers, [*self._readable, *inside.handles(folders)])

        def start() -> Embedded:
            if spare:
                return spare.pop()
            return _start(_seeded(attempt.job, course))

        def spawn() -> Inmate:
            nursery = (beginning.nest if beginning else None) or self._zygote
            return nursery.spawn(attempt.scratch, attempt.files)

        beginning = None if attempt.job.seed is not None else self._beginnings.get(attempt.job.lab_folder)
        if beginning is not None and (attempt.number > 1 or not beginning.begins(plan)):
            beginning = None
        judge = referee.Referee(course, start, spawn, channel.send, self._bounds, beginning, attempt.job.seed)
        judge.grade(plan, plan.notes)
        channel.send({"end": True})

    def _rehearse(self, course: Course, clusters: list[Embedded]) -> referee.Beginning | None:
        """Grade the teacher's own notebook here: what it needs is then loaded before the first fork.  What the class's
        notebooks have in common with it, their beginning, is kept.  It takes two of the clusters."""
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        plan = notebooks.plan(course.source, course.source.cells)

        def judge() -> referee.Referee:
            return referee.Referee(
                course, clusters.pop, lambda: self._zygote.spawn(scratch), lambda told: None, self._bounds
            )

        first = judge()
        try:
            beginning = first.begin(plan)
        finally:
            first.close()
        if beginning is not None:
            beginning.nest = self._zygote.nest(beginning.cells, scratch)
        # The rest, on another cluster: this one stays as it is.
        rest = plan.steps[len(beginning.cells) if beginning else 0 :]
        opening = tuple(each for each in plan.steps if each.source and not each.mark)[:1]
        judge().grade(_replace(plan, steps=(*opening, *rest)), {})
        return beginning if beginning is not None and beginning.nest is not None else None

    # -- what is graded against -----------------------------------------------------------------------------------

    def _course(self, job: Job) -> Course:
        """The teacher's notebook and the lab's checks."""
        key = (job.lab_folder, job.source, job.checks)
        if key not in self._courses:
            spec = checks = None
            stub = "YOUR ANSWER HERE"
            if job.lab_folder:
                from kubelab import course as kubelab_course

                stub = kubelab_course.TEXT_STUB
                spec = specs.load(Path(job.lab_folder))
                checks = dict(spec.checks().CHECKS)
                if job.checks:
                    for name, more in _load_checks(Path(job.checks)).items():
                        checks[name] = [*checks.get(name, []), *more]
            source = notebooks.source(Path(job.source).read_bytes(), stub)
            self._courses[key] = Course(source=source, spec=spec, checks=checks)
        return _varied(job, self._courses[key])

    def _warm(self, job: Job, course: Course) -> list[Embedded]:
        """Clusters as the lab starts with them, for the referee to begin with: the student's, and one for each experiment."""
        if course.spec is None:
            return []
        key = (job.lab_folder, job.seed)
        if key not in self._clusters:
            spec = _seeded(job, course)
            predictions = sum(task.kind == "prediction" for task in spec.tasks)
            # One seed at a time: the clusters of a whole class would not fit.
            if self._clusters:
                self._clusters.clear()
                gc.unfreeze()
                gc.collect()
            self._clusters = {key: [_start(spec) for _ in range(1 + predictions)]}
            if job.lab_folder not in self._beginnings or job.seed is None:
                # Only the lab's own seed has a class that begins alike.  Clusters are made first: the zygote still warms up.
                own = course.spec
                clusters = [_start(own) for _ in range(2 + predictions)]
                self._forget()
                self._beginnings = {job.lab_folder: self._rehearse(course, clusters)}
            gc.freeze()
        return self._clusters[key]


def main() -> None:
    """A worker as `kubegrade.batch` starts it: the first frame says how, each other one is a job; a report for each comes back.

    So many jobs as the last one says (`lanes`) are at work at the same time, each in forks of its own; the others wait here, so
    that no lane waits for the one who takes the reports.
    """
    sandbox.die_with_parent()
    # All that is made here stays: looking through it for garbage, again and again, would cost a tenth of the start.
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=int(sys.argv[1]))
    channel = wire.Channel(orders, limit=1 << 26)
    told = channel.receive()
    worker = Worker(
        sandbox.Layers(**told["layers"]),
        Bounds(**told["bounds"]),
        sandbox.Limits(**told["limits"]),
        Path(sys.argv[2]),
    )
    running: dict[int, Attempt] = {}
    waiting: deque[Job] = deque()
    lanes = 1

    def step(job: Job, turn: Callable[[], Attempt | Report]) -> None:
        """Take one turn of a job; an error of ours is that job's, and no other's."""
        try:
            now = turn()
        except Exception as error:
            traceback.print_exc()
            fault = f"{type(error).__name__}: {error}"
            now = Report(student=job.student, lab=job.lab, notebook=job.notebook, digest=job.digest, fault=fault)
        if isinstance(now, Attempt):
            assert now.channel is not None
            running[now.channel.fileno()] = now
        else:
            channel.send({"report": now.to_json()})

    try:
        while True:
            poll = select.poll()
            for fd in (orders.fileno(), *running):
                poll.register(fd, select.POLLIN)
            soonest = min((each.patience for each in running.values()), default=None)
            left = None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000
            ready = {fd for fd, _ in poll.poll(left)}
            late = {fd for fd, each in running.items() if each.patience <= time.monotonic()}
            for fd in [each for each in running if each in ready | late]:
                attempt = running.pop(fd)
                step(attempt.job, lambda attempt=attempt: worker.go_on(attempt))  # type: ignore[misc]
            if orders.fileno() in ready:
                told = channel.receive()
                lanes = told["lanes"]
                waiting.append(Job(**told["job"]))
            while waiting and len(running) < lanes:
                job = waiting.popleft()
                step(job, lambda job=job: worker.begin(job))  # type: ignore[misc]
    except wire.Closed:
        return


def _varied(job: Job, course: Course) -> Course:
    """The course with the student's own variant of the lab, in a class where each has one."""
    if job.seed is None or course.spec is None or not course.spec.variants:
        return course
    return _replace(course, spec=specs.load(course.spec.folder, job.student))


def _seeded(job: Job, course: Course) -> specs.Spec:
    """The lab as this job has it."""
    assert course.spec is not None
    return course.spec if job.seed is None else _replace(course.spec, seed=job.seed)


def _start(spec: specs.Spec) -> Embedded:
    """A fresh cluster as the lab starts with it."""
    port = labs.start(spec)
    assert isinstance(port, Embedded)
    return port


# -- small things -----------------------------------------------------------------------------------------------------


def _take(draft: Draft, told: dict[str, Any]) -> bool:
    """Write down what a referee told; whether somebody killed its inmate."""
    if "mark" in told:
        mark = told["mark"]
        findings = tuple((bool(passed), str(message)) for passed, message in mark["findings"])
        draft.marks[mark["task"]] = Mark(**{**mark, "notes": tuple(mark["notes"]), "findings": findings})
    elif "said" in told:
        said = Said(**told["said"])
        draft.said[said.index] = said
    elif "note" in told:
        draft.notes.append(told["note"])
    return "killed" in told


def _blank(course: Course) -> list[Mark]:
    """The marks before anything is known: nothing earned."""
    titles = {task.name: task.title for task in course.spec.tasks} if course.spec else {}
    return [
        Mark(
            task=item.name,
            title=titles.get(item.name, item.name),
            points=None if item.manual else 0.0,
            max=item.points,
            manual=item.manual,
            message="" if item.manual else "This task was not reached.",
        )
        for item in course.source.items
    ]


def _texts(course: Course, plan: notebooks.Plan, mark: Mark) -> Mark:
    """What a person has to read: the student's text; nothing written is nothing to read."""
    item = course.source.item(mark.task)
    if item is None or not item.manual:
        return mark
    notes = tuple(plan.notes.get(mark.task, ()))
    text = plan.texts.get(mark.task, "")
    if text.strip() in ("", course.source.stubs[mark.task].strip()):
        return _replace(mark, points=0.0, manual=False, text=text, notes=notes, message="No response.")
    return _replace(mark, text=text[:100_000], notes=notes, message="Your teacher reads this one.")


def _replace_message(mark: Mark, why: str) -> Mark:
    return _replace(mark, message=why, points=0.0, manual=False)


def _real_folder(folder: Path) -> Path:
    if folder.is_symlink() or not folder.is_dir():
        raise notebooks.Unreadable("What was handed in is no folder with a notebook in it.")
    return folder


def _beside(folder: Path, notebook: Path) -> list[Path]:
    """The plain files beside the notebook, as many as are copied for it."""
    found = [
        each
        for each in sorted(folder.iterdir())
        if each != notebook and each.is_file() and not each.is_symlink() and each.stat().st_size <= LARGEST_FILE
    ]
    return found[:MOST_FILES]


def _load_checks(path: Path) -> dict[str, Any]:
    import importlib.util

    found = importlib.util.spec_from_file_location("kubegrade_more_checks", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return dict(module.CHECKS)


def _replace(value: Any, **changes: Any) -> Any:
    import dataclasses

    return dataclasses.replace(value, **changes)


if __name__ == "__main__":
    main()
