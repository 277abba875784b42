"""Grading, side by side with `nbgrader autograde`: the course's own ClusterIP lab, the same submissions, the sandbox on.

The submissions are the lab's own key, its bare start and its wrong states, in turn, written into notebooks as students hand
them in.  nbgrader runs one after the other, for it knows no other way; it may be given fewer of them, and its time is then taken
for each.  The floor is what the pre-forked cells alone would take: no sandbox, no wire, no marks written.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from kubelab import course, folders

LAB = "02-clusterip"


def measure(count: int, nbgraders: int, workers: int = 2) -> dict[str, Any]:
    """Figures for `count` submissions, of which nbgrader gets the first `nbgraders`.

    nbgrader's minutes are long enough to even out what else the machine does, our seconds are not: ours is run three times,
    around nbgrader's, and the middle one counts.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = [Path(scratch) / f"ours{number}" for number in range(3)], Path(scratch) / "theirs"
        for root, size in (*((root, count) for root in ours), (theirs, nbgraders)):
            _course(root, size)
            # Both begin with the gradebook that handing the assignment out has made.
            _nbgrader(root, "generate_assignment", LAB)
        runs = [_kubegrade(ours[0], workers)]
        start = time.monotonic()
        _nbgrader(theirs, "autograde", LAB)
        slow = (time.monotonic() - start) / nbgraders
        runs += [_kubegrade(root, workers) for root in ours[1:]]
        quick = sorted(runs, key=lambda run: run["seconds"])[1]
        equal = all(_scores(root, nbgraders) == _scores(theirs, nbgraders) for root in ours)
        each = quick["seconds"] / count
        floor = _floor(ours[0])
        return {
            "submissions": count,
            "workers": workers,
            "kubegrade_seconds": quick["seconds"],
            "kubegrade_runs": [run["seconds"] for run in runs],
            "kubegrade_seconds_each": each,
            "warm_seconds_each": quick["warm"],
            "nbgrader_submissions": nbgraders,
            "nbgrader_seconds_each": slow,
            "ratio": slow / each,
            "floor_cpu_seconds_each": floor,
            "above_floor": each * workers / floor,
            "equal_scores": equal,
        }


def many(count: int, workers: int = 2) -> dict[str, float]:
    """The largest resident memory, in MB, of the grader and of any process that it has started, over so many submissions."""
    with tempfile.TemporaryDirectory() as scratch:
        _course(Path(scratch), count)
        seconds = _kubegrade(Path(scratch), workers)["seconds"]
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return {"submissions": count, "seconds": seconds, "largest_process_mb": largest}


def _course(root: Path, count: int) -> None:
    checkout = folders.HERE.parent.parent / "course"
    (root / "source").mkdir(parents=True)
    shutil.copy(checkout / "nbgrader_config.py", root)
    shutil.copytree(folders.course() / LAB, root / "source" / LAB)
    source = (root / "source" / LAB / f"{LAB}.ipynb").read_text(encoding="utf-8")
    made = list(_submissions(source))
    for number in range(count):
        folder = root / "submitted" / f"s{number:04}" / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_text(made[number % len(made)], encoding="utf-8")


def _submissions(source: str) -> list[str]:
    """The key, the bare start, and the wrong states, as notebooks."""
    made = [source, course.release(source)]
    for path in sorted((folders.find(LAB)).glob("wrong-*/state.yaml")):
        state = yaml.safe_load(path.read_text(encoding="utf-8"))
        notebook = json.loads(course.release(source))
        for cell in notebook["cells"]:
            work = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            lines = str(state.get("run", "")).splitlines()
            if work in ("service-work", "repair-work"):
                # Each line where its task is.
                mine = [line for line in lines if ("shop" in line) == (work == "service-work")]
                cell["source"] = f"lab.shell({chr(10).join(mine)!r})"
            elif work == "zero-work" and state.get("answers"):
                cell["source"] = f"lab.answer('zero', {state['answers']['zero']!r})"
        made.append(json.dumps(notebook))
    return made


def _kubegrade(root: Path, workers: int) -> dict[str, float]:
    line = [sys.executable, "-m", "kubegrade.cli", "grade", str(root / "submitted"), "--jobs", str(workers)]
    start = time.monotonic()
    done = subprocess.run([*line, "--json", str(root / "reports.json")], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode:
        raise RuntimeError(done.stderr)
    reports = json.loads((root / "reports.json").read_text(encoding="utf-8"))
    taken = sorted(each["seconds"] for each in reports)
    return {"seconds": seconds, "warm": taken[len(taken) // 2] / workers}


def _nbgrader(root: Path, *command: str) -> None:
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
    subprocess.run([sys.executable, "-m", "nbgrader", *command], cwd=root, env=env, capture_output=True, check=True)


def _scores(root: Path, count: int) -> list[Any]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        return [
            sorted((grade.name, grade.auto_score) for notebook in submission.notebooks for grade in notebook.grades)
            for submission in sorted(book.assignment_submissions(LAB), key=lambda each: each.student.id)[:count]
        ]


_FLOOR = """
import contextlib, gc, io, json, os, sys, time
import kubelab
from kubelab import lab as module
from IPython.core.interactiveshell import InteractiveShell
cells = [c["source"] for c in json.load(open(sys.argv[1]))["cells"] if c["cell_type"] == "code"]
cells = ["".join(c) for c in cells]
shell = InteractiveShell.instance()
shell.display_formatter.mimebundle_formatter.enabled = False
def run():
    ready = [kubelab.open("02").port for _ in range(2)]
    real, module.start = module.start, lambda of: ready.pop()
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            shell.run_cell(cell)
    module.start = real
run()
gc.collect(); gc.freeze(); gc.disable()
ready = [kubelab.open("02").port for _ in range(2)]
module.start = lambda of: ready.pop()
for _ in range(5):
    if os.fork() == 0:
        begun = time.process_time()
        out = sys.stdout
        with contextlib.redirect_stdout(io.StringIO()):
            for cell in cells:
                shell.run_cell(cell)
        print(time.process_time() - begun, file=out, flush=True)
        os._exit(0)
    os.wait()
"""


def _floor(root: Path) -> float:
    """CPU seconds of one submission's cells in a fork of a warm process, with the cluster in it: the median of five."""
    path = root / "source" / LAB / f"{LAB}.ipynb"
    done = subprocess.run([sys.executable, "-c", _FLOOR, str(path)], capture_output=True, text=True, check=True)
    figures = sorted(float(line) for line in done.stdout.split())
    return figures[len(figures) // 2]
