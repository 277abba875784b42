"""Workloads (`pkg/apis/apps/validation/validation.go`, `pkg/apis/batch/validation/validation.go`)."""

from __future__ import annotations

import re
from typing import Any

from kubesim.apiserver.fielderrors import FieldError, forbidden, invalid, required, unsupported
from kubesim.apiserver.validation import meta, pods
from kubesim.machinery import names, selectors

Object = dict[str, Any]

NOT_NEGATIVE = "must be greater than or equal to 0"


def not_negative(spec: Object, field: str, path: str) -> list[FieldError]:
    value = spec.get(field)
    return [invalid(f"{path}.{field}", value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def label_selector(selector: Object, path: str) -> list[FieldError]:
    """ValidateLabelSelector."""
    errors = meta.labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions", ())):
        at = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values")
        if operator in ("In", "NotIn"):
            if not values:
                errors.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.append(
                    forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
                )
        else:
            errors.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
        errors += meta.label_name(expression.get("key", ""), f"{at}.key")
        for number, value in enumerate(values or ()):
            errors += [invalid(f"{at}.values[{number}]", value, detail) for detail in names.label_value(value)]
    return errors


def _selector_and_template(spec: Object, path: str = "spec") -> list[FieldError]:
    """The selector must be there, not be empty, and select the template."""
    errors: list[FieldError] = []
    selector = spec.get("selector")
    if selector is None:
        errors.append(required(f"{path}.selector"))
    else:
        errors += label_selector(selector, f"{path}.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            errors.append(invalid(f"{path}.selector", selector, "empty selector is invalid for deployment"))
    return errors


def _template(spec: Object, path: str = "spec.template", restart: str = "Always") -> list[FieldError]:
    """ValidatePodTemplateSpecForReplicaSet and its kin."""
    errors: list[FieldError] = []
    template = spec.get("template")
    if template is None:
        return [required(path)]
    labels = template["metadata"].get("labels", {})
    selector = spec.get("selector")
    try:
        matches = selector is not None and selectors.from_label_selector(selector).matches(labels)
    except selectors.SelectorError:
        matches = True
    if not matches:
        errors.append(invalid(f"{path}.metadata.labels", labels or None, "`selector` does not match template `labels`"))
    errors += pods.template(template, path)
    policy = template["spec"].get("restartPolicy")
    if restart == "Always" and policy != "Always":
        errors.append(unsupported(f"{path}.spec.restartPolicy", policy, ["Always"]))
    if "activeDeadlineSeconds" in template["spec"]:
        errors.append(
            forbidden(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")
        )
    return errors


_PERCENT = re.compile(r"\d+%")


def int_or_percent(value: Any, path: str) -> list[FieldError]:
    """ValidatePositiveIntOrPercent."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            return [invalid(path, value, detail) for detail in names.percent(value)]
    elif value is not None and value < 0:
        return [invalid(path, value, NOT_NEGATIVE)]
    return []


def _rolling(rolling: Object, path: str, first: str = "maxUnavailable") -> list[FieldError]:
    errors = int_or_percent(rolling.get("maxUnavailable"), f"{path}.maxUnavailable")
    errors += int_or_percent(rolling.get("maxSurge"), f"{path}.maxSurge")
    if _zero(rolling.get("maxUnavailable")) and _zero(rolling.get("maxSurge")):
        errors.append(
            invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0")
        )
    value = rolling.get("maxUnavailable")
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        errors.append(invalid(f"{path}.maxUnavailable", value, "must not be greater than 100%"))
    return errors


def _zero(value: Any) -> bool:
    return value in (None, 0, "0%")


def deployment(obj: Object) -> list[FieldError]:
    """ValidateDeploymentSpec."""
    spec = obj["spec"]
    errors = not_negative(spec, "replicas", "spec")
    errors += _selector_and_template(spec)
    errors += _template(spec)
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate":
        if "rollingUpdate" in strategy:
            errors.append(
                forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
            )
    elif strategy.get("type") == "RollingUpdate":
        errors += _rolling(strategy.get("rollingUpdate") or {}, "spec.strategy.rollingUpdate")
    else:
        errors.append(unsupported("spec.strategy.type", strategy.get("type", ""), ["Recreate", "RollingUpdate"]))
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        errors += not_negative(spec, field, "spec")
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline is not None and deadline <= ready:
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def replica_set(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors = not_negative(spec, "replicas", "spec") + not_negative(spec, "minReadySeconds", "spec")
    return errors + _selector_and_template(spec) + _template(spec)


def daemon_set(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors = _selector_and_template(spec)
    errors += _template(spec)
    errors += not_negative(spec, "minReadySeconds", "spec")
    return errors + not_negative(spec, "revisionHistoryLimit", "spec")


def stateful_set(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", spec.get("podManagementPolicy", ""), detail))
    errors += not_negative(spec, "replicas", "spec") + not_negative(spec, "minReadySeconds", "spec")
    # The pods will have a volume for each claim template; mounts may name them.
    claimed = [{"name": each["metadata"].get("name", ""), "emptyDir": {}} for each in spec.get("volumeClaimTemplates") or ()]
    if claimed and "template" in spec:
        template = spec["template"]
        names = {each["name"] for each in claimed}
        others = [each for each in template["spec"].get("volumes") or () if each.get("name") not in names]
        spec = {**spec, "template": {**template, "spec": {**template["spec"], "volumes": [*claimed, *others]}}}
    return errors + _selector_and_template(spec) + _template(spec)


STATEFUL_SET_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)  # fmt: skip


def stateful_set_update(new: Object, old: Object) -> list[FieldError]:
    errors = stateful_set(new)
    kept = {key: value for key, value in new["spec"].items() if key not in STATEFUL_SET_MUTABLE}
    if kept != {key: value for key, value in old["spec"].items() if key not in STATEFUL_SET_MUTABLE}:
        fields = (
            "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'"
        )
        errors.append(forbidden("spec", f"updates to statefulset spec for fields other than {fields} are forbidden"))
    return errors


def selector_immutable(new: Object, old: Object) -> list[FieldError]:
    if new["spec"].get("selector") != old["spec"].get("selector"):
        return [invalid("spec.selector", new["spec"].get("selector"), meta.IMMUTABLE)]
    return []


def job(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        errors += not_negative(spec, field, "spec")
    if spec.get("selector") is None:
        errors.append(required("spec.selector"))
    errors += job_template(spec, "spec")
    return errors


def job_template(spec: Object, path: str) -> list[FieldError]:
    template = spec["template"]
    errors = pods.template(template, f"{path}.template")
    policy = template["spec"].get("restartPolicy")
    if policy == "Always":
        errors.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(unsupported(f"{path}.template.spec.restartPolicy", policy, ["OnFailure", "Never"]))
    return errors


def job_update(new: Object, old: Object) -> list[FieldError]:
    return [
        invalid(f"spec.{field}", new["spec"].get(field), meta.IMMUTABLE)
        for field in ("completions", "selector", "template", "completionMode")
        if new["spec"].get(field) != old["spec"].get(field)
    ]


_SCHEDULE = re.compile(r"(@(annually|yearly|monthly|weekly|daily|midnight|hourly)|@every \S+|(\S+\s+){4}\S+)")


def cron_job(obj: Object) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    schedule = spec.get("schedule", "")
    if not schedule:
        errors.append(required("spec.schedule"))
    elif not _SCHEDULE.fullmatch(schedule.strip()):
        found = len(schedule.split())
        errors.append(invalid("spec.schedule", schedule, f"expected exactly 5 fields, found {found}: [{schedule}]"))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        supported = ["Allow", "Forbid", "Replace"]
        errors.append(unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy", ""), supported))
    errors += job_template(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")
    if len(obj["metadata"].get("name", "")) > 52:
        errors.append(invalid("metadata.name", obj["metadata"]["name"], "must be no more than 52 characters"))
    return errors


def controller_revision_update(new: Object, old: Object) -> list[FieldError]:
    return [] if new.get("data") == old.get("data") else [invalid("data", new.get("data"), meta.IMMUTABLE)]
