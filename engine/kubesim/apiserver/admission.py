"""Admission that concerns every kind: NamespaceLifecycle (upstream: `plugin/pkg/admission/namespace/lifecycle`).

What concerns one kind only (ServiceAccount, DefaultTolerationSeconds, Priority, TaintNodesByCondition, ...) is in that kind's
strategy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import schema
from kubesim.apiserver import messages
from kubesim.apiserver.call import Call

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry

Object = dict[str, Any]


def before_create(registry: Registry, call: Call, obj: Object) -> None:
    if not call.resource.namespaced:
        return
    namespace = registry.find("namespaces", "", call.namespace)
    if namespace is None:
        raise messages.not_found(schema.RESOURCES["namespaces"], call.namespace)
    if namespace["metadata"].get("deletionTimestamp"):
        raise messages.terminating(call.resource, obj["metadata"].get("name", ""), call.namespace)


def before_update(registry: Registry, call: Call, new: Object, old: Object) -> None:
    """GarbageCollector's and others' checks of updates come here; none is simulated."""
