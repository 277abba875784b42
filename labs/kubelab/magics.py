"""`%%shell`: a cell in the lab's terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from kubelab.lab import Lab

USAGE = "Use: %%shell, or %%shell --on NODE"


def register(lab: Lab) -> bool:
    """Make `%%shell` run in this lab's terminal; False where there is no IPython."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return False
    shell = get_ipython()
    if shell is None:
        return False

    def magic(line: str, cell: str | None = None) -> None:
        """Run the cell in the lab's terminal (%%shell), or on a node (%%shell --on NODE); `%shell COMMAND` runs one line."""
        if cell is None:
            display(lab.shell(line))
            return
        display(lab.shell(cell, on=node(line)))

    shell.register_magic_function(magic, "line_cell", "shell")
    return True


def node(line: str) -> str:
    """The node of `--on NODE`, "" for none."""
    words = shlex.split(line)
    if not words:
        return ""
    if len(words) == 2 and words[0] == "--on":
        return words[1]
    raise LearnerError(f"%%shell does not know {line.strip()!r}", USAGE)
