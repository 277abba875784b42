"""One page of the book as HTML: from Markdown, or from a notebook that has run."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib import resources
from typing import Any

TITLE = "Kubewalk"


def document(title: str, body: str, *, before: str = "", after: str = "") -> str:
    """A whole document.  `before` and `after` are links to the neighbours, as HTML."""
    nav = f'<nav aria-label="Pages"><a href="index.html">{TITLE}</a><span>{before}{after}</span></nav>'
    full = title if title == TITLE else f"{title} · {TITLE}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(full)}</title>\n<style>\n{_sheet()}</style>\n</head>\n"
        f'<body>\n<a class="skip" href="#main">To the text</a>\n{nav}\n'
        f'<main id="main">\n{body}\n</main>\n{nav}\n</body>\n</html>\n'
    )


def markdown(text: str) -> str:
    """Markdown of the course's own as HTML, its headings with anchors."""
    html = str(_renderer()(text))
    return re.sub(
        r"<h([1-6])>(.*?)</h\1>",
        lambda found: f'<h{found.group(1)} id="{slug(found.group(2))}">{found.group(2)}</h{found.group(1)}>',
        html,
    )


def slug(heading: str) -> str:
    """The anchor of a heading: "1 · Every pod has an address" -> "1-every-pod-has-an-address"."""
    text = re.sub(r"<[^>]+>", "", heading).lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def contents(text: str) -> str:
    """The list of a page's sections, as HTML."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', text)
    items = "".join(f'<li><a href="#{anchor}">{heading}</a></li>' for anchor, heading in found)
    return f'<nav class="contents" aria-label="Sections"><ol>{items}</ol></nav>' if items else ""


def notebook(cells: list[dict[str, Any]]) -> str:
    """The cells of a notebook that has run.  What is graded there is not: a reader has nothing to check."""
    return "\n".join(html for html in map(_cell, cells) if html)


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"]).strip()
    marks = cell.get("metadata", {}).get("nbgrader", {})
    if cell["cell_type"] == "markdown":
        return markdown(source)
    if cell["cell_type"] != "code" or not source or (marks.get("grade") and not marks.get("solution")):
        return ""
    code = f'<pre class="code" tabindex="0"><code>{escape(source)}</code></pre>'
    if marks.get("solution"):
        return f"{code}<p class='turn'>In the notebook this cell is yours.</p>"
    return code + "".join(_output(each) for each in cell.get("outputs", []))


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f'<pre class="out" tabindex="0">{escape("".join(output["text"]).rstrip())}</pre>'
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="shown">{"".join(data["text/html"])}</div>'
    if any(each.startswith("application/vnd.jupyter.widget") for each in data):
        return '<p class="turn">In the notebook a terminal opens here.</p>'
    if "text/plain" in data:
        return f'<pre class="out" tabindex="0">{escape("".join(data["text/plain"]).rstrip())}</pre>'
    return ""


@cache
def _renderer() -> Any:
    import mistune

    # The course's own text, which may hold HTML (<kbd>).
    return mistune.create_markdown(escape=False, plugins=["table"])


@cache
def _sheet() -> str:
    return resources.files("kubelab.site").joinpath("site.css").read_text(encoding="utf-8")
