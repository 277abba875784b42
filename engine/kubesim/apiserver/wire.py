"""Answers as bytes."""

from __future__ import annotations

import json
from typing import Any

from kubesim import http
from kubesim.apiserver import negotiation
from kubesim.errors import ApiError

CACHE = ("Cache-Control", "no-cache, private")


def lazy(value: Any) -> Any:
    """What stands in an object but is only made when someone reads it (`managedfields.Lazy`)."""
    return value.resolve()


def encode(obj: Any, form: negotiation.Form | None = None) -> bytes:
    """The object as JSON with a line feed, as Go's encoder ends it, or as YAML."""
    if form is not None and form.media == negotiation.YAML:
        from kubesim.apiserver import yamlform

        return yamlform.dump(json.loads(json.dumps(obj, default=lazy)))
    if form is not None and form.pretty:
        return json.dumps(obj, default=lazy, ensure_ascii=False, indent=2).encode()
    return json.dumps(obj, default=lazy, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def answer(
    obj: Any, status: int = 200, form: negotiation.Form | None = None, warnings: list[str] | None = None
) -> http.Response:
    """An object as an answer.  `warnings` become headers (RFC 7234, 5.5; apimachinery `pkg/util/net/http.go`)."""
    headers = [CACHE, ("Content-Type", form.content_type if form else negotiation.JSON)]
    headers += [("Warning", warning(text)) for text in warnings or ()]
    return http.Response(status=status, headers=headers, body=encode(obj, form))


def warning(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'


def error(problem: ApiError, form: negotiation.Form | None = None, warnings: list[str] | None = None) -> http.Response:
    response = answer(status_of(problem), problem.code, form, warnings)
    seconds = (problem.details or {}).get("retryAfterSeconds")
    if seconds:
        response.headers.append(("Retry-After", str(seconds)))
    return response


def status_of(problem: ApiError) -> dict[str, Any]:
    """The Status; empty details are written as {} where upstream has them so."""
    body = problem.status()
    if problem.details == {}:
        code = body.pop("code")
        body |= {"details": {}, "code": code}
    return body


def success(**details: Any) -> dict[str, Any]:
    """The Status of a deletion."""
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    found = {key: value for key, value in details.items() if value}
    if found:
        body["details"] = found
    return body


def text(body: str, status: int = 200) -> http.Response:
    headers = [CACHE, ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    return http.Response(status=status, headers=headers, body=body.encode())
