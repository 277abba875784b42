"""Exercises without end: a question or a small job, drawn by dice, on a cluster of its own.

A lab's `exercises.py` holds makers; each is given dice and makes one Exercise:

    def who_answers(dice: random.Random) -> Exercise:
        port, replicas = dice.choice((80, 8000, 9090)), dice.randint(2, 5)
        ...
        return Exercise(title=..., asks=..., setup=..., choices=..., experiment=..., wrong=...)

    EXERCISES = (who_answers, ...)

A *question* has an `experiment`: its key is what the experiment shows on a fresh cluster, and is written down nowhere.  One of
*doing* has `checks` instead, and a script `solve` that shows that it can be done.  All that a maker draws comes from its
dice, so that a seed gives the same exercise to everybody.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab import checks, display, progress
from kubelab.checks.answers import Outcome
from kubelab.checks.marking import Check, Finding, Result
from kubelab.port import Port
from kubelab.reach import Reach
from kubelab.spec import Spec, Task
from kubesim.errors import LearnerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """See the module.

    `asks` is Markdown for the learner; `setup` a script, run in the terminal of a fresh cluster as the lab starts with it,
    before the question.  `choices` are the words that may be answered and what each means; empty where the answer is free (a
    number, a name, an address), which is compared trimmed.  `wrong` says, by answer, which idea was missing.
    """

    title: str
    asks: str
    setup: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    experiment: Callable[[Port], Outcome] | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    hints: Sequence[str] = ()
    solve: str = ""

    def __post_init__(self) -> None:
        if (self.experiment is None) == (not self.checks):
            raise ValueError(f"exercise {self.title!r}: either an experiment (a question) or checks (doing)")

    @property
    def is_question(self) -> bool:
        return self.experiment is not None


Maker = Callable[[random.Random], Exercise]


def load(spec: Spec) -> tuple[Maker, ...]:
    """The makers of a lab, from its `exercises.py`; empty if it has none."""
    path = spec.folder / "exercises.py"
    if not path.is_file():
        return ()
    found = importlib.util.spec_from_file_location("kubelab_exercises_" + spec.name.replace("-", "_"), path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return tuple(module.EXERCISES)


def draw(spec: Spec, makers: Sequence[Maker], seed: int) -> Exercise:
    """The exercise of a seed: seeds in a row go through the makers in turn, and each throws the dice anew."""
    if not makers:
        raise LearnerError(f"lab {spec.name} has no exercises yet")
    return makers[(seed - 1) % len(makers)](random.Random(f"{spec.name}/{seed}"))


class Drawn(Reach):
    """An exercise as a notebook holds it: on a fresh cluster of its own, which is made when it is first needed."""

    def __init__(self, spec: Spec, exercise: Exercise, seed: int, fresh: Callable[[], Port]) -> None:
        self.spec = spec
        self.exercise = exercise
        self.seed = seed
        self.answers: dict[str, str] = {}
        self.result: Result | None = None
        self._fresh = fresh
        self._port: Port | None = None
        self._outcome: Outcome | None = None
        self._hints = 0
        self._task = Task(
            name=f"exercise-{seed}",
            title=exercise.title,
            points=float(len(exercise.checks) or 1),
            kind="prediction" if exercise.is_question else "behaviour",
            success="" if exercise.is_question else "Done, and well.",
            choices=exercise.choices,
        )

    @property
    def port(self) -> Port:
        if self._port is None:
            self._port = self.fresh()
        return self._port

    @property
    def variant(self) -> Mapping[str, str]:
        return self.spec.variant

    def fresh(self) -> Port:
        """Another cluster as this exercise begins on it."""
        with progress.bar(f"Preparing exercise {self.seed}", 3) as step:
            step("a cluster of its own")
            port = self._fresh()
            if self.exercise.setup:
                step("its set-up")
                done = port.run_outside(self.exercise.setup)
                if done.exit_code:
                    raise RuntimeError(f"{self.spec.name}, exercise {self.seed}: its set-up failed: {done.stderr}")
                step("until it is at rest")
                port.settle()
        return port

    def reset(self) -> Drawn:
        """The exercise from its beginning, on another fresh cluster."""
        if self._port is not None:
            self._port.close()
        self._port = None
        return self

    def outcome(self) -> Outcome:
        """What the experiment shows.  LearnerError where there is none: in an exercise of doing."""
        if self.exercise.experiment is None:
            raise LearnerError("this exercise asks for doing, not for an answer", "Mend its cluster, then: x.check()")
        if self._outcome is None:
            self._outcome = self.exercise.experiment(self.fresh())
        return self._outcome

    def answer(self, value: object) -> display.CheckView:
        """Answer a question: it is marked at once, and explained.  LearnerError names the choices."""
        outcome_of = self.outcome
        given = str(value).strip()
        choices = self.exercise.choices
        if self.exercise.is_question and choices and given not in choices:
            listed = "\n".join(f"  {name!r}: {meaning}" for name, meaning in choices.items())
            raise LearnerError(f"{given!r} is not one of the choices", f"Choices:\n{listed}")
        outcome = outcome_of()
        self.answers[self._task.name] = given
        right = given == outcome.answer
        missed = self.exercise.wrong.get(given, "") or f"You answered “{given}”; it is “{outcome.answer}”."
        finding = Finding(
            passed=right,
            message=f"Right: {given}." if right else missed,
            explanation=outcome.because,
            trace=outcome.trace,
        )
        self.result = checks.mark(self._task, [lambda _subject: finding], self)
        return display.CheckView(self.result, score="right" if right else "not right")

    def check(self) -> display.CheckView:
        """Look at the exercise's cluster: is it done?  A question is marked by `answer`."""
        if self.exercise.is_question:
            raise LearnerError("this exercise asks for an answer", "Give it: x.answer(...)")
        self.result = checks.mark(self._task, self.exercise.checks, self)
        return display.CheckView(self.result, score="done" if self.result.passed else "not yet")

    def hint(self) -> display.Note:
        """The next hint, each says a little more."""
        hints = self.exercise.hints
        if not hints:
            return display.Note("There is no hint for this one.")
        number = self._hints
        self._hints = min(number + 1, len(hints) - 1)
        return display.Note(f"Hint {number + 1} of {len(hints)}: {hints[number]}")

    def show_me(self) -> display.CheckView:
        """How it is: the experiment's outcome and its trace, or one way to do it, done on another cluster of the same kind."""
        if self.exercise.is_question:
            outcome = self.outcome()
            finding = Finding(
                passed=True, message=f"The answer: {outcome.answer}.", explanation=outcome.because, trace=outcome.trace
            )
            return display.CheckView(checks.mark(self._task, [lambda _subject: finding], self), score="the answer")
        other = Drawn(self.spec, self.exercise, self.seed, self._fresh)
        other.shell(self.exercise.solve)
        marked = checks.mark(self._task, self.exercise.checks, other)
        return display.CheckView(marked, note=f"One way to do it:\n{self.exercise.solve.strip()}", score="one way")

    # -- how it looks ---------------------------------------------------------------------------------------

    def __str__(self) -> str:
        lines = [f"Exercise {self.seed}: {self.exercise.title}", "", self.exercise.asks.strip(), ""]
        lines += [f"  {name:12} {meaning}" for name, meaning in self.exercise.choices.items()]
        return "\n".join([*lines, *([""] if self.exercise.choices else []), self.how()])

    def how(self) -> str:
        """How this kind of exercise is answered, in a sentence."""
        if not self.exercise.is_question:
            return "Mend its cluster with x.shell(...) or x.terminal(), look with x.trace(...) and x.map(), then x.check()."
        if self.exercise.choices:
            return f"Answer with x.answer({next(iter(self.exercise.choices))!r}), or another of the words."
        return "Answer with x.answer(...)."

    def __repr__(self) -> str:
        return f"<exercise {self.seed} of {self.spec.name}: {self.exercise.title}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> display.Bundle:
        from kubelab.question import html

        bundle: display.Bundle = {}
        if display.in_kernel():
            from kubelab.question.widget import Question

            bundle |= display.widget_bundle(Question(self))
        return bundle | {"text/plain": str(self), "text/html": html.still(self)}
