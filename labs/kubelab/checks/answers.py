"""Checks of answers: a prediction, held against what really happens.

The key to a prediction is not written down anywhere: the experiment is run, on a fresh cluster as the lab starts with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubelab.checks.marking import Check, Finding, Subject
from kubelab.port import Port
from kubesim.net.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an experiment gave: the word that a right prediction is, why, and the packet that shows it."""

    answer: str
    because: str
    trace: Trace | None = None


def predicts(
    task: str, experiment: Callable[[Port], Outcome], *, wrong: dict[str, str] | None = None, weight: float = 1.0
) -> Check:
    """The learner's answer to `task` is what the experiment shows.  `wrong` says, by answer, which idea was missing."""

    def check(subject: Subject) -> Finding:
        given = subject.answers.get(task)
        if given is None:
            return Finding(
                passed=False,
                message="No prediction yet.",
                explanation=f"Write it down before you look: lab.answer({task!r}, ...).",
                weight=weight,
            )
        outcome = experiment(subject.fresh())
        if given == outcome.answer:
            return Finding(
                passed=True,
                message="You saw it coming.",
                explanation=outcome.because,
                trace=outcome.trace,
                weight=weight,
            )
        return Finding(
            passed=False,
            message=(wrong or {}).get(given, f"You predicted “{given}”; it was something else."),
            explanation=outcome.because,
            trace=outcome.trace,
            weight=weight,
        )

    return check
