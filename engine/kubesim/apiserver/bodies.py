"""Bodies of requests: from bytes to a decoded object, with the server's words for what is wrong.

Sources: apimachinery `pkg/runtime/serializer/json/json.go`, `pkg/runtime/error.go`, apiserver
`pkg/endpoints/handlers/{create,rest}.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubesim import http, schema
from kubesim.apiserver import decoding, fielderrors, messages, negotiation
from kubesim.apiserver.call import Call
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.errors import ApiError
from kubesim.schema import Resource

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry

Object = dict[str, Any]

# kube-apiserver's MaxRequestBodyBytes: twice what etcd takes, in bytes.
LIMIT = 3 * 1024 * 1024


@dataclass(slots=True)
class Body:
    """What was sent: its value, where keys were doubled, the text itself, and the failure to read it (or "")."""

    value: Any
    duplicates: dict[int, list[str]]
    text: str
    failure: str = ""


def too_large() -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT}")


def read(request: http.Request, api_version: str, kind: str) -> Body:
    """What was sent where an object of that kind is expected.  Raises ApiError 415, and 400 for what is no protobuf; a text
    that cannot be read is a `failure`, which the caller words."""
    media = negotiation.content_type(request)
    if media == negotiation.PROTOBUF:
        return Body(_protobuf(request.body, api_version, kind), {}, "")
    if media not in (negotiation.JSON, negotiation.YAML):
        raise messages.unsupported_media_type(negotiation.BODIES)
    text = request.body.decode("utf-8", "replace")
    try:
        value, duplicates = negotiation.parse(request.body, media)
    except negotiation.BadBody as error:
        return Body(None, {}, text, str(error))
    return Body(value, duplicates, text)


def _protobuf(body: bytes, api_version: str, kind: str) -> Object:
    """The object in a protobuf body; where it does not name its kind it is the expected one."""
    from kubesim.apiserver import protobuf

    try:
        found = protobuf.envelope(body)
    except protobuf.BadMessage as error:
        summary = f"{body[:30].hex()} ..." if len(body) > 30 else body.hex() or "<empty>"
        raise messages.bad_request(
            f"the object provided is unrecognized (must be of type {kind}): {error} ({summary})"
        ) from None
    found = protobuf.Envelope(found.api_version or api_version, found.kind or kind, found.raw)
    try:
        return protobuf.decode(found)
    except protobuf.BadMessage as error:
        version = found.api_version.rpartition("/")[2]
        raise messages.bad_request(
            f'{found.kind} in version "{version}" cannot be handled as a {kind}: {error}'
        ) from None


def object_of(handler: Any) -> Object:
    """The decoded, defaulted object of the request's resource in its body.  Raises ApiError 400 and 415."""
    call: Call = handler.call
    resource = call.resource
    body = read(handler.request, resource.group_version(call.version), resource.kind)
    if body.failure:
        raise messages.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; json parse "
            f"error: {body.failure} ({_shown(body.text)})"
        )
    value = body.value
    if not isinstance(value, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
        if value is not None:
            raise messages.bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; json "
                f"parse error: json: cannot unmarshal {kind} into Go value of type struct {{ APIVersion string "
                f'"json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }} ({_shown(body.text)})'
            )
        value = {}
    check_kind(resource, call.version, value)
    return decode(handler.registry, call, value, body.duplicates)


def _shown(text: str) -> str:
    """The beginning of what was sent: as text, or in hexadecimal when it is not printable (yaml.GuessJSONStream's limit)."""
    return text[:512]


def check_kind(resource: Resource, version: str, value: Object) -> None:
    """Another kind than the path's, or another version."""
    kind, api_version = value.get("kind") or resource.kind, value.get("apiVersion") or resource.group_version(version)
    if not isinstance(kind, str) or not isinstance(api_version, str):
        field = "kind" if not isinstance(kind, str) else "apiVersion"
        raise messages.bad_request(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal into Go struct field .{field} of type string"
        )
    if kind == resource.kind and api_version == resource.group_version(version):
        return
    if isinstance(resource, CustomResource):
        if api_version != resource.group_version(version):
            raise messages.bad_request(
                f"the API version in the data ({api_version}) does not match the expected API version "
                f"({resource.group_version(version)})"
            )
        return  # another kind is found by validation
    other = schema.resource_for_kind(api_version, kind)
    other_version = api_version.rpartition("/")[2]
    if other is None:
        raise messages.bad_request(
            f'{kind} in version "{other_version}" cannot be handled as a {resource.kind}: no kind "{kind}" is registered '
            f'for version "{api_version}" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
        )
    if kind == resource.kind:
        raise messages.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.group_version(version)})"
        )
    source = f"{other_version}.{kind}"
    target = f"{schema.resources.package(resource.group)}.{resource.kind}"
    raise messages.bad_request(
        f'{kind} in version "{other_version}" cannot be handled as a {resource.kind}: converting ({source}) to ({target}): '
        "unknown conversion"
    )


def decode(registry: Registry, call: Call, value: Object, duplicates: dict[int, list[str]] | None = None) -> Object:
    """A decoded object; unknown and doubled fields are refused, told or passed over as fieldValidation says."""
    problems = decoding.Problems(duplicates)
    resource = call.resource
    try:
        obj = registry.decode(call, value, problems)
    except decoding.DecodeError as error:
        raise messages.bad_request(
            f'{resource.kind} in version "{call.version}" cannot be handled as a {resource.kind}: {error}'
        ) from None
    if problems.found:
        if call.validation == "Strict":
            raise messages.bad_request(
                f'{resource.kind} in version "{call.version}" cannot be handled as a {resource.kind}: strict decoding '
                f"error: {', '.join(problems.found)}"
            )
        if call.validation == "Warn":
            for problem in problems.found:
                call.warn(problem)
    return obj


def options_of(request: http.Request, kind: str) -> Object:
    """A DeleteOptions in the body."""
    body = read(request, "v1", kind)
    if body.failure:
        raise messages.bad_request(f"couldn't get version/kind; json parse error: {body.failure}")
    if body.value is None:
        return {}
    try:
        return decoding.decode(f"meta.v1.{kind}", body.value)
    except decoding.DecodeError as error:
        raise messages.bad_request(f'{kind} in version "v1" cannot be handled as a {kind}: {error}') from None


def of_type(request: http.Request, type_name: str, api_version: str, kind: str) -> Object:
    """The object of a subresource whose type is not the resource's own (TokenRequest, Binding, Eviction)."""
    body = read(request, api_version, kind)
    version = api_version.rpartition("/")[2]
    if body.failure:
        raise messages.bad_request(f"couldn't get version/kind; json parse error: {body.failure}")
    try:
        return decoding.decode(type_name, {} if body.value is None else body.value)
    except decoding.DecodeError as error:
        raise messages.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None


def dry_run_errors(values: list[str]) -> list[fielderrors.FieldError]:
    """ValidateDryRun."""
    if all(value == "All" for value in values):
        return []
    return [fielderrors.unsupported("dryRun", list(values), ["All"])]
