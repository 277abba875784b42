"""From a lesson's text to its notebook.

A lesson is Markdown (jupytext's kind) in `course/lessons`; its notebook, in `course/source/<lab>`, is built and committed.
A code cell with `solution="TASK"` is where a learner works, one with `check="TASK"` is graded, a Markdown region with
`answer="TASK"` is read by a teacher.  nbgrader's metadata are made from these and from lab.yaml, so that points stand
in one place.

Cell ids are made of the cells' own text: a notebook that is built again is the same, byte for byte.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kubelab import folders
from kubelab import spec as specs
from kubesim.errors import LearnerError

# nbgrader 0.9's; SchemaTooOld and SchemaTooNew stop a whole batch.
SCHEMA_VERSION = 3


def build(lesson: Path, spec: specs.Spec) -> str:
    """The notebook of a lesson, as JSON text.  LearnerError names the cell that speaks of an unknown task."""
    import jupytext
    import nbformat

    notebook = jupytext.read(lesson, fmt="md")
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        _mark(cell, spec)
        cell["id"] = _id(cell, seen)
        if cell.cell_type == "code":
            cell["execution_count"] = None
            cell["outputs"] = []
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def release(source: str) -> str:
    """A learner's copy of a built notebook: the solutions taken out, as nbgrader would."""
    import nbformat
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    notebook = nbformat.reads(source, as_version=4)
    for preprocessor in (
        ClearSolutions(code_stub={"python": CODE_STUB}, text_stub=TEXT_STUB),
        ClearHiddenTests(),
    ):
        notebook, _ = preprocessor.preprocess(notebook, {})
    return nbformat.writes(notebook) + "\n"


def hand_out(folder: Path) -> list[Path]:
    """Copy every notebook of the course to a folder, as a learner gets it; a copy that is there already is hers, and is left
    alone.  The copies, in the order of the labs.  LearnerError when there are none."""
    notebooks = sorted(folders.course().glob("*/*.ipynb"))
    if not notebooks:
        raise LearnerError("the course has no notebooks yet", "Build them: kubelab build")
    folder.mkdir(parents=True, exist_ok=True)
    copies = [folder / path.name for path in notebooks]
    for path, copy in zip(notebooks, copies, strict=True):
        if not copy.exists():
            copy.write_text(release(path.read_text(encoding="utf-8")), encoding="utf-8")
    return copies


# A comment in Python and in a shell alike.
CODE_STUB = "# your work here"
TEXT_STUB = "*Your answer here.*"


def _mark(cell: Any, spec: specs.Spec) -> None:
    """nbgrader's metadata in place of the lesson's short ones."""
    metadata = dict(cell.metadata)
    cell.metadata.clear()
    for role in ("solution", "check", "answer"):
        if role not in metadata:
            continue
        try:
            task = spec.task(metadata[role])
        except LearnerError as error:
            raise LearnerError(
                f"{spec.name}: a cell with {role}={metadata[role]!r}: {error.message}", error.remedy
            ) from None
        cell.metadata["nbgrader"] = _nbgrader(role, task, cell.cell_type)
        # A graded cell that is deleted by mistake would cost its points.
        cell.metadata["deletable"] = False
        if role == "check":
            cell.metadata["editable"] = False


def _nbgrader(role: str, task: specs.Task, cell_type: str) -> dict[str, Any]:
    marks: dict[str, Any] = {
        "cell_type": cell_type,
        "grade": role != "solution",
        "grade_id": task.name if role != "solution" else f"{task.name}-work",
        "locked": role == "check",
        "schema_version": SCHEMA_VERSION,
        "solution": role != "check",
        "task": False,
    }
    if marks["grade"]:
        marks["points"] = task.points
    return marks


def _id(cell: Any, seen: dict[str, int]) -> str:
    """The grade id, or a digest of the text; a second cell of the same text gets a number."""
    grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
    base = grade_id or hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
    seen[base] = seen.get(base, 0) + 1
    return base if seen[base] == 1 else f"{base}-{seen[base]}"
