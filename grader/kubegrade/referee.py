"""The referee of one submission: it has the cluster and the checks, asks for cells to be run, answers their questions, marks.

Theory of operation
-------------------
A referee is a fork of a warm worker, so the lab's cluster stands already.  It takes the turns of a plan (`notebooks.plan`): a
cell is sent to the inmate, whose questions to the cluster are served until it says that it is done; an item is marked here,
by the lab's own checks on the cluster that those questions have made.  Each mark is told on at once, so that what comes
later cannot lose it.

The inmate may crash, loop or lie.  A cell that takes too long is interrupted, and killed if that does not help.  When an
inmate is gone another takes its place: the cells before are run again with the cluster *muted* (questions are answered,
commands and changes are not), which gives back what variables can be had, and the cell that ended it is left out.  So it
costs its own task and no other.

The cluster's time is virtual and its work is bounded by wall time: a command that will not end is cancelled, as by Ctrl-C.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from kubegrade import bounded, inside, notebooks, wire
from kubegrade.bounded import TooLong
from kubegrade.hosted import Course, Hosted
from kubegrade.jobs import Bounds
from kubegrade.report import Mark, Said
from kubegrade.zygote import Inmate, Nursery
from kubelab.checks import marking
from kubelab.embedded import Embedded
from kubelab.stepper import html as stepper
from kubesim.net.trace import Trace
from kubesim.world import Cancelled


class Gone(Exception):
    """The inmate is no more; `code` as its warden told it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Beginning:
    """The cells before the first one of a student's own, as the teacher's notebook has them, already gone through once.

    `cells` are they, with what each asked and said; `port` is the cluster as it stands after them, with the lab `opened` on it
    or not.  The cluster is deterministic: who asks the same gets
    the same answers, and the same cluster.  `nest` forks inmates that have run these cells (see `zygote`).
    """

    port: Embedded
    opened: bool = False
    cells: list[inside.Known] = field(default_factory=list)
    nest: Nursery | None = None

    def begins(self, plan: notebooks.Plan) -> bool:
        """Whether the plan begins with these very cells."""
        theirs = [each.source for each in plan.steps[: len(self.cells)]]
        return theirs == [source for source, _asked, _said in self.cells]


class Referee:
    """See the module.  `tell` is given each mark and each cell's output as it comes.

    With a `beginning` its cells have been run: `spawn` gives inmates from its nest.
    """

    def __init__(
        self,
        course: Course,
        start: Callable[[], Embedded],
        spawn: Callable[[], Inmate],
        tell: Callable[[dict[str, Any]], None],
        bounds: Bounds,
        beginning: Beginning | None = None,
        seed: int | None = None,
    ) -> None:
        self._course = course
        self._beginning = beginning
        self._lab = Hosted(course, start, bounds, beginning.port if beginning else None, seed)
        self._lab.opened = beginning is not None and beginning.opened
        self._spawn = spawn
        self._tell = tell
        self._bounds = bounds
        self._inmate: Inmate | None = None
        self._end = 0.0
        self._restarts = 0
        self._ran: list[notebooks.Step] = []
        self._losses: dict[str, str] = {}

    # -- the turns ------------------------------------------------------------------------------------------

    def begin(self, plan: notebooks.Plan) -> Beginning | None:
        """Go through the teacher's cells before the first of a student's own, and write down what they ask.  None if there are
        none, or if they leave something open (a watch)."""
        self._end = time.monotonic() + self._bounds.submission
        begun = Beginning(port=self._lab.port)
        for step in plan.steps:
            if step.mark or step.work:
                break
            heard: list[tuple[str, Any]] = []
            self._lab.heard = heard
            done = self._run(step)
            if done is None:
                return None
            begun.cells.append((step.source, heard, done))
        self._lab.heard = None
        begun.opened = self._lab.opened
        if not begun.cells or not self._lab.pristine or self._restarts or self._losses:
            return None
        return begun

    def grade(self, plan: notebooks.Plan, notes: dict[str, list[str]]) -> None:
        """Take all turns of the plan."""
        self._end = time.monotonic() + self._bounds.submission
        stopped = ""
        try:
            for number, step in enumerate(plan.steps):
                if self._beginning is not None and number < len(self._beginning.cells):
                    _source, _asked, said = self._beginning.cells[number]
                    self._said(step, said)
                    continue
                if stopped and not step.mark:
                    continue
                if step.mark:
                    self._mark(step.mark, notes)
                elif time.monotonic() > self._end:
                    stopped = (
                        f"The whole took longer than {self._bounds.submission:g} s; cells after that were not run."
                    )
                    self._tell({"note": stopped})
                elif step.source:
                    self._run(step)
                    if self._restarts > self._bounds.restarts:
                        stopped = f"Cells ended the notebook's process {self._restarts} times; the rest was not run."
                        self._tell({"note": stopped})
        finally:
            self.close()

    def close(self) -> None:
        """End the inmate."""
        if self._inmate is not None:
            self._inmate.kill()
            self._inmate.close()
            self._inmate = None

    def _run(self, step: notebooks.Step) -> dict[str, Any] | None:
        """One cell, and what it said in the end.  What became of it is told; if it ended the inmate (None), the next cell gets
        another."""
        try:
            done = self._order(step)
            self._said(step, done)
            self._ran.append(step)
            return done
        except Gone as gone:
            self._lost(step, _ended(gone.code))
            if gone.code < 0 and -gone.code != signal.SIGXCPU:
                # Perhaps not the cell's own doing: the worker may try once more from the beginning.
                self._tell({"killed": -gone.code})
        except wire.Malformed:
            self._lost(step, "The cell's process sent what is no message.")
        except TooLong:
            self._lost(step, f"The cell took longer than {self._bounds.cell:g} s and was ended.")
        return None

    def _lost(self, step: notebooks.Step, why: str) -> None:
        self._restarts += 1
        self.close()
        self._tell({"said": asdict(Said(index=step.index, error=why))})
        self._losses[step.work] = why
        self._tell({"note": f"Cell {step.index + 1}: {why}"})

    def _said(self, step: notebooks.Step, done: dict[str, Any]) -> None:
        error = f"{done['error']}: {done['says']}" if done.get("error") else ""
        said = Said(index=step.index, out=str(done.get("out", "")), err=str(done.get("err", "")), error=error)
        self._tell({"said": asdict(said)})
        if done.get("error") == "KeyboardInterrupt":
            self._losses[step.work] = f"The cell took longer than {self._bounds.cell:g} s and was ended."
            self._tell({"note": f"Cell {step.index + 1}: {self._losses[step.work]}"})

    def _order(self, step: notebooks.Step) -> dict[str, Any]:
        """Have the inmate run a cell, and answer what it asks meanwhile.  What it says of it, in bounds."""
        if self._inmate is None:
            self._inmate = self._revive()
        inmate = self._inmate
        self._lab.next_cell()
        limit = min(time.monotonic() + self._bounds.cell, self._end + 1.0)
        number = random.getrandbits(62)
        try:
            inmate.channel.send({"run": number, "source": step.source}, limit)
            return self._attend(inmate, number, limit)
        except wire.Late:
            inmate.interrupt()
            try:
                return self._attend(inmate, number, time.monotonic() + 1.0)
            except wire.Late:
                raise TooLong from None
        except wire.Closed:
            raise Gone(inmate.ended(2000)) from None

    def _attend(self, inmate: Inmate, number: int, limit: float) -> dict[str, Any]:
        while True:
            try:
                said = inmate.channel.receive(limit)
                if not isinstance(said, dict):
                    raise wire.Malformed("no object")
                if said.get("done") == number:
                    return {**said, "out": str(said.get("out", ""))[:30_000], "err": str(said.get("err", ""))[:30_000]}
                if "ask" in said:
                    self._reply(inmate, self._lab.answer(said, limit), limit)
            except wire.Closed:
                raise Gone(inmate.ended(2000)) from None

    def _reply(self, inmate: Inmate, answer: dict[str, Any], limit: float) -> None:
        try:
            inmate.channel.send(answer, limit)
        except wire.Malformed:
            # Ours, and too long for a frame.
            inmate.channel.send({"number": answer["number"], "error": "the answer is too large to be given"}, limit)

    def _revive(self) -> Inmate:
        """An inmate; if there was one before, with the variables that the cells so far can give it."""
        inmate = self._spawn()
        if self._ran:
            self._inmate, self._lab.muted = inmate, True
            limit = time.monotonic() + self._bounds.cell
            try:
                for step in self._ran:
                    number = random.getrandbits(62)
                    inmate.channel.send({"run": number, "source": step.source}, limit)
                    self._attend(inmate, number, limit)
            except (wire.Late, wire.Closed, wire.Malformed, Gone, TooLong):
                inmate.kill()
                inmate.close()
                inmate = self._spawn()
            finally:
                self._lab.muted = False
        return inmate

    # -- marking ----------------------------------------------------------------------------------------------

    def _mark(self, name: str, notes: dict[str, list[str]]) -> None:
        item = self._course.source.item(name)
        assert item is not None
        if self._course.spec is None or self._course.checks is None or name not in self._course.checks:
            mark = self._mark_inside(item)
        else:
            mark = self._mark_here(item)
        why = next((self._losses[each] for each in item.work if each in self._losses), "")
        said = [*notes.get(name, []), *([why] if why and not mark.passed else [])]
        self._tell({"mark": asdict(mark) | {"notes": said}})
        self._lab.marked.add(name)

    def _mark_here(self, item: notebooks.Item) -> Mark:
        """By the lab's own checks, on the cluster that is here."""
        assert self._course.spec is not None
        assert self._course.checks is not None
        task = self._course.spec.task(item.name)
        blank = Mark(task=item.name, title=task.title, points=0.0, max=item.points)
        try:
            with bounded.within(self._bounds.marking):
                result = marking.mark_task(
                    self._course.spec, item.name, self._course.checks, self._lab, self._lab.results, hidden=True
                )
        except (TooLong, Cancelled):
            told = (
                f"The cluster did not come to rest within {self._bounds.marking:g} s, so the task could not be checked."
            )
            return _replace(blank, message=told)
        except MemoryError:
            return _replace(blank, message="The cluster has grown too large to be checked.")
        except Exception as error:
            # Ours, not the student's: a person has to look.
            told = f"The check itself failed ({type(error).__name__}: {error}); your teacher will look at it."
            return _replace(blank, points=None, message=told, manual=True)
        visible = tuple((each.passed, each.message) for each in result.findings if not each.hidden)
        return _replace(
            blank,
            points=round(result.points * item.points / result.max, 2) if result.max else 0.0,
            message=result.message,
            explanation=result.explanation,
            findings=visible,
            trace=_rendered(result.trace),
        )

    def _mark_inside(self, item: notebooks.Item) -> Mark:
        """By the teacher's test cell, which must run where the student's names are: as trustworthy as nbgrader's own."""
        blank = Mark(task=item.name, title=item.name, points=0.0, max=item.points)
        step = notebooks.Step(index=-1, source=item.source)
        try:
            done = self._order(step)
        except (Gone, wire.Malformed, wire.Late, TooLong) as error:
            self._restarts += 1
            self.close()
            why = _ended(error.code) if isinstance(error, Gone) else "The test did not come to its end."
            return _replace(blank, message=why)
        if done.get("error"):
            return _replace(blank, message=f"{done['error']}: {done.get('says', '')}"[:600])
        value = done.get("value")
        points = item.points
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= item.points:
            points = float(value)
        return _replace(blank, points=points, message="All tests passed." if points >= item.points else "Partly right.")


# -- small things ---------------------------------------------------------------------------------------------------


def _ended(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "The cell used more processor time than there is for a submission."
    if code < 0:
        return f"The cell ended the notebook's process (signal {-code})."
    return f"The cell ended the notebook's process (exit code {code})."


def _replace(mark: Mark, **changes: Any) -> Mark:
    import dataclasses

    return dataclasses.replace(mark, **changes)


# Experiments are made once for a class: so are their pictures.  By identity, with the trace itself to keep it alive.
_pictures: dict[int, tuple[Trace, str]] = {}


def _rendered(trace: Trace | None) -> str:
    if trace is None:
        return ""
    if id(trace) not in _pictures:
        _pictures[id(trace)] = trace, stepper.render(trace)
    return _pictures[id(trace)][1]
