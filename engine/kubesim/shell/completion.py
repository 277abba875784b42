"""What the last word of a line may become: the machine's commands in the first place, its files elsewhere."""

from __future__ import annotations

import posixpath
import re

from kubesim.machine import Machine

# After these another command begins.
BEGINS_COMMAND = re.compile(r"(?:^|[|;&(]|\b(?:do|then|else|sudo|watch|time|exec|xargs))\s*$")


def candidates(machine: Machine, cwd: str, line: str) -> list[str]:
    """Whole words, sorted; a directory ends with a slash."""
    word = re.split(r"[\s|;&(=]", line)[-1]
    before = line[: len(line) - len(word)]
    if "/" not in word and BEGINS_COMMAND.search(before):
        return sorted(
            name for name in machine.tools | set(machine.programs) | set(machine.aliases) if name.startswith(word)
        )
    folder, base = posixpath.split(word)
    files = machine.files
    path = files.join(cwd, folder)
    if not files.is_dir(path):
        return []
    names = [name for name in files.listdir(path) if name.startswith(base) and (base or not name.startswith("."))]
    return [posixpath.join(folder, name) + ("/" if files.is_dir(posixpath.join(path, name)) else "") for name in names]
