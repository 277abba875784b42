"""Label and field selectors.

A label selector is a list of requirements that all must hold.  Its text form is read as apimachinery's
`pkg/labels/selector.go` reads it (a lexer and a parser of one look-ahead), with its words for what is wrong; the object
form (`matchLabels`, `matchExpressions`) as `pkg/apis/meta/v1/helpers.go` does.  Field selectors: `pkg/fields/selector.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubesim.machinery import names, objects


class SelectorError(ValueError):
    """The text or object is no selector; the message is apimachinery's."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` as the text form has it: = == != in notin exists ! gt lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or re.fullmatch(r"[+-]?\d+", value) is None:
            return False
        return int(value) > int(self.values[0]) if self.operator == "gt" else int(value) < int(self.values[0])

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
        return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; none at all selects everything, `nothing` selects nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Selects everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


# -- the text form ------------------------------------------------------------------------------------------------

_TOKENS = re.compile(r"\s*(?:(?P<symbol>==|!=|=|!|<|>|\(|\)|,)|(?P<word>[^\s=!<>(),]+))")


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = [match["symbol"] or match["word"] for match in _TOKENS.finditer(text)]
        self.words = [bool(match["word"]) for match in _TOKENS.finditer(text)]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def is_word(self) -> bool:
        return self.at < len(self.tokens) and self.words[self.at]

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def parse(self) -> list[Requirement]:
        requirements = []
        if not self.tokens:
            return []
        while True:
            if not (self.is_word() or self.peek() == "!"):
                raise SelectorError(f"found '{self.peek()}', expected: !, identifier, or 'end of string'")
            requirements.append(self.requirement())
            token = self.take()
            if token == "":
                return requirements
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            if not (self.is_word() or self.peek() == "!"):
                raise SelectorError(f"found '{self.peek()}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        absent = self.peek() == "!"
        if absent:
            self.take()
        word = self.is_word()
        key = self.take()
        if not word:
            raise SelectorError(f"found '{key}', expected: identifier")
        errors = names.qualified_name(key)
        if errors:
            raise SelectorError(f'key: Invalid value: "{key}": {"; ".join(errors)}')
        if absent:
            return Requirement(key, "!")
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self.take()
        match operator:
            case "in" | "notin":
                values = self.values()
            case "=" | "==" | "!=":
                values = (self.exact(),)
            case ">" | "<":
                operator = "gt" if operator == ">" else "lt"
                values = (self.exact(),)
            case _:
                raise SelectorError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        return _checked(key, operator, values)

    def exact(self) -> str:
        if self.peek() in ("", ","):
            return ""
        word = self.is_word()
        token = self.take()
        if not word:
            raise SelectorError(f"found '{token}', expected: identifier")
        return token

    def values(self) -> tuple[str, ...]:
        token = self.take()
        if token != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        values: list[str] = []
        expect_value = True
        while True:
            word = self.is_word()
            token = self.take()
            if word:
                values.append(token)
                expect_value = False
            elif token == ",":
                if expect_value:
                    values.append("")
                expect_value = True
            elif token == ")":
                if expect_value:
                    values.append("")
                return tuple(dict.fromkeys(values))
            else:
                raise SelectorError(f"found '{token}', expected: ',', or identifier")


def _checked(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    """labels.NewRequirement's checks."""
    if operator in ("gt", "lt") and re.fullmatch(r"[+-]?\d+", values[0]) is None:
        raise SelectorError(
            f"values[0]: Invalid value: \"{values[0]}\": for 'Gt', 'Lt' operators, the value must be an integer"
        )
    for index, value in enumerate(values):
        errors = names.label_value(value)
        if errors:
            raise SelectorError(f'values[{index}][{key}]: Invalid value: "{value}": {"; ".join(errors)}')
    return Requirement(key, operator, values)


def parse(text: str) -> Selector:
    """labels.Parse.  Requirements are sorted by key.  Raises SelectorError ("unable to parse requirement: ...")."""
    try:
        requirements = _Parser(text).parse()
    except SelectorError as error:
        raise SelectorError(f"unable to parse requirement: {error}") from None
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """All of these labels; an empty map selects everything (labels.SelectorFromSet)."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """metav1.LabelSelectorAsSelector: None selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    requirements = list(from_map(selector.get("matchLabels")).requirements)
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        requirements.append(Requirement(expression["key"], operator, tuple(sorted(expression.get("values") or ()))))
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


# -- fields -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """`operator` is "=" or "!="."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        escaped = re.sub(r"([\\,=])", r"\\\1", self.value)
        return f"{self.field}{self.operator}{escaped}"


def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """fields.ParseSelector.  Raises SelectorError."""
    found = []
    for part in _split_unescaped(text):
        if not part:
            continue
        match = re.match(r"((?:\\.|[^\\=!])*?)(==|!=|=)(.*)", part, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        found.append(FieldRequirement(field, "!=" if operator == "!=" else "=", _unescape(value)))
    return tuple(found)


def _split_unescaped(text: str) -> list[str]:
    return re.findall(r"(?:\\.|[^\\,])+", text, re.DOTALL)


def _unescape(value: str) -> str:
    """fields.UnescapeValue: only a backslash, a comma and an equals sign may be escaped, and must be."""
    bad = re.search(r"\\(?![\\,=])", value)
    if bad:
        raise SelectorError(f"invalid field selector: invalid escape sequence: {value[bad.start() : bad.start() + 2]}")
    if re.search(r"(?<!\\)=", value.replace("\\\\", "")):
        raise SelectorError(f"invalid field selector: unescaped character in value: {'='}")
    return re.sub(r"\\(.)", r"\1", value)


def fields_match(obj: Any, requirements: Iterable[FieldRequirement], values: Mapping[str, str] | None = None) -> bool:
    """Do all hold?  A field's value is looked up in `values` (a kind's own selectable fields), else by its path."""
    for requirement in requirements:
        if values is not None and requirement.field in values:
            value = values[requirement.field]
        else:
            found = objects.get(obj, requirement.field, "")
            value = str(found).lower() if isinstance(found, bool) else str(found)
        if (value == requirement.value) != (requirement.operator == "="):
            return False
    return True
