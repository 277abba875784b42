"""Tables as the server makes them (meta.k8s.io Table), printed as `kubectl get` does.

Source: cli-runtime `pkg/printers/tableprinter.go`; kubectl `pkg/cmd/get/get.go`, `sorter.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kubesim.kubectl import discovery, fail, tabs
from kubesim.machinery import gotext, jsonpath, objects, quantities

Object = dict[str, Any]


@dataclass
class Style:
    """What the flags of `get` ask of a table."""

    wide: bool = False
    namespace: bool = False
    kind: bool = False
    headings: bool = True
    labels: bool = False
    label_columns: tuple[str, ...] = ()


def rows_of(table: Object, mapping: discovery.Mapping, style: Style, headings: bool) -> list[list[str]]:
    """The rows as text, with the headings first where wanted.  No rows, no headings."""
    columns = table.get("columnDefinitions") or []
    shown = [index for index, column in enumerate(columns) if style.wide or not column.get("priority")]
    rows: list[list[str]] = []
    if headings and style.headings:
        head = ["NAMESPACE"] if style.namespace and mapping.namespaced else []
        head += [columns[index]["name"].upper() for index in shown]
        head += [label.rpartition("/")[2].upper() for label in style.label_columns]
        rows.append(head + (["LABELS"] if style.labels else []))
    name_at = next((index for index, column in enumerate(columns) if column["name"].lower() == "name"), -1)
    for row in table.get("rows") or ():
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        cells = [metadata.get("namespace", "")] if style.namespace and mapping.namespaced else []
        for index in shown:
            cell = _cell(row["cells"][index])
            cells.append(f"{mapping.prefix}/{cell}" if style.kind and index == name_at else cell)
        cells += [labels.get(label, "") for label in style.label_columns]
        if style.labels:
            cells.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
        rows.append(cells)
    return rows


def _cell(value: Any) -> str:
    """One line of it; Go's tabwriter would take more for rows."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return gotext.v(value)
    first = re.split(r"[\f\n\r]", value, maxsplit=1)
    return first[0] + "..." if len(first) > 1 else value


def as_table(obj: Object, age: str) -> Object:
    """A table of our own, for a server that gives none: NAME and AGE."""
    return {
        "columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
        "rows": [{"cells": [objects.name(obj), age], "object": obj}],
    }


class Sheet:
    """Prints rows with widths that last (`get -w`)."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def text(self, rows: list[list[str]]) -> str:
        return tabs.table(rows, self._widths)


# -- --sort-by ----------------------------------------------------------------------------------------------------


def sort(items: list[Any], field: str, of: Any = lambda item: item) -> list[Any]:
    """Items by the value at a JSONPath in `of(item)`; absent ones first.  Raises fail.Failed in kubectl's words."""
    try:
        path = jsonpath.JsonPath(jsonpath.relaxed(field))
    except jsonpath.JsonPathError as error:
        raise fail.Failed(f"error: {error}") from None
    keyed = []
    for item in items:
        values = [value for part in path.find(of(item)) for value in part]
        keyed.append((_sort_key(values[0] if values else None), item))
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def _sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    text = str(value)
    try:
        return (2, [(0, quantities.parse(text).value, "")])
    except quantities.QuantityError:
        pass
    # sortorder.NaturalLess: runs of digits by their number.
    parts = re.findall(r"\d+|\D+", text)
    return (2, [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts])
