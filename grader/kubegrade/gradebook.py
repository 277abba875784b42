"""nbgrader's gradebook is the record: scores, comments and what a person must read go in through its own API.

After a run nbgrader's formgrader, manual grading, feedback and export work as after `nbgrader autograde`; a score that a person
has given is never touched.  Writing a report twice changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Collection, Iterator
from html import escape
from pathlib import Path
from typing import Any

from kubegrade import notebooks
from kubegrade.report import Mark, Report, Said
from kubelab import display


class Book:
    """A gradebook, open.  `path` is its SQLite file; it is made if it is not there."""

    def __init__(self, path: Path, course_id: str = "") -> None:
        _find_alembic()
        with _without_grammars():
            from nbgrader.api import Gradebook

        self.url = f"sqlite:///{path.resolve()}"
        self._book = Gradebook(self.url, course_id) if course_id else Gradebook(self.url)
        self._known: set[tuple[str, str]] = set()

    def close(self) -> None:
        self._book.close()

    def add_assignment(self, lab: str, source: Path) -> None:
        """Make the assignment and its notebook known, as `nbgrader generate_assignment` does, if they are not."""
        from nbgrader.api import MissingEntry

        if (lab, source.stem) in self._known:
            return
        self._known.add((lab, source.stem))
        try:
            self._book.find_notebook(source.stem, lab)
            return
        except MissingEntry:
            self._book.update_or_create_assignment(lab)
        _save_cells(source, lab, self.url)
        self._book.db.expire_all()

    def write(self, report: Report, timestamp: str = "", only: Collection[str] | None = None) -> None:
        """Put a report's scores, comments and flags into the book; with `only`, those of these tasks."""
        from nbgrader.api import MissingEntry

        when = {"timestamp": timestamp} if timestamp else {}
        with warnings.catch_warnings():
            # nbgrader builds its objects while the session flushes, and SQLAlchemy says so each time.
            warnings.simplefilter("ignore")
            self._book.update_or_create_student(report.student)
            self._book.update_or_create_submission(report.lab, report.student, **when)
        notebook = self._book.find_submission_notebook(report.notebook, report.lab, report.student)
        grades = {each.name: each for each in notebook.grades}
        for mark in report.marks:
            grade = grades.get(mark.task)
            if grade is None or (only is not None and mark.task not in only):
                continue
            grade.auto_score = None if mark.manual else mark.points
            # As nbgrader's own autograder: what a person gave before is looked at again, and kept.
            grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        comments = {each.name: each for each in notebook.comments}
        for name, text in _comments(report, list(comments)).items():
            if only is None or name.removesuffix("-work") in only:
                comments[name].auto_comment = text or None
        try:
            self._book.db.commit()
        except MissingEntry:
            self._book.db.rollback()
            raise


def _comments(report: Report, cells: list[str]) -> dict[str, str]:
    """What is written beside each solution cell: its task's message.  A lab's solution cell is named after its task."""
    by_task: dict[str, Mark] = {each.task: each for each in report.marks}
    told = {}
    for name in cells:
        mark = by_task.get(name) or by_task.get(name.removesuffix("-work"))
        if mark is None:
            told[name] = report.reason
        else:
            said = [] if mark.manual and not mark.notes else [mark.message, mark.explanation]
            told[name] = " ".join(dict.fromkeys(filter(None, [*said, *mark.notes])))
    return told


def _save_cells(source: Path, lab: str, url: str) -> None:
    """nbgrader's own preprocessors over the teacher's notebook, as far as the book is concerned."""
    import nbformat
    from nbgrader.preprocessors import ClearSolutions, ComputeChecksums, LockCells, SaveCells

    from kubelab import course

    notebook = nbformat.read(source, as_version=4)
    resources = {"nbgrader": {"notebook": source.stem, "assignment": lab, "db_url": url}}
    for preprocessor in (
        ClearSolutions(code_stub={"python": course.CODE_STUB}, text_stub=course.TEXT_STUB),
        LockCells(),
        ComputeChecksums(),
        SaveCells(),
    ):
        notebook, resources = preprocessor.preprocess(notebook, resources)


@contextlib.contextmanager
def _without_grammars() -> Iterator[None]:
    """Import what is imported within without `rfc3987_syntax`: jsonschema takes it if it is there, it compiles forty grammars (a
    second and more), and no notebook's schema asks for one of them."""
    name = "rfc3987_syntax"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _find_alembic() -> None:
    """nbgrader starts `alembic` by its bare name: let it find the one beside this interpreter."""
    import os

    here = str(Path(sys.executable).parent)
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if here not in paths:
        os.environ["PATH"] = os.pathsep.join([here, *paths])


def autograded(report: Report, source: Path, submitted: Path | None) -> str:
    """The notebook as nbgrader's formgrader and feedback show it: the student's cells with what they printed, graded cells as the
    teacher wrote them with their marks, all metadata the teacher's.  JSON of nbformat 4.4."""
    teachers = notebooks.source(source.read_bytes())
    by_name = {cell.grade_id: cell for cell in teachers.cells if cell.grade_id}
    marks = {each.task: each for each in report.marks}
    said = {each.index: each for each in report.said}
    cells: list[dict[str, Any]] = []
    theirs: tuple[notebooks.Cell, ...] = ()
    if submitted is not None:
        with contextlib.suppress(notebooks.Unreadable):
            theirs = notebooks.read(submitted)
    roles = [notebooks.role_of(teachers, cell) for cell in theirs]
    oddities = [each for each in (report.reason, *report.notes) if each]
    if oddities:
        cells.append(
            {"cell_type": "markdown", "metadata": {}, "source": "\n\n".join(f"**{each}**" for each in oddities)}
        )
    for index, (cell, role) in enumerate(zip(theirs, roles, strict=True)):
        last = role and role not in roles[index + 1 :]
        cells.append(_shown(cell, by_name.get(role) if last else None, said.get(index), marks.get(role)))
    for name, cell in by_name.items():
        if name not in roles:
            blank = notebooks.Cell(kind=cell.kind, source=cell.source if not cell.is_solution else "")
            cells.append(_shown(blank, cell, None, marks.get(name)))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole) + "\n"


def _shown(
    cell: notebooks.Cell, teachers: notebooks.Cell | None, said: Said | None, mark: Mark | None
) -> dict[str, Any]:
    """A cell for people to look at; `teachers` is the cell of the source that it is, None for one of no account."""
    text = cell.source
    kind = teachers.kind if teachers is not None else cell.kind
    if teachers is not None and teachers.is_grade and not teachers.is_solution:
        text = without_hidden(teachers.source)
    made: dict[str, Any] = {
        "cell_type": kind if kind in ("code", "raw") else "markdown",
        "metadata": {"nbgrader": teachers.marks} if teachers is not None else {},
        "source": text,
    }
    if kind == "code":
        outputs: list[dict[str, Any]] = []
        if said is not None:
            for name, printed in (("stdout", said.out), ("stderr", said.err or said.error)):
                if printed:
                    outputs.append({"output_type": "stream", "name": name, "text": printed})
        if mark is not None and teachers is not None and teachers.is_grade:
            points = "?" if mark.points is None else f"{mark.points:g}"
            data = {"text/plain": f"{points} of {mark.max:g} points\n{mark.message}\n{mark.explanation}"}
            data["text/html"] = _card(mark)
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        made |= {"outputs": outputs, "execution_count": None}
    return made


def _card(mark: Mark) -> str:
    """A mark in a notebook's page, as a lab's own checks look there."""
    tone, sign = ("pass", "✓") if mark.passed else ("fail", "✗")
    points = "?" if mark.points is None else f"{mark.points:g}"
    lines = [mark.message, mark.explanation, *mark.notes]
    head = f'<b class="kw-{tone}-text">{sign} {escape(mark.title)}</b> <span class="kw-points">{points} of {mark.max:g}</span>'
    body = f"<p>{head}</p>"
    body += "".join(f"<p>{escape(each)}</p>" for each in lines if each)
    if mark.trace:
        body += f"<details><summary>The packet behind this, step by step</summary>{mark.trace}</details>"
    return display.card(body, f"kw-card kw-{tone}")


def without_hidden(source: str) -> str:
    """A test cell without what stands between nbgrader's marks of hidden tests."""
    out, hidden = [], False
    for line in source.split("\n"):
        if "BEGIN HIDDEN TESTS" in line:
            hidden = True
        elif "END HIDDEN TESTS" in line:
            hidden = False
        elif not hidden:
            out.append(line)
    return "\n".join(out)
