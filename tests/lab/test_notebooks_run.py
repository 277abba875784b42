"""Every notebook runs from top to bottom without a page to look at it: with the key, and as a learner first gets it."""

from __future__ import annotations

import resource

import nbclient
import nbformat
import pytest

from kubelab import course, folders

# What a learner waits for in all, in seconds of processor time: on a busy machine the wall clock says little.
SECONDS = 10


@pytest.fixture(
    scope="module", params=[(name, who) for name in folders.names() for who in ("key", "learner")], ids="-".join
)
def ran(request, root, tmp_path_factory):
    name, who = request.param
    text = (root / "course" / "source" / name / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = nbformat.reads(text if who == "key" else course.release(text), as_version=4)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = nbclient.NotebookClient(
        notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(tmp_path_factory.mktemp("run"))}}
    )
    client.execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return who, notebook, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def outputs(notebook):
    return [(cell, out) for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]


def test_no_cell_fails_and_nothing_is_written_to_stderr(ran):
    _who, notebook, _seconds = ran
    # nbgrader takes a mark away for anything on stderr.
    bad = [
        (cell.source, out)
        for cell, out in outputs(notebook)
        if out.output_type == "error" or (out.output_type == "stream" and out.name == "stderr")
    ]
    assert bad == []


def test_it_takes_less_than_ten_seconds(ran):
    assert ran[2] < SECONDS


def test_the_key_has_all_points_in_it_and_the_learner_none(ran):
    who, notebook, _seconds = ran
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade") and not marks.get("solution"):
            (points,) = [
                float(out["data"]["text/plain"]) for out in cell.outputs if out.output_type == "execute_result"
            ]
            assert points == (marks["points"] if who == "key" else 0), marks["grade_id"]


def test_pictures_and_steppers_are_in_the_file_and_need_no_script(ran):
    pages = [out["data"]["text/html"] for _cell, out in outputs(ran[1]) if "text/html" in out.get("data", {})]
    assert sum('type="radio"' in page for page in pages) >= 3
    assert sum("<figure" in page and "<svg" in page for page in pages) >= 2
    assert not any("<script" in page for page in pages)
