"""Checks of answers: a prediction, held against what really happens.

The key to a prediction is not written down anywhere: the experiment is run, on a fresh cluster as the lab starts with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from kubelab.checks.marking import Check, Finding, Subject
from kubelab.port import Port
from kubesim.net.trace import Trace

_NUMBER = re.compile(r"([-+]?\d+(?:[.,]\d+)?)\s*(\D*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an experiment gave: the word that a right prediction is, why, and the packet that shows it.  `also` are other answers
    that are just as right."""

    answer: str
    because: str
    trace: Trace | None = None
    also: tuple[str, ...] = ()


# One fresh cluster for experiments that only look, by whoever makes them: a subject may be wrapped anew for each task.
_PRISTINE: WeakKeyDictionary[object, Port] = WeakKeyDictionary()


def _pristine(subject: Subject) -> Port:
    maker = getattr(subject.fresh, "__self__", subject)
    if maker not in _PRISTINE:
        _PRISTINE[maker] = subject.fresh()
    return _PRISTINE[maker]


def predicts(
    task: str,
    experiment: Callable[[Port], Outcome],
    *,
    wrong: Mapping[str, str] | None = None,
    credit: Mapping[str, float] | None = None,
    tolerance: float | None = None,
    unit: str = "",
    looks: bool = False,
    success: str = "You saw it coming.",
    failure: str = "",
    weight: float = 1.0,
) -> Check:
    """The learner's answer to `task` is what the experiment shows.

    `wrong` says, by answer, which idea was missing; `credit` which part of the weight (0 to 1) such an answer still earns.
    With a `tolerance` the answer is a number that may be off by so much, and may be followed by `unit`.  `looks` says that the
    experiment changes nothing: all such ones of a subject share one fresh cluster.
    """
    known: dict[str, Outcome] = {}

    def observed(subject: Subject) -> Outcome:
        """What the experiment shows; once for all subjects whose fresh clusters are the same (a class has hundreds)."""
        origin = getattr(subject, "origin", "")
        if origin not in known:
            outcome = experiment(_pristine(subject) if looks else subject.fresh())
            if not origin:
                return outcome
            known[origin] = outcome
        return known[origin]

    def check(subject: Subject) -> Finding:
        given = subject.answers.get(task)
        if given is None:
            return Finding(
                passed=False,
                message="No prediction yet.",
                explanation=f"Write it down before you look: lab.answer({task!r}, ...).",
                weight=weight,
            )
        outcome = observed(subject)
        right = any(same(given, each, tolerance, unit) for each in (outcome.answer, *outcome.also))
        told = failure or f"You predicted “{given}”; it was something else."
        if tolerance is not None and number(given, unit) is None:
            told = f"“{given}” is not a number{f' of {unit}' if unit else ''}."
        return Finding(
            passed=right,
            message=success if right else (wrong or {}).get(given, told),
            explanation=outcome.because,
            trace=outcome.trace,
            weight=weight,
            credit=(credit or {}).get(given, 0.0),
        )

    return check


def same(given: str, key: str, tolerance: float | None = None, unit: str = "") -> bool:
    """Whether an answer is the key: word for word but for case and outer blanks, or as a number within the tolerance."""
    if tolerance is None:
        return given.strip().casefold() == key.strip().casefold()
    ours, theirs = number(key, unit), number(given, unit)
    # The last digits of a binary fraction are nobody's mistake.
    return ours is not None and theirs is not None and abs(ours - theirs) <= tolerance + 1e-9


def number(text: str, unit: str = "") -> float | None:
    """The number that a person wrote ("0.5", "0,5", "30 s" with unit "s"), or None."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found.group(2).strip() not in ("", unit):
        return None
    return float(found.group(1).replace(",", "."))
