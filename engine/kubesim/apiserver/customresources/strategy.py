"""What the registry asks of a custom resource (apiextensions `pkg/registry/customresource/strategy.go`, `validator.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim.apiserver import fielderrors
from kubesim.apiserver.call import Call
from kubesim.apiserver.customresources import validation
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.errors import ApiError
from kubesim.machinery import objects

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry

Object = dict[str, Any]


class Custom(base.Strategy):
    """One version of one custom resource."""

    generation = True

    def __init__(self, registry: Registry, resource: CustomResource) -> None:
        super().__init__(registry)
        self._resource = resource
        self.has_status = resource.has_status

    def admit_create(self, call: Call, obj: Object) -> None:
        if self._resource.terminating:
            words = "create not allowed while custom resource definition is terminating"
            raise ApiError(405, "MethodNotAllowed", words, {"group": call.resource.group, "kind": call.resource.plural})

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["metadata"]["generation"] = 1
        if self.has_status:
            obj.pop("status", None)

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        """Nothing but the status changes, not even metadata."""
        status = new.get("status")
        kept = {key: value for key, value in old["metadata"].items() if key != "managedFields"}
        metadata = new["metadata"]
        metadata.clear()
        metadata.update(kept)
        for key in [key for key in new if key != "metadata"]:
            del new[key]
        new.update({key: value for key, value in old.items() if key not in ("metadata", "status")})
        if status is not None:
            new["status"] = status

    def counts(self, new: Object, old: Object) -> bool:
        skipped = ("metadata", "status") if self.has_status else ("metadata",)
        return any(new.get(key) != old.get(key) for key in {**new, **old} if key not in skipped)

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        resource = self._resource
        errors = []
        if obj["kind"] != resource.kind:
            errors.append(fielderrors.invalid("kind", obj["kind"], f"must be {resource.kind}"))
        # Metadata has been looked at already, by the rules of all objects.
        body = {key: value for key, value in obj.items() if key != "metadata"}
        declared = {**resource.schema, "properties": dict(resource.schema.get("properties") or {})}
        named = declared["properties"].pop("metadata", {}).get("properties", {}).get("name")
        if named is not None and "name" in obj["metadata"]:
            errors += validation.validate(named, obj["metadata"]["name"], "metadata.name")
        required = [each for each in declared.get("required") or () if each != "metadata"]
        errors += validation.validate({**declared, "required": required}, body)
        errors += validation.lists(declared, body)
        replicas = self._replicas(obj)
        if replicas is not None and replicas < 0:
            path = (resource.scale or {})["specReplicasPath"]
            errors.append(fielderrors.invalid(path, replicas, "should be a non-negative integer"))
        return errors

    def validate_status(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return self.validate(call, new)

    def shown(self, obj: Object) -> Object:
        """In another version than the stored one only apiVersion differs (conversion None)."""
        version = self._resource.api_version
        return obj if obj["apiVersion"] == version else {**obj, "apiVersion": version}

    # -- scale ----------------------------------------------------------------------------------------------

    def _replicas(self, obj: Object) -> int | None:
        if self._resource.scale is None:
            return None
        found = objects.get(obj, self._resource.scale["specReplicasPath"].lstrip("."))
        return found if isinstance(found, int) else None

    def scale_of(self, obj: Object) -> tuple[int, int, str]:
        """Replicas wanted, there, and the selector's text.  ApiError 500 where the object has no replicas."""
        paths = self._resource.scale or {}
        wanted = self._replicas(obj)
        if wanted is None:
            from kubesim.apiserver import messages

            raise messages.internal(f'the spec replicas field "{paths["specReplicasPath"]}" does not exist')
        there = objects.get(obj, paths["statusReplicasPath"].lstrip("."), 0)
        label = objects.get(obj, paths["labelSelectorPath"].lstrip("."), "") if paths.get("labelSelectorPath") else ""
        return wanted, there if isinstance(there, int) else 0, str(label)

    def set_replicas(self, obj: Object, replicas: int) -> None:
        """In an object of the caller's own."""
        objects.put(obj, (self._resource.scale or {})["specReplicasPath"].lstrip("."), replicas)
