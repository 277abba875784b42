"""One thing wrong with one field, in upstream's words (apimachinery `pkg/util/validation/field/errors.go`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kubesim.machinery import gotext

# type -> (the text in the message, the cause's reason)
_TYPES = {
    "required": ("Required value", "FieldValueRequired"),
    "invalid": ("Invalid value", "FieldValueInvalid"),
    "unsupported": ("Unsupported value", "FieldValueNotSupported"),
    "forbidden": ("Forbidden", "FieldValueForbidden"),
    "duplicate": ("Duplicate value", "FieldValueDuplicate"),
    "notfound": ("Not found", "FieldValueNotFound"),
    "toolong": ("Too long", "FieldValueTooLong"),
    "toomany": ("Too many", "FieldValueTooMany"),
    "internal": ("Internal error", "InternalError"),
    "type": ("Invalid value", "FieldValueTypeInvalid"),
}
_WITHOUT_VALUE = ("required", "forbidden", "toolong", "internal")


@dataclass(frozen=True, slots=True)
class FieldError:
    type: str
    field: str
    value: Any
    detail: str

    @property
    def reason(self) -> str:
        return _TYPES[self.type][1]

    def body(self) -> str:
        """Error.ErrorBody: the message without the field."""
        text = _TYPES[self.type][0]
        if self.type not in _WITHOUT_VALUE:
            text += f": {show(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"


def show(value: Any) -> str:
    """The bad value as it stands in the message: numbers as they are, strings quoted, the rest as JSON."""
    if isinstance(value, str):
        return gotext.quote(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("required", field, "", detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("invalid", field, value, detail)


def each(field: str, value: Any, details: list[str]) -> list[FieldError]:
    """One Invalid for each detail (what the name checks return)."""
    return [FieldError("invalid", field, value, detail) for detail in details]


def unsupported(field: str, value: Any, supported: list[str]) -> FieldError:
    listed = ", ".join(f'"{item}"' for item in supported)
    return FieldError("unsupported", field, value, f"supported values: {listed}")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError("forbidden", field, "", detail)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("duplicate", field, value, "")


def not_found(field: str, value: Any) -> FieldError:
    return FieldError("notfound", field, value, "")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError("toolong", field, "", f"may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    return FieldError("toomany", field, count, f"must have at most {limit} items")
