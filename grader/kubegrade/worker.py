"""A warm process that grades one submission after the other, each in forks of its own.

    main -> worker -> referee (a fork: has the cluster, marks)
                 \\-> zygote -> warden -> inmate (runs the student's cells, behind walls)

The worker itself never touches what a student wrote, except to read the notebook's JSON.  If a referee dies, what it had
told until then stands.  `kubegrade.batch` talks with a worker over its standard input and output, in frames of JSON.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubegrade import notebooks, referee, sandbox, wire
from kubegrade.report import Draft, Mark, Report, Said
from kubegrade.zygote import Inmate, Zygote
from kubelab import lab as labs
from kubelab import spec as specs
from kubelab.embedded import Embedded

# What the referee may map beyond what the worker has: the cluster that a submission can make grow.
REFEREE_MEMORY = 1 << 30
# Files beside the notebook that are copied into the scratch folder.
MOST_FILES, LARGEST_FILE = 50, 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission.  `folder` holds it, `notebook` is the name that its notebook should have (without .ipynb); or `file` is the
    notebook, whatever its name; or `data` is what it holds.

    `lab` is the assignment's name, `lab_folder` the lab's folder ("" for a plain nbgrader notebook), `source` the teacher's
    notebook, `checks` a file with more checks; `seed` is for the cluster, None for the lab's own; `digest` comes back in the
    report.
    """

    student: str
    lab: str
    notebook: str
    folder: str = ""
    file: str = ""
    digest: str = ""
    lab_folder: str = ""
    source: str = ""
    checks: str = ""
    seed: int | None = None
    data: str | None = None


class Worker:
    """See the module.  `bounds` and `limits` are for each submission; `scratch` is an empty folder for it to use."""

    def __init__(self, layers: sandbox.Layers, bounds: referee.Bounds, limits: sandbox.Limits, scratch: Path) -> None:
        self._bounds = bounds
        self._scratch = scratch
        # Before anything of a lab is loaded: what the zygote does not have, no submission can find.
        self._zygote = Zygote(layers, limits, self._scratch)
        self._courses: dict[tuple[str, str, str], referee.Course] = {}
        self._clusters: dict[tuple[str, int | None], list[Embedded]] = {}
        self._rehearsed: set[str] = set()

    def grade(self, job: Job) -> Report:
        """Grade one submission.  What is wrong with it is in the report; an exception is this program's own fault.

        A referee or an inmate that was killed, and not by itself or by us, is given a second chance from the beginning.
        """
        start = time.monotonic()
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
        port = self._warm(job, course)
        attempt = 1
        draft, killed = self._attempt(course, plan, port, files)
        if killed:
            attempt = 2
            draft, _ = self._attempt(course, plan, port, files)
        marks = [_texts(course, plan, draft.marks.get(each.task, each)) for each in blank.marks]
        return _replace(
            blank,
            marks=tuple(marks),
            notes=tuple(dict.fromkeys([*notes, *plan.notes.get("", []), *draft.notes])),
            said=tuple(draft.said[index] for index in sorted(draft.said)),
            seconds=round(time.monotonic() - start, 3),
            attempts=attempt,
        )

    def _rehearse(self, course: referee.Course) -> None:
        """Grade the teacher's own notebook here, and forget it: what it needs is then loaded before the first fork."""
        assert course.spec is not None
        spec = course.spec
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        plan = notebooks.plan(course.source, course.source.cells)
        referee.Referee(
            course, lambda: _start(spec), lambda: self._zygote.spawn(scratch), lambda told: None, self._bounds
        ).grade(plan, {})

    # -- one submission -----------------------------------------------------------------------------------------

    def _attempt(
        self, course: referee.Course, plan: notebooks.Plan, port: list[Embedded], files: list[Path]
    ) -> tuple[Draft, bool]:
        """What a fork of this process told of the submission, and whether somebody killed it or its inmate."""
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                sandbox.die_with_parent()
                self._referee(course, plan, port, wire.Channel(theirs), scratch, files)
                code = 0
            except wire.Closed:
                # The worker has gone: nobody is there to be told.
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        draft, killed = Draft(), False
        channel = wire.Channel(ours)
        # Its own bounds end a referee; this is for one that is stuck.
        patience = time.monotonic() + self._bounds.submission + 60 + 30 * len(course.source.items)
        try:
            while True:
                told = channel.receive(patience)
                if "end" in told:
                    break
                killed = _take(draft, told) or killed
        except (wire.Closed, wire.Malformed):
            killed = True
        except wire.Late:
            draft.notes.append("The grading of this submission did not come to an end and was stopped.")
        finally:
            channel.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            shutil.rmtree(scratch, ignore_errors=True)
        return draft, killed

    def _referee(
        self,
        course: referee.Course,
        plan: notebooks.Plan,
        ports: list[Embedded],
        channel: wire.Channel,
        scratch: Path,
        files: list[Path],
    ) -> None:
        """The life of a referee, in its own process."""
        gc.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.platform.startswith("linux"):
            mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + REFEREE_MEMORY,) * 2)
        spare = list(ports)

        def start() -> Embedded:
            if spare:
                return spare.pop()
            assert course.spec is not None
            return _start(course.spec)

        def spawn() -> Inmate:
            return self._zygote.spawn(scratch, files)

        judge = referee.Referee(course, start, spawn, channel.send, self._bounds)
        judge.grade(plan, plan.notes)
        channel.send({"end": True})

    # -- what is graded against -----------------------------------------------------------------------------------

    def _course(self, job: Job) -> referee.Course:
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
            self._courses[key] = referee.Course(source=source, spec=spec, checks=checks)
        return self._courses[key]

    def _warm(self, job: Job, course: referee.Course) -> list[Embedded]:
        """Clusters as the lab starts with them, for the referee to begin with: the student's, and one for each experiment."""
        if course.spec is None:
            return []
        key = (job.lab_folder, job.seed)
        if job.lab_folder not in self._rehearsed:
            self._rehearsed.add(job.lab_folder)
            self._rehearse(course)
        if key not in self._clusters:
            spec = course.spec if job.seed is None else _replace(course.spec, seed=job.seed)
            predictions = sum(task.kind == "prediction" for task in spec.tasks)
            # One seed at a time: the clusters of a whole class would not fit.
            self._clusters = {key: [_start(spec) for _ in range(1 + predictions)]}
            for each in self._clusters[key]:
                # The official client, made once here, not once for each submission.
                each.api_client()
            gc.collect()
            gc.freeze()
        return self._clusters[key]


def main() -> None:
    """A worker as `kubegrade.batch` starts it: the first frame says how, each other one is a job."""
    sandbox.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = wire.Channel(socket.socket(fileno=int(sys.argv[1])), limit=1 << 26)
    told = channel.receive()
    worker = Worker(
        sandbox.Layers(**told["layers"]),
        referee.Bounds(**told["bounds"]),
        sandbox.Limits(**told["limits"]),
        Path(told["scratch"]),
    )
    try:
        while True:
            job = Job(**channel.receive())
            try:
                report = worker.grade(job)
            except Exception as error:
                traceback.print_exc()
                told = f"{type(error).__name__}: {error}"
                report = Report(student=job.student, lab=job.lab, notebook=job.notebook, digest=job.digest, fault=told)
            channel.send({"report": report.to_json()})
    except wire.Closed:
        return


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


def _blank(course: referee.Course) -> list[Mark]:
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


def _texts(course: referee.Course, plan: notebooks.Plan, mark: Mark) -> Mark:
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
