"""Namespaces: when one is to go, everything in it goes first.

Source: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`.
"""

from __future__ import annotations

from kubesim import ids, schema
from kubesim.client import Object
from kubesim.controllers import customkinds
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects

KUBERNETES = "kubernetes"
# The resourcesRemaining error's minimum: half the pods' grace period, but at least so many seconds.
LEAST_WAIT = 1.0

# The conditions that tell how far it is: type, then reason and message when all is well.
FINE = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
)


class NamespaceController(Controller):
    name = "namespace-controller"

    def start(self) -> None:
        self.watch("namespaces")

    def reconcile(self, key: str) -> None:
        found = self.client.find("namespaces", key)
        if found is None or not objects.deleting(found):
            return
        if KUBERNETES not in (found["spec"].get("finalizers") or ()):
            return
        remaining = self._delete_content(key)
        status = self._status(found, remaining)
        if status != found.get("status"):
            found = self.client.update("namespaces", {**found, "status": status}, "status")
        if remaining:
            grace = [
                float(each["metadata"].get("deletionGracePeriodSeconds") or 0) for each in remaining.get("pods", ())
            ]
            self.enqueue_after(key, max(LEAST_WAIT, max(grace, default=0.0) / 2 + 1))
            return
        rest = [each for each in found["spec"]["finalizers"] if each != KUBERNETES]
        self.client.update("namespaces", {**found, "spec": {**found["spec"], "finalizers": rest}}, "finalize")

    def _delete_content(self, namespace: str) -> dict[str, list[Object]]:
        """Delete what is left; what is still there afterwards, by resource."""
        remaining = {}
        for resource in self._resources():
            for each in self.client.list(resource, namespace):
                if not objects.deleting(each):
                    self.client.delete(resource, objects.name(each), namespace, propagation="Background")
            left = self.client.list(resource, namespace)
            if left:
                remaining[resource] = left
        return remaining

    def _resources(self) -> list[str]:
        known = [
            name
            for name, each in schema.RESOURCES.items()
            if each.namespaced and {"list", "delete"} <= set(each.verbs) and "/" not in name
        ]
        defined = customkinds.served(self.client.list(customkinds.DEFINITIONS))
        return known + [each.name for each in defined if each.namespaced]

    def _status(self, found: Object, remaining: dict[str, list[Object]]) -> Object:
        told = {}
        if remaining:
            parts = [
                f"{resource if '.' in resource else resource + '.'} has {len(left)} resource instances"
                for resource, left in sorted(remaining.items())
            ]
            told["NamespaceContentRemaining"] = (
                "SomeResourcesRemain",
                f"Some resources are remaining: {', '.join(parts)}",
            )
        finalizers: dict[str, int] = {}
        for left in remaining.values():
            for each in left:
                for name in each["metadata"].get("finalizers") or ():
                    finalizers[name] = finalizers.get(name, 0) + 1
        if finalizers:
            parts = [f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())]
            told["NamespaceFinalizersRemaining"] = (
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {', '.join(parts)}",
            )
        before = {each["type"]: each for each in (found.get("status") or {}).get("conditions") or ()}
        conditions = []
        for kind, reason, message in FINE:
            value = "True" if kind in told else "False"
            reason, message = told.get(kind, (reason, message))
            same = before.get(kind, {}).get("status") == value
            since = before[kind]["lastTransitionTime"] if same else ids.timestamp(self.world.now)
            conditions.append(
                {"type": kind, "status": value, "lastTransitionTime": since, "reason": reason, "message": message}
            )
        return {**(found.get("status") or {}), "phase": "Terminating", "conditions": conditions}
