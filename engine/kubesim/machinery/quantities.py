"""Resource quantities: "100m", "1.5Gi", "2e3".

Source: apimachinery `pkg/api/resource/quantity.go`, `suffix.go`, `scale_int.go`.  A quantity is kept as an exact number and the
family of its suffix; its canonical text has the largest suffix that leaves no fraction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}

_TEXT = re.compile(r"(?P<sign>[+-]?)(?P<digits>\d+\.?\d*|\.\d+)(?P<suffix>[a-zA-Z]*|[eE][+-]?\d+)")
NANO = Fraction(1, 10**9)  # the finest that is kept; finer values are rounded up

FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class QuantityError(ValueError):
    """The text is no quantity; the message is apimachinery's."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """`family` is "binary" (Ki), "decimal" (k, m) or "exponent" (e3).  Compares and adds by value."""

    value: Fraction
    family: str = "decimal"

    def __lt__(self, other: Quantity) -> bool:
        return self.value < other.value

    def __le__(self, other: Quantity) -> bool:
        return self.value <= other.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return self.value != 0

    def __add__(self, other: Quantity) -> Quantity:
        # Quantity.Add: zero takes the other's format.
        return Quantity(self.value + other.value, self.family if self.value else other.family)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.value - other.value, self.family if self.value else other.family)

    def whole(self) -> int:
        """Quantity.Value: rounded up, away from zero."""
        return _away(self.value)

    def milli(self) -> int:
        """Quantity.MilliValue: thousandths, rounded up."""
        return _away(self.value * 1000)

    def __str__(self) -> str:
        if self.family == "binary" and abs(self.value) >= 1024 and self.value.denominator == 1:
            return self._binary()
        exponent = 0
        value = self.value
        if value == 0:
            return "0"
        if value.denominator != 1:
            while value.denominator != 1:
                exponent -= 3
                value *= 1000
        else:
            while exponent < 18 and value % 1000 == 0:
                exponent += 3
                value /= 1000
        if self.family == "exponent":
            return f"{int(value)}e{exponent}" if exponent else str(int(value))
        suffix = next(name for name, power in _DECIMAL.items() if power == exponent)
        return f"{int(value)}{suffix}"

    def _binary(self) -> str:
        suffix, value = "", int(self.value)
        for name in _BINARY:
            if value % 1024:
                break
            suffix, value = name, value // 1024
        return f"{value}{suffix}"


ZERO = Quantity(Fraction(0))


def _away(value: Fraction) -> int:
    whole = -(-abs(value.numerator) // value.denominator)
    return whole if value >= 0 else -whole


def parse(text: str | int | float) -> Quantity:
    """Raises QuantityError."""
    text = str(text)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise QuantityError(FORMAT)
    suffix = match["suffix"]
    number = Fraction(match["digits"].rstrip(".") if not match["digits"].startswith(".") else "0" + match["digits"])
    family = "decimal"
    if suffix in _BINARY:
        number *= _BINARY[suffix]
        family = "binary"
    elif suffix in _DECIMAL:
        number *= Fraction(10) ** _DECIMAL[suffix]
    elif re.fullmatch(r"[eE][+-]?\d+", suffix):
        number *= Fraction(10) ** int(suffix[1:])
        family = "exponent"
    else:
        raise QuantityError("unable to parse quantity's suffix")
    if match["sign"] == "-":
        number = -number
    if number % NANO:
        number = NANO * _away(number / NANO)
    return Quantity(number, family)


def compare(left: str | int | float, right: str | int | float) -> int:
    """-1, 0 or 1."""
    a, b = parse(left).value, parse(right).value
    return (a > b) - (a < b)


def canonical(text: str | int | float) -> str:
    """The text as the API server gives it back."""
    return str(parse(text))
