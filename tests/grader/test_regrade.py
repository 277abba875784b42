"""A corrected check: who is graded again, what changes in the book, and what does not."""

from __future__ import annotations

import shutil

import gradelab
import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

from kubegrade import batch, cli, collect, run, sandbox, start, submissions
from kubesim.errors import LearnerError

pytestmark = pytest.mark.slow

# Of the class: who has which points for "one", whose check turns out to be wrong.
ONLY_LABEL = 'lab.shell("kubectl create configmap one --from-literal=a=c; kubectl label configmap one real=yes")'
CLASS = {"ada": gradelab.ONE, "bob": ONLY_LABEL, "eve": ""}


def command(*words):
    jobs = [] if words[0] == "collect" else ["--jobs", "1"]
    done = CliRunner().invoke(cli.main, [*(str(each) for each in words), *jobs])
    assert done.exit_code == 0, done.output
    return done.stdout


def book(root):
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as opened:
        return {
            (submission.student.id, grade.name): (
                grade.auto_score,
                grade.manual_score,
                bool(grade.needs_manual_grade),
            )
            for submission in opened.assignment_submissions(gradelab.LAB)
            for grade in submission.notebooks[0].grades
        }


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")
    root = gradelab.make_course(tmp_path_factory.mktemp("regrade"))
    for student, one in CLASS.items():
        cells = gradelab.cells(one, gradelab.GUESS, gradelab.TWO, "Because.")
        gradelab.hand_in(root, student, gradelab.notebook(cells))
    command("grade", root / "submitted")
    # The teacher has read a text, and has overruled a mark.
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as opened:
        for task, points in (("why", 1.5), ("guess", 0.5)):
            grade = opened.find_grade(task, gradelab.LAB, gradelab.LAB, "bob")
            grade.manual_score, grade.needs_manual_grade = points, False
        opened.db.commit()
    return root


def test_a_corrected_check_changes_its_own_marks_and_no_others(graded):
    before = book(graded)
    assert before["bob", "one"] == (1.0, None, False)
    submitted = graded / "submitted"
    assert "0 to be graded again; 3 stand as they are." in command("regrade", submitted, "--dry-run")

    checks = graded / "labs" / gradelab.LAB / "checks.py"
    checks.write_text(checks.read_text().replace('{"data": {"a": "b"}}', '{"metadata": {"name": "one"}}'))
    (graded / "labs" / gradelab.LAB / "exercises.py").write_text("EXERCISES = ()\n")
    gradelab.hand_in(graded, "new", gradelab.notebook(gradelab.cells()))
    listed = command("regrade", submitted, "--dry-run")
    assert "bob" in listed
    assert "the lab's checks\n" in listed
    assert "3 to be graded again; 0 stand as they are. 1 were never graded: kubegrade grade." in " ".join(
        listed.split()
    )
    assert book(graded) == before

    said = command("regrade", submitted)
    assert "3 graded again, 1 marks changed" in said
    after = book(graded)
    assert after == {**before, ("bob", "one"): (2.0, None, False)}
    assert "0 to be graded again; 3 stand as they are." in command("regrade", submitted, "--dry-run")


def test_what_was_handed_in_anew_is_due_alone(graded):
    before = book(graded)
    gradelab.hand_in(graded, "eve", gradelab.notebook(gradelab.cells(gradelab.ONE, gradelab.GUESS, gradelab.TWO)))
    listed = command("regrade", graded / "submitted", "--dry-run")
    assert "what was handed in" in listed
    assert "ada" not in listed
    command("regrade", graded / "submitted")
    assert book(graded) == {
        **before,
        ("eve", "one"): (2.0, None, False),
        # No text any more: nothing is there to be read.
        ("eve", "why"): (0.0, None, False),
    }


def test_parts_that_were_graded_apart_come_into_one_book(graded, tmp_path):
    submitted = graded / "submitted"
    shares = [run.find(submitted, start.Options(share=(number, 2))) for number in range(2)]
    assert [[job.student for job in share] for share in shares] == [["ada", "eve"], ["bob", "new"]]
    # Each part's journal, as a machine of its own would have left it.
    told = {line.split('"')[3]: line for line in run.journal_of(graded / "gradebook.db").read_text().splitlines()}
    for number, share in enumerate(shares):
        path = run.journal_of(tmp_path / f"gradebook-{number}.db")
        path.write_text("".join(told[job.student] + "\n" for job in share if job.student in told))
    reports = collect.taken(tmp_path)(list(batch.stamped(job for share in shares for job in share)))
    with pytest.raises(LearnerError, match="1 of 4 submissions are in no part"):
        list(reports)
    shutil.rmtree(submitted / "new")
    said = command("collect", submitted, tmp_path, "--gradebook", tmp_path / "whole.db")
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["ada", "bob", "eve"]
    with Gradebook(f"sqlite:///{tmp_path / 'whole.db'}") as opened:
        scores = {each.student.id: each.score for each in opened.assignment_submissions(gradelab.LAB)}
    assert scores == {"ada": 6.0, "bob": 6.0, "eve": 6.0}


def test_digests_tell_what_has_changed():
    was = "program=1 notebook=2 lab=3 checks=4 more=5 seed=None submission=6"
    assert submissions.changed(was, was) == []
    assert submissions.changed(was, was.replace("4", "0").replace("None", "7")) == ["checks", "seed"]
    assert submissions.changed("0123abc", was) == ["program"]
