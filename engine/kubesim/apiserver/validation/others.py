"""ConfigMaps, Secrets, RBAC (`pkg/apis/core/validation`, `pkg/apis/rbac/validation`)."""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.fielderrors import FieldError, each, forbidden, invalid, required, too_long, unsupported
from kubesim.apiserver.validation import meta
from kubesim.machinery import names

Object = dict[str, Any]

DATA_LIMIT = 1024 * 1024  # bytes: MaxSecretSize


def config_map(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    total = 0
    for field in ("data", "binaryData"):
        for key, value in obj.get(field, {}).items():
            errors += each(f"{field}[{key}]", key, names.config_key(key))
            total += len(value)
    for key in obj.get("data", {}):
        if key in obj.get("binaryData", {}):
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    if total > DATA_LIMIT:
        errors.append(too_long("", DATA_LIMIT))
    return errors


_NEEDED = {
    "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
    "kubernetes.io/dockercfg": [".dockercfg"],
    "kubernetes.io/tls": ["tls.crt", "tls.key"],
    "kubernetes.io/ssh-auth": ["ssh-privatekey"],
}


def secret(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    data = obj.get("data", {})
    for key in data:
        errors += each(f"data[{key}]", key, names.config_key(key))
    if sum(len(value) for value in data.values()) * 3 // 4 > DATA_LIMIT:
        errors.append(too_long("data", DATA_LIMIT))
    for key in _NEEDED.get(obj.get("type", ""), ()):
        if key not in data:
            errors.append(required(f"data[{key}]"))
    return errors


def secret_type(new: Object, old: Object) -> list[FieldError]:
    if new.get("type") != old.get("type"):
        return [invalid("type", new.get("type", ""), meta.IMMUTABLE)]
    return []


def immutable_data(new: Object, old: Object) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    errors: list[FieldError] = []
    if not new.get("immutable"):
        errors.append(forbidden("immutable", "field is immutable when `immutable` is set"))
    detail = "field is immutable when `immutable` is set"
    errors += [forbidden(field, detail) for field in ("data", "binaryData") if new.get(field) != old.get(field)]
    return errors


def rbac(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        at = f"rules[{index}]"
        if not rule.get("verbs"):
            errors.append(required(f"{at}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if obj["kind"] == "Role":
                detail = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid(f"{at}.nonResourceURLs", rule["nonResourceURLs"], detail))
            continue
        if not rule.get("apiGroups"):
            errors.append(required(f"{at}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            errors.append(required(f"{at}.resources", "resource rules must supply at least one resource"))
    if "roleRef" in obj:
        errors += _binding(obj)
    return errors


def _binding(obj: Object) -> list[FieldError]:
    reference = obj["roleRef"]
    kinds = ["ClusterRole"] if obj["kind"] == "ClusterRoleBinding" else ["Role", "ClusterRole"]
    errors: list[FieldError] = []
    if reference.get("apiGroup") != "rbac.authorization.k8s.io":
        errors.append(unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), ["rbac.authorization.k8s.io"]))
    if reference.get("kind") not in kinds:
        errors.append(unsupported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        errors.append(required("roleRef.name"))
    for index, subject in enumerate(obj.get("subjects", ())):
        at = f"subjects[{index}]"
        if not subject.get("name"):
            errors.append(required(f"{at}.name"))
        if subject.get("kind") not in ("ServiceAccount", "User", "Group"):
            errors.append(unsupported(f"{at}.kind", subject.get("kind", ""), ["ServiceAccount", "User", "Group"]))
        elif (
            subject["kind"] == "ServiceAccount" and obj["kind"] == "ClusterRoleBinding" and not subject.get("namespace")
        ):
            errors.append(required(f"{at}.namespace"))
    return errors


def role_ref_immutable(new: Object, old: Object) -> list[FieldError]:
    if "roleRef" in old and new.get("roleRef") != old["roleRef"]:
        return [invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]
    return []
