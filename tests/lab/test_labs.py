"""Every lab marks as it means to: the key in full, the bare start nothing, each wrong state with its message."""

from __future__ import annotations

import pytest

from kubegrade import proof
from kubelab import folders, spec

LABS = [spec.load(folders.find(name)) for name in folders.names()]
STATES = {lab.name: {state.name: state for state in proof.states(lab)} for lab in LABS}
EACH = [(lab, name) for lab in LABS for name in STATES[lab.name]]


@pytest.mark.parametrize(("lab", "name"), EACH, ids=[f"{lab.name}-{name}" for lab, name in EACH])
def test_the_state_is_marked_as_meant(lab, name):
    verdicts = list(proof.prove(lab, STATES[lab.name][name]))
    assert verdicts
    assert {f"{each.task}: {each.wrong}" for each in verdicts if each.wrong} == set()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_the_key_earns_full_marks_in_every_task_that_is_checked(lab):
    checked = {task.name: task.points for task in lab.tasks if task.kind != "text"}
    expect = STATES[lab.name]["solution"].expect
    assert {task: wanted["points"] for task, wanted in expect.items()} == checked


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_at_least_three_states_are_wrong_and_say_so(lab):
    wrong = [state for name, state in STATES[lab.name].items() if name.startswith("wrong-")]
    assert len(wrong) >= 3
    assert all(any("says" in each for each in state.expect.values()) for state in wrong)
