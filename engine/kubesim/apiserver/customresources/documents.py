"""Custom resources in OpenAPI (apiextensions `pkg/controller/openapi/builder/builder.go`)."""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.customresources.resource import CustomResource

Object = dict[str, Any]

# What v2 keeps: the rest are rules for values, which it cannot say or which old clients stumble over.
_PLAIN = ("type", "description", "format", "required", "default")
_EXTENSIONS = (
    "x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-embedded-resource",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
)  # fmt: skip


def definition_name(resource: CustomResource) -> str:
    """io.traefik.v1alpha1.IngressRoute of traefik.io/v1alpha1."""
    domain = ".".join(reversed(resource.group.split(".")))
    return f"{domain}.{resource.versions[0]}.{resource.kind}"


def schema(resource: CustomResource, three: bool, metadata: Object) -> Object:
    """The definition of the whole object; `metadata` refers to ObjectMeta's."""
    found = dict(resource.schema) if three else simple(resource.schema)
    found.pop("x-kubernetes-validations", None)
    if found.get("x-kubernetes-preserve-unknown-fields") and not three:
        found["type"] = "object"
    properties = dict(found.get("properties") or {})
    wrapped: Object = {"allOf": [metadata]} if three else dict(metadata)
    given = {
        "apiVersion": {"type": "string", "description": "Group and version that this object is written in."},
        "kind": {"type": "string", "description": "Which kind of object this is."},
        "metadata": {"description": "Name, labels and the like.", **wrapped},
    }
    return {"type": "object", **found, "properties": dict(sorted({**properties, **given}.items()))}


def simple(schema: Object) -> Object:
    """A schema as v2 has it (ToStructuralOpenAPIV2): where anything goes, it says nothing."""
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string"):
        return {key: schema[key] for key in ("description", *_EXTENSIONS) if key in schema}
    found = {key: schema[key] for key in (*_PLAIN, *_EXTENSIONS) if key in schema}
    if schema.get("nullable"):
        found.pop("type", None)
        return found
    if schema.get("properties"):
        found["properties"] = {name: simple(inner) for name, inner in schema["properties"].items()}
    if schema.get("items"):
        found["items"] = simple(schema["items"])
    values = schema.get("additionalProperties")
    if values is not None:
        found["additionalProperties"] = simple(values) if isinstance(values, dict) else values
    return found
