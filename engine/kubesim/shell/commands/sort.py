"""sort"""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from kubesim.shell.context import Context, options
from kubesim.shell.streams import decode, encode

NUMBER = re.compile(r"\s*(-?\d*\.?\d+|-?\d+\.?)")
SIZES = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
LONG = {
    "reverse": "r",
    "numeric-sort": "n",
    "unique": "u",
    "ignore-case": "f",
    "human-numeric-sort": "h",
    "version-sort": "V",
    "stable": "s",
    "ignore-leading-blanks": "b",
    "random-sort": "R",
    "general-numeric-sort": "g",
    "check": "c",
}


async def run(ctx: Context) -> int:
    found, names = options(
        ctx.args,
        flags="rnufhVsbgcRdiM",
        values="kto",
        long_flags=tuple(LONG),
        long_values=("key", "field-separator", "output"),
        name="sort",
    )
    letters = "".join(each for each in found if len(each) == 1) + "".join(LONG[each] for each in found if each in LONG)
    separator = (found.get("t") or found.get("field-separator") or [""])[-1]
    keys = [_key(text, letters) for text in found.get("k", []) + found.get("key", [])]
    text = ""
    for name in names or ["-"]:
        part = await ctx.stdin.read() if name == "-" else decode(ctx.files.read_bytes(ctx.path(name)))
        text += part if not part or part.endswith("\n") else part + "\n"
    lines = text.split("\n")[:-1]

    def compare(left: str, right: str) -> int:
        for first, last, how in keys or [(None, None, letters)]:
            a, b = _part(left, first, last, separator), _part(right, first, last, separator)
            result = _compare(a, b, how)
            if result:
                return -result if "r" in how else result
        return 0

    def total(left: str, right: str) -> int:
        result = compare(left, right)
        if result or "s" in letters or "u" in letters:
            return result
        # The last resort: bytes of the whole line, turned with -r.
        a, b = encode(left), encode(right)
        return ((a > b) - (a < b)) * (-1 if "r" in letters else 1)

    if "c" in letters:
        for number, (left, right) in enumerate(pairwise(lines), 2):
            if total(left, right) > 0:
                ctx.complain(f"sort: {names[0] if names else '-'}:{number}: disorder: {right}")
                return 1
        return 0
    if "R" in letters:
        ctx.world.rng("sort").shuffle(lines)
    else:
        lines.sort(key=cmp_to_key(total))
    if "u" in letters:
        lines = [line for index, line in enumerate(lines) if not index or compare(lines[index - 1], line)]
    output = "".join(line + "\n" for line in lines)
    if "o" in found or "output" in found:
        ctx.files.write(ctx.path((found.get("o") or found["output"])[-1]), encode(output))
    else:
        ctx.out.write(output)
    return 0


Position = tuple[int, int]


def _key(text: str, letters: str) -> tuple[Position | None, Position | None, str]:
    """-k F[.C][OPTS][,F[.C][OPTS]]"""
    start, _, end = text.partition(",")
    first = re.match(r"(\d+)(?:\.(\d+))?(\w*)", start)
    last = re.match(r"(\d+)(?:\.(\d+))?(\w*)", end)
    own = (first[3] if first else "") + (last[3] if last else "")
    how = own if own.strip("b") else letters + own
    return (
        (int(first[1]), int(first[2] or 1)) if first else None,
        (int(last[1]), int(last[2] or 0)) if last else None,
        how,
    )


def _part(line: str, first: Position | None, last: Position | None, separator: str) -> str:
    if first is None:
        return line
    if separator:
        fields = line.split(separator)
        wanted = fields[first[0] - 1 : last[0] if last else None]
        return separator.join(wanted)[first[1] - 1 :]
    spans = [match.span() for match in re.finditer(r"\s*\S+", line)]
    if first[0] > len(spans):
        return ""
    end = spans[min(last[0], len(spans)) - 1][1] if last else len(line)
    if last and last[1] and last[0] <= len(spans):
        end = spans[last[0] - 1][0] + last[1]
    return line[spans[first[0] - 1][0] + first[1] - 1 : end]


def _compare(left: str, right: str, how: str) -> int:
    a: Any
    b: Any
    if "n" in how or "g" in how:
        a, b = _number(left), _number(right)
    elif "h" in how:
        a, b = _human(left), _human(right)
    elif "V" in how:
        a, b = _version(left), _version(right)
    else:
        if "b" in how:
            left, right = left.lstrip(), right.lstrip()
        if "f" in how:
            left, right = left.upper(), right.upper()
        a, b = encode(left), encode(right)
    return (a > b) - (a < b)


def _number(text: str) -> float:
    match = NUMBER.match(text)
    return float(match[1]) if match else 0.0


def _human(text: str) -> tuple[int, float]:
    match = re.match(r"\s*(-?[\d.]+)([KMGTP]?)", text)
    return (SIZES[match[2]], float(match[1])) if match else (0, 0.0)


def _version(text: str) -> list[tuple[int, Any]]:
    return [(1, int(each)) if each.isdigit() else (0, each) for each in re.findall(r"\d+|\D+", text)]
