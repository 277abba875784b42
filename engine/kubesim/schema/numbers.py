"""The numbers of the fields in protobuf, read when the first such body comes.

A line of `protobuf.txt` is a type and, between tabs, `NUMBER=NAME` of its fields; kinds are those of `types.txt`.  `2.1=NAME`
is field 1 of a message that stands in field 2 and that JSON does not show (a struct that Go embeds).  `NAME:a|b` is a
message that holds one of two things, where JSON has either itself.  Made by `tools/generate_protobuf.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Numbered:
    """A field's name; `choice`: "" or the two kinds of which it holds one; `inside`: an embedded struct's, by number."""

    name: str = ""
    choice: tuple[str, ...] = ()
    inside: dict[int, Numbered] | None = None


@cache
def _lines() -> dict[str, str]:
    text = (Path(__file__).parent / "protobuf.txt").read_text(encoding="utf-8")
    return {line.split("\t", 1)[0]: line for line in text.splitlines()}


@cache
def of(type_name: str) -> dict[int, Numbered] | None:
    """The fields of a type by number; None when the type has no message."""
    line = _lines().get(type_name)
    if line is None:
        return None
    found: dict[int, Numbered] = {}
    for entry in line.split("\t")[1:]:
        path, _, text = entry.partition("=")
        name, _, choice = text.partition(":")
        *outer, last = map(int, path.split("."))
        fields = found
        for number in outer:
            inside = fields.setdefault(number, Numbered(inside={})).inside
            assert inside is not None, f"{type_name}: {path} is inside of a field of its own"
            fields = inside
        fields[last] = Numbered(name, tuple(choice.split("|")) if choice else ())
    return found
