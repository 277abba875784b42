"""Reading notebooks that anybody may have written, and finding out which of their cells belong to which task.

A submission is read with as few expectations as possible: whatever is wrong with it is said in one sentence about the
student's file (`Unreadable`), never a traceback, and whatever can still be understood is graded.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# No honest notebook is longer, outputs included.
LARGEST = 32 << 20
MOST_CELLS = 2000
LONGEST_CELL = 1 << 18


class Unreadable(Exception):
    """Nothing of the submission can be graded; the message is for the student."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell, whatever the format's version.  `grade_id` is nbgrader's name for it, or "" ; `marks` its metadata."""

    kind: str
    source: str
    id: str = ""
    grade_id: str = ""
    marks: dict[str, Any] = field(default_factory=dict)

    @property
    def is_grade(self) -> bool:
        """Whether it is worth points (nbgrader's "task" cells are marked by a person)."""
        return bool(self.marks.get("grade") or self.marks.get("task"))

    @property
    def is_solution(self) -> bool:
        return bool(self.marks.get("solution"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something in the source notebook that is worth points.

    `manual`: a person reads it.  `work` are the ids of the solution cells that go before it.  `source` is the teacher's cell.
    """

    name: str
    points: float
    manual: bool
    source: str
    work: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The teacher's notebook.  `stubs` are the texts that students were given for what a person reads, by item."""

    cells: tuple[Cell, ...]
    items: tuple[Item, ...]
    stubs: dict[str, str] = field(default_factory=dict)

    def item(self, name: str) -> Item | None:
        return next((each for each in self.items if each.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A turn of the grader: run a cell of the submission (`index` is its place there), or mark an item."""

    index: int = -1
    source: str = ""
    work: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done with a submission, in order.  `notes` are what is odd about it, by item ("" for the whole)."""

    steps: tuple[Step, ...]
    texts: dict[str, str]
    notes: dict[str, list[str]]


def read(path: Path) -> tuple[Cell, ...]:
    """The cells of a notebook file that is not trusted.  Unreadable says what is wrong with it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise Unreadable("The notebook is a link to another file, and links are not followed.") from None
        raise Unreadable(f"The notebook cannot be opened: {error.strerror}.") from None
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        os.close(fd)
        raise Unreadable("What was handed in under the notebook's name is not a file.")
    with os.fdopen(fd, "rb") as file:
        if about.st_size > LARGEST:
            raise Unreadable(
                f"The notebook has {about.st_size >> 20} MB; more than {LARGEST >> 20} MB are not read. "
                "Clear its outputs (Kernel, Restart and clear all outputs) and hand it in again."
            )
        return parse(file.read(LARGEST + 1))


def parse(data: bytes) -> tuple[Cell, ...]:
    """The cells of a notebook's bytes.  Unreadable says what is wrong."""
    if not data.strip():
        raise Unreadable("The notebook's file is empty.")
    try:
        # A byte order mark is what some editors leave.
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("The file is not a notebook: it is not text in UTF-8.") from None
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(f"The file is not a notebook, or broken: it is not JSON{line}.") from None
    if not isinstance(notebook, dict):
        raise Unreadable("The file is not a notebook: its JSON is no object.")
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        # nbformat 3 and before: cells lay in worksheets.
        sheets = [each for each in notebook["worksheets"] if isinstance(each, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", []) or []]
    if not isinstance(cells, list):
        raise Unreadable("The file is not a notebook: it has no cells.")
    if len(cells) > MOST_CELLS:
        raise Unreadable(f"The notebook has {len(cells)} cells; more than {MOST_CELLS} are not graded.")
    return tuple(_cell(each) for each in cells if isinstance(each, dict))


def _cell(raw: dict[str, Any]) -> Cell:
    source = raw.get("source")
    if source is None:
        source = raw.get("input", "")
    if isinstance(source, list):
        source = "".join(each for each in source if isinstance(each, str))
    metadata = raw.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    marks = marks if isinstance(marks, dict) else {}
    grade_id = marks.get("grade_id")
    return Cell(
        kind=str(raw.get("cell_type", "")),
        source=source if isinstance(source, str) else "",
        id=raw["id"] if isinstance(raw.get("id"), str) else "",
        grade_id=grade_id if isinstance(grade_id, str) else "",
        marks=marks,
    )


def choose(folder: Path, name: str, source: Source) -> tuple[Path, list[str]]:
    """Which of a student's files is the notebook `name`, and what is to be said of that.  Unreadable if none can be it."""
    wanted = folder / f"{name}.ipynb"
    if wanted.is_symlink() or wanted.exists():
        return wanted, []
    there = sorted(each for each in folder.iterdir() if each.suffix.lower() == ".ipynb")
    if not there:
        raise Unreadable(f"There is no notebook {wanted.name}.")
    if len(there) > 1:
        known = {item.name for item in source.items}

        def likeness(path: Path) -> int:
            try:
                return len(known & {cell.grade_id for cell in read(path)})
            except Unreadable:
                return -1

        ranked = sorted(there, key=likeness, reverse=True)
        if likeness(ranked[0]) == likeness(ranked[1]):
            raise Unreadable(
                f"There is no notebook {wanted.name}, and several others: it is not clear which one counts."
            )
        there = ranked
    return there[0], [f"The notebook was named {there[0].name}, not {wanted.name}."]


# -- the teacher's notebook -------------------------------------------------------------------------------------


def source(data: bytes, stub: str = "") -> Source:
    """The teacher's notebook: what is worth points in it, in its order.  `stub` stands where students are to write text."""
    cells = parse(data)
    items: list[Item] = []
    stubs: dict[str, str] = {}
    work: list[str] = []
    for cell in cells:
        if cell.is_solution and cell.grade_id:
            work.append(cell.grade_id)
        if cell.is_grade and cell.grade_id:
            manual = cell.is_solution or bool(cell.marks.get("task")) or cell.kind != "code"
            items.append(
                Item(
                    name=cell.grade_id,
                    points=_points(cell.marks.get("points")),
                    manual=manual,
                    source=cell.source,
                    work=tuple(work),
                )
            )
            if manual:
                stubs[cell.grade_id] = released(cell.source, stub)
            work = []
    return Source(cells=cells, items=tuple(items), stubs=stubs)


def released(text: str, stub: str) -> str:
    """A teacher's cell as students get it: what is between the solution's marks replaced (nbgrader's ClearSolutions)."""
    lines, inside, out = text.split("\n"), False, []
    found = False
    for line in lines:
        if "BEGIN SOLUTION" in line:
            inside = found = True
            out.append(stub)
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            out.append(line)
    return "\n".join(out) if found else stub


def _points(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


# -- what is done with a submission ---------------------------------------------------------------------------------


def plan(source: Source, cells: Sequence[Cell]) -> Plan:
    """The turns to take with a submission's cells.

    Which cell is which, `role_of` says.  A graded cell is never run as the student left it: its
    place says when to mark.  Where it is missing, its item is marked before the next item's first cell, or at the end.
    """
    notes: dict[str, list[str]] = {}
    roles = [role_of(source, cell) for cell in cells]
    automatic = [each for each in source.items if not each.manual]
    order = {name: number for number, item in enumerate(source.items) for name in (item.name, *item.work)}
    present = {role for role in roles if (item := source.item(role)) is not None and not item.manual}
    missing = [each.name for each in automatic if each.name not in present]
    for name in missing:
        _note(notes, name, "Its graded cell was not in the notebook; the task was marked all the same.")
    steps: list[Step] = []
    texts: dict[str, str] = {}
    seen: dict[str, int] = {}
    for index, (cell, role) in enumerate(zip(cells, roles, strict=True)):
        if role in order:
            due = [name for name in missing if order[name] < order[role]]
            steps += [Step(mark=name) for name in due]
            missing = [name for name in missing if name not in due]
        item = source.item(role)
        seen[role] = seen.get(role, 0) + 1
        if item is not None and item.manual:
            if item.name in texts:
                _note(notes, item.name, "The cell was there twice; both texts are shown.")
                texts[item.name] += f"\n\n{cell.source}"
            else:
                texts[item.name] = cell.source
            if cell.kind == "code":
                steps.append(_run(index, cell, notes, role))
        elif item is not None:
            if seen[role] == 2:
                _note(notes, role, "Its graded cell was there more than once; the last one counted.")
            if cell.source.strip() != item.source.strip():
                _note(notes, role, "You changed a cell that is graded; what you changed there was not run.")
            steps.append(Step(index=index, mark=role))
        elif cell.kind == "code" and cell.source.strip():
            if role and seen[role] == 2:
                _note(notes, _item_of(source, role), "A cell for your work was there more than once; all were run.")
            steps.append(_run(index, cell, notes, role))
    steps += [Step(mark=name) for name in missing]
    for item in source.items:
        if item.manual and item.name not in texts:
            _note(notes, item.name, "The cell for your answer was not in the notebook.")
    last = max((number for number, step in enumerate(steps) if step.mark), default=-1)
    return Plan(steps=tuple(steps[: last + 1]), texts=texts, notes=notes)


def _run(index: int, cell: Cell, notes: dict[str, list[str]], role: str) -> Step:
    if len(cell.source) > LONGEST_CELL:
        _note(notes, "", f"Cell {index + 1} is longer than {LONGEST_CELL >> 10} KB and was not run.")
        return Step(index=index)
    return Step(index=index, source=cell.source, work=role)


def role_of(source: Source, cell: Cell) -> str:
    """The id of the teacher's graded or solution cell that this one is, or "".

    Known by the teacher's own text for a graded cell, then by nbgrader's id, then by the notebook's.
    """
    if cell.kind == "code":
        for item in source.items:
            if not item.manual and cell.source.strip() == item.source.strip():
                return item.name
    known = {name for item in source.items for name in (item.name, *item.work)}
    for name in (cell.grade_id, cell.id):
        if name in known:
            named = source.item(name)
            # A cell of another kind under a graded cell's name is somebody's own.
            if named is None or named.manual or cell.kind == "code":
                return name
    return ""


def _item_of(source: Source, work: str) -> str:
    return next((item.name for item in source.items if work in item.work), "")


def _note(notes: dict[str, list[str]], name: str, text: str) -> None:
    said = notes.setdefault(name, [])
    if text not in said:
        said.append(text)
