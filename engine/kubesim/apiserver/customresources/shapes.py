"""Structural schemas as types: what server-side apply and managedFields need to know of a custom resource.

Source: apiextensions `pkg/controller/openapi/builder`, kube-openapi `pkg/schemaconv`.
"""

from __future__ import annotations

from typing import Any

from kubesim.schema.types import DEDUCED, Field, make_type

Object = dict[str, Any]

_SCALARS = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}
_META = "meta.v1.ObjectMeta"
_COMMON = {
    "apiVersion": Field("apiVersion", "string", "scalar", "string"),
    "kind": Field("kind", "string", "scalar", "string"),
    "metadata": Field("metadata", _META, "struct", _META),
}


def root(label: str, schema: Object) -> str:
    """The type of the whole object."""
    fields = {name: _field(name, inner, label) for name, inner in (schema.get("properties") or {}).items()}
    return make_type(label, {**fields, **_COMMON}, open=is_open(schema))


def is_open(schema: Object) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _field(name: str, schema: Object, label: str) -> Field:
    kind = _kind(schema, label)
    listed, keys = schema.get("x-kubernetes-list-type", ""), tuple(schema.get("x-kubernetes-list-map-keys") or ())
    shape = "list" if kind.startswith("[]") else "map" if kind.startswith("{}") else "struct" if "." in kind else "any"
    return Field(
        name=name,
        kind=kind,
        shape=shape,
        of=kind[2:] if shape in ("list", "map") else kind if shape == "struct" else "",
        default=schema.get("default"),
        list_type=listed if shape == "list" else "",
        list_keys=keys,
        map_type=schema.get("x-kubernetes-map-type", ""),
    )


def _kind(schema: Object, label: str) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "IntOrString"
    match schema.get("type"):
        case "array":
            return "[]" + _kind(schema.get("items") or {}, label)
        case "object":
            return _map_or_struct(schema, label)
        case None | "":
            return DEDUCED
    return _SCALARS.get(schema["type"], "string")


def _map_or_struct(schema: Object, label: str) -> str:
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return "{}" + _kind(values, label)
    if values is True:
        return "{}" + DEDUCED
    fields = {name: _field(name, inner, label) for name, inner in (schema.get("properties") or {}).items()}
    if schema.get("x-kubernetes-embedded-resource"):
        fields |= _COMMON
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    return make_type(label, fields, atomic=atomic, open=is_open(schema))
