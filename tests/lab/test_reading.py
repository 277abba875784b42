"""The reader's check: no word that is not explained, no link that leads nowhere, and each lab says how long it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubelab import folders, spec

CODE = re.compile(r"```.*?```|`[^`\n]*`|<!--.*?-->|^---.*?^---|### (?:BEGIN|END) SOLUTION", re.DOTALL | re.MULTILINE)
# Abbreviations, and words put together as the API's kinds are: what a newcomer stumbles over.
TERM = re.compile(r"\b(?:[A-Za-z]+[0-9]*[a-z0-9][A-Z][A-Za-z0-9]*|[A-Z][A-Z0-9]+[a-z]?[0-9]*)\b")
# Written so, and no words to explain: names of products that the text itself introduces, units, and people's emphasis.
PLAIN = frozenset(
    [
        "BY",
        "I",
        "JupyterLab",
        "JupyterLite",
        "GitHub",
        "VirtualBox",
        "OK",
        "ID",
        "YES",
        "NO",
        "KEP",
        "RFC",
        "CVE",
        "RIPE",
        "macOS",
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Hosts that a lesson may send readers to; nothing is fetched from them.
HOSTS = frozenset(("kubernetes.io", "gateway-api.sigs.k8s.io", "github.com", "www.rfc-editor.org", "mybinder.org"))


def glossary(root: Path) -> dict[str, str]:
    text = (root / "course" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*(.+?)\*\* - (.+)$", text, re.MULTILINE)
    assert entries, "the glossary has no entries"
    return dict(entries)


def prose(path: Path) -> str:
    """A lesson without its code and its quoted commands."""
    return CODE.sub(" ", path.read_text(encoding="utf-8"))


def lesson(root: Path, name: str) -> Path:
    return root / "course" / "lessons" / f"{name}.md"


def test_the_glossary_is_in_order_and_each_entry_is_a_sentence(root: Path) -> None:
    entries = glossary(root)
    assert list(entries) == sorted(entries, key=str.lower)
    for term, words in entries.items():
        assert words.endswith((".", "?")), term
        assert len(words) <= 240, f"{term}: {len(words)} characters"


@pytest.mark.parametrize("name", folders.names())
def test_no_word_is_unexplained(root: Path, name: str) -> None:
    known = {word for term in glossary(root) for word in re.findall(r"[A-Za-z0-9]+", term)} | PLAIN
    found = set(TERM.findall(prose(lesson(root, name))))
    unknown = {word for word in found if word not in known and word.removesuffix("s") not in known}
    assert unknown == set(), f"not in course/glossary.md: {', '.join(sorted(unknown))}"


@pytest.mark.parametrize("name", folders.names())
def test_links_lead_somewhere(root: Path, name: str) -> None:
    path = lesson(root, name)
    for target in LINK.findall(prose(path)):
        if target.startswith("http"):
            assert re.match(r"https://([^/]+)", target)[1] in HOSTS, target
        elif not target.startswith("#"):
            # In a learner's folder all notebooks stand side by side.
            assert target.removesuffix(".ipynb") in folders.names(), target


def test_the_documents_links_lead_somewhere(root: Path) -> None:
    for path in [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "course").glob("*.md")]:
        for target in LINK.findall(CODE.sub(" ", path.read_text(encoding="utf-8"))):
            if not target.startswith(("http", "#")):
                assert (path.parent / target.partition("#")[0]).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("name", folders.names())
def test_the_lab_says_how_long_it_takes(root: Path, name: str) -> None:
    lab = spec.load(folders.find(name))
    assert 5 <= lab.minutes <= 90
    head = " ".join(lesson(root, name).read_text(encoding="utf-8").partition("```python")[0].split())
    assert f"{lab.minutes} minutes" in head


@pytest.mark.parametrize("name", folders.names())
def test_the_lab_goes_from_prediction_to_explanation(root: Path, name: str) -> None:
    text = lesson(root, name).read_text(encoding="utf-8")
    assert "**Predict" in text
    assert "lab.trace(" in text or "lab.ways(" in text
    lab = spec.load(folders.find(name))
    assert len(lab.tasks) >= 4
    assert {"state", "behaviour", "prediction", "text"} <= {task.kind for task in lab.tasks}
    wrong = list(lab.folder.glob("wrong-*/state.yaml"))
    assert len(wrong) >= 3


def test_every_misconception_is_cleared_somewhere() -> None:
    cleared = {row for name in folders.names() for row in spec.load(folders.find(name)).clears}
    assert cleared == set(range(1, 41)), f"nowhere: {sorted(set(range(1, 41)) - cleared)}"
