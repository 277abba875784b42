"""The proof that a lab marks as it means to.

Every lab brings states: `solution` (the key) must earn full marks, the bare start none, and each `wrong-*` exactly what its
`state.yaml` says, with the message that it says.  CI proves all of them; a lab whose key fails would teach despair.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubelab import spec as specs
from kubelab.checks import Result
from kubelab.lab import Lab
from kubelab.spec import Spec
from kubelab.states import State, states
from kubesim.errors import LearnerError

__all__ = ["State", "Verdict", "keys", "prove", "states"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one task came out in one state; `wrong` is empty where it came out as meant."""

    state: str
    task: str
    result: Result
    wrong: str = ""


def prove(spec: Spec, state: State) -> Iterator[Verdict]:
    """Bring a fresh lab into this state, mark the tasks that it speaks of, and compare."""
    lab = Lab(spec)
    if (spec.folder / "broken").is_dir():
        _done(lab.apply("broken"), f"{spec.name}/broken")
    if state.run:
        _done(lab.shell(state.run), f"{spec.name}/{state.name}")
    for task, answer in state.answers.items():
        lab.answer(task, answer)
    for task, expected in state.expect.items():
        result = lab.check(task).result
        yield Verdict(state=state.name, task=task, result=result, wrong=_compare(result, expected))


def keys(spec: Spec, count: int) -> Iterator[tuple[Spec, State]]:
    """The lab in the variants of so many students, each with its key; none if the lab has no variants."""
    for number in range(count if spec.variants else 0):
        drawn = specs.load(spec.folder, f"student-{number}")
        told = ", ".join(drawn.variant.values())
        yield from (
            (drawn, dataclasses.replace(each, name=f"key with {told}"))
            for each in states(drawn)
            if each.name == "solution"
        )


def _compare(result: Result, expected: dict[str, Any]) -> str:
    if result.points != expected["points"]:
        return f"{result.points:g} points, meant {expected['points']:g}"
    if expected.get("says", "") not in result.message:
        return f"it says {result.message!r}, meant to say {expected['says']!r}"
    if expected.get("why", "") not in result.explanation:
        return f"it explains {result.explanation!r}, meant to name {expected['why']!r}"
    return ""


def _done(output: Any, what: str) -> None:
    if output.exit_code:
        raise LearnerError(f"{what}: the state's own script failed", str(output))
