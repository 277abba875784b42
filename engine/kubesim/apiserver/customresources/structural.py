"""What a structural schema does to an object on its way in: unknown fields go, defaults come.

Sources: apiextensions `pkg/apiserver/schema/pruning`, `.../schema/defaulting`, `.../schema/objectmeta`.
"""

from __future__ import annotations

from typing import Any

from kubesim.apiserver import decoding
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.machinery import objects

Object = dict[str, Any]

_COMMON = ("apiVersion", "kind", "metadata")


def decode(resource: CustomResource, obj: Object, problems: decoding.Problems | None = None) -> Object:
    """An object as sent, as its version wants it: new, pruned, with defaults.  Unknown fields go to `problems`; raises
    DecodeError where metadata is no ObjectMeta."""
    problems = problems or decoding.Problems()
    found = prune(resource.schema, {key: value for key, value in obj.items() if key != "metadata"}, problems)
    metadata = obj.get("metadata")
    given = {"metadata": metadata if metadata is not None else {}}
    out = {
        "kind": obj.get("kind") or resource.kind,
        "apiVersion": resource.api_version,
        "metadata": decoding.decode(resource.type(), given, problems)["metadata"],
        **{key: found[key] for key in sorted(found) if key not in _COMMON},
    }
    # managedFields of a stored object come back to be merged; `creationTimestamp: null` is Go's.
    if out["metadata"].get("creationTimestamp", "") is None:
        del out["metadata"]["creationTimestamp"]
    default(resource.schema, out)
    return out


def prune(schema: Object, value: Object, problems: decoding.Problems) -> Object:
    """The object without what the schema does not declare."""
    pruned: Object = _prune({**schema, "x-kubernetes-embedded-resource": True}, value, "", problems)
    return pruned


def _prune(schema: Object, value: Any, path: str, problems: decoding.Problems) -> Any:
    if isinstance(value, list):
        inner = schema.get("items") or {}
        return [_prune(inner, item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if problems.duplicates:
        problems.doubled(f"{path}." if path else "", value)
    properties = schema.get("properties") or {}
    values = schema.get("additionalProperties")
    kept = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    common = _COMMON if schema.get("x-kubernetes-embedded-resource") else ()
    out = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in properties:
            if item is None and not properties[key].get("nullable"):
                # A null stands for "not set" (defaulting.PruneNonNullableDefaults).
                continue
            out[key] = _prune(properties[key], item, where, problems)
        elif key in common:
            out[key] = objects.copy(item)
        elif isinstance(values, dict):
            out[key] = _prune(values, item, where, problems)
        elif kept or values is True:
            out[key] = objects.copy(item)
        else:
            problems.unknown("", where)
    return out


def default(schema: Object, value: Any) -> None:
    """Put the defaults into an object, in place."""
    if isinstance(value, list):
        for item in value:
            default(schema.get("items") or {}, item)
        return
    if not isinstance(value, dict):
        return
    for name, inner in (schema.get("properties") or {}).items():
        if name not in value and inner.get("default") is not None:
            value[name] = objects.copy(inner["default"])
        if name in value:
            default(inner, value[name])
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        known = schema.get("properties") or {}
        for name, item in value.items():
            if name not in known:
                default(values, item)
