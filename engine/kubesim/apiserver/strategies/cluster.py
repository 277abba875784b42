"""Namespaces, Nodes and what else belongs to the cluster (`pkg/registry/core/namespace`, `pkg/registry/core/node`)."""

from __future__ import annotations

from typing import Any

from kubesim import ids
from kubesim.apiserver import messages
from kubesim.apiserver.call import Call
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.machinery import names

Object = dict[str, Any]

# NamespaceLifecycle's immortals.
IMMORTAL = ("default", "kube-system", "kube-public")


class Namespace(base.Strategy):
    """A namespace that is deleted stays, Terminating, until its content is gone and `finalize` clears spec.finalizers."""

    has_status = True

    def check_name(self, name: str) -> list[str]:
        return names.dns1123_label(name)

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = obj["spec"].get("finalizers", [])
        obj["spec"]["finalizers"] = finalizers if "kubernetes" in finalizers else [*finalizers, "kubernetes"]

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_update(call, new, old)
        # Only `finalize` may change them.
        if call.subresource != "finalize":
            new["spec"] = old["spec"]

    def before_delete(self, call: Call, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if name in IMMORTAL:
            raise messages.forbidden(call.resource, name, "this namespace may not be deleted")

    def mark_deleted(self, obj: Object) -> None:
        obj["status"] = {**obj.get("status", {}), "phase": "Terminating"}
        obj["metadata"].pop("deletionGracePeriodSeconds", None)


class Node(base.Strategy):
    has_status = True

    def admit_create(self, call: Call, obj: Object) -> None:
        """TaintNodesByCondition: a new node is not ready until the node lifecycle controller has seen it."""
        if self.minor < 12:
            return
        taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        taints = obj["spec"].get("taints", [])
        if not any(each["key"] == taint["key"] and each["effect"] == taint["effect"] for each in taints):
            obj["spec"]["taints"] = [*taints, taint]

    def prepare_create(self, call: Call, obj: Object) -> None:
        """A kubelet registers its node with a status: it is kept."""

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        new["spec"] = old["spec"]

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        from kubesim.apiserver.validation import cluster

        return cluster.node_update(new, old)


class PersistentVolume(base.Spec):
    generation = False
    returns_deleted = True

    def initial_status(self, obj: Object) -> Object:
        return {"phase": "Pending"}


class APIService(base.Strategy):
    has_status = True

    def check_name(self, name: str) -> list[str]:
        """VERSION.GROUP, with nothing after the dot for the core group."""
        return names.path_segment(name)

    def initial_status(self, obj: Object) -> Object:
        """What this server serves itself is always available; others are not simulated."""
        if obj["spec"].get("service"):
            return {}
        condition = {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": ids.timestamp(self.registry.world.now),
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
        return {"conditions": [condition]}


class PriorityClass(base.Strategy):
    generation = True

    def counts(self, new: Object, old: Object) -> bool:
        return any(
            new.get(key) != old.get(key) for key in ("value", "description", "globalDefault", "preemptionPolicy")
        )


STRATEGIES: dict[str, type[base.Strategy]] = {
    "namespaces": Namespace,
    "nodes": Node,
    "persistentvolumes": PersistentVolume,
    "apiservices.apiregistration.k8s.io": APIService,
    "priorityclasses.scheduling.k8s.io": PriorityClass,
}
