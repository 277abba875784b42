#!/usr/bin/env python3
"""Make docs/documents.md: every block of the documents that the course is made from, and what covers it.

usage: tools/documents.py [--check]

The mapping is docs/documents.yaml; which recorded cases are replayed is read from tests/cluster/test_sessions.py.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCE, PAGE = ROOT / "docs/documents.yaml", ROOT / "docs/documents.md"
SESSIONS = ROOT / "tests/cluster/test_sessions.py"
HEAD = """# The documents, block by block

Made by `tools/documents.py` from `docs/documents.yaml`; do not edit. The blocks are counted from 1 in each of the five documents
of `../shared/seeds`. A letter and a number is a recorded session of `../shared/sessions`, which
`tests/cluster/test_sessions.py` replays on the kind of cluster that the document is about; *(not yet)* marks one that is not
replayed yet.
"""


def load() -> list[dict[str, Any]]:
    return yaml.safe_load(SOURCE.read_text())


def replayed() -> set[str]:
    """The cases that the test of the sessions replays: its CASES."""
    for node in ast.parse(SESSIONS.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CASES":
            return {
                case
                for each in ast.walk(node.value)
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
                for case in re.findall(r"\b[A-Z]\d\d\b", each.value)
            }
    raise SystemExit(f"{SESSIONS}: no CASES")


def covering(block: dict[str, Any]) -> list[str]:
    """The cases and tests that a block names."""
    return block.get("by", "").split()


def blocks(text: str) -> int:
    """How many blocks of commands or output a document has: fenced (Markdown) or directives (reStructuredText)."""
    fences = sum(line.lstrip().startswith("```") for line in text.splitlines())
    return fences // 2 + len(re.findall(r"^\.\. code-block::", text, re.MULTILINE))


def cell(name: str, cases: set[str]) -> str:
    if "::" in name:
        return f"`{name.removeprefix('tests/')}`"
    return name if name in cases else f"{name} *(not yet)*"


def page() -> str:
    cases = replayed()
    out = [HEAD]
    for each in load():
        out += [
            f"## Document {each['document']}: {each['title']}",
            "",
            "| # | what it shows | covered by |",
            "|---|---|---|",
        ]
        for number, block in enumerate(each["blocks"], 1):
            names = ", ".join(cell(name, cases) for name in covering(block))
            out.append(f"| {number} | {block['what']} | {names or 'left out: ' + block['out']} |")
        out.append("")
    listed = [block for each in load() for block in each["blocks"]]
    left = sum("out" in block for block in listed)
    waiting = sum(any("::" not in name and name not in cases for name in covering(block)) for block in listed)
    out.append(
        f"{len(listed)} blocks: {len(listed) - left - waiting} covered, {waiting} waiting for a case, {left} left out."
    )
    return "\n".join(out) + "\n"


def main() -> int:
    if "--check" in sys.argv[1:]:
        fresh = PAGE.is_file() and PAGE.read_text() == page()
        print(f"{PAGE}: {'fresh' if fresh else 'stale; run tools/documents.py'}")
        return 0 if fresh else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
