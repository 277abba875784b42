"""Server-side apply: merge what was sent, notice what others own, let go what is no longer sent.

Sources: KEP-555; structured-merge-diff `merge/update.go` (Updater.Apply), `typed/merge.go`; apimachinery
`pkg/util/managedfields/internal/conflict.go`; apiserver `pkg/endpoints/handlers/patch.go` (applyPatcher).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubesim import schema
from kubesim.apiserver import bodies, fielderrors, fieldsets, managedfields, messages, negotiation
from kubesim.apiserver.call import Call
from kubesim.errors import ApiError
from kubesim.machinery import gotext, objects

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """`mine`: what the applier owns from now on; `taken`: what others lose to it; `removed`: what is gone altogether."""

    mine: fieldsets.Paths
    taken: fieldsets.Paths
    removed: fieldsets.Paths


def run(handler: Any) -> tuple[Object, bool]:
    """PATCH with apply-patch+yaml: the object, and whether it was created."""
    handler._options("PatchOptions")
    call, request = handler.call, handler.request
    if not request.param("fieldManager"):
        error = fielderrors.required("fieldManager", "is required for apply patch")
        raise messages.invalid("PatchOptions", "meta.k8s.io", "", [error])
    force = request.param("force").lower() in ("1", "true")
    patch = _read(handler)
    _check(call, patch)

    def merge(old: Object) -> Object:
        merged = merged_with(call, old, patch, force)
        return bodies.decode(handler.registry, call, merged)

    def create() -> Object:
        call.applied = Plan(_mine(call, patch), set(), set())
        return bodies.decode(handler.registry, call, patch)

    return handler.registry.update(call, merge, create)


def _read(handler: Any) -> Object:
    try:
        patch = negotiation.parse_yaml(handler.request.body)
    except negotiation.BadBody as error:
        raise messages.bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None
    if not isinstance(patch, dict):
        raise messages.bad_request(
            "error decoding YAML: json: cannot unmarshal into Go value of type map[string]interface {}"
        )
    return patch


def _check(call: Call, patch: Object) -> None:
    metadata = patch.get("metadata") or {}
    if isinstance(metadata, dict):
        if metadata.get("managedFields") is not None:
            raise messages.bad_request("metadata.managedFields must be nil")
        metadata.setdefault("name", call.name)
        patch["metadata"] = metadata
    bodies.check_kind(call.resource, call.version, patch)
    problem = _problem(fieldsets.root(call.resource.type(call.version)), patch, "")
    if problem:
        group, _, version = ("/" + call.resource.group_version(call.version)).rpartition("/")
        namespace = metadata.get("namespace", "") if isinstance(metadata, dict) else ""
        where = f"{namespace}/{call.name}; {group.strip('/')}/{version}, Kind={call.resource.kind}"
        raise messages.unknown(f"failed to create typed patch object ({where}): {problem}")


def _problem(shape: fieldsets.Shape, value: Any, path: str) -> str:
    """The first thing in the patch that the schema has not, or "" (typed.AsTyped)."""
    kind = shape.kind
    if value is None:
        return ""
    wrong = _wrong_type(kind, value)
    if wrong:
        return f"{path}: {wrong}"
    if kind.startswith("[]"):
        if shape.atomic:
            return ""
        if shape.keys and not all(isinstance(item, dict) for item in value):
            return f"{path}: associative list with keys may not have non-map elements"
        seen: set[str] = set()
        for element, inner, item in fieldsets.children(shape, value):
            if element in seen:
                keys = fieldsets.show((element,))
                return f"{path}: duplicate entries for key {keys}"
            seen.add(element)
            found = _problem(inner, item, path + fieldsets.show((element,)))
            if found:
                return found
        return ""
    if kind.startswith("{}") or not isinstance(value, dict):
        return ""
    known = schema.find_type(kind)
    if known is None:
        return ""
    for name, item in value.items():
        if name not in known.fields and not known.open:
            return f"{path}.{name}: field not declared in schema"
        part = fieldsets.shape_of(kind, name)
        found = _problem(part, item, f"{path}.{name}") if part is not None else ""
        if found:
            return found
    return ""


# Scalars of the schema, and what structured-merge-diff calls them (typed/validate.go).
_EXPECTED: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("string", str),
    "bool": ("boolean", bool),
    "int32": ("numeric (int or float)", (int, float)),
    "int64": ("numeric (int or float)", (int, float)),
    "float64": ("numeric (int or float)", (int, float)),
}


def _wrong_type(kind: str, value: Any) -> str:
    """ "expected list, got ..." where a value has another type than the schema says, or ""."""
    name, types = _EXPECTED.get(kind, ("", object))
    if kind.startswith("[]"):
        name, types = "list", list
    elif kind.startswith("{}") or ("." in kind and schema.find_type(kind) is not None):
        name, types = "map", dict
    if not name or (isinstance(value, types) and not (isinstance(value, bool) and types is not bool)):
        return ""
    if name == "string":
        return f"expected string, got &value.valueUnstructured{{Value:{gotext.sharp_v(value)}}}"
    if name.startswith("numeric"):
        return f"expected {name}, got {gotext.type_name(value)}"
    return f"expected {name}, got &{{{gotext.v(value)}}}"


def _mine(call: Call, patch: Object) -> fieldsets.Paths:
    found: fieldsets.Paths = set()
    fieldsets.leaves(fieldsets.root(call.resource.type(call.version)), patch, (), found)
    return managedfields.stripped(found, call.subresource == "status")


def merged_with(call: Call, old: Object, patch: Object, force: bool) -> Object:
    """The stored object with the patch in it; sets `call.applied`.  Raises ApiError 409 on conflicts."""
    shape = fieldsets.root(call.resource.type(call.version))
    entries = managedfields.resolved(old["metadata"].get("managedFields"))
    live = {**old, "metadata": {key: value for key, value in old["metadata"].items() if key != "managedFields"}}
    merged: Object = merge(shape, live, patch)
    mine = _mine(call, patch)
    before: fieldsets.Paths = set()
    others: fieldsets.Paths = set()
    for entry in entries:
        paths = fieldsets.decode(entry["fieldsV1"])
        if managedfields.is_applier(entry, call):
            before = paths
        else:
            others |= paths
    removed = {path for path in before - mine if path not in others and not _covers(path, mine)}
    merged = _without(shape, merged, removed, mine | others)
    found = fieldsets.Difference()
    fieldsets.compare(shape, live, merged, (), found)
    touched = managedfields.stripped(found.added | found.modified, call.subresource == "status")
    conflicts = []
    taken: fieldsets.Paths = set()
    for entry in entries:
        if managedfields.is_applier(entry, call):
            continue
        clash = fieldsets.decode(entry["fieldsV1"]) & touched
        taken |= clash
        conflicts += [(entry, path) for path in clash]
    if conflicts and not force:
        raise _conflict(conflicts)
    if merged["metadata"].get("name") != call.name:
        raise messages.bad_request(
            f"the name of the object ({merged['metadata']['name']}) does not match the name on the URL ({call.name})"
        )
    call.applied = Plan(mine, taken, managedfields.stripped(found.removed, call.subresource == "status"))
    return merged


def _covers(path: fieldsets.Path, kept: fieldsets.Paths) -> bool:
    """Is something below it kept?"""
    return any(each[: len(path)] == path for each in kept)


def merge(shape: fieldsets.Shape, live: Any, patch: Any) -> Any:
    """typed.Merge: the patch wins; lists of type map by their keys, sets by their values."""
    if shape.atomic or patch is None or live is None or type(live) is not type(patch):
        return objects.copy(patch)
    if isinstance(patch, list):
        return _merged_list(shape, live, patch)
    if not isinstance(patch, dict):
        return patch
    out = dict(live)
    for element, inner, item in fieldsets.children(shape, patch):
        name = element[2:]
        out[name] = merge(inner, live.get(name), item)
    return out


def _merged_list(shape: fieldsets.Shape, live: list[Any], patch: list[Any]) -> list[Any]:
    sent = {element: (inner, item) for element, inner, item in fieldsets.children(shape, patch)}
    there = {element: item for element, _, item in fieldsets.children(shape, live)}
    # The order of the patch, and what only the server has at its place among it.
    out = []
    pending = list(there)
    for element, (inner, item) in sent.items():
        if element in there:
            while pending and pending[0] != element and pending[0] not in sent:
                out.append(objects.copy(there[pending.pop(0)]))
            if element in pending:
                pending.remove(element)
        out.append(
            merge(inner, there.get(element), item) if element in there and not shape.is_set else objects.copy(item)
        )
    return out + [objects.copy(there[element]) for element in pending if element not in sent]


def _without(shape: fieldsets.Shape, value: Any, removed: fieldsets.Paths, kept: fieldsets.Paths) -> Any:
    """The value without what nobody wants any more."""
    return _prune(shape, value, (), removed, kept) if removed else value


def _prune(
    shape: fieldsets.Shape, value: Any, path: fieldsets.Path, removed: fieldsets.Paths, kept: fieldsets.Paths
) -> Any:
    if shape.atomic or not value:
        return value
    listed = shape.kind.startswith("[]")
    items: list[Any] = []
    named: Object = {} if listed else dict(value)
    for element, inner, item in fieldsets.children(shape, value):
        at = (*path, element)
        if at in removed and not _covers(at, kept):
            named.pop(element[2:], None)
            continue
        below = _prune(inner, item, at, removed, kept)
        if listed:
            items.append(below)
        elif below in ({}, []) and item not in ({}, []):
            named.pop(element[2:], None)
        else:
            named[element[2:]] = below
    return items if listed else named


def _conflict(conflicts: list[tuple[Object, fieldsets.Path]]) -> ApiError:
    """NewConflictError."""
    found = sorted((_name(entry), fieldsets.show(path)) for entry, path in conflicts)
    if len(found) == 1:
        text = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        lines = []
        for manager in dict.fromkeys(manager for manager, _ in found):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {path}" for each, path in found if each == manager]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    return ApiError(409, "Conflict", text, {"causes": causes})


def _name(entry: Object) -> str:
    text = f'"{entry["manager"]}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    if entry["operation"] == managedfields.UPDATE:
        text += f" using {entry['apiVersion']} at {entry['time']}"
    return text
