"""Is a typed text whole, and what may its last word become?"""

from __future__ import annotations

import posixpath
import re

from kubesim.machine import Machine

HEREDOC = re.compile(r"(?<!<)<<(-?)\s*(?:'([^']+)'|\"([^\"]+)\"|\\?([\w.]+))")


def is_whole(text: str) -> bool:
    """False while bash would ask for more: an open quote, loop, here-document, or a backslash at the end."""
    from kubesim.shell import interpreter, kept

    if text.endswith("\\") and not text.endswith("\\\\"):
        return False
    if _open_heredoc(text):
        return False
    try:
        kept.parser.parse(text)
    except (kept.parser.ParseException, RecursionError) as error:
        return not any(
            each in str(error)
            for each in (
                "Expected 'done'",
                "Expected 'fi'",
                "Expected 'esac'",
                "Expected '}'",
                "Expected ')'",
                "nterminated",
                "nclosed",
                "nexpected EOF",
                "Expected 'then'",
                "Expected 'do'",
                "end of",
            )
        ) and not text.rstrip().endswith(("|", "&&"))
    return interpreter is not None


def _open_heredoc(text: str) -> bool:
    """A here-document whose end has not been typed."""
    lines = text.split("\n")
    wanted: list[tuple[str, bool]] = []
    for line in lines:
        if wanted:
            word, tabs = wanted[0]
            if (line.lstrip("\t") if tabs else line) == word:
                wanted.pop(0)
            continue
        wanted += [(found[2] or found[3] or found[4], bool(found[1])) for found in HEREDOC.finditer(line)]
    return bool(wanted)


def candidates(machine: Machine, cwd: str, line: str) -> list[str]:
    word = line.split(" ")[-1] if not line.endswith(" ") else ""
    before = line[: len(line) - len(word)].rstrip()
    if (not before or before.endswith(("|", ";", "&", "(", "do", "then"))) and "/" not in word:
        return sorted(name for name in machine.tools if name.startswith(word))
    folder, base = posixpath.split(word)
    files = machine.files
    path = files.join(cwd, folder)
    if not files.is_dir(path):
        return []
    names = [name for name in files.listdir(path) if name.startswith(base) and (base or not name.startswith("."))]
    return [posixpath.join(folder, name) + ("/" if files.is_dir(posixpath.join(path, name)) else "") for name in names]
