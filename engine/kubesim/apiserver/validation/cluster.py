"""Nodes and what belongs to the cluster (`pkg/apis/core/validation/validation.go`)."""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.fielderrors import FieldError, forbidden

Object = dict[str, Any]


def node_update(new: Object, old: Object) -> list[FieldError]:
    """ValidateNodeUpdate: addresses, once given, stay."""
    errors: list[FieldError] = []
    before, after = old["spec"], new["spec"]
    if before.get("podCIDRs") and before["podCIDRs"] != after.get("podCIDRs", []):
        errors.append(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and before["providerID"] != after.get("providerID", ""):
        errors.append(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    return errors
