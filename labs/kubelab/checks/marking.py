"""From findings to points."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubelab.port import Port
from kubelab.spec import Task
from kubesim.errors import LearnerError
from kubesim.net.trace import Trace


class Subject(Protocol):
    """Whose cluster is looked at."""

    @property
    def port(self) -> Port: ...

    @property
    def answers(self) -> Mapping[str, str]:
        """The answers that were given, by task."""

    def fresh(self) -> Port:
        """Another cluster as the lab starts with it, to try things on that must not touch this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.  `message` is one sentence for the learner; `explanation` says why, from the trace.

    `required`: earns nothing by itself, but without it the task earns nothing.
    """

    passed: bool
    message: str
    explanation: str = ""
    trace: Trace | None = None
    weight: float = 1.0
    required: bool = False


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


def mark(task: Task, checks: Sequence[Check], subject: Subject) -> Result:
    """Let every check look once the cluster has come to rest, and share the task's points by their weights.

    What a learner's cluster does to a check (a pod that is gone) is that check's failure; an error of ours is raised.
    """
    subject.port.settle()
    findings = tuple(_look(check, subject) for check in checks)
    paid = [each for each in findings if not each.required]
    failed = [each for each in findings if not each.passed]
    share = sum(each.weight for each in paid if each.passed) / sum(each.weight for each in paid)
    if any(each.required for each in failed):
        share = 0.0
    # What voids the task is told before what merely lacks.
    told = min(failed, key=lambda each: not each.required) if failed else findings[-1]
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


def required(check: Check) -> Check:
    """A check that earns no points by itself, and without which the task earns none ("and leave the Deployment alone")."""

    def look(subject: Subject) -> Finding:
        return dataclasses.replace(_look(check, subject), required=True)

    return look


def _look(check: Check, subject: Subject) -> Finding:
    try:
        return check(subject)
    except LearnerError as error:
        return Finding(passed=False, message=error.message, explanation=error.remedy)
