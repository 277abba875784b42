"""The guides are right: their files are written as they say, and what they type prints what they show."""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from pathlib import Path

import pytest

from kubelab import course, folders, spec
from kubelab.lab import Lab
from kubesim.cluster import Cluster
from kubesim.programs import images
from kubesim.shell import commands

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?P<fence>`{3,4})(?P<kind>\w+)(?: (?P<file>\S+))?\n(?P<body>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)


def blocks(guide: str) -> list[tuple[str, str, str]]:
    """Kind, file and text of each fenced block."""
    text = (ROOT / "docs" / "guides" / f"{guide}.md").read_text(encoding="utf-8")
    return [(each["kind"], each["file"] or "", each["body"]) for each in BLOCK.finditer(text)]


def module(name: str, text: str) -> types.ModuleType:
    made = types.ModuleType(name)
    exec(compile(text, name, "exec"), made.__dict__)
    return made


def typed(text: str) -> list[tuple[str, str]]:
    """Commands with what they print."""
    return [(part.split("\n", 1)[0], part.split("\n", 1)[1]) for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


def replay(cluster: Cluster, text: str) -> None:
    for command, output in typed(text):
        done = cluster.shell(command)
        # Times of a round trip are drawn by lot.
        said = re.sub(r"\d+\.\d+ ms", "N ms", done.stdout)
        assert said.rstrip("\n") == re.sub(r"\d+\.\d+ ms", "N ms", output).rstrip("\n"), (command, done)


def test_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, file, text), (_, preset, session) = blocks("image")
    name = Path(file).stem
    made = module(f"kubesim.programs.{name}", text)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setitem(images.MODULES, name, made.IMAGES[0].names)
    images._load.cache_clear()
    try:
        replay(Cluster(preset), session)
    finally:
        monkeypatch.undo()
        images._load.cache_clear()


def test_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, file, text), (_, preset, session) = blocks("command")
    name = Path(file).stem
    made = module(f"kubesim.shell.commands.{name}", text)
    cluster = Cluster(preset)
    lookup = commands.lookup
    monkeypatch.setattr(commands, "lookup", lambda wanted: made.run if wanted == name else lookup(wanted))
    cluster.home.tools = cluster.home.tools | {name}
    replay(cluster, session)
    assert "usage: rtt" in cluster.shell("rtt").stderr


def test_a_preset(tmp_path: Path) -> None:
    (_, file, text), (_, _, session) = blocks("preset")
    (tmp_path / file).write_text(text, encoding="utf-8")
    cluster = Cluster(str(tmp_path / file))
    replay(cluster, session)
    assert list(cluster.boxes) == ["bigip-1"]


@pytest.fixture
def made_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> spec.Spec:
    for _, file, text in blocks("lab"):
        if file:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(folders, "root", lambda: tmp_path / "labs")
    return spec.load(folders.find("hello"))


def test_a_lab(made_lab: spec.Spec, tmp_path: Path) -> None:
    from kubegrade import proof

    states = proof.states(made_lab)
    assert [each.name for each in states] == ["bare", "solution", "wrong-port"]
    assert [verdict for state in states for verdict in proof.prove(made_lab, state) if verdict.wrong] == []
    text = course.build(tmp_path / "course" / "lessons" / "20-hello.md", made_lab)
    assert '"grade_id": "hello"' in text


def test_its_exercises(made_lab: spec.Spec) -> None:
    lab = Lab(made_lab)
    answers = {seed: lab.exercise(seed).answer("yes").passed for seed in range(1, 8)}
    assert set(answers.values()) == {True, False}


def test_a_check(made_lab: spec.Spec) -> None:
    (_, _, table), (_, _, text) = blocks("check")
    given = module("checks", text)
    subject = Lab(made_lab)
    subject.shell("kubectl expose pod hello --port=80")
    late = given.answers_within("pod/client", "http://hello", 2)(subject)
    assert (late.passed, late.message) == (False, "http://hello gave no answer in 2 s.")
    assert "listens on tcp port 80" in late.explanation
    subject.shell("kubectl delete service hello; kubectl expose pod hello --port=80 --target-port=8080")
    found = given.answers_within("pod/client", "http://hello", 2)(subject)
    assert found.passed
    assert re.fullmatch(r"http://hello answered in 0\.\d\d s\.", found.message)
    from kubelab import checks

    assert list(module("table", f"from kubelab import checks\n{table}").CHECKS) == ["repair"]
    assert dataclasses.is_dataclass(found)
    assert checks.reaches


def test_every_guide_is_named_where_people_look() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "README.md"))
    for path in sorted((ROOT / "docs" / "guides").glob("*.md")):
        assert f"docs/guides/{path.name}" in text
