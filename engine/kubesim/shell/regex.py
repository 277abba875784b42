"""POSIX regular expressions (XBD 9) as Python's: basic ones with GNU's \\+ \\? \\|, extended ones, classes, \\< \\> \\w \\b."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "print": " -~",
    "graph": "!-~",
    "cntrl": r"\x00-\x1f\x7f",
    "xdigit": "0-9A-Fa-f",
}
ESCAPES = {"<": r"\b(?=\w)", ">": r"\b(?<=\w)", "`": r"\A", "'": r"\Z", "n": r"\n", "t": r"\t"}


@lru_cache(maxsize=512)
def compiled(pattern: str, extended: bool, ignore_case: bool = False) -> re.Pattern[str]:
    """Raises re.error."""
    return re.compile(translate(pattern, extended), re.IGNORECASE if ignore_case else 0)


def translate(pattern: str, extended: bool) -> str:
    out: list[str] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        if char == "[":
            text, i = _bracket(pattern, i)
            out.append(text)
            continue
        if char == "\\" and i + 1 < len(pattern):
            following = pattern[i + 1]
            i += 2
            if following in ESCAPES:
                out.append(ESCAPES[following])
            elif following in "wWsSbB" or following.isdigit():
                out.append("\\" + following)
            elif not extended and following in "(){}+?|":
                out.append(following)
            else:
                out.append(re.escape(following))
            continue
        i += 1
        if not extended:
            start = not out or out[-1] in ("(", "|")
            if char in "(){}+?|" or (char == "*" and (start or out[-1] == "^")) or (char == "^" and not start):
                out.append("\\" + char)
                continue
            if char == "$" and i < len(pattern) and not pattern.startswith(("\\)", "\\|"), i):
                out.append("\\$")
                continue
        elif char == "{" and not re.match(r"\{\d*,?\d*\}", pattern[i - 1 :]):
            out.append("\\{")
            continue
        out.append(char)
    return "".join(out)


def _bracket(pattern: str, start: int) -> tuple[str, int]:
    i = start + 1
    out = "["
    if i < len(pattern) and pattern[i] == "^":
        out += "^"
        i += 1
    first = True
    while i < len(pattern) and (pattern[i] != "]" or first):
        first = False
        if pattern.startswith("[:", i) and (end := pattern.find(":]", i)) > 0:
            name = pattern[i + 2 : end]
            if name not in CLASSES:
                raise re.error(f"invalid character class {name}")
            out += CLASSES[name]
            i = end + 2
            continue
        out += "\\" + pattern[i] if pattern[i] in "\\[]&~|^" else pattern[i]
        i += 1
    if i >= len(pattern):
        raise re.error("Unmatched [, [^, [:, [., or [=")
    return out + "]", i + 1


def substitute(pattern: re.Pattern[str], build: Callable[[re.Match[str], int], str | None], text: str) -> str:
    """The text with each match replaced by what `build(match, number)` gives (None leaves it).

    As in POSIX, an empty match right after another does not count: `abc` with b* by X is XaXcX.
    """
    end = -1
    number = 0

    def one(match: re.Match[str]) -> str:
        nonlocal end, number
        if not match[0] and match.start() == end:
            return ""
        end = match.end()
        number += 1
        built = build(match, number)
        return match[0] if built is None else built

    return pattern.sub(one, text)
