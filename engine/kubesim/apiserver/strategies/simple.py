"""Kinds that need few words: which have a status, a counted spec, or answer DELETE with the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim.apiserver.call import Call
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.apiserver.validation import networking, others
from kubesim.machinery import endpointsubsets, names

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry

Object = dict[str, Any]


class ConfigMap(base.Strategy):
    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return others.config_map(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return others.config_map(new) + others.immutable_data(new, old)


class Secret(base.Strategy):
    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        if not new.get("type"):
            new["type"] = old["type"]

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return others.secret(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return others.secret(new) + others.immutable_data(new, old) + others.secret_type(new, old)


class ServiceAccount(base.Strategy):
    returns_deleted = True


class ReturnsDeleted(base.Strategy):
    returns_deleted = True


class Endpoints(base.Strategy):
    creates_on_update = True

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return networking.endpoints(obj)

    def canonicalize(self, obj: Object) -> None:
        if obj.get("subsets"):
            obj["subsets"] = endpointsubsets.canonical(obj["subsets"])


class EndpointSlice(base.Strategy):
    generation = True

    def counts(self, new: Object, old: Object) -> bool:
        keys = ("endpoints", "ports")
        return any(new.get(key) != old.get(key) for key in keys) or any(
            new["metadata"].get(key) != old["metadata"].get(key) for key in ("labels", "annotations")
        )

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return networking.endpoint_slice(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return networking.endpoint_slice(new) + networking.endpoint_slice_update(new, old)


DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
DEFAULT_STORAGE = "storageclass.kubernetes.io/is-default-class"


def _default_class(registry: Registry, resource: str, annotation: str) -> str:
    """The class that is marked as the default: of several the newest, then the first by name; "" for none."""
    marked = [
        each["metadata"]
        for each in registry.store.list(resource)
        if (each["metadata"].get("annotations") or {}).get(annotation) == "true"
    ]
    if not marked:
        return ""
    newest = max(each["creationTimestamp"] for each in marked)
    return min(each["name"] for each in marked if each["creationTimestamp"] == newest)


class Ingress(base.Spec):
    def admit_create(self, call: Call, obj: Object) -> None:
        """The plug-in DefaultIngressClass."""
        if "ingressClassName" in obj["spec"] or "kubernetes.io/ingress.class" in obj["metadata"].get("annotations", {}):
            return
        default = _default_class(self.registry, "ingressclasses.networking.k8s.io", DEFAULT_CLASS)
        if default:
            obj["spec"]["ingressClassName"] = default

    def initial_status(self, obj: Object) -> Object:
        return {"loadBalancer": {}}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return networking.ingress(obj)


class IngressClass(base.Spec):
    has_status = False

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return networking.ingress_class(obj)


class NetworkPolicy(base.Spec):
    has_status = False

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return networking.network_policy(obj)


class ServiceCIDR(base.Strategy):
    has_status = True


class IPAddress(base.Strategy):
    def check_name(self, name: str) -> list[str]:
        return networking.canonical_address(name)


class Rbac(base.Strategy):
    """Names of roles need only stand in a path."""

    def check_name(self, name: str) -> list[str]:
        return names.path_segment(name)

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return others.rbac(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return others.rbac(new) + others.role_ref_immutable(new, old)


class PodDisruptionBudget(base.Spec):
    def initial_status(self, obj: Object) -> Object:
        return {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}


class Autoscaler(base.Spec):
    generation = False

    def initial_status(self, obj: Object) -> Object:
        return {"desiredReplicas": 0, "currentMetrics": None}


class Claim(base.Spec):
    generation = False
    returns_deleted = True

    def admit_create(self, call: Call, obj: Object) -> None:
        """The plug-ins StorageObjectInUseProtection and DefaultStorageClass."""
        _protect(obj, "kubernetes.io/pvc-protection")
        default = _default_class(self.registry, "storageclasses.storage.k8s.io", DEFAULT_STORAGE)
        if default:
            obj["spec"].setdefault("storageClassName", default)

    def initial_status(self, obj: Object) -> Object:
        return {"phase": "Pending"}


class Volume(base.Strategy):
    returns_deleted = True

    def admit_create(self, call: Call, obj: Object) -> None:
        _protect(obj, "kubernetes.io/pv-protection")


def _protect(obj: Object, finalizer: str) -> None:
    """plugin/pkg/admission/storage/storageobjectinuseprotection: the object stays while it is in use."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


class Event(base.Strategy):
    creates_on_update = True


STRATEGIES: dict[str, type[base.Strategy]] = {
    "configmaps": ConfigMap,
    "secrets": Secret,
    "serviceaccounts": ServiceAccount,
    "podtemplates": ReturnsDeleted,
    "resourcequotas": ReturnsDeleted,
    "storageclasses.storage.k8s.io": ReturnsDeleted,
    "volumeattachments.storage.k8s.io": ReturnsDeleted,
    "csidrivers.storage.k8s.io": ReturnsDeleted,
    "csinodes.storage.k8s.io": ReturnsDeleted,
    "persistentvolumeclaims": Claim,
    "persistentvolumes": Volume,
    "events": Event,
    "endpoints": Endpoints,
    "endpointslices.discovery.k8s.io": EndpointSlice,
    "ingresses.networking.k8s.io": Ingress,
    "ingressclasses.networking.k8s.io": IngressClass,
    "networkpolicies.networking.k8s.io": NetworkPolicy,
    "servicecidrs.networking.k8s.io": ServiceCIDR,
    "ipaddresses.networking.k8s.io": IPAddress,
    "roles.rbac.authorization.k8s.io": Rbac,
    "clusterroles.rbac.authorization.k8s.io": Rbac,
    "rolebindings.rbac.authorization.k8s.io": Rbac,
    "clusterrolebindings.rbac.authorization.k8s.io": Rbac,
    "poddisruptionbudgets.policy": PodDisruptionBudget,
    "horizontalpodautoscalers.autoscaling": Autoscaler,
}
