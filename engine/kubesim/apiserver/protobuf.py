"""Bodies in protobuf (`application/vnd.kubernetes.protobuf`): from bytes to the JSON form of the object.

kubectl from 1.32 on sends what it makes itself (`create deployment`, `drain`'s evictions) in this form.  A body is "k8s\\0" and a
runtime.Unknown: the kind's name, and the object's own message.  The JSON that comes out says what the message says, zeros
included; `decoding` then drops what Go's encoder would not have written, as it does for a body that came as JSON.

Messages are read as gogo/protobuf's generated code reads them: unknown fields are passed over, of a field that comes twice
the later one holds, messages that come twice are merged, numbers may be packed or not, text is not checked to be UTF-8.

Sources: apimachinery `pkg/runtime/serializer/protobuf/protobuf.go`, `pkg/apis/meta/v1/{time,micro_time}_proto.go`,
`pkg/api/resource/quantity_proto.go`, `pkg/util/intstr`; apiextensions `pkg/apis/apiextensions/v1/marshal.go`;
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from kubesim import ids, schema
from kubesim.apiserver import negotiation
from kubesim.schema import numbers

MAGIC = b"k8s\x00"
# Wire types.
VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
# The largest length that is no negative number in Go.
MAX_LENGTH = (1 << 63) - 1

Object = dict[str, Any]


class BadMessage(ValueError):
    """The bytes are no such message; the text is what gogo/protobuf or the serializer says."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """runtime.Unknown: `raw` is the object's own message."""

    api_version: str
    kind: str
    raw: bytes


# -- the envelope -----------------------------------------------------------------------------------------------


def envelope(body: bytes) -> Envelope:
    """What a body says it holds.  Raises BadMessage."""
    if not body:
        raise BadMessage("empty data")
    if not body.startswith(MAGIC):
        expected = " ".join(str(byte) for byte in MAGIC)
        raise BadMessage(f"provided data does not appear to be a protobuf message, expected prefix [{expected}]")
    if len(body) == len(MAGIC):
        raise BadMessage("empty body")
    unknown = _read(_UNKNOWN, "Unknown", body[len(MAGIC) :])
    type_meta = unknown.get("typeMeta", {})
    return Envelope(type_meta.get("apiVersion", ""), type_meta.get("kind", ""), unknown.get("raw", b""))


def decode(found: Envelope) -> Object:
    """The object in an envelope, as JSON; of a kind that is not known only its name.  Raises BadMessage."""
    obj: Object = {"kind": found.kind, "apiVersion": found.api_version}
    type_name = _type_name(found.api_version, found.kind)
    if type_name:
        try:
            obj |= _message(type_name, found.raw)
        except RecursionError:
            raise BadMessage("exceeded max depth") from None
    return obj


def _type_name(api_version: str, kind: str) -> str:
    """The schema's name of a kind's type, or ""."""
    group, _, version = api_version.rpartition("/")
    resource = schema.resource_for_kind(api_version, kind)
    if resource is not None:
        name = resource.type(version)
    elif kind == "DeleteOptions":
        # It is registered in every group.
        name = "meta.v1.DeleteOptions"
    elif (group, kind) == ("policy", "Eviction"):
        name = "policy.v1.Eviction"
    else:
        name = f"{schema.resources.package(group)}.{version}.{kind}"
    return name if numbers.of(name) is not None else ""


# -- the wire ---------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(the number, where it ends)."""
    value = shift = 0
    while shift < 64:
        if at >= len(data):
            raise BadMessage("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise BadMessage("proto: integer overflow")


def _value(data: bytes, at: int, wire: int) -> tuple[Any, int]:
    """(an int or bytes, where it ends); of a group nothing is kept."""
    if wire == VARINT:
        return _varint(data, at)
    if wire == GROUP:
        return b"", _after_group(data, at)
    if wire == BYTES:
        length, at = _varint(data, at)
        if length > MAX_LENGTH:
            raise BadMessage("proto: negative length found during unmarshaling")
    elif wire in (FIXED64, FIXED32):
        length = 8 if wire == FIXED64 else 4
    else:
        raise BadMessage(f"proto: illegal wireType {wire}")
    if at + length > len(data):
        raise BadMessage("unexpected EOF")
    return data[at : at + length], at + length


def _after_group(data: bytes, at: int) -> int:
    """Where a group ends that begins here; groups in it end with it."""
    depth = 1
    while depth:
        tag, at = _varint(data, at)
        if tag & 7 == GROUP:
            depth += 1
        elif tag & 7 == END_GROUP:
            depth -= 1
        else:
            _, at = _value(data, at, tag & 7)
    return at


def _fields(data: bytes, message: str) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3 & 0xFFFF_FFFF, tag & 7
        if wire == END_GROUP:
            raise BadMessage(f"proto: {message}: wiretype end group for non-group")
        if number == 0 or number >> 31:
            # Go keeps a field's number in an int32.
            raise BadMessage(f"proto: {message}: illegal tag {number - (number >> 31 << 32)} (wire type {tag})")
        value, at = _value(data, at, wire)
        yield number, wire, value


# -- messages ---------------------------------------------------------------------------------------------------

# From a value on the wire, and what the field already holds (or None), to what it holds then; None is Go's nil.
Reader = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class _Slot:
    """One field of a message.  `inside`: the fields of a struct that JSON does not show."""

    name: str
    wire: int
    read: Reader
    packed: bool = False
    inside: dict[int, _Slot] | None = None


def _read(slots: dict[int, _Slot], message: str, data: bytes, out: Object | None = None) -> Object:
    """A message's fields into `out`."""
    out = {} if out is None else out
    for number, wire, value in _fields(data, message):
        slot = slots.get(number)
        if slot is None:
            continue
        if wire != slot.wire:
            if not (slot.packed and wire == BYTES):
                raise BadMessage(f"proto: wrong wireType = {wire} for field {slot.name[:1].upper()}{slot.name[1:]}")
            value = _unpacked(slot.wire, value)
        elif slot.packed:
            value = [value]
        if slot.inside is not None:
            _read(slot.inside, message, value, out)
            continue
        result = slot.read(value, out.get(slot.name))
        if result is not None:
            out[slot.name] = result
    return out


def _unpacked(wire: int, data: bytes) -> list[Any]:
    values, at = [], 0
    while at < len(data):
        value, at = _value(data, at, wire)
        values.append(value)
    return values


def _message(type_name: str, data: bytes, before: Object | None = None) -> Object:
    return _read(_slots(type_name), type_name.rsplit(".", 1)[-1], data, before)


@cache
def _slots(type_name: str) -> dict[int, _Slot]:
    """A type's fields by number; empty for one that has no message (its fields are then all unknown)."""
    type_ = schema.find_type(type_name)
    return {} if type_ is None else _slots_of(type_, numbers.of(type_name) or {})


def _slots_of(type_: schema.Type, fields: dict[int, numbers.Numbered]) -> dict[int, _Slot]:
    found: dict[int, _Slot] = {}
    for number, field in fields.items():
        if field.inside is not None:
            inside = _slots_of(type_, field.inside)
            found[number] = _Slot(f"embedded field {number}", BYTES, _bytes, inside=inside)
        else:
            found[number] = _slot(field.name, type_.fields[field.name].kind, field.choice)
    return found


def _slot(name: str, kind: str, choice: tuple[str, ...] = ()) -> _Slot:
    element = kind[2:] if kind[:2] in ("[]", "{}") else kind
    if kind.startswith("[]"):
        wire, read = _kind(element, choice)
        if wire == BYTES:
            return _Slot(name, wire, lambda value, before: [*(before or ()), read(value, None)])
        return _Slot(
            name, wire, lambda values, before: [*(before or ()), *(read(each, None) for each in values)], packed=True
        )
    if kind.startswith("{}"):
        return _Slot(name, BYTES, _map(element, choice))
    return _Slot(name, *_kind(kind, choice))


def _kind(kind: str, choice: tuple[str, ...] = ()) -> tuple[int, Reader]:
    """The wire type and the reader of one value."""
    if choice:
        return BYTES, _choice(choice)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind.startswith("[]"):
        # A list inside of a map or a list is a message of its own (authentication's ExtraValue).
        items = {1: _slot("items", kind)}
        return BYTES, lambda value, before: _read(items, "items", value).get("items", [])
    return BYTES, lambda value, before: _message(kind, value, before)


def _map(kind: str, choice: tuple[str, ...]) -> Reader:
    """A map's entries: messages of a key (1) and a value (2)."""
    wire, read = _kind(kind, choice)
    entry = {1: _Slot("key", BYTES, _string), 2: _Slot("value", wire, read)}

    def into(data: Any, before: Any) -> Any:
        pair = _read(entry, "entry", data)
        if "value" not in pair:
            # An entry without a value holds an empty message, or zero.
            pair["value"] = read(b"" if wire == BYTES else 0, None)
        return {**(before or {}), pair.get("key", ""): pair["value"]}

    return into


_CHOICES = {
    "bool": "bool",
    "schema": "apiextensions.v1.JSONSchemaProps",
    "array": "[]apiextensions.v1.JSONSchemaProps",
    "strings": "[]string",
}


def _choice(kinds: tuple[str, ...]) -> Reader:
    """One of two, which JSON shows as it is: JSONSchemaPropsOrBool and its kin."""
    slots = {number: _slot(kind, _CHOICES[kind]) for number, kind in enumerate(kinds, 1)}

    def read(data: Any, before: Any) -> Any:
        found = _read(slots, "choice", data)
        # A schema wins over a boolean, and a list over a schema.
        return next((found[kind] for kind in reversed(kinds) if kind in found), None)

    return read


# -- values -----------------------------------------------------------------------------------------------------


def _string(value: Any, before: Any) -> str:
    return str(value, "utf-8", "replace")


def _bytes(value: Any, before: Any) -> str:
    return base64.b64encode(value).decode()


def _integer(value: Any, before: Any) -> int:
    return int(value) - (value >> 63 << 64)


def _int32(value: Any, before: Any) -> int:
    low = int(value) & 0xFFFF_FFFF
    return low - (low >> 31 << 32)


def _float(value: Any, before: Any) -> int | float:
    number: float = struct.unpack("<d", value)[0]
    if not math.isfinite(number):
        raise BadMessage(f"json: unsupported value: {'NaN' if math.isnan(number) else f'{number:+}'.title()}")
    # Go writes whole numbers without a point.
    return int(number) if number.is_integer() else number


def _quantity(data: Any, before: Any) -> str:
    return str(_read({1: _Slot("string", BYTES, _string)}, "Quantity", data).get("string", "0"))


_INT_OR_STRING = {
    1: _Slot("type", VARINT, _integer),
    2: _Slot("intVal", VARINT, _int32),
    3: _Slot("strVal", BYTES, _string),
}


def _int_or_string(data: Any, before: Any) -> int | str:
    found = _read(_INT_OR_STRING, "IntOrString", data)
    value: int | str = found.get("strVal", "") if found.get("type") else found.get("intVal", 0)
    return value


_TIMESTAMP = {1: _Slot("seconds", VARINT, _integer), 2: _Slot("nanos", VARINT, _integer)}


def _instant(data: Any, micro: bool) -> str | None:
    """RFC 3339; an empty message is the zero time, which JSON has as null."""
    found = _read(_TIMESTAMP, "Timestamp", data)
    seconds, nanoseconds = found.get("seconds", 0), found.get("nanos", 0)
    if not seconds and not nanoseconds:
        return None
    carried, nanoseconds = divmod(nanoseconds, 1_000_000_000)
    try:
        text = ids.timestamp(seconds + carried)
    except (OverflowError, OSError, ValueError):
        raise BadMessage("Time.MarshalJSON: year outside of range [0,9999]") from None
    return f"{text[:-1]}.{nanoseconds // 1000:06}Z" if micro else text


def _json(data: Any, before: Any) -> Any:
    """RawExtension, FieldsV1 and apiextensions' JSON: a document in field 1, or again an object in protobuf."""
    raw = _read(_RAW, "RawExtension", data).get("raw", b"")
    if not raw:
        return None
    if raw.startswith(MAGIC):
        return decode(envelope(raw))
    try:
        return negotiation.parse_json(raw)[0]
    except negotiation.BadBody as error:
        raise BadMessage(str(error)) from None


_SCALARS: dict[str, tuple[int, Reader]] = {
    "string": (BYTES, _string),
    "bool": (VARINT, lambda value, before: bool(value)),
    "int32": (VARINT, _integer),
    "int64": (VARINT, _integer),
    "float64": (FIXED64, _float),
    "bytes": (BYTES, _bytes),
    "Quantity": (BYTES, _quantity),
    "IntOrString": (BYTES, _int_or_string),
    "Time": (BYTES, lambda value, before: _instant(value, micro=False)),
    "MicroTime": (BYTES, lambda value, before: _instant(value, micro=True)),
    "any": (BYTES, _json),
}
_RAW = {1: _Slot("raw", BYTES, lambda value, before: bytes(value))}
_TYPE_META = {1: _Slot("apiVersion", BYTES, _string), 2: _Slot("kind", BYTES, _string)}
_UNKNOWN = {
    1: _Slot("typeMeta", BYTES, lambda value, before: _read(_TYPE_META, "TypeMeta", value, before)),
    2: _Slot("raw", BYTES, lambda value, before: bytes(value)),
}
