"""Applying a strategic merge patch.

Maps merge key by key.  Lists are replaced, unless the schema gives them the strategy "merge": then lists of objects merge
by the value of their merge key, and lists of scalars become the union.  Directives inside the patch say what JSON cannot:

    $patch: replace | delete          this object (or, as an element, the whole list; or the element of that key)
    $retainKeys: [k, ...]             drop every other key here
    $deleteFromPrimitiveList/F: [v]   take these out of the list of scalars F
    $setElementOrder/F: [...]         the order that the merged list F must have

Source: apimachinery `pkg/util/strategicpatch/patch.go` (mergeMap, mergeSlice, mergePatchIntoOriginal, normalizeElementOrder);
the same routine also joins the two halves of a computed patch, where directives are kept and not obeyed (`obey=False`).
"""

from __future__ import annotations

from typing import Any

from kubesim import errors
from kubesim.machinery import gotext, objects
from kubesim.machinery.patches import fields

Document = dict[str, Any]

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList/"
SET_ORDER = "$setElementOrder/"
DELETE = "delete"


def strategic(document: Document, patch: Any, schema_type: str, lookup: fields.Lookup = fields.lookup) -> Document:
    """The document (of that schema type) after the patch.  ApiError 400 or 500 in upstream's words."""
    if not isinstance(patch, dict):
        raise errors.ApiError(400, "BadRequest", "invalid JSON document")
    merged: Document = Merger(lookup).map(objects.copy(document), objects.copy(patch), schema_type)
    return merged


def bad_request(message: str) -> errors.ApiError:
    return errors.ApiError(400, "BadRequest", message)


def internal(message: str) -> errors.ApiError:
    """Errors that upstream's patch handler does not interpret leave it as a bare 500."""
    return errors.ApiError(500, "", message)


class Merger:
    """One merge.  Works in place on what it is given, which nobody else may hold."""

    def __init__(self, lookup: fields.Lookup, obey: bool = True) -> None:
        self.lookup = lookup
        self.obey = obey

    # -- maps ---------------------------------------------------------------------------------------------------

    def map(self, original: Document, patch: Document, type_name: str) -> Document:
        if DIRECTIVE in patch:
            return self._directed(patch)
        self._retain_keys(original, patch)
        self._set_orders(original, patch, type_name)
        for key, value in patch.items():
            deletes = key.startswith(DELETE_FROM)
            if deletes:
                if not self.obey:
                    original[key] = value
                    continue
                key = key.removeprefix(DELETE_FROM)
            if value is None:
                original.pop(key, None)
                if self.obey:
                    continue
                original[key] = None
                continue
            before = original.get(key)
            if key not in original:
                if not deletes:
                    original[key] = self._without_directives(value) if self.obey else value
            elif isinstance(before, dict) and isinstance(value, dict):
                original[key] = self._map_field(before, value, self.lookup(type_name, key))
            elif isinstance(before, list) and isinstance(value, list):
                original[key] = self._list_field(before, value, self.lookup(type_name, key), deletes)
            elif not deletes:
                original[key] = value
        return original

    def _directed(self, patch: Document) -> Document:
        directive = patch[DIRECTIVE]
        if not self.obey:
            return patch
        if directive == fields.REPLACE:
            return {key: value for key, value in patch.items() if key != DIRECTIVE}
        if directive == DELETE:
            return {}
        raise internal(f"unknown patch type: {directive} in map: {gotext.v(patch)}")

    def _map_field(self, before: Document, value: Document, meta: fields.Meta) -> Document:
        if meta.strategy == fields.REPLACE:
            return value
        return self.map(before, value, meta.type)

    def _retain_keys(self, original: Document, patch: Document) -> None:
        if RETAIN_KEYS not in patch:
            return
        retained = patch.pop(RETAIN_KEYS)
        if not self.obey:
            if original.setdefault(RETAIN_KEYS, retained) != retained:
                raise bad_request("invalid patch format of retainKeys")
            return
        if not isinstance(retained, list) or any(
            key not in retained for key in patch if not key.startswith((SET_ORDER, DELETE_FROM))
        ):
            raise bad_request("invalid patch format of retainKeys")
        for key in list(original):
            if key not in retained:
                del original[key]

    def _without_directives(self, value: Any) -> Any:
        """A part of the patch that meets nothing: its nulls and directives have nothing to work on."""
        if isinstance(value, list):
            return [
                self._without_directives(item)
                for item in value
                if not (isinstance(item, dict) and item.get(DIRECTIVE) in (DELETE, fields.REPLACE) and len(item) <= 2)
            ]
        if not isinstance(value, dict):
            return value
        if value.get(DIRECTIVE) == DELETE:
            return {}
        return {
            key: self._without_directives(item)
            for key, item in value.items()
            if item is not None and key not in (DIRECTIVE, RETAIN_KEYS) and not key.startswith((SET_ORDER, DELETE_FROM))
        }

    # -- lists --------------------------------------------------------------------------------------------------

    def _list_field(self, before: list[Any], value: list[Any], meta: fields.Meta, deletes: bool) -> list[Any]:
        if deletes:
            return [item for item in before if item not in value]
        if meta.strategy != fields.MERGE:
            return value
        return self._merge_lists(before, value, meta)

    def _merge_lists(self, before: list[Any], value: list[Any], meta: fields.Meta) -> list[Any]:
        if not before and not value:
            return before
        items = before + value
        if any(isinstance(item, list) for item in items):
            raise internal("lists of lists are not supported")
        maps = [isinstance(item, dict) for item in items]
        server = list(before)
        if not any(maps):
            merged = list(dict.fromkeys(items))
            return _ordered(merged, value, server, "") if self.obey else merged
        if not all(maps):
            raise internal("list element types are not identical")
        if not meta.key:
            raise internal(f"cannot merge lists without merge key for schema {meta.type}")
        if self.obey:
            before, value = self._special_elements(before, value, meta.key)
        for item in value:
            wanted = self._key_of(item, meta.key)
            for index, there in enumerate(before):
                if there.get(meta.key) == wanted:
                    before[index] = self.map(there, item, meta.type)
                    break
            else:
                before.append(self._without_directives(item) if self.obey else item)
        # Without an order of its own the patch's list is one: what is new comes first (normalizeElementOrder).
        return _ordered(before, value, server, meta.key) if self.obey else before

    def _key_of(self, item: Document, merge_key: str) -> Any:
        if merge_key not in item:
            raise internal(f"map: {gotext.v(item)} does not contain declared merge key: {merge_key}")
        return item[merge_key]

    def _special_elements(self, before: list[Any], value: list[Any], key: str) -> tuple[list[Any], list[Any]]:
        """Obey the elements that are directives; what is left of both lists."""
        plain = []
        replaces = False
        for item in value:
            directive = item.get(DIRECTIVE)
            if directive is None:
                plain.append(item)
            elif directive == DELETE:
                gone = item.get(key)
                if key not in item:
                    raise internal(f"delete patch type with no merge key defined: {gotext.v(item)}")
                before = [there for there in before if there.get(key) != gone]
            elif directive == fields.REPLACE:
                replaces = True
            elif directive == fields.MERGE:
                raise internal("merging lists is not yet supported")
            else:
                raise internal(f"unknown patch type: {directive} in map: {gotext.v(item)}")
        return ([], plain) if replaces else (before, plain)

    # -- the order of lists -------------------------------------------------------------------------------------

    def _set_orders(self, original: Document, patch: Document, type_name: str) -> None:
        """Merge each list that has an order set, and take both out of the patch."""
        for directive in [key for key in patch if key.startswith(SET_ORDER)]:
            order = patch.pop(directive)
            field = directive.removeprefix(SET_ORDER)
            if not self.obey:
                original[directive] = order
                continue
            if not isinstance(order, list):
                raise bad_request("invalid patch format of setElementOrder list")
            meta = self.lookup(type_name, field)
            server = original.get(field)
            before = list(server) if isinstance(server, list) else []
            gone = patch.pop(DELETE_FROM + field, None)
            if isinstance(gone, list):
                before = [item for item in before if item not in gone]
            value = patch.pop(field, None)
            changed = value if isinstance(value, list) else []
            _check_order(changed, order, meta.key)
            merged = self._merge_lists(before, changed, meta) if changed else before
            if merged or field in original or changed:
                original[field] = _ordered(merged, order, server if isinstance(server, list) else [], meta.key)


def identity(item: Any, merge_key: str) -> Any:
    """What tells elements apart: the merge key's value, or a scalar itself."""
    return item.get(merge_key) if isinstance(item, dict) else item


def _check_order(changed: list[Any], order: list[Any], merge_key: str) -> None:
    """The elements of the patch must stand in the order that the patch sets."""
    wanted = [identity(item, merge_key) for item in order]
    at = 0
    for item in changed:
        if isinstance(item, dict) and DIRECTIVE in item:
            continue
        try:
            at = wanted.index(identity(item, merge_key), at) + 1
        except ValueError:
            raise bad_request(
                f"The order in patch list:\n{gotext.v(changed)}\n doesn't match $setElementOrder list:\n{gotext.v(order)}\n"
            ) from None


def _ordered(merged: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """Elements that the patch knows in its order; the server's own keep their places relative to those that it had."""
    wanted = [identity(item, merge_key) for item in order]
    places = [identity(item, merge_key) for item in server]
    known = sorted(
        (item for item in merged if identity(item, merge_key) in wanted),
        key=lambda item: wanted.index(identity(item, merge_key)),
    )
    foreign = [item for item in merged if identity(item, merge_key) not in wanted]
    woven: list[Any] = []
    while known and foreign:
        left, right = identity(foreign[0], merge_key), identity(known[0], merge_key)
        first = left in places and right in places and places.index(left) < places.index(right)
        woven.append(foreign.pop(0) if first else known.pop(0))
    return woven + known + foreign
