"""How Go's `fmt` prints JSON values: `%v`, as it stands in the messages of the API server and of kubectl."""

from __future__ import annotations

from typing import Any


def v(value: Any) -> str:
    """`%v` of a decoded JSON value: map[a:1 b:[x y]], <nil>, true."""
    if value is None:
        return "<nil>"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{v(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(v(item) for item in value) + "]"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    """A float64 as Go's `%v` (strconv 'g' with the shortest digits; exponents from 1e+21 on)."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, mark, exponent = repr(value).partition("e")
    if not mark:
        return mantissa
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].zfill(2)}"


def quote(text: str) -> str:
    """`%q` of a text: double quotes, Go's escapes."""
    out = []
    for character in text:
        if character in _ESCAPES:
            out.append(_ESCAPES[character])
        elif character.isprintable() or character == " ":
            out.append(character)
        elif ord(character) < 0x80:
            out.append(f"\\x{ord(character):02x}")
        else:
            out.append(f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}")
    return '"' + "".join(out) + '"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def sharp_v(value: Any) -> str:
    """`%#v` of a decoded JSON value: map[string]interface {}{"a":1, "b":[]interface {}{"x"}}."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, dict):
        inner = ", ".join(f"{quote(key)}:{sharp_v(item)}" for key, item in sorted(value.items()))
        return "map[string]interface {}{" + inner + "}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(sharp_v, value)) + "}"
    return quote(value) if isinstance(value, str) else v(value)


def type_name(value: Any) -> str:
    """`%T` of a decoded JSON value."""
    if isinstance(value, bool):
        return "bool"
    for python, go in (
        (str, "string"),
        (int, "int64"),
        (float, "float64"),
        (dict, "map[string]interface {}"),
        (list, "[]interface {}"),
    ):
        if isinstance(value, python):
            return go
    return "<nil>"
