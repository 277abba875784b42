"""Bodies in protobuf, as typed clients send them: read into the JSON that they stand for.

The envelope is `runtime.Unknown` after the four bytes "k8s\\0" (apimachinery `pkg/runtime/serializer/protobuf`).  Field numbers are
`schema/protobuf.txt`'s, kinds of values the schema's.  Answers are never in protobuf: every client takes JSON, too.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from kubesim import ids, schema
from kubesim.schema import types

Object = dict[str, Any]

MAGIC = b"k8s\x00"


class Malformed(ValueError):
    """Not protobuf, or not of that type."""


def read(data: bytes) -> Object:
    """The object in an envelope.  Raises Malformed."""
    if not data.startswith(MAGIC):
        raise Malformed("provided data does not appear to be a protobuf message, expected prefix 6b387300")
    try:
        envelope = dict(_fields(data[len(MAGIC) :]))
        named = dict(_fields(envelope.get(1, b"")))
        api_version, kind = named.get(1, b"").decode(), named.get(2, b"").decode()
        found = _message(_type_of(api_version, kind), envelope.get(2, b""))
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error) as error:
        if isinstance(error, Malformed):
            raise
        raise Malformed(f"proto: {error}") from None
    return {"apiVersion": api_version, "kind": kind, **found}


def _type_of(api_version: str, kind: str) -> str:
    group, _, version = ("/" + api_version).rpartition("/")
    package = schema.resources.package(group.strip("/"))
    for name in (f"{package}.{version}.{kind}", f"meta.v1.{kind}"):
        if schema.find_type(name) is not None:
            return name
    raise Malformed(f'no kind "{kind}" is registered for version "{api_version}"')


@cache
def _numbers() -> dict[str, str]:
    text = (Path(types.__file__).parent / "protobuf.txt").read_text(encoding="utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())


@cache
def _by_number(type_name: str) -> dict[int, types.Field]:
    found = schema.find_type(type_name)
    if found is None:
        raise Malformed(f"no type {type_name}")
    pairs = (pair.split("=") for pair in _numbers().get(type_name, "").split())
    return {int(number): found.fields[name] for name, number in pairs}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise Malformed("proto: integer overflow")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value): an int for a varint, bytes for what has a length or eight or four bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: Any
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 1:
                value, at = data[at : at + 8], at + 8
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case 5:
                value, at = data[at : at + 4], at + 4
            case wire:
                raise Malformed(f"proto: illegal wireType {wire}")
        if at > len(data):
            raise Malformed("unexpected EOF")
        yield tag >> 3, value


def _message(type_name: str, data: bytes) -> Object:
    known = _by_number(type_name)
    out: Object = {}
    for number, value in _fields(data):
        field = known.get(number)
        if field is None:
            continue
        if field.shape == "list":
            out.setdefault(field.name, []).append(_value(field.of, value))
        elif field.shape == "map":
            entry = dict(_fields(value))
            key = entry.get(1, b"").decode()
            out.setdefault(field.name, {})[key] = _entry(field.of, entry)
        else:
            out[field.name] = _value(field.kind, value)
    return out


def _entry(kind: str, entry: dict[int, Any]) -> Any:
    if kind.startswith("[]"):
        # A named list (ExtraValue) is a message of its items.
        return [_value(kind[2:], item) for number, item in _fields(entry.get(2, b"")) if number == 1]
    return _value(kind, entry[2] if 2 in entry else b"")


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "string":
            return value.decode()
        case "int32" | "int64":
            value = value or 0
            return value - (1 << 64) if value >> 63 else value
        case "bool":
            return bool(value)
        case "bytes":
            return base64.b64encode(value).decode()
        case "float64":
            return struct.unpack("<d", value)[0]
        case "Quantity":
            return dict(_fields(value)).get(1, b"0").decode()
        case "IntOrString":
            parts = dict(_fields(value))
            return parts.get(3, b"").decode() if parts.get(1) else _value("int32", parts.get(2, 0))
        case "Time" | "MicroTime":
            return _instant(value, kind == "MicroTime")
        case "any":
            raw = dict(_fields(value)).get(1, b"")
            return json.loads(raw) if raw else None
    return _message(kind, value)


def _instant(value: bytes, micro: bool) -> str | None:
    parts = dict(_fields(value))
    if not parts:
        return None
    seconds = _value("int64", parts.get(1, 0)) + parts.get(2, 0) / 1e9
    return ids.micro_timestamp(seconds) if micro else ids.timestamp(seconds)
