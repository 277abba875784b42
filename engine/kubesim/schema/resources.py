"""The resources that an API server may serve, and the type that each has in each version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Subresource:
    """`services/status`, `deployments/scale`...  `group` and `version` are those of the kind that it speaks."""

    name: str
    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one group.  `versions` begins with the preferred one; `types` gives each version's type name.

    `served` says from and before which minor release of Kubernetes 1.x each version is there; absent: always.
    """

    plural: str
    singular: str
    kind: str
    group: str
    versions: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    # Derived, and kept because they are asked for on every request.
    name: str = ""
    api_version: str = ""

    def type(self, version: str = "") -> str:
        """The type name of that version (default: the preferred)."""
        return self.types[version or self.versions[0]]

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    def group_version(self, version: str = "") -> str:
        """ "apps/v1", or "v1" in the core group."""
        version = version or self.versions[0]
        return f"{self.group}/{version}" if self.group else version


# The package of a group's types, where it is not the group's first word.
_PACKAGES = {"": "core", "rbac.authorization.k8s.io": "rbac", "flowcontrol.apiserver.k8s.io": "flowcontrol"}


def package(group: str) -> str:
    """The package of a group's types: "core", "apps", "networking", "rbac"..."""
    return _PACKAGES.get(group) or group.split(".", 1)[0]


def make(
    group: str,
    version: str,
    plural: str,
    singular: str,
    kind: str,
    namespaced: bool,
    verbs: str,
    shorts: str = "",
    categories: str = "",
    subresources: list[list[Any]] | None = None,
    type_name: str = "",
) -> Resource:
    """A Resource of one version.  `subresources`: [name, kind, group, version, verbs]."""
    subs = {
        name: Subresource(name, sub_kind, sub_group, sub_version, tuple(sub_verbs.split()))
        for name, sub_kind, sub_group, sub_version, sub_verbs in subresources or ()
    }
    return Resource(
        plural=plural,
        singular=singular,
        kind=kind,
        group=group,
        versions=(version,),
        namespaced=namespaced,
        verbs=tuple(verbs.split()),
        short_names=tuple(shorts.split()),
        categories=tuple(categories.split()),
        subresources=subs,
        types={version: type_name or f"{package(group)}.{version}.{kind}"},
        name=f"{plural}.{group}" if group else plural,
        api_version=f"{group}/{version}" if group else version,
    )


def _load() -> dict[str, Resource]:
    rows = json.loads((Path(__file__).parent / "resources.json").read_text(encoding="utf-8"))
    found: dict[str, Resource] = {}
    for row in rows:
        each = make(*row)
        before = found.get(each.name)
        if before is None:
            found[each.name] = each
        else:
            found[each.name] = replace(
                before, versions=(*before.versions, *each.versions), types={**before.types, **each.types}
            )
    return found


RESOURCES: dict[str, Resource] = _load()


@cache
def _by_path() -> dict[tuple[str, str, str], Resource]:
    return {
        (resource.group, version, resource.plural): resource
        for resource in RESOURCES.values()
        for version in resource.versions
    }


@cache
def _by_kind() -> dict[tuple[str, str], Resource]:
    return {
        (resource.group_version(version), resource.kind): resource
        for resource in RESOURCES.values()
        for version in resource.versions
    }


def resource_for(group: str, version: str, plural: str) -> Resource | None:
    """The resource at /apis/GROUP/VERSION/PLURAL, or None."""
    return _by_path().get((group, version, plural))


def resource_for_kind(api_version: str, kind: str) -> Resource | None:
    """The resource of an object's apiVersion and kind, or None."""
    return _by_kind().get((api_version, kind))
