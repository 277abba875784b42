"""-o custom-columns: a heading and a JSONPath for each column.

Source: kubectl `pkg/cmd/get/customcolumn.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import fail, tabs
from kubesim.machinery import gotext, jsonpath

Object = dict[str, Any]


def from_spec(spec: str) -> Renderer:
    """ "NAME:.metadata.name,IP:.status.podIP"."""
    if not spec:
        raise fail.Failed("error: custom-columns format specified but no custom columns given")
    pairs = []
    for part in spec.split(","):
        header, colon, path = part.partition(":")
        if not colon:
            raise fail.Failed(f"error: unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        pairs.append((header, path))
    return Renderer(pairs)


def from_template(text: str) -> Renderer:
    """Two lines: headings, and under them their paths."""
    lines = text.splitlines()
    if len(lines) < 2:
        raise fail.Failed("error: invalid template, missing spec line.")
    headers, paths = lines[0].split(), lines[1].split()
    if len(headers) != len(paths):
        raise fail.Failed(
            f"error: number of headers ({len(headers)}) and field specifications ({len(paths)}) don't match"
        )
    return Renderer(list(zip(headers, paths, strict=True)))


class Renderer:
    """The columns, ready to print objects."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._columns = []
        for header, path in pairs:
            try:
                self._columns.append((header, jsonpath.JsonPath(jsonpath.relaxed(path))))
            except jsonpath.JsonPathError as error:
                raise fail.Failed(f"error: {error}") from None

    def render(self, obj: Object, headings: bool = True) -> str:
        rows = [[header for header, _ in self._columns]] if headings else []
        items = obj["items"] if isinstance(obj.get("items"), list) else [obj]
        rows += [[_cell(path, item) for _, path in self._columns] for item in items]
        return tabs.table(rows)

    def __call__(self, obj: Object) -> str:
        return self.render(obj)


def _cell(path: jsonpath.JsonPath, obj: Object) -> str:
    try:
        values = [value for part in path.find(obj) for value in part]
    except jsonpath.JsonPathError as error:
        raise fail.Failed(f"error: {error}") from None
    return ",".join("<none>" if value is None else gotext.v(value) for value in values) if values else "<none>"
