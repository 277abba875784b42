"""A class with known scores, however it is run: by one worker or two, at once or in pieces."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import gradelab
import pytest
from nbgrader.api import Gradebook

from kubegrade import api, batch, sandbox, submissions
from kubegrade.jobs import Bounds
from kubegrade.report import from_json

SIZE = 200


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """The course, and each student's points."""
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")
    root = gradelab.make_course(tmp_path_factory.mktemp("class"))
    points = gradelab.hand_in_class(root, SIZE)
    return root, points


def scores(report):
    found = gradelab.scores(report)
    return tuple(found[task] for task in ("one", "guess", "two"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_class_of_two_hundred_comes_out_exactly(known, workers):
    root, points = known
    reports = gradelab.grade(root, workers=workers)
    assert {student: scores(report) for student, report in reports.items()} == points
    assert {student: report.mark("why").manual for student, report in reports.items()} == {
        student: int(student[1:]) % 2 == 1 for student in points
    }
    assert [report.notes for report in reports.values() if report.notes] == []


# -- the command, its journal and the gradebook -----------------------------------------------------------------

STUDENTS = 12


@pytest.fixture(scope="module")
def small(tmp_path_factory, known):
    """A course with the first dozen of the class, and what an undisturbed run writes into its gradebook."""
    _, points = known
    made = {}

    def make(name):
        root = gradelab.make_course(tmp_path_factory.mktemp(name))
        whole, _ = known
        for student in list(points)[:STUDENTS]:
            data = (whole / "submitted" / student / gradelab.LAB / f"{gradelab.LAB}.ipynb").read_bytes()
            gradelab.hand_in(root, student, data)
        return root

    made["root"] = make("undisturbed")
    done = command(made["root"])
    assert done.returncode == 0, done.stderr
    made["book"], made["make"], made["said"] = book(made["root"]), make, done
    return made


def command(root, *more):
    return subprocess.run(
        [sys.executable, "-m", "kubegrade.cli", "grade", str(root / "submitted"), "--jobs", "2", *more],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def book(root):
    """All that a gradebook says of the students."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as opened:
        return {
            submission.student.id: (
                sorted(
                    (grade.name, grade.auto_score, grade.manual_score, bool(grade.needs_manual_grade), grade.max_score)
                    for notebook in submission.notebooks
                    for grade in notebook.grades
                ),
                sorted((comment.name, comment.auto_comment) for nb in submission.notebooks for comment in nb.comments),
            )
            for submission in opened.assignment_submissions(gradelab.LAB)
        }


@pytest.mark.slow
def test_the_gradebook_has_the_points_the_flags_and_the_words(small, known):
    _, points = known
    for student, (grades, comments) in small["book"].items():
        one, guess, two = points[student]
        assert [each for each in grades if each[0] != "why"] == [
            ("guess", guess, None, False, 1.0),
            ("one", one, None, False, 2.0),
            ("two", two, None, False, 3.0),
        ]
        why = next(each for each in grades if each[0] == "why")
        assert why == ("why", None, None, True, 2.0) if int(student[1:]) % 2 else ("why", 0.0, None, False, 2.0)
        assert dict(comments)["two-work"]
    assert len(small["book"]) == STUDENTS


@pytest.mark.slow
def test_an_honest_class_is_graded_without_a_warning(small):
    assert "arning" not in small["said"].stderr + small["said"].stdout
    assert "Sandbox: namespaces" in small["said"].stderr


@pytest.mark.slow
def test_a_second_run_grades_nothing_and_changes_nothing(small):
    again = command(small["root"])
    assert f"{STUDENTS} of {STUDENTS} were graded before" in again.stdout
    assert book(small["root"]) == small["book"]


@pytest.mark.slow
def test_what_was_handed_in_anew_is_graded_anew_and_a_teachers_score_is_kept(small, tmp_path):
    root = shutil.copytree(small["root"], tmp_path / "anew")
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as opened:
        for student in ("s001", "s003"):
            grade = opened.find_grade("why", gradelab.LAB, gradelab.LAB, student)
            grade.manual_score, grade.needs_manual_grade = 1.5, False
        opened.db.commit()
    for student in ("s000", "s001"):
        gradelab.hand_in(
            root, student, gradelab.notebook(gradelab.cells(gradelab.ONE, gradelab.GUESS, gradelab.TWO, "New."))
        )
    assert f"{STUDENTS - 2} of {STUDENTS} were graded before" in command(root).stdout
    after = book(root)
    for student, why in (("s000", (None, None, True)), ("s001", (None, 1.5, True)), ("s003", (None, 1.5, False))):
        assert next(each[1:4] for each in after[student][0] if each[0] == "why") == why
    assert [each[1] for each in after["s000"][0]][:3] == [1.0, 2.0, 3.0]
    untouched = set(after) - {"s000", "s001", "s003"}
    assert {student: after[student] for student in untouched} == {
        student: small["book"][student] for student in untouched
    }


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["the grader", "a worker", "Ctrl-C"])
def test_killed_at_any_moment_and_started_again_it_is_the_same_book(small, victim):
    root = small["make"]("killed")
    dice = random.Random(victim)
    line = [sys.executable, "-m", "kubegrade.cli", "grade", str(root / "submitted"), "--jobs", "2"]
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # When some are done: the journal says so.
    journal, wanted = root / "gradebook.db.kubegrade.jsonl", dice.randint(1, STUDENTS // 3)
    deadline = time.monotonic() + 90
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= wanted) and time.monotonic() < deadline:
        time.sleep(0.01)
    if victim == "a worker":
        for found in direct(running.pid)[:1]:
            os.kill(found, signal.SIGKILL)
        running.wait(timeout=100)
        assert running.returncode == 0
    else:
        running.send_signal(signal.SIGKILL if victim == "the grader" else signal.SIGINT)
        running.wait(timeout=30)
        # Ctrl-C lets end what is under way: on a fast machine that may be all.
        done = journal.read_bytes().count(b"\n")
        assert done < STUDENTS or (victim == "Ctrl-C" and done == STUDENTS)
    done = command(root)
    assert done.returncode == 0, done.stderr
    assert book(root) == small["book"]
    assert gradelab.processes(f"kubegrade-{running.pid}-") == []


def children(pid):
    """The children of a process, and theirs."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        own = [int(each) for each in file.read().split()]
    return [*own, *(each for child in own for each in children(child))]


@pytest.mark.slow
def test_forks_that_are_killed_are_made_again(known):
    """Referees, wardens and inmates killed from outside, over and over: nobody loses a point."""
    root, points = known
    layers = sandbox.probe()
    jobs = submissions.find(root / "submitted")[:30]
    dice = random.Random(1)
    reports = batch.grade(jobs, workers=1, layers=layers, bounds=Bounds(), limits=sandbox.Limits())
    found = {}
    for report in reports:
        found[report.student] = scores(report)
        worker = children(os.getpid())
        below = [each for each in worker if each not in direct(os.getpid())]
        # The zygote, the oldest, is left alone: without it a worker is no worker (that case is the one above).
        if len(below) > 1 and dice.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice(sorted(below)[1:]), signal.SIGKILL)
    assert found == {job.student: points[job.student] for job in jobs}


def direct(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(each) for each in file.read().split()]


# -- as a library -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_notebook_through_the_api(root):
    source = (root / "course" / "source" / "02-clusterip" / "02-clusterip.ipynb").read_bytes()
    try:
        report = api.grade(source, "02", "ada")
        nothing = api.grade(b"{}", "02", "bob")
    finally:
        api.close()
    assert (report.student, report.lab, report.points, report.max) == ("ada", "02-clusterip", 8.0, 8.0)
    assert report.mark("ping").manual
    assert (nothing.points, nothing.reason) == (0.0, "The file is not a notebook: it has no cells.")
    assert from_json(report.to_json()) == report
