"""Is a custom object what its schema asks for?  In upstream's words, which are OpenAPI's validator's.

Sources: kube-openapi `pkg/validation/{validate,errors}`; apiextensions `pkg/apiserver/validation/validation.go`,
`pkg/apiserver/schema/listtype`.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from kubesim.apiserver import fielderrors
from kubesim.apiserver.fielderrors import FieldError

Object = dict[str, Any]
Errors = list[FieldError]


def validate(schema: Object, value: Any, path: str = "") -> Errors:
    """All that is wrong, in a fixed order."""
    errors: Errors = []
    kind = _kind(value)
    _type(schema, value, kind, path, errors)
    _combined(schema, value, path, errors)
    if kind == "string":
        _string(schema, value, path, errors)
    elif kind in ("integer", "number"):
        _number(schema, value, path, errors)
    elif kind == "array":
        _array(schema, value, path, errors)
    if "enum" in schema and not any(_same(value, each) for each in schema["enum"] or ()):
        listed = [each if isinstance(each, str) else _json(each) for each in schema["enum"] or ()]
        errors.append(fielderrors.unsupported(path, value, listed))
    if kind == "object":
        _object(schema, value, path, errors)
    return errors


def _kind(value: Any) -> str:
    """A value's JSON type, in the validator's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _in_body(path: str, words: str) -> str:
    return f"{path} in body {words}"


def _invalid(path: str, value: Any, words: str) -> FieldError:
    return fielderrors.invalid(path or "<nil>", value, _in_body(path, words))


def _type(schema: Object, value: Any, kind: str, path: str, errors: Errors) -> None:
    if value is None and schema.get("nullable"):
        return
    wanted = schema.get("type", "")
    names = ["integer", "string"] if schema.get("x-kubernetes-int-or-string") else [wanted] if wanted else []
    form = schema.get("format", "")
    if names and kind not in names and not (kind == "integer" and "number" in names):
        if not (kind == "number" and "integer" in names and value == int(value)):
            words = f'must be of type {",".join(names)}: "{kind}"'
            errors.append(FieldError("type", path or "<nil>", kind, _in_body(path, words)))
    elif kind == "string" and form in _FORMATS and not _FORMATS[form](value):
        errors.append(_invalid(path, value, f'must be of type {form}: "{value}"'))


def _combined(schema: Object, value: Any, path: str, errors: Errors) -> None:
    """anyOf, oneOf, allOf, not."""
    shown = _quoted(path)
    if schema.get("anyOf") and all(validate(each, value, path) for each in schema["anyOf"]):
        errors.append(fielderrors.invalid(path or "<nil>", "", f"{shown} must validate at least one schema (anyOf)"))
        errors.extend(_best(schema["anyOf"], value, path))
    if schema.get("oneOf"):
        fine = sum(not validate(each, value, path) for each in schema["oneOf"])
        if fine != 1:
            found = "Found none valid" if not fine else f"Found {fine} valid alternatives"
            words = f"{shown} must validate one and only one schema (oneOf). {found}"
            errors.append(fielderrors.invalid(path or "<nil>", "", words))
            if not fine:
                errors.extend(_best(schema["oneOf"], value, path))
    if schema.get("allOf"):
        below = [error for each in schema["allOf"] for error in validate(each, value, path)]
        if below:
            words = f"{shown} must validate all the schemas (allOf)"
            errors.append(fielderrors.invalid(path or "<nil>", "", words))
            errors.extend(below)
    if schema.get("not") is not None and not validate(schema["not"], value, path):
        errors.append(fielderrors.invalid(path or "<nil>", "", f"{shown} must not validate the schema (not)"))


def _best(schemas: list[Object], value: Any, path: str) -> Errors:
    """The complaints of the alternative that comes nearest: the first with the fewest."""
    return min((validate(each, value, path) for each in schemas), key=len)


def _quoted(path: str) -> str:
    return f'"{path}"'


@lru_cache(maxsize=1024)
def pattern(text: str) -> re.Pattern[str] | None:
    """Go's syntax is nearly Python's; None where it is not."""
    try:
        return re.compile(re.sub(r"\\z", r"\\Z", text))
    except re.error:
        return None


def _string(schema: Object, value: str, path: str, errors: Errors) -> None:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        errors.append(FieldError("toolong", path, "", f"may not be more than {schema['maxLength']} bytes"))
    if "minLength" in schema and len(value) < schema["minLength"]:
        errors.append(_invalid(path, value, f"should be at least {schema['minLength']} chars long"))
    wanted = pattern(schema["pattern"]) if schema.get("pattern") else None
    if wanted is not None and not wanted.search(value):
        errors.append(_invalid(path, value, f"should match '{schema['pattern']}'"))


def _number(schema: Object, value: float, path: str, errors: Errors) -> None:
    factor = schema.get("multipleOf")
    if factor and value % factor:
        errors.append(_invalid(path, value, f"should be a multiple of {_go(factor)}"))
    high, low = schema.get("maximum"), schema.get("minimum")
    if high is not None:
        if schema.get("exclusiveMaximum") and value >= high:
            errors.append(_invalid(path, value, f"should be less than {_go(high)}"))
        elif value > high:
            errors.append(_invalid(path, value, f"should be less than or equal to {_go(high)}"))
    if low is not None:
        if schema.get("exclusiveMinimum") and value <= low:
            errors.append(_invalid(path, value, f"should be greater than {_go(low)}"))
        elif value < low:
            errors.append(_invalid(path, value, f"should be greater than or equal to {_go(low)}"))
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(1 << bits) <= value < 1 << bits:
        errors.append(_invalid(path, value, f"must be of type {schema['format']}: {_json(value)}"))


def _go(number: float) -> str:
    """%v of a float64."""
    return str(int(number)) if number == int(number) else str(number)


def _array(schema: Object, value: list[Any], path: str, errors: Errors) -> None:
    for index, item in enumerate(value):
        if schema.get("items"):
            errors.extend(validate(schema["items"], item, f"{path}[{index}]"))
    if "minItems" in schema and len(value) < schema["minItems"]:
        errors.append(_invalid(path, len(value), f"should have at least {schema['minItems']} items"))
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        errors.append(fielderrors.too_many(path, len(value), schema["maxItems"]))


def _object(schema: Object, value: Object, path: str, errors: Errors) -> None:
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        errors.append(_invalid(path, len(value), f"should have at least {schema['minProperties']} properties"))
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        errors.append(fielderrors.too_many(path, len(value), schema["maxProperties"]))
    errors.extend(
        fielderrors.required(_below(path, name)) for name in schema.get("required") or () if name not in value
    )
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            errors.extend(validate(properties[name], item, _below(path, name)))
        elif isinstance(values, dict):
            errors.extend(validate(values, item, _below(path, name)))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# -- lists that are sets and maps ---------------------------------------------------------------------------------


def lists(schema: Object, value: Any, path: str = "") -> Errors:
    """ValidateListSetsAndMaps: what stands twice."""
    errors: Errors = []
    if isinstance(value, list):
        kind = schema.get("x-kubernetes-list-type")
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        seen = []
        for index, item in enumerate(value):
            key: Any = item
            if kind == "map":
                defaults = ((schema.get("items") or {}).get("properties")) or {}
                key = {
                    each: item.get(each, (defaults.get(each) or {}).get("default")) if isinstance(item, dict) else None
                    for each in keys
                }
            if kind in ("map", "set"):
                if key in seen:
                    errors.append(fielderrors.duplicate(f"{path}[{index}]", key))
                seen.append(key)
            errors += lists(schema.get("items") or {}, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, item in value.items():
            inner = properties.get(name, values if isinstance(values, dict) else None)
            if inner is not None:
                errors += lists(inner, item, _below(path, name))
    return errors


# -- formats (kube-openapi `pkg/validation/strfmt`); those that are not here are not looked at ----------------------


def _is(check: Callable[[str], Any]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            check(text)
        except ValueError:
            return False
        return True

    return test


def _match(text: str) -> Callable[[str], bool]:
    found = re.compile(text)
    return lambda value: found.fullmatch(value) is not None


_FORMATS: dict[str, Callable[[str], bool]] = {
    "ipv4": _is(ipaddress.IPv4Address),
    "ipv6": _is(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _is(lambda each: ipaddress.ip_network(each, strict=False))(text),
    "byte": _is(lambda text: base64.b64decode(text, validate=True)),
    "date": _match(r"\d{4}-\d\d-\d\d"),
    "date-time": _match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"),
    "duration": _match(r"[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h|d|w))+|0"),
    "email": _match(r"[^@\s]+@[^@\s]+"),
    "hostname": _match(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*"),
    "uuid": _match(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"),
}
