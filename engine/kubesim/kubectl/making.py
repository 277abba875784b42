"""Objects that kubectl itself makes, with their fields in the order of the Go types (`-o json` shows them so).

Source: kubectl `pkg/cmd/create`, `pkg/generate`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import fail, session

Object = dict[str, Any]


def metadata(of: session.Session, name: str, labels: dict[str, str] | None = None, namespaced: bool = True) -> Object:
    """`creationTimestamp: null` was always there until 1.34 (metav1.Time got `omitzero`)."""
    made: Object = {"name": name} if name else {}
    if namespaced and of.selected.namespace_given and name:
        made["namespace"] = of.namespace
    if of.minor < 34:
        made["creationTimestamp"] = None
    if labels:
        made["labels"] = labels
    return made


def obj(
    of: session.Session,
    api_version: str,
    kind: str,
    name: str,
    labels: dict[str, str] | None = None,
    namespaced: bool = True,
) -> Object:
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata(of, name, labels, namespaced)}


def container_name(image: str) -> str:
    """What follows the last slash, without tag and digest (create deployment)."""
    name = image.split("/")[-1]
    name = name.split(":")[0]
    return name.split("@")[0]


def template(of: session.Session, labels: dict[str, str] | None, spec: Object) -> Object:
    meta: Object = {}
    if of.minor < 34:
        meta["creationTimestamp"] = None
    if labels:
        meta["labels"] = labels
    return {"metadata": meta, "spec": spec} if meta else {"spec": spec}


def key_values(pairs: list[str], what: str) -> dict[str, str]:
    """ "a=b" of --from-literal and the like."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise fail.Failed(f"error: invalid {what} {pair}, expected key=value")
        found[key] = value
    return found


def labels_of(text: str) -> dict[str, str]:
    """ "a=b,c=d" of --labels (generate.ParseLabels)."""
    found = {}
    for pair in text.split(",") if text else ():
        key, equals, value = pair.partition("=")
        if not equals or "=" in value:
            raise fail.Failed(f"error: unexpected label spec: {pair}")
        if not key:
            raise fail.Failed("error: unexpected empty label key")
        found[key] = value
    return found


def port_number(text: str) -> int:
    """strconv.ParseUint(text, 10, 16)."""
    if not text.isdigit():
        raise fail.Failed(f'error: strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > 65535:
        raise fail.Failed(f'error: strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)
