"""How kinds differ: a strategy for each that has something of its own.

Belongs here: defaults that need other objects, what is reset or kept on writes, allocation, the kind's admission plugins.
Never here: the wire, the rules of validity (`validation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.apiserver.strategies import base

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry
    from kubesim.schema import Resource


def _table() -> dict[str, type[base.Strategy]]:
    from kubesim.apiserver.customresources import definitions
    from kubesim.apiserver.strategies import cluster, pods, services, simple, workloads

    own = {definitions.NAME: definitions.CustomResourceDefinition}
    tables = (cluster, pods, services, simple, workloads)
    return {**own, **{name: kind for table in tables for name, kind in table.STRATEGIES.items()}}


class Strategies:
    """One strategy object for each resource, made when first asked for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._table = _table()
        from kubesim.apiserver.customresources.strategy import Custom

        self._custom = Custom
        self._made: dict[str, base.Strategy] = {}

    def of(self, resource: Resource) -> base.Strategy:
        if isinstance(resource, CustomResource):
            # It comes and goes with its definition; making one costs nothing.
            return self._custom(self._registry, resource)
        found = self._made.get(resource.name)
        if found is None:
            kind = self._table.get(resource.name, base.Strategy)
            found = self._made[resource.name] = kind(self._registry)
        return found
