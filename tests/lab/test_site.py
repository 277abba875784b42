"""The static book: whole pages, no script, nothing asked of others, no link that leads nowhere."""

from __future__ import annotations

import re

import pytest

from kubelab import folders
from kubelab.site import book, links, page
from kubesim.errors import LearnerError

# What a notebook that ran holds, in small.
CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": "# 02 · One address\n\nRun it: <kbd>Enter</kbd>."},
    {"cell_type": "markdown", "metadata": {}, "source": "## 1 · Every pod\n\nSee [there](#1-every-pod)."},
    {
        "cell_type": "code",
        "metadata": {},
        "source": "lab.shell('a < b')",
        "outputs": [
            {"output_type": "execute_result", "data": {"text/html": "<figure>drawn</figure>", "text/plain": "said"}},
            {"output_type": "stream", "name": "stdout", "text": "1 < 2\n"},
        ],
    },
    {
        "cell_type": "code",
        "metadata": {},
        "source": "lab.terminal()",
        "outputs": [{"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}}],
    },
    {
        "cell_type": "code",
        "metadata": {"nbgrader": {"solution": True, "grade": False}},
        "source": "# your work here",
        "outputs": [],
    },
    {
        "cell_type": "code",
        "metadata": {"nbgrader": {"solution": False, "grade": True}},
        "source": "lab.grade('service')",
        "outputs": [{"output_type": "execute_result", "data": {"text/plain": "0.0"}}],
    },
]


def test_a_page_shows_what_was_run_and_leaves_out_what_is_graded():
    html = page.notebook(CELLS)
    assert '<h2 id="1-every-pod">1 · Every pod</h2>' in html
    assert "<kbd>Enter</kbd>" in html
    assert "lab.shell(&#x27;a &lt; b&#x27;)" in html
    assert "<figure>drawn</figure>" in html
    assert "said" not in html
    assert "1 &lt; 2" in html
    assert "a terminal opens here" in html
    assert "this cell is yours" in html
    assert "lab.grade" not in html


def test_a_book_has_an_index_a_glossary_and_neighbours(tmp_path):
    written = book.write(tmp_path, ["00", "02"], run=lambda _notebook: CELLS)
    assert [path.name for path in written] == [
        "index.html",
        "glossary.html",
        "00-start-here.html",
        "02-clusterip.html",
    ]
    text = (tmp_path / "00-start-here.html").read_text(encoding="utf-8")
    assert 'rel="next" href="02-clusterip.html"' in text
    assert 'rel="prev"' not in text
    assert '<html lang="en">' in text
    assert 'href="#1-every-pod">1 · Every pod</a>' in text


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    bad = [{**CELLS[0], "source": "# A\n\n[x](nope.html) [y](#nope) [z](https://kubernetes.io/)"}]
    with pytest.raises(LearnerError, match=r"02-clusterip.html: nope.html\n  02-clusterip.html: #nope$"):
        book.write(tmp_path, ["02"], run=lambda _notebook: bad)


def test_a_cell_that_fails_stops_the_book(tmp_path):
    failed = {**CELLS[2], "outputs": [{"output_type": "error", "ename": "NameError", "evalue": "lab"}]}
    with pytest.raises(LearnerError, match=r"the cell .* fails: NameError: lab"):
        book.write(tmp_path, ["02"], run=lambda _notebook: [failed])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    if not (folders.course() / "02-clusterip" / "02-clusterip.ipynb").is_file():
        pytest.skip("lab 02 is not built: kubelab build")
    return book.write(tmp_path_factory.mktemp("site"), ["02"])


def test_a_real_lab_needs_no_script_and_asks_nobody(written):
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text
        assert "@import" not in text
        assert re.findall(r"url\((?!#)", text) == []
        assert links.Page(text).fetched == []


def test_its_pictures_have_words_and_its_steppers_step(written):
    text = written[-1].read_text(encoding="utf-8")
    figures = re.findall(r'<svg[^>]*role="img"[^>]*>\s*(.{7})', text)
    assert len(figures) >= 8
    assert all(each.startswith("<title") for each in figures)
    assert text.count('type="radio"') > 30
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
