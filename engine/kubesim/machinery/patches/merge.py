"""JSON merge patch, RFC 7386, and how to compute one from two or three documents.

Source of the latter: apimachinery `pkg/util/jsonmergepatch/patch.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim import errors
from kubesim.machinery import objects

Document = dict[str, Any]


def merge_patch(document: Any, patch: Any) -> Any:
    """The document after the patch.  ApiError 400 when the patch is no object."""
    if not isinstance(patch, dict):
        raise errors.ApiError(400, "BadRequest", "Invalid JSON Patch")
    return _merge(document, patch)


def _merge(document: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return objects.copy(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return objects.copy(merged)


def merge_diff(original: Document, modified: Document) -> Document:
    """The merge patch that makes `modified` of `original` (jsonpatch.CreateMergePatch)."""
    patch: Document = {}
    for key, value in modified.items():
        before = original.get(key)
        if key not in original:
            patch[key] = objects.copy(value)
        elif isinstance(value, dict) and isinstance(before, dict):
            inner = merge_diff(before, value)
            if inner:
                patch[key] = inner
        elif value != before or isinstance(value, bool) != isinstance(before, bool):
            patch[key] = objects.copy(value)
    for key in original:
        if key not in modified:
            patch[key] = None
    return patch


def three_way_merge(original: Document, modified: Document, current: Document) -> Document:
    """The merge patch for `current`: what `modified` adds or changes there, and what it has dropped of `original`."""
    changes = _keep(merge_diff(current, modified), nulls=False)
    deletions = _keep(merge_diff(original, modified), nulls=True)
    return _join(deletions, changes)


def _keep(patch: Document, nulls: bool) -> Document:
    """Only the nulls (deletions), or only all else (changes and additions)."""
    kept: Document = {}
    for key, value in patch.items():
        if value is None:
            if nulls:
                kept[key] = None
        elif isinstance(value, dict):
            inner = _keep(value, nulls)
            # An empty object that was added is a change of its own.
            if inner or (not value and not nulls):
                kept[key] = inner
        elif not nulls:
            kept[key] = value
    return kept


def _join(first: Document, second: Document) -> Document:
    """Both patches in one; the second wins (jsonpatch.MergeMergePatches)."""
    joined = dict(first)
    for key, value in second.items():
        before = joined.get(key)
        joined[key] = _join(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return joined
