"""Ephemeral containers: what PUT and PATCH of pods/NAME/ephemeralcontainers may change.

Source: `pkg/apis/core/validation/validation.go` (validateEphemeralContainers, ValidatePodEphemeralContainersUpdate).
"""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.fielderrors import FieldError, duplicate, forbidden, not_found, required
from kubesim.apiserver.validation.meta import each
from kubesim.machinery import names

Object = dict[str, Any]

# allowedEphemeralContainerFields, the other way around: what makes no sense for one that is never restarted.
FORBIDDEN = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy", "restartPolicy")
PATH = "spec.ephemeralContainers"


def on_create(obj: Object) -> list[FieldError]:
    if (obj.get("spec") or {}).get("ephemeralContainers"):
        return [forbidden(PATH, "cannot be set on create")]
    return []


def update(new: Object, old: Object) -> list[FieldError]:
    """Those that are there stay as they are; new ones may come."""
    errors: list[FieldError] = []
    spec = new["spec"]
    others = {one["name"] for key in ("containers", "initContainers") for one in spec.get(key) or ()}
    targets = {one["name"] for key in ("containers", "initContainers") for one in spec.get(key) or ()}
    now = spec.get("ephemeralContainers") or []
    for index, one in enumerate(now):
        at, name = f"{PATH}[{index}]", one.get("name", "")
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            errors += each(f"{at}.name", name, names.dns1123_label(name))
            if name in others:
                errors.append(duplicate(f"{at}.name", name))
            others.add(name)
        if not one.get("image"):
            errors.append(required(f"{at}.image"))
        target = one.get("targetContainerName")
        if target and target not in targets:
            errors.append(not_found(f"{at}.targetContainerName", target))
        errors += [
            forbidden(f"{at}.{field}", "cannot be set for an Ephemeral Container")
            for field in FORBIDDEN
            if one.get(field)
        ]
        if (one.get("resources") or {}).get("limits") or (one.get("resources") or {}).get("requests"):
            errors.append(forbidden(f"{at}.resources", "cannot be set for an Ephemeral Container"))
    by_name = {one.get("name"): one for one in now}
    for one in old["spec"].get("ephemeralContainers") or ():
        if one["name"] not in by_name:
            errors.append(forbidden(PATH, f'existing ephemeral containers "{one["name"]}" may not be removed\n'))
        elif by_name[one["name"]] != one:
            errors.append(forbidden(PATH, f'existing ephemeral containers "{one["name"]}" may not be changed\n'))
    return errors
