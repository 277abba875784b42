"""What a strategic merge patch must know about a field: how it merges, by which key, and what type it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

REPLACE = "replace"
MERGE = "merge"
RETAIN_KEYS = "retainKeys"


class Meta(NamedTuple):
    """`type` names the schema type of the field (of its elements, for a list), "" where it has no named fields of its
    own; `strategy` is "merge", "replace" or "" (maps then merge, lists are replaced); `key` is the merge key."""

    type: str = ""
    strategy: str = ""
    key: str = ""
    retain_keys: bool = False


Lookup = Callable[[str, str], Meta]


def lookup(type_name: str, field: str) -> Meta:
    """From the schema.  A field that the schema does not know merges as plain JSON."""
    if not type_name:
        return _PLAIN
    found = _CACHE.get((type_name, field))
    if found is None:
        found = _CACHE[type_name, field] = _ask(type_name, field)
    return found


def _ask(type_name: str, field: str) -> Meta:
    from kubesim import schema

    known = schema.field(type_name, field)
    strategies, key = schema.merge_key(type_name, field) or ((), "")
    return Meta(
        type=known.type if known is not None else "",
        strategy=next((each for each in strategies if each in (MERGE, REPLACE)), ""),
        key=key or "",
        retain_keys=RETAIN_KEYS in strategies,
    )


_PLAIN = Meta()
_CACHE: dict[tuple[str, str], Meta] = {}
