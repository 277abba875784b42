"""A Service's IP families and their policy (`pkg/registry/core/service/storage/alloc.go`, initIPFamilyFields)."""

from __future__ import annotations

from typing import Any

from kubesim.apiserver import messages
from kubesim.apiserver.fielderrors import FieldError, invalid
from kubesim.apiserver.validation import services as rules

Object = dict[str, Any]

SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
MULTIPLE = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
NOT_HERE = "not configured on this cluster"


def settle(configured: tuple[str, ...], new: Object, old: Object | None, minor: int) -> None:
    """Fill in ipFamilies and ipFamilyPolicy, in place.  `configured`: the cluster's families, its default first.

    Raises ApiError 422 with what does not fit together or is not configured here.
    """
    spec = new["spec"]
    before = old["spec"] if old else None
    if spec["type"] == "ExternalName" or minor < 20:
        if minor < 20 and spec["type"] != "ExternalName":
            spec.setdefault("ipFamilies", [configured[0]])
        return
    if before is not None and before["type"] != "ExternalName" and before.get("ipFamilyPolicy"):
        # A PUT that says nothing of it keeps it.
        spec.setdefault("ipFamilyPolicy", before["ipFamilyPolicy"])
    if before is not None and _unchanged_preference(spec, before):
        return
    errors = rules.families(spec, before)
    if errors:
        raise _refuse(new, errors)
    if before is not None:
        errors += _reduction(spec, before)
    policy = spec.get("ipFamilyPolicy")
    unselective = (spec.get("clusterIPs") or [""])[0] == "None" and not spec.get("selector")
    if (policy or SINGLE) == SINGLE and not (unselective and policy is None):
        if len(spec.get("clusterIPs", ())) == 2:
            errors.append(invalid("spec.ipFamilyPolicy", SINGLE, f"{MULTIPLE} cluster IPs are specified"))
        if len(spec.get("ipFamilies", ())) == 2:
            errors.append(invalid("spec.ipFamilyPolicy", SINGLE, f"{MULTIPLE} IP families are specified"))
    errors += _infer(configured, spec)
    if errors:
        raise _refuse(new, errors)
    if unselective:
        _headless_without_selector(configured, spec)
        return
    _headful(configured, new)


def _unchanged_preference(spec: Object, before: Object) -> bool:
    """isMatchingPreferDualStackClusterIPFields: nothing was asked, so a PreferDualStack Service stays as it is."""
    if (
        before["type"] == "ExternalName"
        or spec.get("ipFamilyPolicy") != PREFER
        or before.get("ipFamilyPolicy") != PREFER
    ):
        return False
    return bool(
        spec.get("clusterIPs") == before.get("clusterIPs") and spec.get("ipFamilies") == before.get("ipFamilies")
    )


def _reduction(spec: Object, before: Object) -> list[FieldError]:
    """Fewer families: with the policy SingleStack they are let go, else it is refused."""
    errors: list[FieldError] = []
    policy = spec.get("ipFamilyPolicy")
    if (policy or SINGLE) == SINGLE and (before.get("ipFamilyPolicy") or SINGLE) != SINGLE:
        if spec.get("clusterIPs") == before.get("clusterIPs") and len(spec.get("clusterIPs", ())) > 1:
            spec["clusterIPs"] = spec["clusterIPs"][:1]
        if spec.get("ipFamilies") == before.get("ipFamilies") and len(spec.get("ipFamilies", ())) > 1:
            spec["ipFamilies"] = spec["ipFamilies"][:1]
    elif (policy or SINGLE) != SINGLE:
        for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
            now, then = spec.get(field, ()), before.get(field, ())
            if now and len(now) < len(then):
                detail = f"must be 'SingleStack' to release the secondary {what}"
                errors.append(invalid("spec.ipFamilyPolicy", policy, detail))
    return errors


def _infer(configured: tuple[str, ...], spec: Object) -> list[FieldError]:
    """Families out of the addresses that were given."""
    errors: list[FieldError] = []
    for index, text in enumerate(spec.get("clusterIPs", ())):
        if text == "None":
            break
        family = "IPv6" if ":" in text else "IPv4"
        if index >= len(spec.get("ipFamilies", ())):
            if family not in configured:
                detail = f"{family} is not configured on this cluster"
                errors.append(invalid(f"spec.clusterIPs[{index}]", spec["clusterIPs"], detail))
            else:
                spec["ipFamilies"] = [*spec.get("ipFamilies", ()), family]
    return errors


def _headless_without_selector(configured: tuple[str, ...], spec: Object) -> None:
    """Whoever writes its endpoints may use both families, configured or not."""
    spec.setdefault("ipFamilyPolicy", REQUIRE)
    families = spec["ipFamilies"] = list(spec.get("ipFamilies") or [configured[0]])
    if len(families) < 2 and spec["ipFamilyPolicy"] != SINGLE:
        families.append(OTHER[families[0]])


def _headful(configured: tuple[str, ...], new: Object) -> None:
    spec = new["spec"]
    policy = spec.get("ipFamilyPolicy")
    errors: list[FieldError] = []
    if policy == REQUIRE and len(configured) < 2:
        errors.append(invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"))
    for index, family in enumerate(spec.get("ipFamilies", ())):
        if family not in configured:
            errors.append(invalid(f"spec.ipFamilies[{index}]", family, NOT_HERE))
    if errors:
        raise _refuse(new, errors)
    policy = spec["ipFamilyPolicy"] = policy or SINGLE
    families = spec["ipFamilies"] = list(spec.get("ipFamilies") or [configured[0]])
    if policy != SINGLE and len(families) == 1 and len(configured) == 2:
        families.append(OTHER[families[0]])


def _refuse(obj: Object, errors: list[FieldError]) -> Any:
    return messages.invalid("Service", "", obj["metadata"].get("name", ""), errors)
