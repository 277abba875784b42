"""ObjectMeta (apimachinery `pkg/api/validation/objectmeta.go`, `pkg/apis/meta/v1/validation/validation.go`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from kubesim.apiserver.fielderrors import FieldError, each, forbidden, invalid, required, too_long
from kubesim.machinery import names

Object = dict[str, Any]
NameCheck = Callable[[str], list[str]]

ANNOTATIONS_LIMIT = 256 * 1024  # bytes, TotalAnnotationSizeLimitB

# The same few names come again and again.
_qualified_name = lru_cache(maxsize=4096)(names.qualified_name)
_label_value = lru_cache(maxsize=4096)(names.label_value)


def labels(value: dict[str, str] | None, path: str) -> list[FieldError]:
    """ValidateLabels."""
    errors: list[FieldError] = []
    for key, text in (value or {}).items():
        errors += label_name(key, path)
        errors += [invalid(f"{path}", text, detail) for detail in _label_value(text)]
    return errors


def label_name(key: str, path: str) -> list[FieldError]:
    return each(path, key, [detail.replace("a qualified name", "a valid label key") for detail in _qualified_name(key)])


def annotation_keys(value: dict[str, str] | None, path: str) -> list[FieldError]:
    """ValidateAnnotations: keys are checked in lower case."""
    errors: list[FieldError] = []
    total = 0
    for key, text in (value or {}).items():
        total += len(key) + len(text)
        found = _qualified_name(key.lower())
        errors += each(path, key, [detail.replace("a qualified name", "a valid label key") for detail in found])
    if total > ANNOTATIONS_LIMIT:
        errors.append(too_long(path, ANNOTATIONS_LIMIT))
    return errors


def object_meta(metadata: Object, namespaced: bool, check: NameCheck, path: str = "metadata") -> list[FieldError]:
    """ValidateObjectMeta."""
    errors: list[FieldError] = []
    generate = metadata.get("generateName", "")
    if generate:
        # What will be appended is no worse than a letter (maskTrailingDash).
        shown = generate[:-1] + "a" if generate.endswith("-") else generate
        errors += each(f"{path}.generateName", generate, check(shown))
    name = metadata.get("name", "")
    if not name:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    else:
        errors += each(f"{path}.name", name, check(name))
    namespace = metadata.get("namespace", "")
    if namespaced:
        if not namespace:
            errors.append(required(f"{path}.namespace"))
        else:
            errors += each(f"{path}.namespace", namespace, names.dns1123_label(namespace))
    elif namespace:
        errors.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    if "labels" in metadata:
        errors += labels(metadata["labels"], f"{path}.labels")
    if "annotations" in metadata:
        errors += annotation_keys(metadata["annotations"], f"{path}.annotations")
    if "ownerReferences" in metadata:
        errors += _owners(metadata["ownerReferences"], f"{path}.ownerReferences")
    if "finalizers" in metadata:
        errors += finalizers(metadata["finalizers"], f"{path}.finalizers")
    return errors


def finalizers(value: list[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in value:
        errors += each(path, name, _qualified_name(name))
    if "orphan" in value and "foregroundDeletion" in value:
        errors.append(invalid(path, value, "finalizers orphan and foregroundDeletion cannot be both set"))
    return errors


def _owners(value: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    for reference in value:
        errors += [
            invalid(f"{path}.{field}", "", f"{field} must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not reference.get(field)
        ]
        if reference.get("apiVersion") == "v1" and reference.get("kind") == "Event":
            errors.append(invalid(path, "/v1, Kind=Event", "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            if controller:
                errors.append(
                    invalid(
                        path,
                        value,
                        'Only one reference can have Controller set to true. Found "true" in references for '
                        f"{controller} and {reference.get('name')}",
                    )
                )
            controller = reference.get("name", "")
    return errors


IMMUTABLE = "field is immutable"


def object_meta_update(new: Object, old: Object, path: str = "metadata") -> list[FieldError]:
    """ValidateObjectMetaUpdate; system fields were brought over before."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        added = [name for name in new.get("finalizers", ()) if name not in old.get("finalizers", ())]
        if added:
            errors.append(
                forbidden(
                    f"{path}.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{', '.join(chr(34) + name + chr(34) for name in added)}}}",
                )
            )
    errors += [
        invalid(f"{path}.{field}", new.get(field, ""), IMMUTABLE)
        for field in ("name", "namespace", "uid", "creationTimestamp")
        if new.get(field, "") != old.get(field, "")
    ]
    if "labels" in new:
        errors += labels(new["labels"], f"{path}.labels")
    if "annotations" in new:
        errors += annotation_keys(new["annotations"], f"{path}.annotations")
    if "ownerReferences" in new:
        errors += _owners(new["ownerReferences"], f"{path}.ownerReferences")
    if "finalizers" in new:
        errors += finalizers(new["finalizers"], f"{path}.finalizers")
    return errors
