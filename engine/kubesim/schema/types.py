"""The fields of every type, read line by line when asked for.

A line of `types.txt` is `TYPE [map=atomic]` and its fields, between tabs: `NAME KIND FLAG...`.  KIND is a scalar (string,
int32, int64, bool, float64, bytes, Time, MicroTime, Quantity, IntOrString), `any`, the name of a type, `[]KIND` or `{}KIND`
(a map by string).  Flags: `required`; `always` (Go writes it even when it is empty); `omitzero` (Go drops a zero);
`default=JSON`; `list=map|set|atomic` with `keys=a+b`, `map=atomic` (server-side apply); `strategy=merge+retainKeys`,
`key=name` (strategic merge).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SCALARS = frozenset(
    ("string", "int32", "int64", "bool", "float64", "bytes", "Time", "MicroTime", "Quantity", "IntOrString")
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field.  `kind` is as in the table; `shape` is "scalar", "any", "struct", "list" or "map"; `of` the type (or
    scalar) of a struct, of a list's elements, of a map's values."""

    name: str
    kind: str
    shape: str
    of: str
    required: bool = False
    always: bool = False
    omitzero: bool = False
    default: Any = None
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    strategies: tuple[str, ...] = ()
    merge_key: str = ""

    @property
    def type(self) -> str:
        return self.of


@dataclass(frozen=True, slots=True)
class Type:
    """A struct.  `atomic`: server-side apply owns it as a whole; `open`: it may hold fields that are not declared."""

    name: str
    fields: dict[str, Field]
    atomic: bool = False
    open: bool = False

    @property
    def short(self) -> str:
        """ "ServiceSpec" of "core.v1.ServiceSpec"."""
        return self.name.rsplit(".", 1)[-1]


@cache
def _lines() -> dict[str, str]:
    """Each type's line, under its full name and (the first of that name) its short one."""
    lines: dict[str, str] = {}
    folder = Path(__file__).parent
    # `removed.txt`: types of versions that later releases have no more, made by hand.
    text = "".join((folder / name).read_text(encoding="utf-8") for name in ("types.txt", "removed.txt"))
    for line in text.splitlines():
        name = line.split("\t", 1)[0].split(" ", 1)[0]
        lines[name] = line
        lines.setdefault(name.rsplit(".", 1)[-1], line)
    return lines


def names() -> list[str]:
    """All full type names."""
    return [name for name in _lines() if "." in name]


# Types that no release knows: CRDs' schemas make them.  They are named by their content, so all clusters may share them.
_MADE: dict[str, Type] = {}
# The kind of a value of which no schema says anything: a map goes on inside, anything else is one value (the
# "__untyped_deduced_" of structured-merge-diff).
DEDUCED = "deduced"


def make_type(label: str, fields: Mapping[str, Field], *, atomic: bool = False, open: bool = False) -> str:
    """The name of the type with these fields, "label.digest"; `label` is for people."""
    content = repr((label, sorted(fields.items()), atomic, open))
    name = f"{label}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    _MADE.setdefault(name, Type(name, dict(fields), atomic, open))
    return name


@cache
def find_type(name: str) -> Type | None:
    """The type of that full or short name, or None."""
    made = _MADE.get(name)
    if made is not None:
        return made
    line = _lines().get(name)
    if line is None:
        return None
    head, *rest = line.split("\t")
    full, *marks = head.split(" ")
    return Type(full, {each.name: each for each in map(parse_field, rest)}, "map=atomic" in marks)


def parse_field(text: str) -> Field:
    """One field of the table."""
    name, kind, *marks = text.split(" ")
    flags = dict(mark.partition("=")[::2] for mark in marks)
    shape, of = _shape(kind)
    return Field(
        name=name,
        kind=kind,
        shape=shape,
        of=of,
        required="required" in flags,
        always="always" in flags,
        omitzero="omitzero" in flags,
        default=json.loads(flags["default"]) if "default" in flags else None,
        list_type=flags.get("list", ""),
        list_keys=tuple(flags["keys"].split("+")) if "keys" in flags else (),
        map_type=flags.get("map", ""),
        strategies=tuple(flags["strategy"].split("+")) if "strategy" in flags else (),
        merge_key=flags.get("key", ""),
    )


def _shape(kind: str) -> tuple[str, str]:
    if kind.startswith("[]"):
        return "list", kind[2:]
    if kind.startswith("{}"):
        return "map", kind[2:]
    if kind == "any":
        return "any", ""
    return ("scalar", kind) if kind in SCALARS else ("struct", kind)


def field(type_name: str, name: str) -> Field | None:
    """A field of a type; None when the type has no such field or is not known."""
    found = find_type(type_name)
    return found.fields.get(name) if found else None


def merge_key(type_name: str, name: str) -> tuple[tuple[str, ...], str] | None:
    """(patch strategies, merge key) of a field for strategic merges; None when it has neither."""
    found = field(type_name, name)
    if found is None or not (found.strategies or found.merge_key):
        return None
    return found.strategies, found.merge_key
