"""-o go-template, as far as it is used: fields, range, if, with, literals and a few functions.

Anything else of Go's text/template is refused by its name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from kubesim.kubectl import fail
from kubesim.machinery import gotext

Object = dict[str, Any]

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|\(|\)|\||[^\s()|]+')


class _Node:
    """A part of a template: text, an expression, or a block with its two branches."""

    def __init__(self, kind: str, argument: str = "") -> None:
        self.kind = kind
        self.argument = argument
        self.then: list[_Node] = []
        self.other: list[_Node] = []


def printer(template: str, allow_missing: bool) -> Callable[[Object], str]:
    nodes = _parse(template)

    def render(obj: Object) -> str:
        out: list[str] = []
        _run(nodes, obj, obj, out, allow_missing)
        return "".join(out)

    return render


def _parse(template: str) -> list[_Node]:
    root: list[_Node] = []
    stack: list[tuple[_Node | None, list[_Node]]] = [(None, root)]
    at = 0
    trim = False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        text = text.lstrip() if trim else text
        text = text.rstrip() if match[1] else text
        trim = bool(match[3])
        at = match.end()
        if text:
            node = _Node("text")
            node.argument = text
            stack[-1][1].append(node)
        body = match[2].strip()
        word = body.split(None, 1)[0] if body else ""
        if word in ("range", "if", "with"):
            node = _Node(word, body[len(word) :].strip())
            stack[-1][1].append(node)
            stack.append((node, node.then))
        elif word == "else" and body == "else" and stack[-1][0] is not None:
            stack[-1] = (stack[-1][0], stack[-1][0].other)
        elif word == "end" and len(stack) > 1:
            stack.pop()
        elif word in ("end", "else"):
            raise fail.Failed(
                f"error: error parsing template {template}, template: output:1: unexpected {{{{{body}}}}}"
            )
        elif not body.startswith("/*"):
            stack[-1][1].append(_Node("value", body))
    if len(stack) > 1:
        raise fail.Failed(f"error: error parsing template {template}, template: output:1: unexpected EOF")
    rest = template[at:].lstrip() if trim else template[at:]
    if rest:
        root.append(_Node("text", rest))
    return root


def _run(nodes: list[_Node], dot: Any, root: Any, out: list[str], missing: bool) -> None:
    for node in nodes:
        if node.kind == "text":
            out.append(node.argument)
            continue
        value = _pipeline(node.argument, dot, root, missing)
        match node.kind:
            case "value":
                out.append("<no value>" if value is None else gotext.v(value))
            case "range":
                items = [value[key] for key in sorted(value)] if isinstance(value, dict) else value or []
                for item in items:
                    _run(node.then, item, root, out, missing)
                if not items:
                    _run(node.other, dot, root, out, missing)
            case _:
                inner = value if node.kind == "with" and value else dot
                _run(node.then if value else node.other, inner, root, out, missing)


def _pipeline(text: str, dot: Any, root: Any, missing: bool) -> Any:
    value: Any = None
    first = True
    for part in _split(_TOKEN.findall(text)):
        value = _command(part, dot, root, missing, [] if first else [value])
        first = False
    return value


def _split(tokens: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "|" and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _command(tokens: list[str], dot: Any, root: Any, missing: bool, piped: list[Any]) -> Any:
    values: list[Any] = []
    function = ""
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == "(":
            depth, start = 1, at + 1
            while depth:
                at += 1
                depth += {"(": 1, ")": -1}.get(tokens[at], 0)
            values.append(_pipeline(" ".join(tokens[start:at]), dot, root, missing))
        elif (
            not values
            and not function
            and re.fullmatch(r"[A-Za-z]\w*", token)
            and token not in ("true", "false", "nil")
        ):
            function = token
        else:
            values.append(_operand(token, dot, root, missing))
        at += 1
    values += piped
    if not function:
        return values[0] if values else None
    known = _FUNCTIONS.get(function)
    if known is None:
        raise fail.Failed(f'error: error parsing template, template: output:1: function "{function}" not defined')
    return known(*values)


def _operand(token: str, dot: Any, root: Any, missing: bool) -> Any:
    if token[0] == '"':
        return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), token[1:-1])
    if token[0] == "`":
        return token[1:-1]
    if token in ("true", "false"):
        return token == "true"
    if re.fullmatch(r"-?\d+", token):
        return int(token)
    if token.startswith("$."):
        return _path(token[1:], root, missing)
    if token.startswith("."):
        return _path(token, dot, missing)
    if token == "$":
        return root
    raise fail.Failed(f"error: not simulated: {token!r} in a go-template; use -o jsonpath")


def _path(path: str, value: Any, missing: bool) -> Any:
    for part in path.split(".")[1:]:
        if not part:
            continue
        if not isinstance(value, dict) or part not in value:
            if missing:
                return None
            raise fail.Failed(f'error: error executing template: map has no entry for key "{part}"')
        value = value[part]
    return value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else value[key]
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "index": _index,
    "len": len,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "eq": lambda left, *rights: any(left == right for right in rights),
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "lt": lambda left, right: left < right,
    "print": lambda *values: "".join(gotext.v(value) for value in values),
    "println": lambda *values: " ".join(gotext.v(value) for value in values) + "\n",
    "printf": lambda form, *values: form % values,
    "base64decode": lambda text: base64.b64decode(text).decode("utf-8", "replace"),
    "exists": lambda value, *path: _exists(value, path),
}


def _exists(value: Any, path: tuple[Any, ...]) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
