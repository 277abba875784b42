"""The kinds that CustomResourceDefinitions have added, as discovery would tell a loop that works on every kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubesim.client import Object

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` is "plural.group"."""

    name: str
    group: str
    kind: str
    versions: tuple[str, ...]
    namespaced: bool


def served(definitions: Iterable[Object]) -> list[Kind]:
    """Those whose definition is established."""
    return [_kind(each) for each in definitions if _established(each)]


def _established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _kind(definition: Object) -> Kind:
    spec = definition["spec"]
    versions = tuple(each["name"] for each in spec["versions"] if each.get("served"))
    namespaced = spec["scope"] == "Namespaced"
    return Kind(definition["metadata"]["name"], spec["group"], spec["names"]["kind"], versions, namespaced)
