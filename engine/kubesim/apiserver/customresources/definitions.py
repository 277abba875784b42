"""CustomResourceDefinitions themselves: their validity, what they warn of, how they go away.

Sources: apiextensions `pkg/apis/apiextensions/validation/validation.go`, `pkg/apiserver/schema/validation.go`,
`pkg/registry/customresourcedefinition/{strategy,etcd}.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubesim import ids
from kubesim.apiserver import fielderrors
from kubesim.apiserver.call import Call
from kubesim.apiserver.customresources.validation import pattern
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.machinery import names
from kubesim.machinery.jsonpath import JsonPath, JsonPathError

Object = dict[str, Any]
Errors = list[FieldError]

NAME = "customresourcedefinitions.apiextensions.k8s.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVED = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")
_COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"]
_LIST_TYPES = ["atomic", "map", "set"]


class CustomResourceDefinition(base.Spec):
    def initial_status(self, obj: Object) -> Object:
        stored = [each["name"] for each in obj["spec"].get("versions") or () if each.get("storage")]
        return {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored or None}

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_update(call, new, old)
        status = new.get("status") or {}
        stored = list(status.get("storedVersions") or ())
        fresh = [each["name"] for each in new["spec"]["versions"] if each.get("storage") and each["name"] not in stored]
        if fresh:
            new["status"] = {**status, "storedVersions": stored + fresh}

    def validate(self, call: Call, obj: Object) -> Errors:
        return validate(obj)

    def warnings(self, call: Call, new: Object, old: Object | None) -> None:
        if call.subresource or (old is not None and new["spec"] == old["spec"]):
            return
        name = new["metadata"]["name"]
        for version in new["spec"]["versions"]:
            rules = sum(1 for _ in _rules((version.get("schema") or {}).get("openAPIV3Schema") or {}))
            if rules:
                call.warn(
                    f"not simulated: the {rules} rules in CEL (x-kubernetes-validations) of {name} {version['name']}: objects "
                    "that break them are taken"
                )
        if (new["spec"].get("conversion") or {}).get("strategy") == "Webhook":
            call.warn(f"not simulated: conversion by webhook; {name} is served as if its strategy were None")

    def deletion_finalizers(self, obj: Object, finalizers: list[str]) -> list[str]:
        """Custom objects go first (etcd.go's Delete adds it with the first request)."""
        if obj["metadata"].get("deletionTimestamp") or FINALIZER in finalizers:
            return finalizers
        return [*finalizers, FINALIZER]

    def mark_deleted(self, obj: Object) -> None:
        words = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        now = ids.timestamp(self.registry.world.now)
        obj["status"] = set_condition(obj["status"], "Terminating", "True", "InstanceDeletionPending", words, now)


def set_condition(status: Object, kind: str, value: str, reason: str, message: str, now: str) -> Object:
    """The status with that condition; its time is that of its last change (SetCRDCondition)."""
    conditions = list(status.get("conditions") or ())
    new = {"type": kind, "status": value, "lastTransitionTime": now, "reason": reason, "message": message}
    for index, old in enumerate(conditions):
        if old["type"] == kind:
            if old["status"] == value:
                new["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[index] = new
            return {**status, "conditions": conditions}
    return {**status, "conditions": [*conditions, new]}


def condition(obj: Object, kind: str) -> Object:
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in found if each["type"] == kind), {})


def holds(obj: Object, kind: str) -> bool:
    return bool(condition(obj, kind).get("status") == "True")


def protected(group: str) -> bool:
    return group in _PROTECTED or group.endswith(tuple(f".{each}" for each in _PROTECTED))


# -- validity -----------------------------------------------------------------------------------------------------


def validate(obj: Object) -> Errors:
    spec, metadata = obj["spec"], obj["metadata"]
    group, given = spec.get("group", ""), spec.get("names") or {}
    errors: Errors = []
    if metadata.get("name") != f"{given.get('plural', '')}.{group}":
        errors.append(
            fielderrors.invalid("metadata.name", metadata.get("name", ""), 'must be spec.names.plural+"."+spec.group')
        )
    if not group:
        errors.append(fielderrors.required("spec.group"))
    else:
        errors += fielderrors.each("spec.group", group, names.dns1123_subdomain(group))
        if "." not in group:
            errors.append(fielderrors.invalid("spec.group", group, "should be a domain with at least one dot"))
    if not spec.get("scope"):
        errors.append(fielderrors.required("spec.scope"))
    elif spec["scope"] not in ("Cluster", "Namespaced"):
        errors.append(fielderrors.unsupported("spec.scope", spec["scope"], ["Cluster", "Namespaced"]))
    errors += _names(given)
    errors += _versions(spec)
    if spec.get("preserveUnknownFields"):
        words = (
            "cannot set to true, set x-preserve-unknown-fields to true in "
            "spec.versions[*].schema.openAPIV3Schema instead"
        )
        errors.append(fielderrors.invalid("spec.preserveUnknownFields", True, words))
    if protected(group) and not (metadata.get("annotations") or {}).get(APPROVED):
        words = (
            f'protected groups must have approval annotation "{APPROVED}", see '
            "https://github.com/kubernetes/enhancements/pull/1111"
        )
        errors.append(fielderrors.required(f"metadata.annotations[{APPROVED}]", words))
    return errors


def _names(given: Object) -> Errors:
    errors: Errors = []
    for field in ("plural", "kind"):
        if not given.get(field):
            errors.append(fielderrors.required(f"spec.names.{field}"))
    for field in ("plural", "singular"):
        if given.get(field):
            errors += fielderrors.each(f"spec.names.{field}", given[field], names.dns1035_label(given[field]))
    for field in ("kind", "listKind"):
        if given.get(field):
            details = names.dns1035_label(given[field].lower())
            words = [f"may have mixed case, but should otherwise match: {detail}" for detail in details]
            errors += fielderrors.each(f"spec.names.{field}", given[field], words)
    for index, short in enumerate(given.get("shortNames") or ()):
        errors += fielderrors.each(f"spec.names.shortNames[{index}]", short, names.dns1035_label(short))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(
            fielderrors.invalid("spec.names.listKind", given["listKind"], "kind and listKind may not be the same")
        )
    return errors


def _versions(spec: Object) -> Errors:
    errors: Errors = []
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        errors += fielderrors.each(f"{path}.name", version["name"], names.dns1035_label(version["name"]))
        errors += _columns(version.get("additionalPrinterColumns") or (), f"{path}.additionalPrinterColumns")
        errors += _scale((version.get("subresources") or {}).get("scale"), f"{path}.subresources.scale")
        found = (version.get("schema") or {}).get("openAPIV3Schema")
        if found is None:
            errors.append(fielderrors.required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
        else:
            errors += structural(found, f"{path}.schema.openAPIV3Schema")
    if len({each["name"] for each in versions}) != len(versions):
        errors.append(fielderrors.invalid("spec.versions", _shown(versions), "must contain unique version names"))
    if sum(bool(each.get("storage")) for each in versions) != 1:
        words = "must have exactly one version marked as storage version"
        errors.append(fielderrors.invalid("spec.versions", _shown(versions), words))
    return errors


def _shown(versions: list[Object]) -> list[Object]:
    """The bad value without the schemas, which would fill pages."""
    return [{key: each[key] for key in ("name", "served", "storage") if key in each} for each in versions]


def _columns(columns: Any, path: str) -> Errors:
    errors: Errors = []
    for index, column in enumerate(columns):
        here = f"{path}[{index}]"
        if not column.get("name"):
            errors.append(fielderrors.required(f"{here}.name"))
        if not column.get("type"):
            errors.append(fielderrors.required(f"{here}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
        elif column["type"] not in _COLUMN_TYPES:
            words = f"must be one of {','.join(_COLUMN_TYPES)}"
            errors.append(fielderrors.invalid(f"{here}.type", column["type"], words))
        if not column.get("jsonPath"):
            errors.append(fielderrors.required(f"{here}.jsonPath"))
            continue
        if not column["jsonPath"].startswith("."):
            words = "must be a simple json path starting with ."
            errors.append(fielderrors.invalid(f"{here}.jsonPath", column["jsonPath"], words))
            continue
        try:
            JsonPath(f"{{{column['jsonPath']}}}")
        except JsonPathError as error:
            errors.append(fielderrors.invalid(f"{here}.jsonPath", column["jsonPath"], f"is an invalid path: {error}"))
    return errors


def _scale(scale: Object | None, path: str) -> Errors:
    errors: Errors = []
    for field, part in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        value = (scale or {}).get(field, "")
        if scale is not None and not value:
            errors.append(fielderrors.required(f"{path}.{field}"))
        elif scale is not None and not value.startswith(f"{part}."):
            errors.append(fielderrors.invalid(f"{path}.{field}", value, f"should be a json path under {part}"))
    return errors


def structural(schema: Object, path: str) -> Errors:
    """Is the schema structural?  (ValidateStructural: types everywhere, nothing hidden.)"""
    errors: Errors = []
    if schema.get("type") != "object":
        if not schema.get("type"):
            errors.append(fielderrors.required(f"{path}.type", "must not be empty at the root"))
        else:
            errors.append(fielderrors.invalid(f"{path}.type", schema["type"], "must be object at the root"))
    return errors + _inner(schema, path)


def _inner(schema: Object, path: str) -> Errors:
    errors: Errors = []
    for name, inner in (schema.get("properties") or {}).items():
        here = f"{path}.properties[{name}]"
        errors += _typed(inner, here, "must not be empty for specified object fields") + _inner(inner, here)
    if isinstance(schema.get("additionalProperties"), dict):
        if schema.get("properties"):
            words = "additionalProperties and properties are mutual exclusive"
            errors.append(fielderrors.forbidden(f"{path}.additionalProperties", words))
        here = f"{path}.additionalProperties"
        inner = schema["additionalProperties"]
        errors += _typed(inner, here, "must not be empty for specified object fields") + _inner(inner, here)
    if schema.get("type") == "array":
        if not schema.get("items"):
            errors.append(fielderrors.required(f"{path}.items", "must be specified"))
        elif isinstance(schema["items"], list):
            errors.append(fielderrors.forbidden(f"{path}.items", "items must be a schema object and not an array"))
        else:
            here = f"{path}.items"
            errors += _typed(schema["items"], here, "must not be empty for specified array items")
            errors += _inner(schema["items"], here)
    kind = schema.get("x-kubernetes-list-type")
    if kind is not None and kind not in _LIST_TYPES:
        errors.append(fielderrors.unsupported(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES))
    if kind == "map" and not schema.get("x-kubernetes-list-map-keys"):
        words = "must not be empty if x-kubernetes-list-type is map"
        errors.append(fielderrors.required(f"{path}.x-kubernetes-list-map-keys", words))
    if schema.get("$ref"):
        errors.append(fielderrors.forbidden(f"{path}.$ref", "$ref is not supported"))
    if schema.get("pattern") and pattern(schema["pattern"]) is None:
        words = "must be a valid regular expression, but isn't: error parsing regexp"
        errors.append(fielderrors.invalid(f"{path}.pattern", schema["pattern"], words))
    return errors


def _typed(schema: Object, path: str, words: str) -> Errors:
    free = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if schema.get("type") or free:
        return []
    return [fielderrors.required(f"{path}.type", words)]


def _rules(schema: Object) -> Iterator[Object]:
    """All rules in CEL, at any depth."""
    yield from schema.get("x-kubernetes-validations") or ()
    for inner in (schema.get("properties") or {}).values():
        yield from _rules(inner)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _rules(schema[name])
