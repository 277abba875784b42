"""The book: every lab's notebook, run and written as a page, with an index and the glossary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from kubelab import course, folders, progress, spec
from kubelab.site import links, page
from kubesim.errors import LearnerError

# How long one cell may take, in seconds.
PATIENCE = 120

Run = Callable[[str], list[dict[str, Any]]]


def write(target: Path, labs: Sequence[str] = (), run: Run | None = None) -> list[Path]:
    """Write the book into a folder; the pages.  LearnerError where a cell fails or a link leads nowhere."""
    names = [folders.find(each).name for each in labs] or [
        each for each in folders.names() if _notebook(each).is_file()
    ]
    specs = [spec.load(folders.find(each)) for each in names]
    target.mkdir(parents=True, exist_ok=True)
    glossary = folders.course().parent / "glossary.md"
    pages = {"index.html": _index(specs, glossary.is_file())}
    if glossary.is_file():
        pages["glossary.html"] = page.document("Glossary", page.markdown(glossary.read_text(encoding="utf-8")))
    with progress.bar("Writing the book", len(specs)) as step:
        for number, lab in enumerate(specs):
            step(lab.title, number)
            cells = (run or executed)(course.release(_notebook(lab.name).read_text(encoding="utf-8")))
            _check(lab.name, cells)
            pages[f"{lab.name}.html"] = _lab(lab, cells, specs, number)
    written = []
    for name, text in pages.items():
        (target / name).write_text(text, encoding="utf-8")
        written.append(target / name)
    lost = links.lost(written)
    if lost:
        raise LearnerError("links that lead nowhere:\n" + "\n".join(f"  {each}" for each in lost))
    return written


def executed(notebook: str) -> list[dict[str, Any]]:
    """The cells of a notebook, run in a kernel of their own."""
    import nbclient
    import nbformat

    made = nbformat.reads(notebook, as_version=4)
    nbclient.NotebookClient(made, timeout=PATIENCE, allow_errors=True).execute()
    return list(made.cells)


def _notebook(name: str) -> Path:
    return folders.course() / name / f"{name}.ipynb"


def _check(name: str, cells: list[dict[str, Any]]) -> None:
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                first = "".join(cell["source"]).strip().splitlines()[0]
                raise LearnerError(f"{name}: the cell {first!r} fails: {output['ename']}: {output['evalue']}")


def _lab(lab: spec.Spec, cells: list[dict[str, Any]], specs: list[spec.Spec], number: int) -> str:
    body = page.notebook(cells)
    head, _, rest = body.partition("</h1>")
    sections = page.contents(rest)
    told = f'<p class="soft">About {lab.minutes} minutes in the notebook.</p>'
    neighbours = {
        "before": f'<a rel="prev" href="{specs[number - 1].name}.html">← {escape(specs[number - 1].title)}</a>'
        if number
        else "",
        "after": (
            f'<a rel="next" href="{specs[number + 1].name}.html">{escape(specs[number + 1].title)} →</a>'
            if number + 1 < len(specs)
            else ""
        ),
    }
    return page.document(lab.title, f"{head}</h1>{told}{sections}{rest}", **neighbours)


def _index(specs: list[spec.Spec], has_glossary: bool) -> str:
    items = []
    for each in specs:
        teaches = "".join(f"<li>{escape(line)}</li>" for line in each.teaches)
        items.append(
            f'<li><h2><a href="{each.name}.html">{escape(each.name.partition("-")[0])} · {escape(each.title)}</a></h2>'
            f'<p>{escape(each.summary)}</p><p class="soft">About {each.minutes} minutes. You learn</p><ul>{teaches}</ul></li>'
        )
    words = (
        '<p>A word that is new to you may stand in the <a href="glossary.html">glossary</a>.</p>'
        if has_glossary
        else ""
    )
    body = (
        f"<h1>{page.TITLE}</h1><p>Follow every packet through Kubernetes Services. This is the course for reading: every output "
        "and picture is what its notebook shows, and the packets can be followed step by step here too. To do it yourself, open "
        f"the notebooks.</p>{words}"
        f'<ol class="labs">{"".join(items)}</ol>'
    )
    return page.document(page.TITLE, body)
