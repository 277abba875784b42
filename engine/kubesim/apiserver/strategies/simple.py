"""Kinds that need few words: which have a status, a counted spec, or answer DELETE with the object."""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.call import Call
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.apiserver.validation import networking, others
from kubesim.machinery import endpointsubsets, names

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


class Ingress(base.Spec):
    def admit_create(self, call: Call, obj: Object) -> None:
        """DefaultIngressClass: of several default classes the newest, then the first by name."""
        if "ingressClassName" in obj["spec"] or "kubernetes.io/ingress.class" in obj["metadata"].get("annotations", {}):
            return
        classes = [
            each["metadata"]
            for each in self.registry.store.list("ingressclasses.networking.k8s.io")
            if each["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true"
        ]
        if classes:
            newest = max(each["creationTimestamp"] for each in classes)
            obj["spec"]["ingressClassName"] = min(e["name"] for e in classes if e["creationTimestamp"] == newest)

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

    def initial_status(self, obj: Object) -> Object:
        return {"phase": "Pending"}


class Event(base.Strategy):
    creates_on_update = True


STRATEGIES: dict[str, type[base.Strategy]] = {
    "configmaps": ConfigMap,
    "secrets": Secret,
    "serviceaccounts": ServiceAccount,
    "podtemplates": ReturnsDeleted,
    "resourcequotas": ReturnsDeleted,
    "persistentvolumeclaims": Claim,
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
