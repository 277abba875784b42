"""Lessons and the notebooks built of them."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from kubelab import course, folders, spec
from kubesim.errors import LearnerError

LABS = folders.names()


def notebook(root, name):
    return json.loads((root / "course" / "source" / name / f"{name}.ipynb").read_text(encoding="utf-8"))


def graded(cells):
    return {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in cells if "nbgrader" in cell["metadata"]}


@pytest.mark.parametrize("name", LABS)
def test_the_committed_notebook_is_what_its_lesson_says(root, name):
    built = course.build(root / "course" / "lessons" / f"{name}.md", spec.load(folders.find(name)))
    committed = (root / "course" / "source" / name / f"{name}.ipynb").read_text(encoding="utf-8")
    assert committed == built, "run: kubelab build"


@pytest.mark.parametrize("name", LABS)
def test_no_outputs_and_cell_ids_that_are_valid_and_each_once(root, name):
    cells = notebook(root, name)["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each) for each in ids)
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )


@pytest.mark.parametrize("name", LABS)
def test_every_task_is_graded_once_with_the_points_that_lab_yaml_says(root, name):
    lab = spec.load(folders.find(name))
    cells = graded(notebook(root, name)["cells"])
    points = {
        each: cell["metadata"]["nbgrader"]["points"]
        for each, cell in cells.items()
        if cell["metadata"]["nbgrader"]["grade"]
    }
    assert points == {task.name: task.points for task in lab.tasks}
    for task in lab.tasks:
        marks = cells[task.name]["metadata"]["nbgrader"]
        assert marks["solution"] == (task.kind == "text"), task.name
        assert marks["locked"] == (task.kind != "text"), task.name


@pytest.mark.parametrize("name", LABS)
def test_a_learners_copy_holds_no_solution(root, name):
    text = course.release(json.dumps(notebook(root, name)))
    assert "SOLUTION" not in text
    cells = graded(json.loads(text)["cells"])
    for each, cell in cells.items():
        if each.endswith("-work"):
            assert course.CODE_STUB in "".join(cell["source"])


def test_a_cell_that_speaks_of_an_unknown_task_is_named(root, tmp_path):
    lesson = tmp_path / "02-clusterip.md"
    lesson.write_text('```python check="nope"\nlab.grade("nope")\n```\n', encoding="utf-8")
    with pytest.raises(LearnerError, match="check='nope'"):
        course.build(lesson, spec.load(folders.find("02-clusterip")))


def test_every_lab_folder_goes_into_the_wheel(root):
    build = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = build["targets"]["wheel"]["force-include"]
    assert {f"labs/{name}" for name in LABS} == {path for path in included if path.startswith("labs/")}
    assert included["course/source"] == "kubelab/_course"


def test_a_lab_is_found_by_its_name_number_and_topic():
    assert folders.find("02-clusterip") == folders.find("02") == folders.find("clusterip")
    with pytest.raises(LearnerError, match=r"no lab 'x'\nLabs: .*02-clusterip"):
        folders.find("x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: T\nminutes: 1\nsummary: s\nteaches: []\nclears: []\nnope: 1", "unknown field 'nope'"),
        ("title: T\nminutes: 1\nsummary: s\nteaches: []", "clears"),
        (
            "title: T\nminutes: 1\nsummary: s\nteaches: []\nclears: []\ntasks: [{name: a, title: A, points: 1, kind: guess}]",
            "kind 'guess' is none of",
        ),
    ],
)
def test_a_wrong_lab_yaml_names_its_field(tmp_path, text, message):
    (tmp_path / "lab.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(LearnerError, match=message):
        spec.load(tmp_path)
