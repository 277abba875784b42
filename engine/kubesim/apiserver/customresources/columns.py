"""Columns of custom resources (apiextensions `pkg/registry/customresource/tableconvertor`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kubesim import ids
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.machinery import durations
from kubesim.machinery.jsonpath import JsonPath, JsonPathError, text_of

Object = dict[str, Any]

_AGE: Object = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def printed(resource: CustomResource) -> tuple[Object, ...]:
    """The columns after the name: those of the definition or, when it has none, the age."""
    return resource.printed or (_AGE,)


def definitions(resource: CustomResource, name: Object) -> list[Object]:
    """The columnDefinitions; `name` is the name's, the same in all tables."""
    return [name, *(_definition(each) for each in printed(resource))]


def _definition(column: Object) -> Object:
    text = column.get("description") or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": text,
        "priority": column.get("priority", 0),
    }


def cells(resource: CustomResource, obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], *(_cell(each, obj, now) for each in printed(resource))]


@lru_cache(maxsize=1024)
def _path(text: str) -> JsonPath:
    return JsonPath(f"{{{text}}}")


def _cell(column: Object, obj: Object, now: float) -> Any:
    try:
        values = _path(column["jsonPath"]).find(obj)[0]
    except (JsonPathError, IndexError):
        return None
    if not values:
        return None
    value = values[0]
    match column["type"]:
        case "string":
            return text_of(value)
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _age(value, now)
    return None


def _age(value: Any, now: float) -> str:
    try:
        return durations.human(now - ids.parse_timestamp(value))
    except (ValueError, TypeError):
        return "<invalid>"
