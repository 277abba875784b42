"""From findings to points."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubelab.port import Port
from kubelab.spec import Spec, Task
from kubesim.errors import LearnerError
from kubesim.net.trace import Trace


class Subject(Protocol):
    """Whose cluster is looked at."""

    @property
    def port(self) -> Port: ...

    @property
    def answers(self) -> Mapping[str, str]:
        """The answers that were given, by task."""

    @property
    def variant(self) -> Mapping[str, str]:
        """What the lab's variants are for this one (`kubelab.variants`)."""

    def fresh(self) -> Port:
        """Another cluster as the lab starts with it, to try things on that must not touch this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.  `message` is one sentence for the learner; `explanation` says why, from the trace.

    `required`: earns nothing by itself, but without it the task earns nothing.  `credit` is the part of its weight (0 to 1) that
    it earns though it failed.  `hidden`: looked at by the grader only, and its words are not shown to the learner.
    """

    passed: bool
    message: str
    explanation: str = ""
    trace: Trace | None = None
    weight: float = 1.0
    required: bool = False
    credit: float = 0.0
    hidden: bool = False

    @property
    def earned(self) -> float:
        """What it adds to the task, in its own weight."""
        return self.weight * (1.0 if self.passed else self.credit)


class Check(Protocol):
    def __call__(self, subject: Subject) -> Finding: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a task stands: points out of `max`, with the first message that matters and every finding."""

    task: str
    title: str
    points: float
    max: float
    message: str
    explanation: str = ""
    trace: Trace | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        return self.points >= self.max

    def __str__(self) -> str:
        sign = "✓" if self.passed else "✗"
        lines = [f"{sign} {self.title}: {self.points:g} of {self.max:g} points", f"  {self.message}"]
        if self.explanation:
            lines.append(f"  {self.explanation}")
        return "\n".join(lines)


def mark(
    task: Task,
    checks: Sequence[Check],
    subject: Subject,
    *,
    waits_for: Sequence[Task] = (),
    hidden: bool = False,
) -> Result:
    """Let every check look once the cluster has come to rest, and share the task's points by their weights.

    `waits_for` are the tasks that this one needs and that are not done: while there are any it earns nothing.  `hidden`: run
    the hidden checks too.  Checks look through shells in which nobody has typed: no learner's alias stands in kubectl's place.

    What a learner's cluster does to a check (a pod that is gone) is that check's failure; an error of ours is raised.
    """
    if waits_for:
        titles = " and ".join(f"“{each.title}”" for each in waits_for)
        return Result(
            task=task.name,
            title=task.title,
            points=0.0,
            max=task.points,
            message=f"This one builds on {titles}: do that first.",
        )
    apart = Apart(subject)
    apart.port.settle()
    seen = [each for each in checks if hidden or not getattr(each, "hidden", False)]
    findings = tuple(_look(check, apart) for check in seen)
    paid = [each for each in findings if not each.required]
    failed = [each for each in findings if not each.passed]
    weight = sum(each.weight for each in paid)
    share = sum(each.earned for each in paid) / weight if weight else 0.0
    if any(each.required for each in failed):
        share = 0.0
    # What voids the task is told before what merely lacks, and both before what is not shown.
    told = min(failed, key=lambda each: (each.hidden, not each.required)) if failed else findings[-1]
    if told.hidden:
        told = Finding(passed=told.passed, message=HIDDEN if failed else task.success or "Done.")
    return Result(
        task=task.name,
        title=task.title,
        points=round(task.points * share, 2),
        max=task.points,
        message=told.message if failed else (task.success or told.message),
        explanation=told.explanation,
        trace=told.trace,
        findings=findings,
    )


def mark_task(
    spec: Spec,
    name: str,
    checks: Mapping[str, Sequence[Check]],
    subject: Subject,
    results: dict[str, Result],
    *,
    hidden: bool = False,
) -> Result:
    """Mark the task of that name and keep how it stands in `results`.

    What it needs and was not done when last looked at is looked at again first; what was done once stays done.
    """
    task = spec.task(name)
    waits_for = []
    for needed in task.needs:
        known = results.get(needed)
        if known is None or not known.passed:
            known = mark_task(spec, needed, checks, subject, results, hidden=hidden)
        if not known.passed:
            waits_for.append(spec.task(needed))
    results[name] = mark(task, checks[name], subject, waits_for=waits_for, hidden=hidden)
    return results[name]


# What is said of a hidden check that failed: not what it looked at.
HIDDEN = "A further check, which is not shown, did not hold."


class Apart:
    """A subject whose cluster is reached through shells of the checks' own."""

    def __init__(self, subject: Subject) -> None:
        self.port = subject.port.apart()
        self.answers = subject.answers
        self.fresh = subject.fresh
        self.variant: Mapping[str, str] = getattr(subject, "variant", {})
        # What its fresh clusters are made from, where it says so.
        self.origin: str = getattr(subject, "origin", "")


def required(check: Check) -> Check:
    """A check that earns no points by itself, and without which the task earns none ("and leave the Deployment alone")."""

    def look(subject: Subject) -> Finding:
        return dataclasses.replace(_look(check, subject), required=True)

    # A hidden check stays one.
    look.hidden = getattr(check, "hidden", False)  # type: ignore[attr-defined]
    return look


def hidden(check: Check) -> Check:
    """A check that only the grader runs: the learner's notebook leaves it out, and no page shows its words."""

    def look(subject: Subject) -> Finding:
        return dataclasses.replace(_look(check, subject), hidden=True)

    look.hidden = True  # type: ignore[attr-defined]
    return look


def stable_for(seconds: float, check: Check, *, looks: int = 3, failure: str = "") -> Check:
    """It holds, and still holds at `looks` moments over the next `seconds`: what is right only while things settle is not done.

    Seconds are the cluster's: virtual ones pass at once on the embedded cluster, a live one really waits.
    """

    def look(subject: Subject) -> Finding:
        found = _look(check, subject)
        for number in range(1, looks + 1):
            if not found.passed:
                break
            subject.port.wait(seconds / looks)
            found = _look(check, subject)
            if not found.passed:
                told = failure or f"It held at first, and {seconds / looks * number:g} s later no more"
                message = f"{told.rstrip('.')}: {found.message}"
                return dataclasses.replace(found, message=message)
        return found

    # A hidden check stays one.
    look.hidden = getattr(check, "hidden", False)  # type: ignore[attr-defined]
    return look


def _look(check: Check, subject: Subject) -> Finding:
    try:
        return check(subject)
    except LearnerError as error:
        return Finding(passed=False, message=error.message, explanation=error.remedy)
