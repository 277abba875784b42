"""Exercises: drawn from a seed, marked by what happens, and solvable; those of every lab, too."""

from __future__ import annotations

import os

import drawn_exercises
import pytest

import kubelab
from kubelab import exercises, folders, spec
from kubelab import lab as lab_module
from kubesim.errors import LearnerError

LABS = [spec.load(folders.find(name)) for name in folders.names()]
MAKERS = {lab.name: exercises.load(lab) for lab in LABS}
# Makers are drawn in turn: this many seeds draw each maker three times and more.
SEEDS = 20


@pytest.fixture(scope="module")
def lab():
    return kubelab.open("02-clusterip")


@pytest.fixture(autouse=True)
def two_exercises(monkeypatch, request):
    if "lab" in request.fixturenames:
        monkeypatch.setattr(exercises, "load", lambda _spec: drawn_exercises.EXERCISES)


def test_the_same_seed_asks_the_same(lab):
    assert [str(lab.exercise(seed)) for seed in range(1, 9)] == [str(lab.exercise(seed)) for seed in range(1, 9)]
    assert len({lab.exercise(seed).exercise.asks for seed in range(1, 40, 3)}) > 5


def test_without_a_seed_comes_the_next(lab):
    assert lab.exercise(7).seed == 7
    assert lab.exercise().seed == 8


def test_a_question_reads_in_a_terminal(lab):
    assert str(lab.exercise(2)).splitlines() == [
        "Exercise 2: Another port",
        "",
        "Service `web` has port 80 only. What does `curl http://web:8080` see?",
        "",
        "  answer       an answer",
        "  silence      nothing, until it gives up",
        "",
        "Answer with x.answer('answer'), or another of the words.",
    ]


def test_an_answer_is_marked_by_what_happens_and_explained(lab):
    question = lab.exercise(1)
    right = str(len(question.ways("pod/client", "http://cart:" + question.exercise.asks.split("**")[1])))
    told = question.answer(f" {right} ")
    assert told.passed
    assert str(told) == f"✓ How many ways: right\n  Right: {right}.\n  Each endpoint has a rule of its own."
    wrong = question.answer(1)
    assert not wrong.passed
    assert wrong.message == "The address is one; the pods behind it are more."
    assert wrong.result.trace is not None
    assert question.answer(99).message == f"You answered “99”; it is “{right}”."


def test_a_word_that_is_no_choice_costs_nothing(lab):
    with pytest.raises(LearnerError, match=r"'maybe' is not one of the choices\n.*\n  'answer': an answer"):
        lab.exercise(2).answer("maybe")


def test_doing_is_checked_on_the_exercises_own_cluster(lab):
    mend = lab.exercise(3)
    assert not mend.check().passed
    with pytest.raises(LearnerError, match="asks for doing"):
        mend.answer("x")
    mend.shell(mend.exercise.solve)
    assert mend.check().passed
    assert lab.shell("kubectl get service web").exit_code == 1
    assert not mend.reset().check().passed


def test_hints_and_the_way_out(lab):
    mend = lab.exercise(3)
    assert mend.hint() == "Hint 1 of 1: Compare the labels."
    shown = mend.show_me()
    assert shown.passed
    assert "kubectl patch service web" in str(shown)
    assert not mend.check().passed
    assert lab.exercise(2).show_me().message == "The answer: silence."
    assert lab.exercise(2).hint() == "There is no hint for this one."


def test_a_set_up_that_fails_is_our_error_and_says_so(lab):
    broken = exercises.Exercise(title="t", asks="a", setup="kubectl get nope", experiment=lambda _port: None)
    with pytest.raises(RuntimeError, match="set-up failed"):
        exercises.Drawn(lab.spec, broken, 1, lab.fresh).port
    with pytest.raises(ValueError, match="either an experiment"):
        exercises.Exercise(title="t", asks="a")


def test_a_lab_without_exercises_says_so(monkeypatch):
    monkeypatch.setattr(exercises, "load", lambda _spec: ())
    with pytest.raises(LearnerError, match="no exercises yet"):
        kubelab.open("02").exercise()


def test_the_still_card_says_what_to_type(lab):
    page = lab.exercise(2)._repr_mimebundle_()["text/html"]
    assert "<code>silence</code>" in page
    assert "<code>x.answer('answer')</code>" in page
    assert "<code>curl http://web:8080</code>" in page


# -- every lab's -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lab_spec", LABS, ids=lambda each: each.name)
def test_a_seed_gives_the_same_text_to_everybody(lab_spec):
    if not MAKERS[lab_spec.name]:
        pytest.skip("no exercises.py yet")
    assert len(MAKERS[lab_spec.name]) >= 3
    drawn = [exercises.draw(lab_spec, MAKERS[lab_spec.name], seed) for seed in range(1, SEEDS + 1)]
    again = [exercises.draw(lab_spec, exercises.load(lab_spec), seed) for seed in range(1, SEEDS + 1)]

    def told(each):
        return each.title, each.asks, each.setup, dict(each.choices), each.solve, tuple(each.hints)

    assert [told(each) for each in drawn] == [told(each) for each in again]
    assert any(not each.is_question for each in drawn)
    for each in drawn:
        assert each.is_question or each.solve, f"{each.title}: without `solve` nobody knows that it can be done"
        unknown = [name for name in each.wrong if each.choices and name not in each.choices]
        assert unknown == [], f"{each.title}: `wrong` speaks of what cannot be answered"


def prove(lab_spec, seed):
    exercise = exercises.draw(lab_spec, MAKERS[lab_spec.name], seed)
    drawn = exercises.Drawn(lab_spec, exercise, seed, lambda: lab_module.start(lab_spec))
    if drawn.exercise.is_question:
        outcome = drawn.outcome()
        choices = drawn.exercise.choices
        assert outcome.because
        assert not choices or outcome.answer in choices, (drawn.exercise.title, outcome.answer)
        assert drawn.answer(outcome.answer).passed
    else:
        bare = drawn.check()
        assert bare.points < bare.max, f"{drawn.exercise.title}: nothing is to be done"
        done = drawn.shell(drawn.exercise.solve)
        assert done.exit_code == 0, done
        mended = drawn.check()
        assert mended.passed, str(mended)


@pytest.mark.parametrize(
    ("lab_spec", "seed"),
    [(lab, seed) for lab in LABS for seed in range(1, len(MAKERS[lab.name]) + 1)],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_each_kind_of_exercise_is_marked_as_meant(lab_spec, seed):
    prove(lab_spec, seed)


@pytest.mark.slow
@pytest.mark.parametrize("lab_spec", [lab for lab in LABS if MAKERS[lab.name]], ids=lambda each: each.name)
def test_more_exercises_of_a_lab_are_marked_as_meant(lab_spec):
    """Further numbers for each maker: KUBELAB_EXERCISES=20 tries the first twenty seeds of each lab."""
    makers = len(MAKERS[lab_spec.name])
    for seed in range(makers + 1, max(int(os.environ.get("KUBELAB_EXERCISES", "0")), 2 * makers) + 1):
        prove(lab_spec, seed)
