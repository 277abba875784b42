"""nbgrader's own loop on the course: assignments out, submissions in, marks and feedback."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from kubelab import folders, spec

LAB = spec.load(folders.find("02-clusterip"))
AUTOMATIC = {task.name: task.points for task in LAB.tasks if task.kind != "text"}
STUDENTS = ("bare", "key")


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    """A course after generate_assignment, autograde and generate_feedback for a student who did nothing and one with the key."""
    here = tmp_path_factory.mktemp("course")
    shutil.copy(root / "course" / "nbgrader_config.py", here)
    shutil.copytree(root / "course" / "source", here / "source")
    _nbgrader(here, "generate_assignment", LAB.name)
    for student in STUDENTS:
        handed_in = here / "submitted" / student / LAB.name
        handed_in.mkdir(parents=True)
        shutil.copy(here / ("source" if student == "key" else "release") / LAB.name / f"{LAB.name}.ipynb", handed_in)
    _nbgrader(here, "autograde", LAB.name)
    _nbgrader(here, "generate_feedback", LAB.name)
    return here


def _nbgrader(here, *command):
    scratch = {name: str(here / "jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *command],
        cwd=here,
        env={**os.environ, **scratch},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def _scores(here, student):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{here / 'gradebook.db'}") as book:
        submission = book.find_submission(LAB.name, student)
        return {grade.name: (grade.score, grade.needs_manual_grade) for grade in submission.notebooks[0].grades}


@pytest.mark.slow
def test_the_released_notebook_runs_to_its_end_and_holds_no_solution(course):
    released = nbformat.read(course / "release" / LAB.name / f"{LAB.name}.ipynb", as_version=4)
    assert "SOLUTION" not in nbformat.writes(released)
    graded = nbformat.read(course / "autograded" / "bare" / LAB.name / f"{LAB.name}.ipynb", as_version=4)
    assert [out for cell in graded.cells for out in cell.get("outputs", []) if out.output_type == "error"] == []


@pytest.mark.slow
def test_the_key_earns_full_marks_and_the_bare_start_none(course):
    key, bare = _scores(course, "key"), _scores(course, "bare")
    assert {name: key[name] for name in AUTOMATIC} == {name: (points, False) for name, points in AUTOMATIC.items()}
    assert {name: bare[name] for name in AUTOMATIC} == dict.fromkeys(AUTOMATIC, (0.0, False))


@pytest.mark.slow
def test_a_text_waits_for_the_teacher(course):
    assert _scores(course, "key")["ping"][1] is True


@pytest.mark.slow
@pytest.mark.parametrize("student", STUDENTS)
def test_feedback_steps_without_scripts_and_says_why(course, student):
    page = (course / "feedback" / student / LAB.name / f"{LAB.name}.html").read_text(encoding="utf-8")
    assert page.count('class="kw-dot"') > 10
    assert 'type="radio"' in page
    assert "Give the shop one address" in page
    assert ("There is no Service" in page) == (student == "bare")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "said"), [("key", "Success! Your notebook passes all the tests."), ("bare", "FAILED")]
)
def test_a_learner_may_validate_before_handing_in(course, student, said):
    """What nbgrader's button “Validate” does."""
    done = _nbgrader(course, "validate", f"submitted/{student}/{LAB.name}/{LAB.name}.ipynb")
    assert said in done.stdout


@pytest.mark.slow
def test_the_points_are_exported(course):
    _nbgrader(course, "export")
    with (course / "grades.csv").open(encoding="utf-8") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"key": sum(AUTOMATIC.values()), "bare": 0.0}
