"""Lists: selectors, pages, and the past.

A list at an older resourceVersion (exact match, or a further page of a list that was begun then) is made by undoing the
history from the present back.  Sources: apiserver `pkg/storage/continue.go`, `pkg/registry/generic/registry/store.go`,
`pkg/apis/meta/internalversion/validation`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubesim import http
from kubesim.apiserver import fielderrors, fieldlabels, messages, negotiation
from kubesim.machinery import selectors
from kubesim.schema import Resource
from kubesim.store.store import Compacted, Store

Object = dict[str, Any]
Filter = Callable[[Object], bool]


@dataclass(frozen=True, slots=True)
class Options:
    """metav1.ListOptions, checked."""

    matches: Filter | None
    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    resource_version: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout: float | None = None


def _truth(text: str) -> bool:
    return text.lower() not in ("", "0", "false")


def options(resource: Resource, request: http.Request, name: str = "", watch: bool = False) -> Options:
    """Read and check the query.  Raises ApiError."""
    labels, fields = request.param("labelSelector"), request.param("fieldSelector")
    if name:
        fields = f"metadata.name={name}"
    try:
        label_selector = selectors.parse(labels)
        field_selector = selectors.parse_fields(fields)
    except selectors.SelectorError as error:
        raise messages.bad_request(str(error)) from None
    watch = watch or _truth(request.param("watch"))
    initial = request.param("sendInitialEvents")
    found = Options(
        matches=_filter(resource, label_selector, field_selector),
        labels=labels,
        fields=fields,
        limit=_number(request.param("limit")),
        token=request.param("continue"),
        resource_version=request.param("resourceVersion"),
        match=request.param("resourceVersionMatch"),
        watch=watch,
        bookmarks=_truth(request.param("allowWatchBookmarks")),
        initial_events=_truth(initial) if initial else None,
        timeout=float(_number(request.param("timeoutSeconds"))) or None,
    )
    _check(found)
    return found


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d+", text) else 0


def _check(found: Options) -> None:
    """ValidateListOptions."""
    errors: list[fielderrors.FieldError] = []
    if found.watch and found.initial_events is not None:
        if found.match != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            errors.append(fielderrors.forbidden("resourceVersionMatch", detail))
    elif found.initial_events is not None:
        errors.append(fielderrors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif found.match:
        if found.watch:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            errors.append(fielderrors.forbidden("resourceVersionMatch", detail))
        elif found.token:
            detail = "resourceVersionMatch is forbidden when continue is provided"
            errors.append(fielderrors.forbidden("resourceVersionMatch", detail))
        elif not found.resource_version:
            detail = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(fielderrors.forbidden("resourceVersionMatch", detail))
        elif found.match not in ("Exact", "NotOlderThan"):
            supported = ["Exact", "NotOlderThan", ""]
            errors.append(fielderrors.unsupported("resourceVersionMatch", found.match, supported))
        elif found.match == "Exact" and found.resource_version == "0":
            detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(fielderrors.forbidden("resourceVersionMatch", detail))
    if errors:
        raise messages.invalid("ListOptions", "meta.k8s.io", "", errors)


def _filter(resource: Resource, labels: selectors.Selector, fields: Any) -> Filter | None:
    for requirement in fields:
        fieldlabels.check(resource, requirement.field)
    if labels.empty and not fields:
        return None

    def matches(obj: Object) -> bool:
        return labels.matches(obj["metadata"].get("labels")) and (
            not fields or selectors.fields_match(obj, fields, fieldlabels.values(resource, obj))
        )

    return matches


def revision(text: str, watch: bool = False) -> int:
    """A resourceVersion as a number.  Upstream's two wordings for what is none."""
    if not text:
        return 0
    if re.fullmatch(r"\d+", text):
        return int(text)
    why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
    if watch:
        raise messages.unknown(f'resourceVersion: Invalid value: "{text}": {why}')
    raise messages.bad_request(f'resourceVersion: Invalid value: "{text}": {why}')


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Object]
    resource_version: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> Object:
        metadata: Object = {"resourceVersion": str(self.resource_version)}
        if self.token:
            metadata["continue"] = self.token
            if self.remaining is not None:
                metadata["remainingItemCount"] = self.remaining
        return metadata


def page(store: Store, resource: Resource, namespace: str, found: Options) -> Page:
    """The objects that were asked for.  Raises ApiError 400, 410, 504."""
    at, start = store.revision, ""
    wanted = revision(found.resource_version)
    if found.token:
        if found.resource_version and found.resource_version != "0":
            raise messages.bad_request("specifying resource version is not allowed when using continue")
        at, start = _read_token(found.token, store)
    elif wanted > store.revision:
        raise messages.too_large_resource_version(wanted, store.revision)
    elif (wanted and found.match == "Exact") or (wanted and found.limit and not found.match):
        at = wanted
    items = _at(store, resource, namespace, at, found) if at != store.revision else store.list(resource.name, namespace)
    if start:
        items = [each for each in items if _key(each) >= start]
    if found.matches is not None:
        items = [each for each in items if found.matches(each)]
    if not found.limit or len(items) <= found.limit:
        return Page(items, at)
    first, rest = items[: found.limit], items[found.limit :]
    remaining = len(rest) if found.matches is None else None
    return Page(first, at, _write_token(at, _key(first[-1]) + "\0"), remaining)


def _key(obj: Object) -> str:
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _at(store: Store, resource: Resource, namespace: str, at: int, found: Options) -> list[Object]:
    """The list as it was at a revision: the present, with every later change undone."""
    try:
        events = list(store.events(resource.name, at))
    except Compacted:
        raise _expired(store, found) from None
    objects = {(o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in store.list(resource.name)}
    for event in reversed(events):
        metadata = event.obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if event.before is None:
            objects.pop(key, None)
        else:
            objects[key] = event.before
    return [obj for key, obj in sorted(objects.items()) if not namespace or key[0] == namespace]


def _expired(store: Store, found: Options) -> Any:
    """handleCompactedErrorForPaging: an expired token comes with one that goes on in the present."""
    if not found.token:
        return messages.expired("The resourceVersion for the provided list is too old.")
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
        "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
        "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
        "deleted between the time the first chunk was returned and now may show up in the list."
    )
    error = messages.expired(message)
    error.list_meta = {"continue": _write_token(-1, _token(found.token)["start"])}  # type: ignore[attr-defined]
    return error


def _write_token(at: int, start: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": at, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _token(token: str) -> Object:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        position = re.match(r"[A-Za-z0-9_-]*", token)
        at = position.end() if position else 0
        raise messages.bad_request(
            f"invalid continue token: continue key is not valid: illegal base64 data at input byte {at}"
        ) from None
    text = raw.decode("latin-1")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        why = negotiation.go_json_error(text, error)
        raise messages.bad_request(f"invalid continue token: continue key is not valid: {why}") from None
    if not isinstance(found, dict) or found.get("v") != "meta.k8s.io/v1" or not found.get("start"):
        raise messages.bad_request(
            "invalid continue token: continue key is not valid: server does not recognize this encoded version"
        )
    return found


def _read_token(token: str, store: Store) -> tuple[int, str]:
    found = _token(token)
    at = int(found.get("rv") or 0)
    return (store.revision if at <= 0 else at), str(found["start"])
