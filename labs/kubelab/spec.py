"""What a lab says of itself: `lab.yaml` as values."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from kubelab import variants
from kubesim.errors import LearnerError

KINDS = ("state", "behaviour", "prediction", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that is asked.  `kind` is one of KINDS; a "text" is left to the teacher.

    `hints` go from the hop, to the object, to the field: each says a little more.  `choices` are a prediction's possible
    answers: a short word and what it stands for; a prediction without them is answered freely (a number, a name, an address).
    `needs` are earlier tasks that this one builds on: until they are done it earns nothing.
    """

    name: str
    title: str
    points: float
    kind: str
    asks: str = ""
    success: str = ""
    hints: tuple[str, ...] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A lab.  `clears` are the rows of the course's list of misconceptions; `minutes` is what a learner needs.

    `preset` is one of `kubesim presets`, or "./FILE": a preset of its own, beside lab.yaml.

    `whole_cluster`: it changes the cluster itself (kube-proxy, a node), and not a namespace of it alone.
    """

    name: str
    folder: Path
    title: str
    minutes: int
    summary: str
    teaches: tuple[str, ...]
    clears: tuple[int, ...]
    tasks: tuple[Task, ...]
    preset: str = "kind"
    seed: int = 1
    whole_cluster: bool = False
    # What each key of the lab may be, and what it is here (`kubelab.variants`).
    variants: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    variant: Mapping[str, str] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """The task of that name.  LearnerError names the known ones."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise LearnerError(f"this lab has no task {name!r}", f"Tasks: {', '.join(task.name for task in self.tasks)}.")

    def manifests(self, folder: str = "manifests") -> str:
        """The YAML documents of one of the lab's folders, joined in the order of their names."""
        files = sorted((self.folder / folder).glob("*.yaml"))
        text = "\n---\n".join(path.read_text(encoding="utf-8").strip() for path in files)
        return variants.fill(text, self.variant)

    def checks(self) -> ModuleType:
        """The lab's `checks.py`, loaded from where it is (a lab folder is not a package)."""
        module_name = "kubelab_checks_" + self.name.replace("-", "_")
        spec = importlib.util.spec_from_file_location(module_name, self.folder / "checks.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def load(folder: Path, student: str = "") -> Spec:
    """The lab in that folder, in that student's variant.  LearnerError names the field that is wrong."""
    path = folder / "lab.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if str(data.get("preset", "")).startswith("./"):
        data["preset"] = str(folder / data["preset"])
    for key, values in data.get("variants", {}).items():
        if not isinstance(values, list) or not values:
            raise LearnerError(f"{path}: variants: {key} is no list of values", "variants: {port: [80, 8001]}")
    variant = variants.draw(folder.name, data.get("variants", {}), student)
    data = variants.fill_all(data, variant) | {"variant": variant}
    tasks = tuple(_build(Task, each, f"{path}: tasks[{index}]") for index, each in enumerate(data.pop("tasks", [])))
    for task in tasks:
        if task.kind not in KINDS:
            raise LearnerError(f"{path}: task {task.name}: kind {task.kind!r} is none of {', '.join(KINDS)}")
    checked: set[str] = set()
    for task in tasks:
        for needed in task.needs:
            if needed not in checked:
                raise LearnerError(
                    f"{path}: task {task.name} needs {needed!r}, which is no earlier task that is checked"
                )
        if task.kind != "text":
            checked.add(task.name)
    return _build(Spec, {**data, "tasks": tasks, "name": folder.name, "folder": folder}, str(path))


def _build(kind: type, data: dict[str, Any], where: str) -> Any:
    known = {each.name for each in dataclasses.fields(kind)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise LearnerError(f"{where}: unknown field {unknown[0]!r}", f"Fields: {', '.join(sorted(known))}.")
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})
    except TypeError as error:
        raise LearnerError(f"{where}: {error}") from None
