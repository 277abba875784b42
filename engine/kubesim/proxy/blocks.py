"""Texts in the order of their keys, kept in blocks that are joined once.

A kube-proxy with ten thousand Services writes as many lines into KUBE-SERVICES at every sync, and nearly all of them are those
of the sync before.  Each block is one string, the same object from sync to sync until one of its texts changes.
"""

from __future__ import annotations

import bisect
from typing import Any

# A change writes one block again, and every block is handed over: about the square root of what a large cluster has.
SIZE = 128


class Blocks:
    """A sorted mapping from keys (anything that can be sorted and hashed) to texts of whole lines."""

    def __init__(self) -> None:
        # Of each block.
        self._keys: list[list[Any]] = []
        self._texts: list[dict[Any, str]] = []
        self._joined: list[str | None] = []

    def put(self, key: Any, text: str) -> None:
        """Set the key's text; an empty one takes it out."""
        at = max(bisect.bisect_right(self._keys, key, key=_first) - 1, 0)
        if not text:
            self._take(at, key)
            return
        if not self._keys:
            self._insert(0, [key], {key: text})
            return
        texts = self._texts[at]
        if texts.get(key) == text:
            return
        if key not in texts:
            bisect.insort(self._keys[at], key)
        texts[key] = text
        self._joined[at] = None
        keys = self._keys[at]
        if len(keys) > SIZE:
            later = keys[SIZE // 2 :]
            del keys[SIZE // 2 :]
            self._insert(at + 1, later, {each: texts.pop(each) for each in later})

    def _insert(self, at: int, keys: list[Any], texts: dict[Any, str]) -> None:
        self._keys.insert(at, keys)
        self._texts.insert(at, texts)
        self._joined.insert(at, None)

    def _take(self, at: int, key: Any) -> None:
        if self._keys and self._texts[at].pop(key, None) is not None:
            self._keys[at].remove(key)
            self._joined[at] = None
            if not self._keys[at]:
                del self._keys[at], self._texts[at], self._joined[at]

    def pieces(self) -> list[str]:
        """All texts in order, joined to blocks."""
        for at, joined in enumerate(self._joined):
            if joined is None:
                texts = self._texts[at]
                self._joined[at] = "".join(texts[key] for key in self._keys[at])
        return [joined for joined in self._joined if joined]


def _first(keys: list[Any]) -> Any:
    return keys[0]
