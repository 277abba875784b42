"""From JSON to an object of a type: what Go's decoder, `omitempty` and its encoder do to what was sent.

Unknown fields are noted and left out, nulls and optional zeros dropped, fields that Go always writes filled in, quantities and
times brought to their canonical text.  A value of the wrong JSON type is refused in encoding/json's words.  The result is
new: nothing of it is shared with what was sent.

Sources: sigs.k8s.io/json, apimachinery `pkg/runtime/serializer/json`, `pkg/apis/meta/v1/time.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from kubesim import schema
from kubesim.machinery import objects, quantities


class DecodeError(ValueError):
    """The message is encoding/json's, without its "json: " where upstream has none."""


class _Mismatch(Exception):
    """A value of the wrong JSON type; the path grows while the error rises through the structs."""

    def __init__(self, value: Any, wanted: str) -> None:
        self.value = value
        self.wanted = wanted
        self.path: list[str] = []
        self.struct = ""

    def message(self) -> str:
        where = f"Go struct field {self.struct}.{'.'.join(reversed(self.path))}" if self.struct else "Go value"
        return f"json: cannot unmarshal {_json_type(self.value)} into {where} of type {self.wanted}"


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "number"
    if isinstance(value, float):
        return f"number {value!r}" if value != int(value) else "number"
    return "array" if isinstance(value, list) else "object"


class Problems:
    """What a strict decoder complains about: unknown fields here, doubled ones where the text was read."""

    __slots__ = ("duplicates", "found")

    def __init__(self, duplicates: dict[int, list[str]] | None = None) -> None:
        self.duplicates = duplicates or {}
        self.found: list[str] = []

    def unknown(self, path: str, key: str) -> None:
        self.found.append(f'unknown field "{path}{key}"')

    def doubled(self, path: str, value: Any) -> None:
        self.found.extend(f'duplicate field "{path}{key}"' for key in self.duplicates.get(id(value), ()))


Reader = Callable[[Any, str, Problems], Any]


def decode(type_name: str, value: Any, problems: Problems | None = None) -> dict[str, Any]:
    """An object of this type out of JSON.  Raises DecodeError; unknown fields go to `problems`."""
    try:
        result: dict[str, Any] = _struct(type_name)(value, "", problems or Problems())
        return result
    except _Mismatch as error:
        raise DecodeError(error.message()) from None


def empty(type_name: str) -> dict[str, Any]:
    """A type's zero as Go writes it."""
    result: dict[str, Any] = _struct(type_name)({}, "", Problems())
    return result


@cache
def _struct(type_name: str) -> Reader:
    found = schema.find_type(type_name)
    if found is None:
        raise KeyError(f"no type {type_name!r} in the schema")
    type_ = found
    # name -> (reader, drop when zero or empty); made on first use, for a type may hold itself.
    readers: dict[str, tuple[Reader, bool]] = {}
    always = [each for each in type_.fields.values() if each.always]

    def read(value: Any, path: str, problems: Problems) -> Any:
        if type(value) is not dict:
            raise _Mismatch(value, _go_type(type_.name))
        if problems.duplicates:
            problems.doubled(path, value)
        out: dict[str, Any] = {}
        for key, item in value.items():
            known = readers.get(key)
            if known is None:
                field = type_.fields.get(key)
                if field is None:
                    problems.unknown(path, key)
                    continue
                known = readers[key] = (_OWN.get((type_.name, key)) or _reader(field), _droppable(field))
            if item is None:
                continue
            reader, droppable = known
            try:
                result = reader(item, path + key, problems)
            except _Mismatch as error:
                error.struct = error.struct or type_.short
                error.path.append(key)
                raise
            if droppable and not result:
                continue
            out[key] = result
        for field in always:
            if field.name not in out:
                out[field.name] = _zero(field)
        return out

    return read


def _droppable(field: schema.Field) -> bool:
    """`omitempty`: optional zeros, and empty lists and maps."""
    if field.always:
        return False
    return field.omitzero or (field.shape in ("list", "map") and not field.required)


def _zero(field: schema.Field) -> Any:
    if field.shape == "struct":
        return empty(field.of)
    if field.shape == "scalar":
        return {"string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0}.get(field.of)
    return None


def _reader(field: schema.Field) -> Reader:
    if field.shape == "struct":
        inner = _struct(field.of)
        return lambda value, path, problems: inner(value, path + ".", problems)
    if field.shape == "list":
        return _list(field.kind)
    if field.shape == "map":
        return _map(field.kind)
    if field.shape == "any":
        return lambda value, path, problems: objects.copy(value)
    return _SCALARS[field.of]


def _element(kind: str) -> Reader:
    """The reader of a list's elements or a map's values; the path that it gets is its own."""
    if kind == "any":
        return lambda value, path, problems: objects.copy(value)
    if kind.startswith("[]"):
        return _list(kind)
    if kind.startswith("{}"):
        return _map(kind)
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar
    inner = _struct(kind)
    return lambda value, path, problems: inner(value, path + ".", problems)


def _list(kind: str) -> Reader:
    element = _element(kind[2:])
    wanted = _go_type(kind)
    null: Any = {} if kind[2:] not in _SCALARS else ""

    def read(value: Any, path: str, problems: Problems) -> Any:
        if type(value) is not list:
            raise _Mismatch(value, wanted)
        return [
            element(null if item is None else item, f"{path}[{index}]", problems) for index, item in enumerate(value)
        ]

    return read


def _map(kind: str) -> Reader:
    element = _element(kind[2:])
    wanted = _go_type(kind)

    def read(value: Any, path: str, problems: Problems) -> Any:
        if type(value) is not dict:
            raise _Mismatch(value, wanted)
        if problems.duplicates:
            problems.doubled(path + ".", value)
        # Go writes maps with their keys sorted.
        return {key: element("" if item is None else item, path, problems) for key, item in sorted(value.items())}

    return read


def _go_type(kind: str) -> str:
    if kind.startswith("[]"):
        return "[]" + _go_type(kind[2:])
    if kind.startswith("{}"):
        return "map[string]" + _go_type(kind[2:])
    if kind == "bytes":
        return "[]uint8"
    if "." in kind:
        return "v1." + kind.rsplit(".", 1)[-1] if ".v1." in kind else ".".join(kind.split(".")[-2:])
    return {"Time": "v1.Time", "MicroTime": "v1.MicroTime"}.get(kind, kind)


def _string(value: Any, path: str, problems: Problems) -> Any:
    if type(value) is not str:
        raise _Mismatch(value, "string")
    return value


def _bool(value: Any, path: str, problems: Problems) -> Any:
    if type(value) is not bool:
        raise _Mismatch(value, "bool")
    return value


def _integer(bits: int) -> Reader:
    low, high, wanted = -(1 << bits - 1), (1 << bits - 1) - 1, f"int{bits}"

    def read(value: Any, path: str, problems: Problems) -> Any:
        if type(value) is float and value == int(value):
            value = int(value)
        if type(value) is not int:
            raise _Mismatch(value, wanted)
        if not low <= value <= high:
            error = _Mismatch(value, wanted)
            error.value = float(value) + 0.5 if abs(value) < 1 << 40 else value
            raise error
        return value

    return read


def _float(value: Any, path: str, problems: Problems) -> Any:
    if type(value) not in (int, float):
        raise _Mismatch(value, "float64")
    return value


_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def _bytes(value: Any, path: str, problems: Problems) -> Any:
    if type(value) is not str:
        raise _Mismatch(value, "[]uint8")
    clean = value.replace("\n", "").replace("\r", "")
    match = _BASE64.match(clean)
    end = match.end() if match else 0
    if end != len(clean) or len(clean) % 4:
        raise DecodeError(f"illegal base64 data at input byte {end if end != len(clean) else len(clean) // 4 * 4}")
    return clean


# The same few amounts stand in every pod and node.
_canonical = lru_cache(maxsize=1024)(quantities.canonical)


def _quantity(value: Any, path: str, problems: Problems) -> Any:
    if type(value) not in (str, int, float):
        raise DecodeError(quantities.FORMAT)
    try:
        return _canonical(value)
    except quantities.QuantityError as error:
        raise DecodeError(str(error)) from None


def _int_or_string(value: Any, path: str, problems: Problems) -> Any:
    if type(value) is str or type(value) is int:
        return value
    raise _Mismatch(value, "string" if type(value) is not float else "int32")


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _time(value: Any, path: str, problems: Problems) -> Any:
    return _instant(value, micro=False)


def _micro_time(value: Any, path: str, problems: Problems) -> Any:
    return _instant(value, micro=True)


def _instant(value: Any, micro: bool) -> str:
    if type(value) is not str:
        raise _Mismatch(value, "string")
    match = _TIME.fullmatch(value)
    if match is None:
        layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
        raise DecodeError(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    day, clock, fraction, zone = match.groups()
    if zone not in ("Z", "+00:00", "-00:00"):
        from kubesim import ids

        seconds = ids.parse_timestamp(value)
        return ids.micro_timestamp(seconds) if micro else ids.timestamp(seconds)
    if micro:
        return f"{day}T{clock}.{(fraction or '.')[1:7]:0<6}Z"
    return f"{day}T{clock}Z"


def _schema_or_list(value: Any, path: str, problems: Problems) -> Any:
    """JSONSchemaPropsOrArray.UnmarshalJSON: what is neither is nothing."""
    inner = _struct(_JSON_SCHEMA)
    if isinstance(value, dict):
        return inner(value, path + ".", problems)
    if isinstance(value, list):
        return [inner({} if item is None else item, f"{path}[{index}].", problems) for index, item in enumerate(value)]
    return None


def _schema_or_bool(value: Any, path: str, problems: Problems) -> Any:
    """JSONSchemaPropsOrBool.UnmarshalJSON."""
    if isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return _struct(_JSON_SCHEMA)(value, path + ".", problems)
    raise DecodeError("boolean or JSON schema expected")


# Fields whose types decode themselves in Go; the table of types has them as `any`.
_JSON_SCHEMA = "apiextensions.v1.JSONSchemaProps"
_OWN: dict[tuple[str, str], Reader] = {
    (_JSON_SCHEMA, "items"): _schema_or_list,
    (_JSON_SCHEMA, "additionalItems"): _schema_or_bool,
    (_JSON_SCHEMA, "additionalProperties"): _schema_or_bool,
}
_SCALARS: dict[str, Reader] = {
    "string": _string,
    "bool": _bool,
    "int32": _integer(32),
    "int64": _integer(64),
    "float64": _float,
    "bytes": _bytes,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _micro_time,
}
