"""kubectl explain: a kind's fields, out of the server's OpenAPI v3 document.

Source: kubectl `pkg/explain/v2` (the template plaintext.tmpl).
"""

from __future__ import annotations

import textwrap
from typing import Any

from kubesim.kubectl import discovery, fail, flags, session
from kubesim.kubectl.command import Command

Object = dict[str, Any]

WIDTH = 76  # of the text, after four spaces


async def run(of: session.Session) -> None:
    if len(of.args) != 1:
        many = "We accept only this format: explain RESOURCE"
        few = (
            'You must specify the type of resource to explain. Use "kubectl api-resources" for a complete list of supported '
            "resources.\n"
        )
        raise of.hint(many) if of.args else fail.Failed(f"error: {few}")
    if of.flags["output"] != "plaintext":
        raise fail.Failed(f"error: not simulated: kubectl explain -o {of.flags['output']}")
    mapping, path = _split(of, of.args[0])
    document = _document(of, mapping)
    schemas = document["components"]["schemas"]
    schema = _of_kind(schemas, mapping)
    lines = []
    if mapping.group:
        lines.append(f"GROUP:      {mapping.group}")
    lines += [f"KIND:       {mapping.kind}", f"VERSION:    {mapping.version}", ""]
    field: Object | None = None
    for name in path:
        field = (schema.get("properties") or {}).get(name)
        if field is None:
            of.io.print("\n".join(lines))
            raise fail.Failed(f'error: field "{name}" does not exist')
        schema = _target(schemas, field)
    if field is not None:
        lines.append(f"FIELD: {path[-1]} <{_type(schemas, field)}>")
        lines += ["ENUM:", *(f"    {value}" for value in schema["enum"])] if schema.get("enum") else [""]
        lines.append("")
    # The field's own words, and then those of the type that it leads to.
    texts = [each["description"] for each in (field or {}, schema) if each.get("description")]
    lines += ["DESCRIPTION:", *(_wrapped(text, 4) for text in dict.fromkeys(texts) or ["<empty>"]), "    "]
    if schema.get("properties"):
        lines.append("FIELDS:")
        lines += _fields(of, schemas, schema, 1)
    of.io.print("\n".join(lines) + "\n")


def _split(of: session.Session, text: str) -> tuple[discovery.Mapping, list[str]]:
    """The longest beginning that is a resource ("deployments.apps"), and the fields after it."""
    parts = text.split(".")
    if of.flags["api-version"]:
        group, _, version = of.flags["api-version"].rpartition("/")
        word = f"{parts[0]}.{version}.{group}" if group else parts[0]
        return of.discovery.find(word), parts[1:]
    for length in range(len(parts), 0, -1):
        found = of.discovery.all().find(".".join(parts[:length]))
        if found is not None and (length == 1 or found.group):
            return found, parts[length:]
    return of.discovery.find(parts[0]), parts[1:]


def _document(of: session.Session, mapping: discovery.Mapping) -> Object:
    key = f"apis/{mapping.group}/{mapping.version}" if mapping.group else f"api/{mapping.version}"
    cached = of.io.cache.get(("openapi", of.rest.host, key))
    if cached is not None:
        return cached
    paths = of.rest.ask("GET", "/openapi/v3").get("paths") or {}
    entry = paths.get(key)
    if entry is None:
        raise fail.Failed(f'error: couldn\'t find resource for "{mapping.api_version}, Kind={mapping.kind}"')
    document = of.io.cache["openapi", of.rest.host, key] = of.rest.ask("GET", entry["serverRelativeURL"])
    return document


def _of_kind(schemas: Object, mapping: discovery.Mapping) -> Object:
    wanted = {"group": mapping.group, "kind": mapping.kind, "version": mapping.version}
    for schema in schemas.values():
        if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
            return schema
    raise fail.Failed(f'error: couldn\'t find resource for "{mapping.api_version}, Kind={mapping.kind}"')


def _reference(field: Object) -> str:
    for part in (field, *(field.get("allOf") or ())):
        if part.get("$ref"):
            return str(part["$ref"]).rpartition("/")[2]
    return ""


def _target(schemas: Object, field: Object) -> Object:
    """The schema that a field leads to: of its elements, for lists and maps."""
    name = _reference(field)
    if name:
        return {**schemas.get(name, {}), **({"enum": field["enum"]} if field.get("enum") else {})}
    for inner in ("items", "additionalProperties"):
        if isinstance(field.get(inner), dict):
            return _target(schemas, field[inner])
    return field


def _type(schemas: Object, field: Object) -> str:
    name = _reference(field)
    if name:
        short = name.rpartition(".")[2]
        target = schemas.get(name, {})
        return short if target.get("properties") or not target.get("type") else _short(short, target)
    if field.get("type") == "array":
        return f"[]{_type(schemas, field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"map[string]{_type(schemas, field['additionalProperties'])}"
    if field.get("oneOf"):
        return str(field.get("format") or "Object").replace("int-or-string", "IntOrString")
    return str({"object": "Object"}.get(field.get("type", ""), field.get("type") or "Object"))


def _short(name: str, target: Object) -> str:
    """Scalars go by their type (a Time is a string), what has several by its name (Quantity)."""
    return name if target.get("type") == "object" else str(target.get("type"))


def _description(schema: Object) -> str:
    return str(schema.get("description") or "<no description>")


def _wrapped(text: str, indent: int) -> str:
    space = " " * indent
    width = WIDTH + 4 - indent
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(space + line for line in lines)


def _fields(of: session.Session, schemas: Object, schema: Object, level: int) -> list[str]:
    lines = []
    recursive = of.flags["recursive"]
    for name, field in sorted(schema["properties"].items()):
        required = " -required-" if name in (schema.get("required") or ()) else ""
        lines.append(f"{'  ' * level}{name}\t<{_type(schemas, field)}>{required}")
        if not recursive:
            lines.append(_wrapped(_description(field), 4))
            lines.append("")
        else:
            inner = _target(schemas, field)
            # JSONSchemaProps holds itself.
            if inner.get("properties") and level < 12:
                lines += _fields(of, schemas, inner, level + 1)
    return lines


COMMANDS = {
    "explain": Command(
        "explain",
        "Describe fields and structure of various resources.",
        run,
        flags.define("recursive:bool", "api-version", "output:=plaintext"),
        "TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [-o|--output=plaintext|plaintext-openapiv2] [options]",
    )
}
