"""The API server's own words: every Status that is not a success.

Sources: apimachinery `pkg/api/errors/errors.go`, apiserver `pkg/registry/generic/registry/store.go`,
`pkg/endpoints/handlers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim.errors import ApiError

if TYPE_CHECKING:
    from kubesim.apiserver.fielderrors import FieldError
    from kubesim.schema import Resource


def _details(name: str, group: str, kind: str, **more: Any) -> dict[str, Any]:
    details = {"name": name, "group": group, "kind": kind, **more}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(
        404, "NotFound", f'{resource.name} "{name}" not found', _details(name, resource.group, resource.plural)
    )


def resource_not_found() -> ApiError:
    """A path whose group and version are served, but not that resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    return ApiError(
        409,
        "AlreadyExists",
        f'{resource.name} "{name}" already exists',
        _details(name, resource.group, resource.plural),
    )


def generate_name_conflict(resource: Resource, name: str) -> ApiError:
    return ApiError(
        409,
        "AlreadyExists",
        f'{resource.name} "{name}" already exists, the server was not able to generate a unique name for the object',
        _details(name, resource.group, resource.plural, retryAfterSeconds=1),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> ApiError:
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource.name} "{name}": {why}',
        _details(name, resource.group, resource.plural),
    )


def precondition(kind: str, name: str, what: str, wanted: str, found: str) -> ApiError:
    """storage.Preconditions.Check; `kind` is the kind here, not the resource."""
    message = (
        f'Operation cannot be fulfilled on {kind} "{name}": the {what} in the precondition ({wanted}) does not match the '
        f"{what} in record ({found}). The object might have been deleted and then recreated"
    )
    return ApiError(409, "Conflict", message, _details(name, "", kind))


def invalid(kind: str, group: str, name: str, errors: list[FieldError]) -> ApiError:
    """errors.NewInvalid: all field errors in one Status, each also a cause."""
    qualified = f"{kind}.{group}" if group else kind
    unique = list(dict.fromkeys(str(error) for error in errors))
    text = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    details: dict[str, Any] = _details(name, group, kind)
    causes = [{"reason": error.reason, "message": error.body(), "field": error.field} for error in errors]
    if causes:
        details["causes"] = causes
    message = f'{qualified} "{name}" is invalid'
    return ApiError(422, "Invalid", f"{message}: {text}" if text else message, details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource | None, name: str, message: str) -> ApiError:
    """errors.NewForbidden: `pods "x" is forbidden: why`."""
    if resource is None:
        return ApiError(403, "Forbidden", f"forbidden: {message}")
    text = f'{resource.name} "{name}" is forbidden: {message}' if name else f"{resource.name} is forbidden: {message}"
    return ApiError(403, "Forbidden", text, _details(name, resource.group, resource.plural))


def method_not_supported(resource: Resource, action: str) -> ApiError:
    return ApiError(
        405,
        "MethodNotAllowed",
        f'{action} is not supported on resources of kind "{resource.name}"',
        _details("", resource.group, resource.plural),
    )


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_acceptable(accepted: list[str]) -> ApiError:
    return ApiError(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: {', '.join(accepted)}",
    )


def unsupported_media_type(accepted: list[str]) -> ApiError:
    return ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
    )


def internal(message: str) -> ApiError:
    """errors.NewInternalError."""
    details = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details)


def unknown(message: str) -> ApiError:
    """An error that upstream has no Status for: responsewriters.ErrorToAPIStatus makes it a bare 500."""
    return ApiError(500, "", message)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def too_large_resource_version(wanted: int, current: int) -> ApiError:
    """storage.NewTooLargeResourceVersionError."""
    message = f"Too large resource version: {wanted}, current: {current}"
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return ApiError(504, "Timeout", f"Timeout: {message}", details)


def terminating(resource: Resource, name: str, namespace: str) -> ApiError:
    """NamespaceLifecycle: nothing new in a namespace that goes away."""
    message = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = forbidden(resource, name, message)
    assert error.details is not None
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error
