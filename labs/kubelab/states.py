"""States that a learner might bring a lab into: its key, its bare start, and what is believed wrongly.

They are in the lab's folder (`solution/state.yaml`, `wrong-*/state.yaml`): what is run and answered, and how each task must come
out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubelab import variants
from kubelab.spec import Spec
from kubesim.errors import LearnerError

BARE = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a learner might have done.

    `run` is a script in the lab's terminal, `answers` are predictions; `expect` says for each task the `points`, and what
    the message (`says`) and the explanation (`why`) must contain.
    """

    name: str
    run: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    expect: dict[str, dict[str, Any]] = field(default_factory=dict)


def states(spec: Spec) -> list[State]:
    """The bare start and the states in the lab's folders, in the order of their names."""
    found = [State(name=BARE, expect={task.name: {"points": 0} for task in spec.tasks if task.kind != "text"})]
    return found + [_load(path, spec) for path in sorted(spec.folder.glob("*/state.yaml"))]


def _load(path: Path, spec: Spec) -> State:
    data = variants.fill_all(yaml.safe_load(path.read_text(encoding="utf-8")), spec.variant)
    unknown = sorted(set(data) - {"run", "answers", "expect"})
    if unknown:
        raise LearnerError(f"{path}: unknown field {unknown[0]!r}", "Fields: run, answers, expect.")
    return State(name=path.parent.name, **data)
