"""The Table object (meta.k8s.io/v1)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from kubesim.apiserver.customresources import columns as custom
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.apiserver.tables import extra, rows
from kubesim.schema import Resource
from kubesim.schema.defaults.workloads import TEMPLATE_GENERATION

Object = dict[str, Any]

# Column definitions as they are on the wire; the description of an age is the same in all tables.
NAME_COLUMN, AGE_COLUMN = ("services", "Name"), ("services", "Age")


@cache
def _data() -> Object:
    found: Object = json.loads((Path(__file__).parent / "columns.json").read_text(encoding="utf-8"))
    return found


@cache
def columns(resource: str) -> tuple[Object, ...]:
    """The column definitions of a resource."""
    data = _data()
    texts = data["descriptions"]
    known = data["tables"].get(resource)
    if known is not None:
        return tuple(_column(name, kind, form, priority, texts[at]) for name, kind, form, priority, at in known)
    name = _column("Name", "string", "name", 0, _text(data, *NAME_COLUMN))
    given = extra.COLUMNS.get(resource)
    if given is None:
        return (name, _column("Created At", "date", "", 0, _text(data, *AGE_COLUMN)))
    return (name, *(_column(each.removesuffix("*"), "string", "", int(each.endswith("*")), "") for each in given))


def _text(data: Object, resource: str, column: str) -> str:
    """The description that a recorded column has."""
    at = next(row[4] for row in data["tables"][resource] if row[0] == column)
    return str(data["descriptions"][at])


def _column(name: str, kind: str, form: str, priority: int, text: str) -> Object:
    return {"name": name, "type": kind, "format": form, "description": text, "priority": priority}


def table(resource: Resource, items: list[Object], metadata: Object, now: float, include: str, version: str) -> Object:
    """A Table of these objects.  `include` is includeObject: "Metadata", "Object" or "None"; `now` dates the ages."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": _definitions(resource),
        "rows": [row_object(resource, obj, now, include, version) for obj in items],
    }


def _definitions(resource: Resource) -> list[Object]:
    found = list(columns(resource.name))
    # Of any resource the first column is the name's.
    return custom.definitions(resource, found[0]) if isinstance(resource, CustomResource) else found


def row_object(resource: Resource, obj: Object, now: float, include: str, version: str) -> Object:
    """One row: cells, and the object or its metadata along with them."""
    if isinstance(resource, CustomResource):
        row: Object = {"cells": custom.cells(resource, obj, now)}
    else:
        row = {"cells": rows.cells(resource, obj, now)}
    conditions = rows.conditions(resource, obj)
    if conditions:
        row["conditions"] = conditions
    if include == "Object":
        row["object"] = obj
    elif include == "None":
        row["object"] = None
    else:
        row["object"] = partial(_as_internal(obj), version)
    return row


def _as_internal(obj: Object) -> Object:
    """Tables are made of internal objects, where a DaemonSet's template generation is no annotation yet."""
    annotations = obj["metadata"].get("annotations", {})
    if obj.get("kind") != "DaemonSet" or TEMPLATE_GENERATION not in annotations:
        return obj
    kept = {key: value for key, value in annotations.items() if key != TEMPLATE_GENERATION}
    metadata = {key: value for key, value in obj["metadata"].items() if key != "annotations"}
    return {**obj, "metadata": {**metadata, "annotations": kept} if kept else metadata}


def partial(obj: Object, version: str = "v1") -> Object:
    """PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}
