"""Sets of fields of an object, by the schema (sigs.k8s.io/structured-merge-diff: `fieldpath`, `typed`).

A path is a tuple of FieldsV1 elements: `f:NAME`, `k:{"key":value}` for an item of a list of type map, `v:VALUE` for one of type
set.  A set is a Python set of such paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kubesim import schema
from kubesim.schema.types import DEDUCED

Path = tuple[str, ...]
Paths = set[Path]


@dataclass(slots=True)
class Difference:
    """What came, what changed its value, what went."""

    added: Paths = field(default_factory=set)
    modified: Paths = field(default_factory=set)
    removed: Paths = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a value is made: of a struct type, a list or a map of something; atomic ones have no inside."""

    kind: str
    atomic: bool = False
    keys: tuple[str, ...] = ()
    is_set: bool = False


@cache
def shape_of(type_name: str, name: str) -> Shape | None:
    found = schema.field(type_name, name)
    if found is None:
        owner = schema.find_type(type_name)
        return Shape(DEDUCED) if owner is not None and owner.open else None
    if found.kind == DEDUCED:
        return Shape(DEDUCED)
    if found.shape == "list":
        if found.list_type == "map" and found.list_keys:
            return Shape(found.kind, keys=found.list_keys)
        if found.list_type == "set":
            return Shape(found.kind, is_set=True)
        return Shape(found.kind, atomic=True)
    if found.shape == "struct":
        inner = schema.find_type(found.of)
        return Shape(found.kind, atomic=found.map_type == "atomic" or inner is None or inner.atomic)
    if found.shape == "map":
        return Shape(found.kind, atomic=found.map_type == "atomic")
    return Shape(found.kind, atomic=True)


@cache
def _element_of(kind: str) -> Shape:
    """The shape of a list's item or a map's value."""
    if kind == DEDUCED:
        return Shape(DEDUCED)
    if kind.startswith(("[]", "{}")):
        return Shape(kind, atomic=kind.startswith("[]"))
    inner = schema.find_type(kind) if "." in kind else None
    return Shape(kind, atomic=inner is None or inner.atomic)


def root(type_name: str) -> Shape:
    return Shape(type_name)


def children(shape: Shape, value: Any) -> Iterator[tuple[str, Shape, Any]]:
    """The parts of a value that is not atomic: path element, shape, value."""
    kind = shape.kind
    if kind == DEDUCED:
        if isinstance(value, dict):
            for name, item in value.items():
                yield "f:" + name, shape, item
    elif kind.startswith("[]"):
        element = _element_of(kind[2:])
        for item in value or ():
            if shape.is_set:
                yield "v:" + json.dumps(item, separators=(",", ":")), element, item
            else:
                yield key_of(shape, item), element, item
    elif kind.startswith("{}"):
        element = _element_of(kind[2:])
        for name, item in (value or {}).items():
            yield "f:" + name, element, item
    else:
        for name, item in (value or {}).items():
            inner = shape_of(kind, name)
            if inner is not None:
                yield "f:" + name, inner, item


def key_of(shape: Shape, item: Any) -> str:
    """The `k:` element of an item: its key fields, sorted by name, defaults filled in."""
    found = {}
    for key in sorted(shape.keys):
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            known = schema.field(shape.kind[2:], key)
            value = known.default if known is not None else None
        if value is not None:
            found[key] = value
    return "k:" + json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _single(shape: Shape, value: Any) -> bool:
    """A value without an inside: of which no schema speaks, or that is not what its schema says (it may have changed)."""
    return value is not None and not isinstance(value, list if shape.kind.startswith("[]") else dict)


def all_paths(shape: Shape, value: Any, path: Path, out: Paths) -> None:
    """Every node and leaf of a value that is wholly new."""
    out.add(path)
    if shape.atomic or value is None or _single(shape, value):
        return
    for element, inner, item in children(shape, value):
        all_paths(inner, item, (*path, element), out)


def leaves(shape: Shape, value: Any, path: Path, out: Paths) -> None:
    """TypedValue.ToFieldSet: the leaves, and the items of lists; what an apply owns."""
    if shape.atomic or not value or _single(shape, value):
        out.add(path)
        return
    for element, inner, item in children(shape, value):
        if element[0] in "kv":
            out.add((*path, element))
            if element[0] == "v" or inner.atomic:
                continue
        leaves(inner, item, (*path, element), out)


def compare(shape: Shape, old: Any, new: Any, path: Path, out: Difference) -> None:
    """TypedValue.Compare."""
    if old is new or old == new:
        return
    if shape.atomic or _single(shape, old) or _single(shape, new):
        out.modified.add(path)
        return
    before = {element: (inner, item) for element, inner, item in children(shape, old)}
    after = {element: (inner, item) for element, inner, item in children(shape, new)}
    for element, (inner, item) in after.items():
        at = (*path, element)
        if element not in before:
            all_paths(inner, item, at, out.added)
        elif element[0] != "v":
            compare(inner, before[element][1], item, at, out)
    for element, (inner, item) in before.items():
        if element not in after:
            all_paths(inner, item, (*path, element), out.removed)


# -- FieldsV1 -----------------------------------------------------------------------------------------------------


def encode(paths: Iterable[Path]) -> dict[str, Any]:
    """The FieldsV1 tree of a set: "." marks a node that is itself a member and has members below."""
    tree: dict[str, Any] = {}
    members = set(paths)
    for path in members:
        node = tree
        for element in path:
            node = node.setdefault(element, {})
    _mark(tree, (), members)
    return _sorted(tree)


def _mark(node: dict[str, Any], path: Path, members: Paths) -> None:
    for element, inner in list(node.items()):
        at = (*path, element)
        if inner:
            _mark(inner, at, members)
            if at in members:
                inner["."] = {}


def _sorted(node: dict[str, Any]) -> dict[str, Any]:
    return {key: _sorted(value) for key, value in sorted(node.items(), key=lambda item: (item[0] != ".", item[0]))}


def decode(tree: dict[str, Any], path: Path = ()) -> Paths:
    found: Paths = set()
    for element, inner in tree.items():
        if element == ".":
            found.add(path)
        elif not inner:
            found.add((*path, element))
        else:
            found |= decode(inner, (*path, element))
    return found


def show(path: Path) -> str:
    """As messages name a field: .spec.containers[name="c"].image."""
    text = ""
    for element in path:
        kind, value = element[0], element[2:]
        if kind == "f":
            text += f".{value}"
        elif kind == "k":
            keys = json.loads(value)
            inner = ",".join(f"{key}={json.dumps(item, ensure_ascii=False)}" for key, item in keys.items())
            text += f"[{inner}]"
        else:
            text += f"[={value}]"
    return text
