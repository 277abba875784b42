"""Roles and their bindings."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl.describe.page import Page
from kubesim.machinery import objects

Object = dict[str, Any]


def role(page: Page, obj: Object) -> None:
    page.field("Name", objects.name(obj))
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.line(0, "PolicyRule:")
    page.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs")
    page.line(1, "---------\t-----------------\t--------------\t-----")
    for each in compact(obj.get("rules") or []):
        what = combined(each["resources"], each["apiGroups"])
        page.line(1, f"{what}\t{_go(each['nonResourceURLs'])}\t{_go(each['resourceNames'])}\t{_go(each['verbs'])}")


def _go(words: list[str]) -> str:
    return f"[{' '.join(words)}]"


def combined(resources: list[str], groups: list[str]) -> str:
    """ "deployments.apps", "pods", "deployments.apps/status" (describe.CombineResourceGroup)."""
    if not resources:
        return ""
    name, slash, inner = resources[0].partition("/")
    group = f".{groups[0]}" if groups and groups[0] else ""
    return f"{name}{group}{slash}{inner}"


def compact(rules: list[Object]) -> list[Object]:
    """One rule for each resource (or URL), with all its verbs, sorted as Go sorts their text.

    Source: kubectl `pkg/util/rbac/rbac.go` (CompactRules), component-helpers `rbac/validation` (BreakdownRule).
    """
    simple: dict[tuple[str, str, str], list[str]] = {}
    others: list[Object] = []
    for rule in rules:
        verbs = rule.get("verbs") or []
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or [""]:
                    found = simple.setdefault((group, resource, name), [])
                    found += [verb for verb in verbs if verb not in found]
        others += [_rule(verbs, urls=[url]) for url in rule.get("nonResourceURLs") or ()]
    broken = [
        _rule(verbs, [group], [resource], [name] if name else []) for (group, resource, name), verbs in simple.items()
    ]
    return sorted(broken + others, key=_text)


def _rule(
    verbs: list[str],
    groups: list[str] | None = None,
    resources: list[str] | None = None,
    names: list[str] | None = None,
    urls: list[str] | None = None,
) -> Object:
    return {
        "verbs": verbs,
        "apiGroups": groups or [],
        "resources": resources or [],
        "resourceNames": names or [],
        "nonResourceURLs": urls or [],
    }


def _text(rule: Object) -> str:
    """PolicyRule.String, by which rules are sorted."""
    return (
        f"&PolicyRule{{Verbs:{_go(rule['verbs'])},APIGroups:{_go(rule['apiGroups'])},Resources:{_go(rule['resources'])},"
        f"ResourceNames:{_go(rule['resourceNames'])},NonResourceURLs:{_go(rule['nonResourceURLs'])},}}"
    )


def binding(page: Page, obj: Object) -> None:
    page.field("Name", objects.name(obj))
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.line(0, "Role:")
    page.field("Kind", obj["roleRef"]["kind"], 1)
    page.field("Name", obj["roleRef"]["name"], 1)
    page.line(0, "Subjects:")
    page.line(1, "Kind\tName\tNamespace")
    page.line(1, "----\t----\t---------")
    for each in obj.get("subjects") or ():
        page.line(1, f"{each['kind']}\t{each['name']}\t{each.get('namespace', '')}")
