"""PATCH: which kind of patch, on what, and what comes of it (apiserver `pkg/endpoints/handlers/patch.go`)."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

from kubesim.apiserver import bodies, decoding, fielderrors, managedfields, messages, negotiation, patching, wire
from kubesim.apiserver.customresources.resource import CustomResource

Object = dict[str, Any]


def run(handler: Any) -> tuple[Object, bool]:
    """The object after the patch, and whether an apply created it."""
    media = negotiation.content_type(handler.request)
    kind = patching.KINDS.get(media)
    if isinstance(handler.resource, CustomResource) and kind == "strategic":
        raise messages.unsupported_media_type([each for each in negotiation.PATCHES if "strategic" not in each])
    if kind is None:
        raise messages.unsupported_media_type(negotiation.PATCHES)
    if kind == "apply":
        from kubesim.apiserver import apply

        return apply.run(handler)
    _check_options(handler, kind)
    patch, duplicates = parse(handler.request.body, kind)
    return handler.registry.update(handler.call, lambda old: patched(handler, old, patch, kind, duplicates))


def parse(body: bytes, kind: str) -> tuple[Any, dict[int, list[str]]]:
    try:
        patch, duplicates = negotiation.parse_json(body)
    except negotiation.BadBody as error:
        if kind == "json":
            raise messages.bad_request(f"error decoding patch: {error}") from None
        raise messages.bad_request(f"error decoding patch: {error}") from None
    if kind != "json" and not isinstance(patch, dict):
        if patch is None:
            raise messages.bad_request("Invalid JSON Patch")
        what = "array" if isinstance(patch, list) else "string" if isinstance(patch, str) else "number"
        raise messages.bad_request(f"json: cannot unmarshal {what} into Go value of type map[string]interface {{}}")
    return patch, duplicates


def patched(handler: Any, old: Object, patch: Any, kind: str, duplicates: dict[int, list[str]]) -> Object:
    """The stored object with the patch in it, decoded.  Unknown fields of the patch count as in any body."""
    # The owners are only worked out for a patch that speaks of them.
    named = b"managedFields" in handler.request.body
    metadata = {key: value for key, value in old["metadata"].items() if key != "managedFields"}
    if named:
        metadata["managedFields"] = managedfields.resolved(old["metadata"].get("managedFields"))
    call = handler.call
    result = patching.apply(call, {**old, "metadata": metadata}, patch, kind)
    if isinstance(result.get("metadata"), dict) and result["metadata"].get("name", call.name) != call.name:
        error = fielderrors.invalid("metadata.name", result["metadata"].get("name", ""), "field is immutable")
        raise messages.invalid(call.resource.kind, call.resource.group, call.name, [error])
    doubled = [f'duplicate field "{key}"' for keys in duplicates.values() for key in keys]
    if call.validation == "Strict":
        return _strict(handler, result, patch, kind, doubled)
    for each in doubled if call.validation == "Warn" else ():
        call.warn(each)
    return bodies.decode(handler.registry, call, result)


def _strict(handler: Any, result: Object, patch: Any, kind: str, found: list[str]) -> Object:
    """The decoded object where nothing unknown or doubled may be: that is said of the whole patch (of what came of it, where
    the patch is not an object's part)."""
    call = handler.call
    call.validation = "Ignore"
    unknown = decoding.Problems()
    with contextlib.suppress(decoding.DecodeError):
        handler.registry.decode(call, copy.deepcopy(result), unknown)
    found = [*found, *unknown.found]
    if found:
        text = json.dumps(result, sort_keys=True, separators=(",", ":"), default=wire.lazy)
        shown = _go(patch) if kind == "strategic" else text
        error = fielderrors.invalid("patch", shown, f"strict decoding error: {', '.join(found)}")
        raise messages.invalid("", "", "", [error])
    return bodies.decode(handler.registry, call, result)


def _go(value: Any) -> str:
    """As Go's `%+v` prints what JSON was read into."""
    match value:
        case dict():
            return f"map[{' '.join(f'{key}:{_go(each)}' for key, each in sorted(value.items()))}]"
        case list():
            return f"[{' '.join(_go(each) for each in value)}]"
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
    return str(value)


def _check_options(handler: Any, kind: str) -> None:
    handler._options("PatchOptions")
    if handler.request.param("force"):
        error = fielderrors.forbidden("force", "may not be specified for non-apply patch")
        raise messages.invalid("PatchOptions", "meta.k8s.io", "", [error])
