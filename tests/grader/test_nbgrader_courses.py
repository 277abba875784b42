"""Around nbgrader: what it does after a run of ours, and courses that were made with nothing but it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys

import gradelab
import nbformat
import pytest
from nbgrader.api import Gradebook

from kubegrade import gradebook, sandbox
from kubegrade.report import Mark, Report

pytestmark = pytest.mark.slow


def run(root, *command):
    scratch = {name: str(root / "jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env={**os.environ, **scratch},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module", autouse=True)
def walls():
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")


@pytest.fixture(scope="module")
def after(root, tmp_path_factory):
    """A course of ours after `kubegrade grade`: an honest student, one with a broken file, and one without a graded cell."""
    here = gradelab.make_course(tmp_path_factory.mktemp("after"))
    shutil.copy(root / "course" / "nbgrader_config.py", here)
    honest = gradelab.cells(gradelab.ONE, "", gradelab.TWO, "Because <script>alert(1)</script>.")
    gradelab.hand_in(here, "ada", gradelab.notebook(honest))
    gradelab.hand_in(here, "bob", b"{")
    gradelab.hand_in(here, "eve", gradelab.notebook([*honest[:2], *honest[3:]]))
    (here / "submitted" / "ada" / gradelab.LAB / "timestamp.txt").write_text("2026-11-02 10:00:00 UTC")
    run(here, "kubegrade.cli", "grade", "submitted", "--csv", "ours.csv", "--feedback", "pages", "--json", "all.json")
    return here


def test_formgrader_has_a_notebook_to_show_for_everybody(after):
    for student in ("ada", "bob", "eve"):
        path = after / "autograded" / student / gradelab.LAB / f"{gradelab.LAB}.ipynb"
        shown = nbformat.read(path, as_version=4)
        nbformat.validate(shown)
        graded = [
            cell.metadata.nbgrader.grade_id for cell in shown.cells if cell.metadata.get("nbgrader", {}).get("grade")
        ]
        assert sorted(graded) == ["guess", "one", "two", "why"]
        assert "the-hidden-word" not in path.read_text()


def test_nbgraders_feedback_and_export_go_on_from_there(after):
    run(after, "nbgrader", "generate_feedback", gradelab.LAB)
    run(after, "nbgrader", "export")
    page = (after / "feedback" / "ada" / gradelab.LAB / f"{gradelab.LAB}.html").read_text()
    assert "http://web answers pod/client." in page
    with (after / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {student: float(row["score"]) for student, row in rows.items()} == {"ada": 5.0, "bob": 0.0, "eve": 5.0}
    assert rows["ada"]["timestamp"].startswith("2026-11-02 10:00:00")


def test_our_own_pages_and_tables(after):
    with (after / "ours.csv").open() as file:
        rows = {(row["student"], row["task"]): row for row in csv.DictReader(file)}
    assert (rows["ada", "two"]["points"], rows["ada", "why"]["manual"]) == ("3", "1")
    assert "is not JSON" in rows["bob", "one"]["message"]
    assert "not in the notebook" in rows["eve", "one"]["notes"]
    page = (after / "pages" / "ada" / f"{gradelab.LAB}.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert page.count('type="radio"') > 5
    whole = (after / "pages" / f"{gradelab.LAB}.html").read_text()
    assert "Students by points." in whole
    assert {each["student"] for each in json.loads((after / "all.json").read_text())} == {"ada", "bob", "eve"}


# -- a course that knows nothing of us ------------------------------------------------------------------------------


def plain_cells(solution, tests=True):
    cells = [
        gradelab.code(solution, gradelab.marks("square", solution=True)),
        gradelab.code(
            "assert square(2) == 4" if tests else "", gradelab.marks("small", grade=True, locked=True, points=2)
        ),
        gradelab.code(
            "### BEGIN HIDDEN TESTS\nassert square(-3) == 9\n### END HIDDEN TESTS" if tests else "",
            gradelab.marks("negative", grade=True, locked=True, points=3),
        ),
        gradelab.code("2.5 if square(0) == 0 else 0", gradelab.marks("part", grade=True, locked=True, points=5)),
    ]
    told = gradelab.marks("essay", grade=True, solution=True, points=1)
    return [*cells, {"cell_type": "markdown", "source": "YOUR ANSWER HERE", "metadata": told}]


PLAIN = {
    "right": ("def square(x):\n    import sys\n    print('warning', file=sys.stderr)\n    return x * x", (2, 3, 2.5)),
    "wrong": ("def square(x):\n    return 2 * x", (2, 0, 2.5)),
    "silent": ("def square(x):\n    raise NotImplementedError", (0, 0, 0)),
    "gone": ("import os\ndef square(x):\n    os._exit(0) if x < 0 else None\n    return x * x", (2, 0, 2.5)),
}


def test_a_course_made_with_plain_nbgrader_is_graded(tmp_path):
    source = tmp_path / "source" / "ps1"
    source.mkdir(parents=True)
    (source / "squares.ipynb").write_bytes(gradelab.notebook(plain_cells("def square(x):\n    return x * x")))
    for student, (solution, _) in PLAIN.items():
        folder = tmp_path / "submitted" / student / "ps1"
        folder.mkdir(parents=True)
        (folder / "squares.ipynb").write_bytes(gradelab.notebook(plain_cells(solution, tests=False)))
    run(tmp_path, "kubegrade.cli", "grade", "submitted")
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as book:
        found = {
            submission.student.id: {grade.name: grade.auto_score for grade in submission.notebooks[0].grades}
            for submission in book.assignment_submissions("ps1")
        }
    for student, (_, points) in PLAIN.items():
        assert tuple(found[student][name] for name in ("small", "negative", "part")) == points, student


def test_comments_are_the_tasks_own_words():
    mark = Mark(task="one", title="One", points=0.0, max=2.0, message="No.", explanation="For.", notes=("Odd.",))
    report = Report(student="s", lab="l", notebook="n", marks=(mark,))
    assert gradebook._comments(report, ["one-work", "else"]) == {"one-work": "No. For. Odd.", "else": ""}
