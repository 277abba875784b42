"""Computing a strategic merge patch.

`kubectl apply` asks for the patch that makes of `current` what `modified` wants, and takes away what `original` (the last applied
configuration) had and `modified` has not.  What others added to `current` stays.

Source: apimachinery `pkg/util/strategicpatch/patch.go` (CreateThreeWayMergePatch, diffMaps, diffLists).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kubesim.machinery import objects
from kubesim.machinery.patches import fields
from kubesim.machinery.patches.strategic import (
    DELETE,
    DELETE_FROM,
    DIRECTIVE,
    RETAIN_KEYS,
    SET_ORDER,
    Document,
    Merger,
    identity,
    internal,
)


def two_way_strategic(
    original: Document, modified: Document, schema_type: str, lookup: fields.Lookup = fields.lookup
) -> Document:
    """The patch that makes `modified` of `original`."""
    return _Differ(lookup, order=True).maps(original, modified, schema_type)


def three_way_strategic(
    original: Document,
    modified: Document,
    current: Document,
    schema_type: str,
    lookup: fields.Lookup = fields.lookup,
) -> Document:
    """The patch for `current`; {} when there is nothing to do."""
    changes = _Differ(lookup, order=True, deletions=False).maps(current, modified, schema_type)
    deletions = _Differ(lookup, order=False, changes=False).maps(original, modified, schema_type)
    return Merger(lookup, obey=False).map(objects.copy(deletions), objects.copy(changes), schema_type)


@dataclass(frozen=True)
class _Differ:
    """`changes` and `deletions`: which of them the patch shall have; `order`: with $setElementOrder."""

    lookup: fields.Lookup
    order: bool
    changes: bool = True
    deletions: bool = True
    retain_keys: bool = False

    def maps(self, original: Document, modified: Document, type_name: str) -> Document:
        patch: Document = {}
        for key, value in modified.items():
            if key not in original:
                if self.changes:
                    patch[key] = value
                continue
            before = original[key]
            if isinstance(before, dict) and isinstance(value, dict):
                self._map_field(key, before, value, patch, self.lookup(type_name, key))
            elif isinstance(before, list) and isinstance(value, list):
                self._list_field(key, before, value, patch, self.lookup(type_name, key))
            elif self.changes and (type(before) is not type(value) or before != value):
                patch[key] = value
        extra = [key for key in original if key not in modified]
        if self.deletions:
            patch.update((key, None) for key in extra)
        if self.retain_keys:
            retained = sorted(key for key, value in modified.items() if value is not None)
            if retained and (patch or extra):
                patch[RETAIN_KEYS] = retained
        return patch

    def _map_field(self, key: str, before: Document, value: Document, patch: Document, meta: fields.Meta) -> None:
        if meta.strategy == fields.REPLACE:
            if self.changes and before != value:
                patch[key] = value
            return
        inner = replace(self, retain_keys=meta.retain_keys).maps(before, value, meta.type)
        if inner:
            patch[key] = inner

    def _list_field(self, key: str, before: list[Any], value: list[Any], patch: Document, meta: fields.Meta) -> None:
        if meta.strategy != fields.MERGE:
            if self.changes and before != value:
                patch[key] = value
            return
        if not before:
            if value and self.changes:
                patch[key] = value
            return
        maps = [isinstance(item, dict) for item in before + value]
        if all(maps):
            self._lists_of_maps(key, before, value, patch, meta)
        elif any(maps):
            raise internal("list element types are not identical")
        else:
            self._lists_of_scalars(key, before, value, patch)

    def _lists_of_maps(self, key: str, before: list[Any], value: list[Any], patch: Document, meta: fields.Meta) -> None:
        inner = replace(self, retain_keys=meta.retain_keys)
        there = _numbered(before, meta.key)
        wanted = _numbered(value, meta.key)
        changed = []
        for name, item in wanted.items():
            if name not in there:
                if self.changes:
                    changed.append(item)
                continue
            difference = inner.maps(there[name], item, meta.type)
            if difference:
                changed.append({**difference, meta.key: name[0]})
        if self.deletions:
            changed += [{DIRECTIVE: DELETE, meta.key: name[0]} for name in there if name not in wanted]
        if changed:
            patch[key] = changed
        same_order = [name for name in there if name in wanted] == [name for name in wanted if name in there]
        if self.order and (changed or not same_order):
            patch[SET_ORDER + key] = [{meta.key: name[0]} for name in wanted]

    def _lists_of_scalars(self, key: str, before: list[Any], value: list[Any], patch: Document) -> None:
        added = [item for item in value if item not in before] if self.changes else []
        gone = [item for item in before if item not in value] if self.deletions else []
        if added:
            patch[key] = added
        if gone:
            patch[DELETE_FROM + key] = gone
        if self.order and (added or gone or before != value):
            patch[SET_ORDER + key] = value


def _numbered(items: list[Any], merge_key: str) -> dict[tuple[Any, int], Any]:
    """Elements by merge key and how many of that key came before: a port may stand twice, for UDP and TCP."""
    found: dict[tuple[Any, int], Any] = {}
    seen: dict[Any, int] = {}
    for item in items:
        name = identity(item, merge_key)
        seen[name] = seen.get(name, -1) + 1
        found[name, seen[name]] = item
    return found
