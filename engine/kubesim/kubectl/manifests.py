"""Objects out of YAML or JSON text, and the files, directories and streams that -f names.

Sources: cli-runtime `pkg/resource/builder.go`, `visitor.go`; apimachinery `pkg/util/yaml/decoder.go`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from kubesim.kubectl import fail, io

EXTENSIONS = (".json", ".yaml", ".yml")


class Unreadable(ValueError):
    """The text is neither YAML nor JSON; the message is go-yaml's as far as PyYAML knows it."""


@cache
def _loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        """YAML 1.1 as sigs.k8s.io/yaml reads it into JSON: no dates, and a key must not stand twice."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    # PyYAML reads 1e3 as text and 12:30 as a number; go-yaml does neither.
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)$"),
        list("-+.0123456789"),
    )

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        seen: dict[str, int] = {}
        # Keys that `<<` brings stand first, and may be said again.
        own = {id(key_node) for key_node, _ in node.value}
        loader.flatten_mapping(node)
        found = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            key = key if isinstance(key, str) else _key(key)
            if key in seen and id(key_node) in own:
                line = key_node.start_mark.line + 1
                raise Unreadable(f'yaml: unmarshal errors:\n  line {line}: key "{key}" already set in map')
            if id(key_node) in own:
                seen[key] = 1
            found[key] = loader.construct_object(value_node, deep=True)
        return found

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader


def _key(key: Any) -> str:
    """Keys of JSON are text."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def documents(text: str) -> Iterator[Any]:
    """Each document of a stream; empty ones are left out.  Raises Unreadable."""
    stripped = text.lstrip()
    if stripped.startswith("{"):
        yield from _json(stripped)
        return
    import yaml

    text = text if text.endswith("\n") else text + "\n"
    for part in re.split(r"(?m)^---(?=\s|$)[^\S\n]*", text):
        if not re.search(r"(?m)^\s*[^#\s]", part):
            continue
        try:
            document = yaml.load(part, Loader=_loader())
        except Unreadable as error:
            raise Unreadable(f"error converting YAML to JSON: {error}") from None
        except yaml.YAMLError as error:
            raise Unreadable(f"error converting YAML to JSON: {_go_words(error)}") from None
        if document is not None:
            yield document


def _json(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise Unreadable(f"json: offset {error.pos}: {_json_words(error, text)}") from None
        yield document
        at += len(text[at:]) - len(text[at:].lstrip())


def _json_words(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text.rstrip()):
        return "unexpected EOF"
    return f"invalid character '{text[error.pos]}' looking for beginning of value"


def _go_words(error: Any) -> str:
    """libyaml's message as go-yaml gives it: one line, and the line number of the problem (not of the context)."""
    problem = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    context_mark = getattr(error, "context_mark", None)
    if "found character that cannot start any token" in problem or "\\t" in problem:
        problem = "found character that cannot start any token"
    if problem.startswith("expected the node content"):
        problem = "did not find expected node content"
    elif problem.startswith("expected <block end>"):
        problem = (
            "did not find expected key" if "mapping" in (error.context or "") else "did not find expected '-' indicator"
        )
    elif problem.startswith("expected ',' or ']'"):
        problem = "did not find expected ',' or ']'"
    elif problem.startswith("expected ',' or '}'"):
        problem = "did not find expected ',' or '}'"
    if "mapping values are not allowed" in problem:
        problem = "mapping values are not allowed in this context"
    # yaml.v2 decode.go `fail`: the context's line if it is not the first, else the problem's; the scanner's are one less.
    line = next((each.line for each in (context_mark, mark) if each is not None and each.line), 0)
    if line and type(error).__name__ == "ScannerError":
        line += 1
    return f"yaml: line {line}: {problem}" if line else f"yaml: {problem}"


def first(text: str) -> Any:
    """The first document, or None."""
    return next(documents(text), None)


async def read(into: io.IO, names: list[str], recursive: bool = False) -> list[tuple[str, Any]]:
    """(source, object) of every document that -f names; items of Lists apart.  `-` is standard input, "STDIN"."""
    found: list[tuple[str, Any]] = []
    for name in names:
        if name == "-":
            text = (await into.read_all()).decode("utf-8", "replace")
            found += _objects(text, "STDIN")
        elif name.startswith(("http://", "https://")):
            found += _objects(_published(name), name)
        else:
            for path in _paths(into, name, recursive):
                text = into.files.read_bytes(posixpath.join(into.cwd, path)).decode("utf-8", "replace")
                found += _objects(text, path)
    return found


def _published(url: str) -> str:
    """What stands at an address out there, of which a few are known."""
    from kubesim.presets import bundles

    text = bundles.published(url)
    if text is None:
        raise fail.Failed(f'error: not simulated: reading manifests from "{url}"; download it and name the file')
    return text


def _objects(text: str, source: str) -> Iterator[tuple[str, Any]]:
    try:
        for document in documents(text):
            if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
                yield from ((source, item) for item in document["items"] or ())
            else:
                yield source, document
    except Unreadable as error:
        raise fail.Failed(f"error: error parsing {source}: {error}") from None


def _paths(into: io.IO, name: str, recursive: bool) -> list[str]:
    absolute = posixpath.normpath(posixpath.join(into.cwd, name))
    if into.files.is_file(absolute):
        return [name]
    if not into.files.is_dir(absolute):
        raise fail.Failed(f'error: the path "{name}" does not exist')
    found = []
    for entry in into.files.listdir(absolute):
        path = posixpath.join(name, entry)
        inner = posixpath.join(absolute, entry)
        if into.files.is_dir(inner):
            if recursive:
                found += _paths(into, path, recursive)
        elif entry.endswith(EXTENSIONS):
            found.append(path)
    if not found and not recursive:
        raise fail.Failed(f"error: error reading [{name}]: recognized file extensions are [.json .yaml .yml]")
    return found
