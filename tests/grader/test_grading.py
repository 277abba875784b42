"""The grader's parts: plans, the wire, the walls, and the beginning that a class has in common."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import socket
import struct
import time
import weakref
from pathlib import Path

import gradelab
import pytest
from click.testing import CliRunner

import kubelab
from kubegrade import batch, cli, hosted, notebooks, pages, remote, sandbox, seccomp, submissions, wire, worker
from kubegrade.jobs import Bounds, Job
from kubegrade.report import Mark, Report
from kubelab import folders
from kubelab.port import Port

# -- plans ------------------------------------------------------------------------------------------------------

SOURCE = notebooks.source(gradelab.notebook(gradelab.cells(gradelab.ONE, gradelab.GUESS, gradelab.TWO)))


def turns(cells):
    """The plan as words: which cell is run, which task is marked."""
    plan = notebooks.plan(SOURCE, notebooks.parse(gradelab.notebook(cells)))
    return " ".join(step.mark or step.work or f"#{step.index}" for step in plan.steps)


def test_a_notebook_is_gone_through_in_its_order_and_no_further_than_its_last_mark():
    cells = gradelab.cells("1", "2", "3", before="0")
    assert turns([*cells, gradelab.code("after")]) == "#0 #1 one-work one guess-work guess two-work two"


def test_what_is_missing_is_marked_before_the_next_task_begins():
    cells = gradelab.cells("1", "2", "3")
    assert turns([cells[0], cells[1], *cells[3:]]) == "#0 one-work one guess-work guess two-work two"
    assert turns(cells[:1]) == "#0 one guess two"


def test_an_empty_cell_is_no_turn():
    assert turns(gradelab.cells("1", "", "3")) == "#0 one-work one guess two-work two"


def test_a_solution_is_released_as_its_stub():
    assert notebooks.released("a\n### BEGIN SOLUTION\nb\n### END SOLUTION\nc", "…") == "a\n…\nc"
    assert notebooks.released("all of it", "…") == "…"


# -- the wire ---------------------------------------------------------------------------------------------------


def ends(limit=1000):
    ours, theirs = socket.socketpair()
    return wire.Channel(ours, limit), theirs


def test_what_is_sent_comes_out():
    channel, other = ends()
    wire.Channel(other).send({"a": ["ü", None, 1.5]})
    assert channel.receive(time.monotonic() + 1) == {"a": ["ü", None, 1.5]}


@pytest.mark.parametrize(
    "sent",
    [struct.pack(">I", size) + data for size, data in ((1001, b""), (3, b"{{{"), (2, b"\xff\xff"), (900, b"[" * 900))],
    ids=["too long", "no JSON", "no text", "deep"],
)
def test_no_frame_is_malformed(sent):
    channel, other = ends()
    other.sendall(sent)
    with pytest.raises(wire.Malformed):
        channel.receive(time.monotonic() + 1)


def test_half_a_frame_is_late_and_an_end_is_closed():
    channel, other = ends()
    other.sendall(struct.pack(">I", 10) + b"12345")
    with pytest.raises(wire.Late):
        channel.receive(time.monotonic() + 0.05)
    other.close()
    with pytest.raises(wire.Closed):
        channel.receive(time.monotonic() + 1)


def test_one_who_does_not_listen_holds_nobody_up():
    channel, _other = ends(1 << 24)
    with pytest.raises(wire.Late):
        channel.send("x" * (1 << 22), time.monotonic() + 0.1)


# -- the walls ----------------------------------------------------------------------------------------------------


def test_where_there_is_no_sandbox_nothing_is_run_unless_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "probe", lambda: sandbox.Layers(rlimits=True))
    done = CliRunner().invoke(cli.main, ["grade", str(tmp_path)])
    assert done.exit_code == 1
    assert "nothing that keeps a stranger's code from your files and the network (there is: rlimits)" in done.output
    assert "--unsandboxed" in done.output


@pytest.mark.parametrize(
    ("layers", "sufficient"),
    [
        (sandbox.Layers(), False),
        (sandbox.Layers(namespaces=True, seccomp=True, rlimits=True), False),
        (sandbox.Layers(landlock=1), False),
        (sandbox.Layers(landlock=1, seccomp=True), True),
        (sandbox.Layers(landlock=7, namespaces=True), True),
    ],
)
def test_files_and_the_network_must_both_be_kept(layers, sufficient):
    assert layers.sufficient is sufficient


@pytest.fixture
def one(tmp_path):
    """A worker in this process."""
    with contextlib.closing(worker.Worker(sandbox.probe(), Bounds(), sandbox.Limits(), tmp_path)) as made:
        yield made


@pytest.mark.slow
def test_told_so_it_grades_without_walls_and_still_within_time(tmp_path):
    root = gradelab.make_course(tmp_path)
    gradelab.hand_in(root, "good", gradelab.notebook(gradelab.cells(gradelab.ONE, gradelab.GUESS, gradelab.TWO)))
    gradelab.hand_in(root, "loop", gradelab.notebook(gradelab.cells("while True: pass", gradelab.GUESS)))
    jobs = submissions.find(root / "submitted")
    bounds = Bounds(cell=2.0)
    reports = batch.grade(jobs, workers=2, layers=sandbox.Layers(rlimits=True), bounds=bounds, limits=sandbox.Limits())
    found = {each.student: gradelab.scores(each) for each in reports}
    assert (found["good"]["one"], found["good"]["two"]) == (2.0, 3.0)
    assert (found["loop"]["one"], found["loop"]["guess"]) == (0.0, 1.0)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_whole_instructions_and_jumps_within_itself(machine):
    code = list(struct.iter_unpack("HBBI", seccomp.program(machine)))
    for place, (operation, yes, no, _) in enumerate(code):
        if operation & 0x07 == 0x05:
            assert place + 1 + max(yes, no) < len(code)
    assert code[-1] == (0x06, 0, 0, 0x7FFF0000)


@pytest.mark.slow
def test_even_a_referee_that_is_broken_into_reads_and_reaches_nothing(tmp_path, monkeypatch, one):
    """A stranger's command that ran as Python in the process that has the cluster: no class's work, no network, no programs."""
    root = gradelab.make_course(tmp_path / "course")
    gradelab.hand_in(root, "s", gradelab.notebook(gradelab.cells(gradelab.ONE)))

    def breach(self, said):
        found = []
        for tried in (
            lambda: Path("/etc/passwd").read_text(),
            lambda: list((root / "submitted").iterdir()),
            lambda: (tmp_path / "written").write_text("x"),
            socket.socket,
            lambda: os.execv("/bin/true", ["true"]),
            os.fork,
        ):
            with contextlib.suppress(OSError):
                found.append(tried())
        return {"stdout": f"found {len(found)}", "stderr": "", "code": 0}

    job = submissions.find(root / "submitted")[0]
    one.grade(job)
    monkeypatch.setitem(hosted._VERBS, "shell", breach)
    report = one.grade(job)
    assert [each.out for each in report.said if "found" in each.out] == ["Out[0]: found 0\n"]


# -- the beginning that a class has in common ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_notebook_that_begins_like_the_teachers_comes_out_as_one_that_does_not(one):
    """The same work, once in a fork of the nest and once (after a cell of its own) with all its cells run."""
    name = "02-clusterip"
    source = folders.course() / name / f"{name}.ipynb"
    notebook = json.loads(source.read_text(encoding="utf-8"))
    reports = []
    for cells in (notebook["cells"], [gradelab.code("1"), *notebook["cells"]]):
        data = json.dumps({**notebook, "cells": cells})
        job = Job(
            student="s", lab=name, notebook=name, data=data, lab_folder=str(folders.find(name)), source=str(source)
        )
        reports.append(one.grade(job))
    like, unlike = reports
    assert (like.points, like.attempts) == (8.0, 1)
    assert [(mark.points, mark.message, mark.explanation) for mark in like.marks] == [
        (mark.points, mark.message, mark.explanation) for mark in unlike.marks
    ]
    printed = [[each.out for each in report.said] for report in reports]
    assert printed[0] == printed[1][1:]


def begun(one, tmp_path, before, two=gradelab.TWO):
    """The report of a notebook that begins like the teacher's, with such a cell, and whether there is a nest for it."""
    root = gradelab.make_course(tmp_path / "course")
    cells = gradelab.cells(gradelab.ONE, gradelab.GUESS, two, before=before)
    path = root / "source" / gradelab.LAB / f"{gradelab.LAB}.ipynb"
    path.write_bytes(gradelab.notebook(gradelab.cells(gradelab.ONE, gradelab.GUESS, gradelab.TWO, before=before)))
    gradelab.hand_in(root, "s", gradelab.notebook(cells))
    job = submissions.find(root / "submitted")[0]
    return one.grade(job), one._beginnings[job.lab_folder] is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "forked"),
    [
        ("lab.shell('echo hello')", True),
        ("import os\nlab.shell('echo ' + os.urandom(8).hex())", False),
        ("import os\nprint(os.urandom(8).hex())", False),
        ("open('kept.txt', 'w').write('x')", False),
        ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()", False),
    ],
    ids=["plain", "asks otherwise", "says otherwise", "leaves a file", "leaves a thread"],
)
def test_only_a_beginning_that_a_fork_can_give_back_is_not_run_again(one, tmp_path, before, forked):
    report, nest = begun(one, tmp_path, before)
    assert nest is forked
    scores = gradelab.scores(report)
    assert (scores["one"], scores["guess"], scores["two"], report.attempts) == (2.0, 1.0, 3.0, 1)


@pytest.mark.slow
def test_what_the_beginning_made_is_there_and_again_after_a_crash(one, tmp_path):
    crash = "import os\nos._exit(3)"
    report, nest = begun(one, tmp_path, "kept = lab.shell('echo 41')", f"print('kept', kept)\n{crash}")
    assert nest
    assert gradelab.scores(report)["one"] == 2.0
    root = tmp_path / "course"
    shown = gradelab.cells(crash, gradelab.GUESS, "print('kept', kept, lab.name)", before="kept = lab.shell('echo 41')")
    gradelab.hand_in(root, "t", gradelab.notebook(shown))
    again = one.grade(submissions.find(root / "submitted")[1])
    assert any("kept 41" in each.out and gradelab.LAB in each.out for each in again.said)


# -- out ------------------------------------------------------------------------------------------------------------


def reports():
    marks = (
        Mark(task="a", title="A", points=2.0, max=2.0, message="Fine."),
        Mark(task="b", title="B", points=None, max=3.0, manual=True),
    )
    return [
        Report(student="ada", lab="01-x", notebook="01-x", marks=marks),
        Report(student="=1+1", lab="01-x", notebook="01-x", marks=marks[:1]),
    ]


def test_canvas_gets_its_columns_and_the_possible_points():
    header, rows = pages.canvas(reports()[:1])
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "01-x"]
    assert rows == [["    Points Possible", "", "", "", "", "5"], ["ada", "", "", "ada", "", "2"]]


def test_moodle_gets_feedback_beside_the_points():
    header, rows = pages.moodle(reports()[:1])
    assert header == ["username", "01-x", "01-x feedback"]
    assert rows == [["ada", "2", "A: Fine. B: "]]


def test_no_table_holds_a_formula():
    assert pages.canvas(reports())[1][2][0] == "'=1+1"


def test_a_students_seed_is_the_same_each_time_and_another_students_is_not():
    assert submissions.seed("02-clusterip", "ada") == submissions.seed("02-clusterip", "ada") == 3451526999
    assert submissions.seed("02-clusterip", "bob") != submissions.seed("02-clusterip", "ada")


def test_a_journal_whose_last_line_was_cut_off_is_read_and_gone_on_with(tmp_path):
    path = tmp_path / "journal"
    whole = Report(student="ada", lab="x", notebook="x", digest="1")
    path.write_text(json.dumps(whole.to_json()) + "\n" + '{"student": "bo')
    journal = batch.Journal(path)
    journal.add(Report(student="eve", lab="x", notebook="x", digest="2"))
    journal.close()
    again = batch.Journal(path)
    known = [again.known(Job(student=who, lab="x", notebook="x", digest=digest)) for who, digest in
             (("ada", "1"), ("bob", "1"), ("eve", "2"), ("ada", "9"))]  # fmt: skip
    again.close()
    assert [each.student if each else None for each in known] == ["ada", None, "eve", None]


@pytest.mark.slow
def test_each_student_may_have_a_cluster_of_their_own_seed(tmp_path, one):
    """The same work earns the same on another cluster; what it shows (a cluster IP) is the student's own, the same each time."""
    root = gradelab.make_course(tmp_path)
    shown = gradelab.TWO + "\nprint(lab.core.read_namespaced_service('web', 'default').spec.cluster_ip)"
    for student in ("ada", "bob"):
        gradelab.hand_in(root, student, gradelab.notebook(gradelab.cells(gradelab.ONE, gradelab.GUESS, shown)))
    jobs = [*submissions.find(root / "submitted", seed_by="student"), submissions.find(root / "submitted")[0]]
    reports = [one.grade(jobs[0])]
    first = weakref.ref(one._clusters[jobs[0].lab_folder, jobs[0].seed][0].cluster)
    reports += [one.grade(job) for job in (*jobs[1:], jobs[0])]
    assert [each.points for each in reports] == [6.0] * 4
    # A class has as many seeds as students: the clusters of those who are done are let go.
    assert first() is None
    printed = [each.said[-1].out for each in reports]
    assert printed[0] == printed[3]
    assert len(set(printed)) == 3


def test_a_submissions_lab_has_whatever_a_lab_has():
    """A verb that is new in kubelab must be known here too, or honest cells fail."""

    def public(of):
        return {name for name in dir(of) if not name.startswith("_")}

    told = {"title": "x", "namespace": "default", "name": "x", "tasks": []}
    assert public(kubelab.Lab) <= public(remote.Lab(lambda *asked: None, told))
    assert public(Port) <= public(remote.Port)
    opened = inspect.signature(kubelab.open).parameters
    assert list(inspect.signature(remote.opener(lambda *told: None)).parameters) == list(opened)
