"""Fields of type string that take one of a few words, as OpenAPI tells them (`enums.txt`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("enums.txt")


@cache
def _words() -> dict[tuple[str, str], tuple[str, ...]]:
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            owner, field, *words = line.split(" ")
            found[owner, field] = tuple("" if word == '""' else word for word in words)
    return found


def of_field(type_name: str, field: str) -> tuple[str, ...]:
    """The words in order; () where a field takes any text."""
    return _words().get((type_name, field), ())
