"""A small course to grade: one lab with a task of each kind, and notebooks made by a function."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from kubegrade import batch, sandbox, submissions
from kubegrade.jobs import Bounds
from kubelab import course as kubelab_course

LAB = "90-small"
POINTS = {"one": 2.0, "guess": 1.0, "two": 3.0}

LAB_YAML = """
title: A small lab
minutes: 1
summary: For tests.
teaches: []
clears: []
tasks:
  - {name: one, title: A ConfigMap, points: 2, kind: state}
  - {name: guess, title: A guess, points: 1, kind: prediction, choices: {a: the first, b: the second, c: the third}}
  - {name: two, title: A Service, points: 3, kind: behaviour, hints: [Look closer.]}
  - {name: why, title: In words, points: 2, kind: text}
"""
MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: client, image: registry.k8s.io/e2e-test-images/agnhost:2.53, args: [pause]}]}
"""
CHECKS = """
from kubelab import checks

SECRET = "the-hidden-word"

def experiment(port):
    done = port.run_outside("kubectl get pods -o name | grep -c client")
    return checks.Outcome(answer="b" if done.stdout.strip() == "1" else "a", because="There is one client.")

CHECKS = {
    "one": [
        checks.state("ConfigMap", "one", {"data": {"a": "b"}}),
        checks.hidden(checks.state("ConfigMap", "one", {"metadata": {"labels": {"real": "yes"}}}, failure=SECRET)),
    ],
    "guess": [checks.predicts("guess", experiment)],
    "two": [checks.reaches("pod/client", "http://web")],
}
"""


def marks(name: str, **more: Any) -> dict[str, Any]:
    """nbgrader's metadata of a cell."""
    told = {"grade_id": name, "schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": {**told, **more}}


def code(source: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code", "source": source, "metadata": metadata or {}, "outputs": [], "execution_count": None,
    }  # fmt: skip


def work(task: str, source: str) -> dict[str, Any]:
    return code(source, marks(f"{task}-work", solution=True))


def check(task: str) -> dict[str, Any]:
    return code(f'lab.grade("{task}")', marks(task, grade=True, locked=True, points=POINTS[task]))


def text(source: str) -> dict[str, Any]:
    told = marks("why", grade=True, solution=True, points=2)
    return {"cell_type": "markdown", "source": source, "metadata": told}


OPEN = 'import kubelab\nlab = kubelab.open("90-small")'
ONE = 'lab.shell("kubectl create configmap one --from-literal=a=b; kubectl label configmap one real=yes")'
GUESS = 'lab.answer("guess", "b")'
TWO = 'lab.shell("kubectl expose deployment web --port=80")'


def cells(one: str = "", guess: str = "", two: str = "", why: str = "", before: str = "") -> list[dict[str, Any]]:
    """A notebook's cells, with this written where students work."""
    return [
        code(OPEN),
        *([code(before)] if before else []),
        work("one", one),
        check("one"),
        work("guess", guess),
        check("guess"),
        work("two", two),
        check("two"),
        text(why or kubelab_course.TEXT_STUB),
    ]


def notebook(of: list[dict[str, Any]], **more: Any) -> bytes:
    told = {"cells": of, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 4, **more}
    return json.dumps(told).encode()


def make_course(root: Path) -> Path:
    """A course folder with the lab, and its source notebook."""
    lab = root / "labs" / LAB
    (lab / "manifests").mkdir(parents=True)
    (lab / "lab.yaml").write_text(LAB_YAML)
    (lab / "checks.py").write_text(CHECKS)
    (lab / "manifests" / "10.yaml").write_text(MANIFESTS)
    source = root / "source" / LAB
    source.mkdir(parents=True)
    why = "### BEGIN SOLUTION\nBecause.\n### END SOLUTION"
    (source / f"{LAB}.ipynb").write_bytes(notebook(cells(ONE, GUESS, TWO, why)))
    (root / "submitted").mkdir()
    return root


# What a student may write, and what it is worth.
WORK: dict[str, list[tuple[str, float]]] = {
    "one": [
        ("", 0),
        (ONE, 2),
        ('lab.shell("kubectl create configmap one --from-literal=a=b")', 1),
        (
            "lab.core.create_namespaced_config_map(lab.namespace, {'metadata': {'name': 'one', 'labels': {'real': 'yes'}},"
            " 'data': {'a': 'b'}})",
            2,
        ),
        ("raise ValueError", 0),
    ],
    "guess": [("", 0), (GUESS, 1), ('lab.answer("guess", "c")', 0)],
    "two": [("", 0), (TWO, 3), ('lab.shell("kubectl expose deployment web --port=81 --target-port=80")', 0)],
}


def hand_in_class(root: Path, size: int) -> dict[str, tuple[float, ...]]:
    """Drawn notebooks of so many students s000, s001, ...; each one's points.  Every second one has written a text."""
    dice = random.Random(6)
    points = {}
    for number in range(size):
        drawn = [dice.choice(each) for each in WORK.values()]
        student = f"s{number:03}"
        written = cells(*(source for source, _ in drawn), why=f"I am {student}." if number % 2 else "")
        hand_in(root, student, notebook(written))
        points[student] = tuple(worth for _, worth in drawn)
    return points


def hand_in(root: Path, student: str, data: bytes, name: str = f"{LAB}.ipynb") -> Path:
    folder = root / "submitted" / student / LAB
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder


def grade(root: Path, *, workers: int = 2, bounds: Bounds | None = None, only: str = "") -> dict[str, Any]:
    """The reports by student."""
    layers = sandbox.probe()
    assert layers.sufficient, f"no sandbox here: {layers}"
    jobs = [job for job in submissions.find(root / "submitted") if not only or job.student == only]
    reports = batch.grade(jobs, workers=workers, layers=layers, bounds=bounds or Bounds(), limits=sandbox.Limits())
    return {each.student: each for each in reports}


def scores(report: Any) -> dict[str, float | None]:
    return {each.task: each.points for each in report.marks}


def processes(marker: str) -> list[str]:
    """Processes of this machine whose command line holds the marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line:
            found.append(f"{pid} {line}")
    return found
