"""The `scale` subresource: autoscaling/v1 Scale of anything with replicas (`pkg/registry/apps/deployment/storage`)."""

from __future__ import annotations

from typing import Any

from kubesim import http
from kubesim.apiserver import bodies, decoding, fielderrors, messages, patchhandler, patching
from kubesim.apiserver.call import Call
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.apiserver.registry import Registry
from kubesim.machinery import objects, selectors
from kubesim.schema import Resource

Object = dict[str, Any]


def of(registry: Registry, resource: Resource, obj: Object) -> Object:
    """The Scale of an object."""
    if isinstance(resource, CustomResource):
        wanted, there, text = registry.strategy(resource).scale_of(obj)
        return _scale(obj, wanted, {"replicas": there, **({"selector": text} if text else {})})
    selector = obj["spec"].get("selector")
    if obj["kind"] == "ReplicationController":
        text = str(selectors.from_map(selector))
    else:
        text = str(selectors.from_label_selector(selector))
    there = obj.get("status", {}).get("replicas", 0)
    return _scale(obj, obj["spec"].get("replicas", 0), {"replicas": there, "selector": text})


def _scale(obj: Object, replicas: int, status: Object) -> Object:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def handle(handler: Any, verb: str) -> http.Response:
    call, registry = handler.call, handler.registry
    obj = registry.get(handler.resource, call.namespace, call.name)
    if verb == "get":
        return handler.answer(of(registry, call.resource, obj))
    handler._options("UpdateOptions" if verb == "update" else "PatchOptions")
    if verb == "update":
        body = bodies.read(handler.request, "autoscaling/v1", "Scale")
        if body.failure or not isinstance(body.value, dict):
            raise messages.bad_request(
                f"couldn't get version/kind; json parse error: {body.failure or 'not an object'}"
            )
        value = body.value
    else:
        from kubesim.apiserver import negotiation

        kind = patching.KINDS.get(negotiation.content_type(handler.request), "")
        if kind not in ("json", "merge", "strategic"):
            raise messages.unsupported_media_type(negotiation.PATCHES)
        patch, _ = patchhandler.parse(handler.request.body, kind)
        value = patching.apply_to(of(registry, call.resource, obj), patch, kind, "autoscaling.v1.Scale")
    return handler.answer(replace(registry, call, _decode(value)))


def _decode(value: Object) -> Object:
    try:
        return decoding.decode("autoscaling.v1.Scale", value)
    except decoding.DecodeError as error:
        raise messages.bad_request(f'Scale in version "v1" cannot be handled as a Scale: {error}') from None


def replace(registry: Registry, call: Call, scale: Object) -> Object:
    """Set the replicas of the object that stands behind the Scale."""
    metadata = scale.get("metadata") or {}
    if metadata.get("name", call.name) != call.name:
        raise messages.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})"
        )
    wanted = (scale.get("spec") or {}).get("replicas", 0)
    if wanted < 0:
        error = fielderrors.invalid("spec.replicas", wanted, "must be greater than or equal to 0")
        raise messages.invalid("Scale", "autoscaling", call.name, [error])

    def change(old: Object) -> Object:
        new = objects.copy(old)
        if isinstance(call.resource, CustomResource):
            registry.strategy(call.resource).set_replicas(new, wanted)
        else:
            new["spec"]["replicas"] = wanted
        new["metadata"]["resourceVersion"] = metadata.get("resourceVersion", "")
        if metadata.get("uid"):
            new["metadata"]["uid"] = metadata["uid"]
        return new

    return of(registry, call.resource, registry.update(call, change)[0])
