"""How objects are printed: -o yaml, json, name, jsonpath, custom-columns; and what a deed leaves on standard output.

Source: cli-runtime `pkg/printers`, `pkg/genericclioptions/print_flags.go`; kubectl `pkg/cmd/get/customcolumn.go`.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from typing import Any

from kubesim.kubectl import fail, flags, io, session, tabs
from kubesim.machinery import gotext, jsonpath, objects

Object = dict[str, Any]
Printer = Callable[[Object], str]

OUTPUT = flags.define("output,o", "template", "allow-missing-template-keys:bool=true", "show-managed-fields:bool")

_FORMATS = (
    "go-template",
    "go-template-file",
    "json",
    "jsonpath",
    "jsonpath-as-json",
    "jsonpath-file",
    "name",
    "template",
    "templatefile",
    "yaml",
)
# `get` knows these too.
_TABLE_FORMATS = ("custom-columns", "custom-columns-file", "wide")


def unknown_format(output: str, tables: bool = False, version: int = 99) -> fail.Failed:
    known = sorted(_FORMATS + (_TABLE_FORMATS if tables else ()))
    return fail.Failed(
        f'error: unable to match a printer suitable for the output format "{output}", allowed formats are: {",".join(known)}'
    )


def of_format(
    into: io.IO, output: str, template: str = "", allow_missing: bool = True, tables: bool = False
) -> Printer:
    """The printer of an -o format that is not a table.  Raises fail.Failed for an unknown or bad one."""
    name, equals, argument = output.partition("=")
    argument = argument if equals else template
    match name:
        case "yaml" if not equals:
            return to_yaml
        case "json" if not equals:
            return to_json
        case "name" if not equals:
            return to_name
        case "jsonpath" | "jsonpath-as-json" | "jsonpath-file":
            if not argument:
                raise fail.Failed("error: template format specified but no template given")
            if name == "jsonpath-file":
                argument = _read(into, argument)
            return _jsonpath(argument, allow_missing, name == "jsonpath-as-json")
        case "custom-columns" | "custom-columns-file" if tables:
            from kubesim.kubectl import columns

            if name == "custom-columns-file":
                return columns.from_template(_read(into, argument))
            return columns.from_spec(argument)
        case "go-template" | "go-template-file" | "template" | "templatefile":
            if not argument:
                raise fail.Failed("error: template format specified but no template given")
            from kubesim.kubectl import gotemplate

            return gotemplate.printer(_read(into, argument) if name.endswith("file") else argument, allow_missing)
    raise unknown_format(output, tables)


def _read(into: io.IO, path: str) -> str:
    absolute = posixpath.normpath(posixpath.join(into.cwd, path))
    if not into.files.is_file(absolute):
        raise fail.Failed(f"error: error reading --template {path}, open {path}: no such file or directory\n")
    return into.files.read_bytes(absolute).decode("utf-8", "replace")


def to_yaml(obj: Object) -> str:
    from kubesim.kubectl import goyaml

    return goyaml.dump(obj)


def to_json(obj: Object, indent: int = 4) -> str:
    """Keys in the order of the dict: sorted for what the server gave (see `as_served`), the type's for what we made."""
    text = json.dumps(obj, indent=indent, ensure_ascii=False, separators=(",", ": "))
    return _escaped(text) + "\n"


def _escaped(text: str) -> str:
    """encoding/json escapes what could end a script."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_served(value: Any) -> Any:
    """With keys sorted, as Go prints a map."""
    if isinstance(value, dict):
        return {key: as_served(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [as_served(item) for item in value]
    return value


def to_name(obj: Object) -> str:
    """ "pod/web", "deployment.apps/web"; of each item of a List."""
    if str(obj.get("kind", "")).endswith("List") and isinstance(obj.get("items"), list):
        return "".join(to_name(item) for item in obj["items"])
    return f"{prefix(obj)}/{objects.name(obj) or '<unknown>'}\n"


def prefix(obj: Object) -> str:
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    kind = str(obj.get("kind", "")).lower() or "<unknown>"
    return f"{kind}.{group}" if group else kind


def _jsonpath(template: str, allow_missing: bool, as_json: bool) -> Printer:
    try:
        path = jsonpath.JsonPath(template, allow_missing)
    except jsonpath.JsonPathError as error:
        raise fail.Failed(f"error: error parsing jsonpath {template}, {error}") from None

    def render(obj: Object) -> str:
        try:
            if as_json:
                values = [value for part in path.find(obj) for value in part]
                return _escaped(json.dumps(values, indent=4, ensure_ascii=False)) + "\n"
            return path.render(obj)
        except jsonpath.JsonPathError as error:
            raise fail.Failed(
                f"error: error executing jsonpath {gotext.quote(template)}: Error executing template: {error}. Printing more "
                f"information for debugging the template:\n\ttemplate was:\n\t\t{template}\n\tobject given to jsonpath engine "
                f"was:\n\t\t{gotext.sharp_v(obj)}\n\n\n"
            ) from None

    return render


def without_managed_fields(obj: Object) -> Object:
    """kubectl leaves them out unless --show-managed-fields (since 1.21)."""
    if isinstance(obj.get("items"), list):
        return {**obj, "items": [without_managed_fields(item) for item in obj["items"]]}
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


class Deeds:
    """What a command that changes objects prints: "service/web exposed", or the object where -o was given."""

    def __init__(self, of: session.Session) -> None:
        output = of.flags.get("output") or ""
        self._session = of
        self._plain = output in ("", "name")
        self._name_only = output == "name"
        self._printer = (
            None
            if self._plain
            else of_format(
                of.io, output, of.flags.get("template") or "", of.flags.get("allow-missing-template-keys", True)
            )
        )

    def done(self, obj: Object, deed: str, dry_run: str = "none", served: bool = True) -> None:
        """`served`: the object came from the server (its keys have no order of their own)."""
        if self._name_only:
            self._session.io.print(to_name(obj), end="")
        elif self._printer is None:
            deed = f"{deed}{session.suffix(dry_run)}"
            self._session.io.print(f"{prefix(obj)}/{objects.name(obj)} {deed}")
        else:
            if self._session.flags["output"] in ("yaml", "json") and not self._session.flags["show-managed-fields"]:
                obj = without_managed_fields(obj)
            self._session.io.print(self._printer(as_served(obj) if served else obj), end="")


def columns_of(rows: list[list[str]]) -> str:
    """Rows as `kubectl get` aligns them."""
    return tabs.table(rows)
