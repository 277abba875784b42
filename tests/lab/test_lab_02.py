"""Lab 02 marks as it means to: the key in full, the bare start with nothing, each wrong state with its message."""

from __future__ import annotations

import pytest

from kubegrade import proof
from kubelab import folders, spec

LAB = spec.load(folders.find("02-clusterip"))
STATES = {state.name: state for state in proof.states(LAB)}


@pytest.mark.parametrize("name", list(STATES))
def test_the_state_is_marked_as_meant(name):
    verdicts = list(proof.prove(LAB, STATES[name]))
    assert verdicts
    assert {f"{each.task}: {each.wrong}" for each in verdicts if each.wrong} == set()


def test_the_key_earns_full_marks_in_every_task_that_is_checked():
    checked = {task.name: task.points for task in LAB.tasks if task.kind != "text"}
    assert {task: wanted["points"] for task, wanted in STATES["solution"].expect.items()} == checked


def test_at_least_three_states_are_wrong_and_say_so():
    wrong = [state for name, state in STATES.items() if name.startswith("wrong-")]
    assert len(wrong) >= 3
    assert all(any("says" in each for each in state.expect.values()) for state in wrong)
