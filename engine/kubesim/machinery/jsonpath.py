"""JSONPath templates in kubectl's dialect.

A template is text with actions in braces: `{.items[*].metadata.name}{"\\n"}`.  An action is a path of fields, `*`, `..`,
`[index]`, `[from:to:step]`, unions `[a,b]`, filters `[?(@.x=="y")]`, quoted text, or `{range PATH}` ... `{end}`.  A template is
parsed once into nodes and evaluated on a *list* of current values, which each node maps to the next list.

Source: client-go `util/jsonpath/parser.go`, `jsonpath.go`, whose messages these are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kubesim.machinery import gotext


class JsonPathError(ValueError):
    """The template cannot be read, or does not fit the value; the message is client-go's."""


Values = list[Any]


# -- nodes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or boolean within a filter or action."""

    value: Any


@dataclass(frozen=True, slots=True)
class Identifier:
    """`range`, `end`, or an unknown function."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    name: str


@dataclass(frozen=True, slots=True)
class Slice:
    """[start:end:step]; `single` where only one index was given."""

    start: int | None
    end: int | None
    step: int | None
    single: bool


@dataclass(frozen=True, slots=True)
class Wildcard:
    pass


@dataclass(frozen=True, slots=True)
class Recursive:
    pass


@dataclass(frozen=True, slots=True)
class Union:
    members: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """`operator` is "exists" where nothing is compared."""

    left: Action
    right: Action
    operator: str


@dataclass(slots=True)
class Action:
    """What stands between one pair of braces."""

    nodes: list[Any] = field(default_factory=list)


# -- parsing ------------------------------------------------------------------------------------------------------

_TERMINATORS = frozenset(" \t\r\n.,[]$@{}")
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def next(self) -> str:
        """The next character, "" at the end."""
        character = self.text[self.at : self.at + 1]
        self.at += 1
        return character

    def template(self) -> list[Text | Action]:
        parts: list[Text | Action] = []
        while True:
            brace = self.text.find("{", self.at)
            text = self.text[self.at :] if brace < 0 else self.text[self.at : brace]
            if text:
                parts.append(Text(text))
            if brace < 0:
                return parts
            self.at = brace + 1
            parts.append(self.action())

    def action(self) -> Action:
        action = Action()
        while True:
            if self.text.startswith("}", self.at):
                self.at += 1
                return action
            if self.text.startswith("[?(", self.at):
                action.nodes.append(self.filter())
                continue
            if self.text.startswith("..", self.at):
                self.recursive(action)
                continue
            character = self.next()
            match character:
                case "" | "\n" | "\r":
                    raise JsonPathError("unclosed action")
                case " " | "@" | "$":
                    continue
                case "[":
                    self.array(action)
                case '"' | "'":
                    action.nodes.append(Text(self.quoted(character)))
                case ".":
                    self.field(action)
                case _ if character in "+-" or character.isdigit():
                    self.at -= 1
                    action.nodes.append(self.number())
                case _ if character.isalnum() or character == "_":
                    self.at -= 1
                    action.nodes.append(self.identifier())
                case _:
                    raise JsonPathError(f"unrecognized character in action: U+{ord(character):04X} '{character}'")

    def recursive(self, action: Action) -> None:
        if action.nodes and isinstance(action.nodes[-1], Recursive):
            raise JsonPathError("invalid multiple recursive descent")
        self.at += 2
        action.nodes.append(Recursive())
        following = self.text[self.at : self.at + 1]
        if following.isalnum() or following == "_":
            self.field(action)

    def word(self) -> str:
        start = self.at
        while (character := self.next()) and character not in _TERMINATORS:
            if character == "\\":
                self.next()
        self.at -= 1
        return self.text[start : self.at]

    def field(self, action: Action) -> None:
        name = self.word()
        action.nodes.append(Wildcard() if name == "*" else Field(name.replace("\\", "")))

    def identifier(self) -> Any:
        name = self.word()
        return Literal(name == "true") if name in ("true", "false") else Identifier(name)

    def number(self) -> Literal:
        match = re.compile(r"[+-]?[\d.]*").match(self.text, self.at)
        text = match[0] if match else ""
        self.at += len(text)
        try:
            return Literal(int(text))
        except ValueError:
            pass
        try:
            return Literal(float(text))
        except ValueError:
            raise JsonPathError(f"cannot parse number {text}") from None

    def quoted(self, quote: str) -> str:
        start = self.at - 1
        while (character := self.next()) != quote:
            if character in ("", "\n"):
                raise JsonPathError("unterminated quoted string")
            if character == "\\":
                self.next()
        return _unquote(self.text[start + 1 : self.at - 1])

    def array(self, action: Action) -> None:
        start = self.at
        while (character := self.next()) != "]":
            if character in ("", "\n"):
                raise JsonPathError("unterminated array")
        text = self.text[start : self.at - 1]
        if "," in text:
            action.nodes.append(Union(tuple(_inner(f"[{part.strip(' ')}]") for part in text.split(","))))
        elif match := re.fullmatch(r"'([^']*)'", text):
            action.nodes += _inner(f".{match[1]}").nodes
        else:
            action.nodes.append(_slice(":" if text == "*" else text))

    def filter(self) -> Filter:
        self.at += len("[?(")
        start = self.at
        opened, quote = False, ""
        while True:
            character = self.next()
            if character in ("", "\n"):
                raise JsonPathError("unterminated filter")
            if character in "\"'":
                if not opened:
                    opened, quote = True, character
                elif character == quote and self.text[self.at - 2] != "\\":
                    quote = ""
            elif character == ")" and not quote:
                break
        text = self.text[start : self.at - 1]
        if self.next() != "]":
            raise JsonPathError("unclosed array expect ]")
        match = _COMPARISON.fullmatch(text)
        if match is None:
            return Filter(_inner(text), Action(), "exists")
        return Filter(_inner(match[1]), _inner(match[3]), match[2])


def _inner(text: str) -> Action:
    part = _Parser("{" + text + "}").template()[0]
    return part if isinstance(part, Action) else Action([part])


def _slice(text: str) -> Slice:
    match = _SLICE.fullmatch(text)
    if match is None:
        raise JsonPathError(f"invalid array index {text}")
    start, end, step = (int(part.lstrip(":")) if part and part.lstrip(":") else None for part in match.groups())
    return Slice(start, end, step, single=match[2] is None and start is not None)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)


# -- evaluation ---------------------------------------------------------------------------------------------------


class JsonPath:
    """A parsed template.  `missing` says whether a field that is not there is an error; kubectl's `-o jsonpath` lets it be."""

    def __init__(self, template: str, allow_missing: bool = True) -> None:
        self.template = template
        self.allow_missing = allow_missing
        self.parts = _Parser(template).template()

    def find(self, data: Any) -> list[Values]:
        """The values of each part, in turn."""
        return list(self._run(0, len(self.parts), data))

    def render(self, data: Any) -> str:
        """The template filled in: values of one action are joined by spaces, objects and lists are JSON."""
        return "".join(" ".join(map(text_of, values)) for values in self.find(data))

    def _run(self, at: int, until: int, data: Any) -> Iterator[Values]:
        while at < until:
            part = self.parts[at]
            at += 1
            if isinstance(part, Text):
                yield [part.text]
                continue
            word = part.nodes[0].name if part.nodes and isinstance(part.nodes[0], Identifier) else ""
            if word == "end":
                raise JsonPathError("not in range, nothing to end")
            if word == "range":
                end = self._end_of(at, until)
                for value in self._walk([data], part.nodes[1:]):
                    yield from self._run(at, end, value)
                at = end + 1
            else:
                yield self._walk([data], part.nodes)

    def _end_of(self, at: int, until: int) -> int:
        """Where the range that has just begun ends; an open one goes to the end."""
        depth = 1
        for index in range(at, until):
            part = self.parts[index]
            first = part.nodes[0] if isinstance(part, Action) and part.nodes else None
            if isinstance(first, Identifier):
                depth += {"range": 1, "end": -1}.get(first.name, 0)
            if depth == 0:
                return index
        return until

    def _walk(self, values: Values, nodes: list[Any]) -> Values:
        for node in nodes:
            values = self._step(values, node)
        return values

    def _step(self, values: Values, node: Any) -> Values:
        match node:
            case Text(text):
                return [text]
            case Literal(value):
                return [value]
            case Field(name):
                found = (
                    [value[name] for value in values if isinstance(value, dict) and name in value] if name else values
                )
                if not found and not self.allow_missing:
                    raise JsonPathError(f"{name} is not found")
                return found
            case Slice():
                return [item for value in values if value is not None for item in _cut(value, node)]
            case Wildcard():
                return [item for value in values for item in _children(value)]
            case Recursive():
                return list(_descend(values))
            case Union(members):
                return [item for member in members for item in self._walk(values, member.nodes)]
            case Filter():
                return self._filter(values, node)
            case Identifier("end"):
                raise JsonPathError("not in range, nothing to end")
            case Identifier(name):
                raise JsonPathError(f"unrecognized identifier {name}")
        raise TypeError(node)

    def _filter(self, values: Values, node: Filter) -> Values:
        found = []
        for value in values:
            if not isinstance(value, list):
                raise JsonPathError(f"{gotext.v(value)} is not array or slice and cannot be filtered")
            for item in value:
                try:
                    lefts = self._walk([item], node.left.nodes)
                except JsonPathError:
                    if node.operator != "exists":
                        raise
                    lefts = []
                if node.operator == "exists":
                    if lefts:
                        found.append(item)
                    continue
                rights = self._walk([item], node.right.nodes)
                if len(lefts) > 1 or len(rights) > 1:
                    raise JsonPathError("can only compare one element at a time")
                if lefts and rights and _compare(lefts[0], node.operator, rights[0]):
                    found.append(item)
        return found


def _children(value: Any) -> Values:
    if isinstance(value, dict):
        return [value[key] for key in sorted(value)]
    return value if isinstance(value, list) else []


def _descend(values: Values) -> Iterator[Any]:
    for value in values:
        children = _children(value)
        if children:
            yield value
            yield from _descend(children)


def _cut(value: Any, node: Slice) -> Values:
    if not isinstance(value, list):
        raise JsonPathError(f"{gotext.type_name(value)} is not array or slice")
    length = len(value)
    start = node.start or 0
    if start < 0:
        start += length
    if node.single:
        end = start + 1
    else:
        end = length if node.end is None else node.end
        if end < 0:
            end += length
    if start == end:
        return []
    if not 0 <= start < length:
        raise JsonPathError(f"array index out of bounds: index {start}, length {length}")
    if not 0 <= end <= length:
        raise JsonPathError(f"array index out of bounds: index {end - 1}, length {length}")
    if start > end:
        raise JsonPathError(f"starting index {start} is greater than ending index {end}")
    if node.step is not None and node.step <= 0:
        raise JsonPathError("step must be > 0")
    return value[start : end : node.step or 1]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    return type(value).__name__


def _compare(left: Any, operator: str, right: Any) -> bool:
    """Go's text/template comparisons: only like with like."""
    if operator not in ("<", ">", "==", "!=", "<=", ">="):
        raise JsonPathError(f"unrecognized filter operator {operator}")
    if _kind(left) != _kind(right):
        raise JsonPathError("incompatible types for comparison")
    if isinstance(left, dict | list) or (isinstance(left, bool) and operator not in ("==", "!=")):
        raise JsonPathError("invalid type for comparison")
    match operator:
        case "==":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
    return bool(left >= right)


def text_of(value: Any) -> str:
    """A value as the template prints it."""
    if isinstance(value, dict | list):
        # encoding/json: sorted keys, and the three characters that could end a script are escaped.
        text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return gotext.v(value)


def relaxed(text: str) -> str:
    """`x.y`, `.x.y` and `{.x.y}` all as `{.x.y}` (kubectl get.RelaxedJSONPathExpression)."""
    if not text:
        return text
    match = re.fullmatch(r"\{\.?([^{}]+)\}|\.?([^{}]+)", text)
    if match is None:
        raise JsonPathError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    return "{." + (match[1] or match[2]) + "}"
