"""Requests to one API server, and what its refusals become.

Source: client-go `rest/request.go`, `rest/warnings.go`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubesim import http
from kubesim.kubectl import config, fail, io

Object = dict[str, Any]

JSON = "application/json"
TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
DEFAULT_HOST = "localhost:8080"


class Rest:
    """One server.  `warnings` of the server go to standard error, each text once."""

    def __init__(self, into: io.IO, target: config.Target | None, headers: Mapping[str, str] | None = None) -> None:
        self._io = into
        self._headers = dict(headers or {})
        self._warned: set[str] = set()
        self.host = urlsplit(target.server).netloc if target else DEFAULT_HOST
        if target is not None and target.token:
            self._headers["authorization"] = f"Bearer {target.token}"
        if into.connect is not None:
            self._transport = into.connect(target or config.Target(config.DEFAULT_SERVER))
        elif into.transport is not None:
            self._transport = into.transport
        else:
            self._transport = self._nobody

    def _nobody(self, _request: http.Request) -> http.Response:
        raise io.Refused(self.host)

    def send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> http.Response:
        """The answer, whatever it is.  fail.Failed where there is no server."""
        headers = {"accept": accept, "user-agent": "kubectl", **self._headers}
        if body is not None:
            headers["content-type"] = content_type
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        url_path, _, inline = path.partition("?")
        pairs = [*_pairs(inline), *(query or [])]
        response = self._exchange(
            http.Request(method=method, path=url_path, query=tuple(pairs), headers=headers, body=data)
        )
        self._warn(response)
        return response

    def forward(
        self, method: str, path: str, query: tuple[tuple[str, str], ...], headers: Mapping[str, str], body: bytes
    ) -> http.Response:
        """Somebody else's request, in our name (`kubectl proxy`)."""
        return self._exchange(
            http.Request(method=method, path=path, query=query, headers={**headers, **self._headers}, body=body)
        )

    def _exchange(self, request: http.Request) -> http.Response:
        try:
            return self._transport(request)
        except io.Refused as error:
            raise fail.Failed(
                f"The connection to the server {error.host} was refused - did you specify the right host or port?"
            ) from None
        except io.Unreachable as error:
            raise fail.Failed(f"Unable to connect to the server: {error}") from None

    def _warn(self, response: http.Response) -> None:
        for key, value in response.headers:
            if key.lower() == "warning" and value not in self._warned:
                self._warned.add(value)
                self._io.complain(f"Warning: {_warning_text(value)}")

    def ask(self, method: str, path: str, **more: Any) -> Object:
        """The object that the answer holds.  fail.StatusError for a refusal."""
        response = self.send(method, path, **more)
        if response.status >= 400:
            raise refusal(response)
        return response.json()

    def text(self, path: str) -> bytes:
        """The body as it is (`get --raw`)."""
        response = self.send("GET", path, accept="application/json, */*")
        if response.status >= 400:
            raise refusal(response)
        return response.body

    def url(self, path: str, query: list[tuple[str, str]] | None = None) -> str:
        return path + ("?" + urlencode(query) if query else "")


def _pairs(query: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(query, keep_blank_values=True) if query else []


def _warning_text(header: str) -> str:
    """The text within `299 - "text"`."""
    start = header.find('"')
    return header[start + 1 : header.rfind('"')].replace('\\"', '"').replace("\\\\", "\\") if start >= 0 else header


def refusal(response: http.Response) -> fail.StatusError:
    """The Status of an answer, or one made for an answer that is none (errors.NewGenericServerResponse)."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("kind") == "Status":
        return fail.StatusError(body)
    text = response.body.decode("utf-8", "replace").strip()
    reason, message = _GENERIC.get(
        response.status, ("InternalError" if response.status >= 500 else "", f"an error on the server ({text!r})")
    )
    return fail.StatusError({"reason": reason, "message": message.replace("{text}", text), "code": response.status})


_GENERIC = {
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", "{text}"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    415: ("UnsupportedMediaType", "the body of the request was in an unknown format"),
}


class Watch:
    """The events of a watch, one JSON object a line."""

    def __init__(self, stream: http.Stream) -> None:
        self.stream = stream
        self._buffer = b""
        self.over = False

    def events(self) -> Iterator[Object]:
        """Those that have come by now."""
        while True:
            data = self.stream.read()
            if data is None:
                self.over = True
                break
            if not data:
                break
            self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
