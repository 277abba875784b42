"""JSON patch, RFC 6902, with JSON pointers, RFC 6901.

The API server uses github.com/evanphx/json-patch and tells little: a patch that cannot be read is a 400 with the decoder's
words, one that cannot be applied a 422 "the server rejected our request ..." (apiserver `endpoints/handlers/patch.go`).
"""

from __future__ import annotations

from typing import Any

from kubesim import errors
from kubesim.machinery import objects

# apiserver endpoints/handlers/patch.go, maxJSONPatchOperations: a JSON patch can take much more work than its size.
MAX_OPERATIONS = 10000


def _rejected() -> errors.ApiError:
    """errors.NewGenericServerResponse(422, ...) as the patch handler calls it."""
    return errors.ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def json_patch(document: Any, operations: Any) -> Any:
    """The document after all operations; ApiError 400 for no patch, 413 for too many, 422 where one fails."""
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        kind = "object" if isinstance(operations, dict) else "value"
        raise errors.ApiError(400, "BadRequest", f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise errors.ApiError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}",
        )
    document = objects.copy(document)
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _add(document, path, objects.copy(operation.get("value")))
        case "remove":
            return _remove(document, path)
        case "replace":
            if "value" not in operation:
                raise _rejected()
            if not path:
                return objects.copy(operation["value"])
            _find(document, path)
            return _replace(document, path, objects.copy(operation["value"]))
        case "move":
            source = _pointer(operation.get("from"))
            value = _find(document, source)
            return _add(_remove(document, source), path, value)
        case "copy":
            return _add(document, path, objects.copy(_find(document, _pointer(operation.get("from")))))
        case "test":
            # The library takes an absent member for null.
            try:
                found = _find(document, path)
            except errors.ApiError:
                found = None
            if not _same(found, operation.get("value")):
                raise _rejected()
            return document
    raise _rejected()


def _same(left: Any, right: Any) -> bool:
    """JSON equality: Python alone takes True for 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _pointer(text: Any) -> list[str]:
    """The parts of a JSON pointer; "~1" is "/", "~0" is "~"."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _rejected()
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(part: str, length: int) -> int:
    """An index within a list of that length; negative ones count from the end, as the library allows."""
    if not part.removeprefix("-").isdecimal():
        raise _rejected()
    index = int(part)
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise _rejected()
    return index


def _find(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document))]
        else:
            raise _rejected()
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    last = path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        # One past the end is allowed, and so is "-" for it.
        parent.insert(len(parent) if last == "-" else _index(last, len(parent) + 1), value)
    else:
        raise _rejected()
    return document


def _replace(document: Any, path: list[str], value: Any) -> Any:
    parent = _find(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent[_index(path[-1], len(parent))] = value
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise _rejected()
    parent = _find(document, path[:-1])
    if isinstance(parent, dict) and path[-1] in parent:
        del parent[path[-1]]
    elif isinstance(parent, list):
        del parent[_index(path[-1], len(parent))]
    else:
        raise _rejected()
    return document
