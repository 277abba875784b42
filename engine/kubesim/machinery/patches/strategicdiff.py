"""Computing a strategic merge patch.

`kubectl apply` asks for the patch that makes of `current` what `modified` wants, and takes away what `original` (the last applied
configuration) had and `modified` has not.  What others added to `current` stays.

Source: apimachinery `pkg/util/strategicpatch/patch.go` (CreateThreeWayMergePatch, diffMaps, diffLists).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kubesim.machinery import gotext, objects
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
        changed: list[Document] = []
        gone: list[Document] = []
        for there, wanted in _pairs(before, value, meta.key):
            if there is None:
                if self.changes:
                    changed.append(wanted)
            elif wanted is None:
                if self.deletions:
                    gone.append({DIRECTIVE: DELETE, meta.key: there.get(meta.key)})
            else:
                difference = inner.maps(there, wanted, meta.type)
                if difference:
                    changed.append({**difference, meta.key: wanted.get(meta.key)})
        names = [identity(item, meta.key) for item in value]
        changed.sort(key=lambda item: names.index(identity(item, meta.key)))
        changed += gone
        if changed:
            patch[key] = changed
        same_order = [identity(item, meta.key) for item in before] == names
        if self.order and (changed or (self.changes and not same_order)):
            patch[SET_ORDER + key] = [{meta.key: name} for name in names]

    def _lists_of_scalars(self, key: str, before: list[Any], value: list[Any], patch: Document) -> None:
        added = [item for item in value if item not in before] if self.changes else []
        gone = [item for item in before if item not in value] if self.deletions else []
        if added:
            patch[key] = added
        if gone:
            patch[DELETE_FROM + key] = gone
        if self.order and (added or gone or before != value):
            patch[SET_ORDER + key] = value


def _pairs(before: list[Any], value: list[Any], merge_key: str) -> list[tuple[Any, Any]]:
    """Elements of both lists that have one merge key, side by side; None where the other list has no such element (any more).

    A merge key may stand twice, as a port's number does for UDP and TCP.  Upstream sorts both lists first, with a comparison
    that calls equal keys "less", which turns elements of one key around: so the last of them meets the first list's, and the
    one that was there before is added again.
    """
    left, right = _sorted(before, merge_key), _sorted(value, merge_key)
    pairs: list[tuple[Any, Any]] = []
    while left and right:
        there, wanted = _text(left[0], merge_key), _text(right[0], merge_key)
        pairs.append((left.pop(0) if there <= wanted else None, right.pop(0) if wanted <= there else None))
    return [*pairs, *((item, None) for item in left), *((None, item) for item in right)]


def _sorted(items: list[Any], merge_key: str) -> list[Any]:
    turned = list(reversed(items))
    turned.sort(key=lambda item: _text(item, merge_key))
    return turned


def _text(item: Document, merge_key: str) -> str:
    """Merge keys are compared as text: port 10000 stands before port 9000."""
    return gotext.v(item.get(merge_key))
