"""Parts of an HTTPRoute as Traefik has them: hostnames, rules with their strength, the settings of filters.

Source: traefik `pkg/provider/kubernetes/gateway/httproute.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


def only(given: Object, *keys: str) -> Object:
    """These of its fields, where it has them."""
    return {key: given[key] for key in keys if key in given}


def modifier(given: Object) -> Object:
    """The settings of a header modifier (set, then add, then remove)."""
    return {
        "set": {each["name"]: each["value"] for each in given.get("set") or ()},
        "add": {each["name"]: each["value"] for each in given.get("add") or ()},
        "remove": list(given.get("remove") or ()),
    }


def redirect(given: Object, path: Object) -> Object:
    """The settings of a RequestRedirect; `path` is the match's."""
    found = {**only(given, "scheme", "hostname"), "statusCode": given.get("statusCode", 302), **new_path(given, path)}
    if given.get("port"):
        found["port"] = str(given["port"])
    elif given.get("scheme"):
        found["port"] = ""
    return found


def rewrite(given: Object, path: Object) -> Object:
    """The settings of a URLRewrite."""
    return {**new_path(given, path), **only(given, "hostname")}


def new_path(given: Object, path: Object) -> Object:
    """Another path, whole or for the prefix that was matched."""
    wanted = given.get("path")
    if not wanted:
        return {}
    if wanted["type"] == "ReplaceFullPath":
        return {"path": wanted.get("replaceFullPath", "")}
    return {"path": wanted.get("replacePrefixMatch", ""), "pathPrefix": path.get("value", "/")}


def matching_hostnames(listener: str, hostnames: Iterable[str]) -> list[str] | None:
    """The names for which a route holds at a listener; None when they have none in common (findMatchingHostnames)."""
    hostnames = list(hostnames)
    if not listener:
        return hostnames
    if not hostnames:
        return [listener]
    found = [common for each in hostnames if (common := _common(listener, each))]
    return found or None


def _common(left: str, right: str) -> str:
    """The narrower of two names that may begin with `*.`, or ""."""
    if left == right:
        return left
    for wide, narrow in ((left, right), (right, left)):
        if wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]) and narrow != wide:
            return narrow
    return ""


def match_rule(hostnames: list[str], match: Object) -> tuple[str, int]:
    """The rule for one match, and how strong it is: exact paths, then the longest, then methods, headers, parameters."""
    path = match.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    priority = 10_000 + len(value) * 100
    if kind == "Exact":
        text, priority = f"Path(`{value}`)", 100_000
    elif kind == "RegularExpression":
        text = f"PathRegexp(`{value}`)"
    elif value == "/":
        text, priority = "PathPrefix(`/`)", 1
    else:
        stem = value.removesuffix("/")
        text = f"(Path(`{stem}`) || PathPrefix(`{stem}/`))"
    parts = [text]
    if match.get("method"):
        parts.append(f"Method(`{match['method']}`)")
        priority += 1000
    for each in match.get("headers") or ():
        name = "HeaderRegexp" if each.get("type") == "RegularExpression" else "Header"
        parts.append(f"{name}(`{each['name']}`,`{each['value']}`)")
        priority += 100
    for each in match.get("queryParams") or ():
        name = "QueryRegexp" if each.get("type") == "RegularExpression" else "Query"
        parts.append(f"{name}(`{each['name']}`,`{each['value']}`)")
        priority += 10
    if hostnames:
        parts.insert(0, _host_rule(hostnames))
        priority += max(map(len, hostnames))
    return " && ".join(parts), priority


def _host_rule(hostnames: list[str]) -> str:
    rules = []
    for name in hostnames:
        if name.startswith("*."):
            rules.append(f"HostRegexp(`^[a-z0-9-\\.]+\\.{re.escape(name[2:]).replace(chr(92) + '-', '-')}$`)")
        else:
            rules.append(f"Host(`{name}`)")
    return rules[0] if len(rules) == 1 else f"({' || '.join(rules)})"
