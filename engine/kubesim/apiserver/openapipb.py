"""OpenAPI v2 in protobuf, which kubectl asks for before 1.27, and up to 1.32 for kinds that it cannot find in v3.

The document is gnostic's `openapi.v2.Document`: from the JSON of `openapi.swagger` each object becomes the message that stands in
its place, keys that begin with `x-` its vendor extensions, whose values are YAML text (JSON is that, too).

Sources: google/gnostic-models `openapiv2/OpenAPIv2.proto`; kube-openapi `pkg/handler`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

# The media type that is asked for, and the one that the answer names.
ACCEPTED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

# Message: KEY NUMBER KIND, with KIND text, bool, any, or a message; []KIND is a repeated field.  `x-` is the extensions'.
_MESSAGES = {
    "Document": "swagger 1 text, info 2 Info, paths 8 Paths, definitions 9 Definitions, "
    "securityDefinitions 13 SecurityDefinitions, x- 16",
    "Info": "title 1 text, version 2 text, description 3 text, x- 7",
    "PathItem": "get 2 Operation, put 3 Operation, post 4 Operation, delete 5 Operation, patch 8 Operation, "
    "parameters 9 []ParametersItem, x- 10",
    "Operation": "tags 1 []text, description 3 text, operationId 5 text, produces 6 []text, consumes 7 []text, "
    "parameters 8 []ParametersItem, responses 9 Responses, x- 13",
    "BodyParameter": "description 1 text, name 2 text, in 3 text, required 4 bool, schema 5 Schema, x- 6",
    "QueryParameter": "required 1 bool, in 2 text, description 3 text, name 4 text, type 6 text, format 7 text, "
    "uniqueItems 20 bool, x- 23",
    "PathParameter": "required 1 bool, in 2 text, description 3 text, name 4 text, type 5 text, format 6 text, "
    "uniqueItems 19 bool, x- 22",
    "Response": "description 1 text, schema 2 SchemaItem, x- 5",
    "Schema": "$ref 1 text, format 2 text, description 4 text, default 5 any, required 19 []text, enum 20 []any, "
    "additionalProperties 21 AdditionalPropertiesItem, type 22 TypeItem, items 23 ItemsItem, allOf 24 []Schema, "
    "properties 25 Properties, x- 31",
    "ApiKeySecurity": "type 1 text, name 2 text, in 3 text, description 4 text, x- 5",
    # Messages that hold one thing, for which JSON has no object.
    "ItemsItem": "schema 1 Schema",
    "NonBodyParameter": "query 3 QueryParameter, path 4 PathParameter",
    "Parameter": "body 1 BodyParameter, other 2 NonBodyParameter",
    "ParametersItem": "parameter 1 Parameter",
    "ResponseValue": "response 1 Response",
    "SchemaItem": "schema 1 Schema",
    "SecurityDefinitionsItem": "apiKey 2 ApiKeySecurity",
    "TypeItem": "value 1 []text",
    "AdditionalPropertiesItem": "schema 1 Schema, boolean 2 bool",
}
# Messages that stand for a JSON object of free keys: the number of its entries, and what their values are.
_MAPS = {
    "Definitions": (1, "Schema"),
    "Paths": (2, "PathItem"),
    "Properties": (1, "Schema"),
    "Responses": (1, "ResponseValue"),
    "SecurityDefinitions": (1, "SecurityDefinitionsItem"),
}


def encode(swagger: dict[str, Any]) -> bytes:
    """The document's bytes.  A key that the table above does not know is a KeyError: nothing is left out unsaid."""
    return _message("Document", swagger)


@cache
def _fields(message: str) -> dict[str, tuple[int, str]]:
    found = {}
    for field in _MESSAGES[message].split(", "):
        key, number, *kind = field.split(" ")
        found[key] = (int(number), kind[0] if kind else "NamedAny")
    return found


def _message(name: str, value: Any) -> bytes:
    if name in _MAPS:
        number, kind = _MAPS[name]
        return b"".join(_field(number, _named(key, _message(kind, item))) for key, item in value.items())
    return b"".join(_entries(_fields(name), _shaped(name, value)))


def _entries(fields: dict[str, tuple[int, str]], value: dict[str, Any]) -> Iterator[bytes]:
    for key, item in value.items():
        if key.startswith("x-"):
            yield _field(fields["x-"][0], _named(key, _value("any", item)))
            continue
        number, kind = fields[key]
        if kind == "bool":
            yield _varint(number << 3) + _varint(int(item))
        elif kind.startswith("[]"):
            for each in item:
                yield _field(number, _value(kind[2:], each))
        else:
            yield _field(number, _value(kind, item))


def _shaped(name: str, value: Any) -> dict[str, Any]:
    """Where the message is a choice, or one that JSON does not have: the JSON object that it would be."""
    match name:
        case "ItemsItem" | "SchemaItem":
            return {"schema": value}
        case "ParametersItem":
            return {"parameter": value}
        case "Parameter":
            return {"body" if value["in"] == "body" else "other": value}
        case "NonBodyParameter":
            return {value["in"]: value}
        case "ResponseValue":
            return {"response": value}
        case "SecurityDefinitionsItem":
            return {value["type"]: value}
        case "TypeItem":
            return {"value": [value] if isinstance(value, str) else value}
        case "AdditionalPropertiesItem":
            return {"boolean" if isinstance(value, bool) else "schema": value}
    found: dict[str, Any] = value
    return found


def _value(kind: str, value: Any) -> bytes:
    if kind == "text":
        return str(value).encode()
    if kind == "any":
        return _field(2, json.dumps(value, separators=(",", ":")).encode())
    return _message(kind, value)


def _named(key: str, value: bytes) -> bytes:
    return _field(1, key.encode()) + _field(2, value)


def _field(number: int, raw: bytes) -> bytes:
    """A field with a length."""
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
