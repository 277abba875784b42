"""A class on Dask's workers: the same points as at home, a worker killed on the way, nobody twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import gradelab
import pytest
from nbgrader.api import Gradebook

from kubegrade import machines, run, sandbox, start, stations, submissions, wire
from kubegrade.jobs import Bounds, Job
from kubesim.errors import LearnerError

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[distributed]'")

pytestmark = pytest.mark.slow

SIZE = 200
SETTINGS = {
    "bounds": {"cell": 20.0, "submission": 120.0},
    "limits": {"memory": 1 << 30},
    "unsandboxed": False,
}


@pytest.fixture(scope="module")
def cluster():
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def pids(client):
    return list(client.run(os.getpid).values())


def test_two_hundred_come_out_exactly_though_a_worker_is_killed(cluster, tmp_path):
    root = gradelab.make_course(tmp_path / "course")
    points = gradelab.hand_in_class(root, SIZE)
    options = start.Options(scheduler=cluster.scheduler_address, dump=tmp_path / "all.json")
    started = start.start(options)
    assert started.worker is None
    journal = run.journal_of(root / "gradebook.db")

    def kill(victim):
        while not journal.is_file() or journal.read_bytes().count(b"\n") < SIZE // 4:
            time.sleep(0.05)
        os.kill(victim, signal.SIGKILL)

    with distributed.Client(cluster) as client:
        before = pids(client)
        threading.Thread(target=kill, args=before[:1], daemon=True).start()
        run.grade(root / "submitted", options, started)
        client.wait_for_workers(2, timeout=60)
        after = pids(client)
    told = [(each["student"], each["marks"]) for each in json.loads((tmp_path / "all.json").read_text())]
    assert len(told) == SIZE
    assert {who: tuple(mark["points"] for mark in marks[:3]) for who, marks in told} == points
    assert len(journal.read_text().splitlines()) == SIZE
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        scores = {each.student.id: each.score for each in book.assignment_submissions(gradelab.LAB)}
    assert scores == {who: sum(worth) for who, worth in points.items()}
    # Only the one that was killed is another: no submission ended a worker.
    assert before[1] in after
    assert before[0] not in after


@pytest.mark.parametrize(
    "attack", ["import os\nos._exit(3)", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"]
)
def test_a_submission_that_ends_its_process_ends_no_worker(cluster, tmp_path, attack):
    root = gradelab.make_course(tmp_path / "course")
    gradelab.hand_in(root, "eve", gradelab.notebook(gradelab.cells(attack, gradelab.GUESS, gradelab.TWO)))
    gradelab.hand_in(root, "bob", b"{")
    os.symlink("/etc/hostname", gradelab.hand_in(root, "ada", b"", "notes.txt") / f"{gradelab.LAB}.ipynb")
    with distributed.Client(cluster) as client:
        before = pids(client)
        found = {each.student: each for each in machines.over(client, submissions.find(root / "submitted"), SETTINGS)}
        assert pids(client) == before
    assert gradelab.scores(found["eve"])["two"] == 3.0
    assert "is not JSON" in found["bob"].reason
    assert found["ada"].reason == "The notebook is a link to another file, and links are not followed."


def test_what_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(machines, "GREETING", 0.5)
    started = start.Started(layers=sandbox.Layers(), bounds=Bounds(), limits=sandbox.Limits(), worker=None)
    with pytest.raises(LearnerError, match="needs dask-jobqueue"):
        machines.grader(start.Options(cluster="slurm"), started)
    with pytest.raises(LearnerError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(
            machines.grader(start.Options(scheduler="tcp://127.0.0.1:9"), started)(
                [Job(student="a", lab="b", notebook="c")]
            )
        )


def test_a_folder_comes_out_as_it_went_in_and_nowhere_else(tmp_path):
    went_in = tmp_path / "in"
    went_in.mkdir()
    (went_in / "a.ipynb").write_bytes(b"\x00\xff")
    (went_in / "link").symlink_to("/etc/passwd")
    (went_in / "folder.ipynb").mkdir()
    packed = stations.pack(went_in)
    stations.unpack(json.loads(json.dumps(packed)), tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "a.ipynb").read_bytes() == b"\x00\xff"
    assert (os.readlink(out / "link"), (out / "folder.ipynb").is_dir()) == ("nowhere", True)
    assert stations.pack(went_in / "link") is None
    for name in ("../evil", "/etc/evil"):
        with pytest.raises(ValueError, match="is not below"):
            stations.unpack([(name.encode().hex(), "file", "")], tmp_path / name.replace("/", "_"))


def test_a_station_whose_worker_dies_asks_another(monkeypatch):
    asked = []

    class Dying:
        def __init__(self, *settings):
            asked.append(settings)

        def give(self, job, lanes):
            pass

        def take(self):
            raise wire.Closed

        def end(self):
            pass

    monkeypatch.setattr(stations, "Process", Dying)
    station = stations.Station(sandbox.Layers(), Bounds(), sandbox.Limits())
    report = station.grade(Job(student="a", lab="b", notebook="c"))
    station.end()
    assert report.fault == "3 workers ended while they graded it"
    assert len(asked) == 3
