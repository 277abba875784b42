"""Hostile and broken notebooks: graded in one batch with everybody else's, each with its reason, and nothing gets out."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import corpus
import gradelab
import pytest

from kubegrade import sandbox
from kubegrade.jobs import Bounds

BOUNDS = Bounds(cell=4.0, submission=30.0, question=1.5, marking=10.0)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """The whole corpus, graded once by two workers, and what could be seen from outside meanwhile."""
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")
    root = gradelab.make_course(tmp_path_factory.mktemp("course"))
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("the teacher's own")
    callers: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))
    (outside / "port").write_text(str(server.getsockname()[1]))

    def listen():
        with contextlib.suppress(OSError):
            while True:
                callers.append(server.accept())

    threading.Thread(target=listen, daemon=True).start()
    for name, made, _, _ in corpus.ROWS:
        folder = root / "submitted" / name / gradelab.LAB
        folder.mkdir(parents=True)
        corpus.write(made, folder, outside)
    os.environ["KUBEGRADE_TEST_SECRET"] = "the teacher's own"
    before = set(os.listdir("/tmp"))
    start = time.monotonic()
    reports = gradelab.grade(root, workers=2, bounds=BOUNDS)
    return {
        "reports": reports,
        "outside": sorted(path.name for path in outside.iterdir()),
        "callers": callers,
        "seconds": time.monotonic() - start,
        "new": set(os.listdir("/tmp")) - before,
        "root": root,
    }


def told(report):
    """All that a report says, to anybody."""
    parts = [report.reason, *report.notes]
    for mark in report.marks:
        parts += [mark.message, mark.explanation, *mark.notes]
    for said in report.said:
        parts += [said.out, said.err, said.error]
    return "\n".join(parts)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "points", "says"), [(row[0], row[2], row[3]) for row in corpus.ROWS])
def test_it_earns_what_was_done_and_no_more(batch, name, points, says):
    report = batch["reports"][name]
    assert not report.fault
    scores = gradelab.scores(report)
    assert tuple(scores[task] for task in ("one", "guess", "two")) == points, told(report)
    assert says in told(report)


@pytest.mark.slow
def test_all_were_graded(batch):
    assert len(corpus.ROWS) >= 60
    assert set(batch["reports"]) == {row[0] for row in corpus.ROWS}


@pytest.mark.slow
def test_nothing_got_out(batch):
    leaks = [f"{name}: {told(report)}" for name, report in batch["reports"].items() if corpus.LEAK in told(report)]
    assert leaks == []
    assert batch["callers"] == []
    assert batch["outside"] == ["port", "secret.txt"]
    assert not [each for each in batch["new"] if "evil" in each]
    assert not list(batch["root"].rglob("evil"))
    assert not list((batch["root"] / "submitted" / "outside").rglob("mine.txt"))
    everything = "\n".join(told(each) for each in batch["reports"].values())
    assert "the-hidden-word" not in everything
    assert "the teacher's own" not in everything


@pytest.mark.slow
def test_nothing_is_left_running(batch):
    assert gradelab.processes(f"kubegrade-{os.getpid()}-") == []
    assert gradelab.processes("98765") == []
    assert not [each for each in batch["new"] if each.startswith(f"kubegrade-{os.getpid()}-")]
