"""A patch applied to an object as it is stored; server-side apply is `apply`'s."""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.call import Call
from kubesim.machinery import patches

Object = dict[str, Any]

KINDS = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


def apply(call: Call, old: Object, patch: Any, kind: str) -> Object:
    """The patched document, not yet decoded.  Raises ApiError in upstream's words."""
    return apply_to(old, patch, kind, call.resource.type(call.version))


def apply_to(old: Object, patch: Any, kind: str, type_name: str) -> Object:
    if kind == "json":
        result = patches.json_patch(old, patch)
    elif kind == "merge":
        result = patches.merge_patch(old, patch)
    elif kind == "strategic":
        result = patches.strategic(old, patch, type_name)
    else:
        raise ValueError(f"no patch of kind {kind!r}")
    found: Object = result
    return found
