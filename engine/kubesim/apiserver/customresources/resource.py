"""Resources out of definitions: one `CustomResource` for each version, as paths find it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from kubesim.apiserver.customresources import shapes
from kubesim.schema import Resource, Subresource

Object = dict[str, Any]

# In the order of upstream's discovery.
VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SUB_VERBS = ("get", "patch", "update")
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


@dataclass(frozen=True, slots=True)
class CustomResource(Resource):
    """One version of a custom resource; `versions` holds that one only.

    `schema` is the version's openAPIV3Schema, `scale` its scale subresource (paths) or None, `printed` its
    additionalPrinterColumns, `selectable` the paths that field selectors may name, `stored` the version that objects are
    kept in, `lists` the kind of its lists; `terminating`: the definition is going away.
    """

    schema: Object = field(default_factory=dict)
    scale: Object | None = None
    printed: tuple[Object, ...] = ()
    selectable: tuple[str, ...] = ()
    stored: str = ""
    deprecated: str = ""
    lists: str = ""
    terminating: bool = False

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def list_kind(self) -> str:
        return self.lists


def of_definition(definition: Object) -> tuple[CustomResource, ...]:
    """The served versions, preferred first."""
    served = [each for each in definition["spec"]["versions"] if each.get("served")]
    return tuple(_of_version(definition, each) for each in sorted(served, key=lambda each: priority(each["name"])))


def of_storage(definition: Object) -> CustomResource:
    """The version that objects are kept in, served or not."""
    return next(_of_version(definition, each) for each in definition["spec"]["versions"] if each.get("storage"))


def storage_version(definition: Object) -> str:
    return next(str(each["name"]) for each in definition["spec"]["versions"] if each.get("storage"))


def priority(version: str) -> tuple[int, int, int, str]:
    """A sort key: v2 before v1 before v1beta1 before v1alpha1, then others by name (CompareKubeAwareVersionStrings)."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), version)


def _of_version(definition: Object, version: Object) -> CustomResource:
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    terminating = bool(definition["metadata"].get("deletionTimestamp"))
    group, name, kind = spec["group"], version["name"], names["kind"]
    found = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    subresources = version.get("subresources") or {}
    subs = {}
    if "status" in subresources:
        subs["status"] = Subresource("status", kind, "", "", _SUB_VERBS)
    if "scale" in subresources:
        subs["scale"] = Subresource("scale", "Scale", "autoscaling", "v1", _SUB_VERBS)
    deprecated = ""
    if version.get("deprecated"):
        deprecated = version.get("deprecationWarning") or f"{group}/{name} {kind} is deprecated"
    return CustomResource(
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=kind,
        group=group,
        versions=(name,),
        namespaced=spec["scope"] == "Namespaced",
        verbs=VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subs,
        types={name: shapes.root(f"{group}/{name}.{kind}", found)},
        name=f"{names['plural']}.{group}",
        api_version=f"{group}/{name}",
        schema=found,
        scale=subresources.get("scale"),
        printed=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=tuple(each["jsonPath"].lstrip(".") for each in version.get("selectableFields") or ()),
        stored=storage_version(definition),
        deprecated=deprecated,
        lists=names.get("listKind") or f"{kind}List",
        terminating=terminating,
    )
