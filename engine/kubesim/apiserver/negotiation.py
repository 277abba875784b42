"""Which form an answer takes, and how a body is read (apiserver `pkg/endpoints/handlers/negotiation`).

Bodies may be JSON, YAML or protobuf; answers are JSON or YAML, also for a client that would rather have protobuf.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from kubesim import http
from kubesim.apiserver import messages
from kubesim.errors import ApiError

JSON, YAML = "application/json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
BODIES = [JSON, YAML, PROTOBUF]
PATCHES = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
]
AVAILABLE = f"{JSON}, {YAML}, {PROTOBUF}, {JSON};stream=watch, {PROTOBUF};stream=watch"
# What `as=` may ask for.
FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class Form:
    """`media` is JSON or YAML; `kind` what the object is turned into ("" for itself), in `version` of meta.k8s.io."""

    media: str = JSON
    kind: str = ""
    version: str = "v1"
    pretty: bool = False

    @property
    def content_type(self) -> str:
        return self.media


def accept(request: http.Request) -> Form:
    """The first form of the Accept header that is spoken; ApiError 406 when none is."""
    pretty = request.param("pretty") in ("1", "true") or bool(
        re.match(r"curl/|Wget/|Mozilla/5\.0", request.headers.get("user-agent", ""))
        and request.param("pretty") != "false"
    )
    header = request.headers.get("accept", "") or "*/*"
    for clause in header.split(","):
        media, *parameters = [part.strip() for part in clause.split(";")]
        values = dict(part.partition("=")[::2] for part in parameters)
        if media in ("*/*", "application/*"):
            media = JSON
        if media in ("application/yaml", "text/yaml", "application/x-yaml"):
            media = YAML
        if media not in (JSON, YAML):
            continue
        kind = values.get("as", "")
        if kind and (kind not in FORMS or values.get("g") != "meta.k8s.io" or values.get("v") not in ("v1", "v1beta1")):
            continue
        return Form(media, kind, values.get("v", "v1") if kind else "v1", pretty)
    text = f"406: Not Acceptable\n\nAvailable representations: {AVAILABLE}"
    raise ApiError(406, "NotAcceptable", text, {})


def content_type(request: http.Request) -> str:
    """The body's media type, JSON when none is named."""
    return request.headers.get("content-type", JSON).split(";", 1)[0].strip() or JSON


class BadBody(ValueError):
    """The text is no JSON or YAML; the message is what the decoder says."""


def parse(body: bytes, media: str) -> tuple[Any, dict[int, list[str]]]:
    """The body as JSON values, and the doubled keys of its maps by the maps' `id`.  Raises BadBody."""
    if media in (YAML, "application/apply-patch+yaml"):
        return parse_yaml(body), {}
    return parse_json(body)


def parse_json(body: bytes) -> tuple[Any, dict[int, list[str]]]:
    doubled: dict[int, list[str]] = {}

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            seen: set[str] = set()
            doubled[id(found)] = [key for key, _ in items if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        return found

    try:
        text = body.decode("utf-8", "replace")
        return json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant), doubled
    except json.JSONDecodeError as error:
        raise BadBody(go_json_error(text, error)) from None
    except RecursionError:
        raise BadBody("exceeded max depth") from None


def _no_constant(text: str) -> Any:
    raise BadBody(f"invalid character '{text[0]}' looking for beginning of value")


def go_json_error(text: str, error: json.JSONDecodeError) -> str:
    """encoding/json's words for what Python's decoder found."""
    position = error.pos
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    if position >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    character = text[position]
    shown = {"'": "'\\''", '"': "'\"'"}.get(character, f"'{character}'")
    where = "looking for beginning of value"
    if error.msg.startswith("Expecting property name"):
        where = "looking for beginning of object key string"
    elif error.msg.startswith("Expecting ':'"):
        where = "after object key"
    elif error.msg.startswith("Expecting ','"):
        where = "after object key:value pair" if _in_object(text, position) else "after array element"
    elif error.msg.startswith("Extra data"):
        where = "after top-level value"
    elif error.msg.startswith("Invalid control"):
        return f"invalid character {json.dumps(character)[1:-1]!r} in string literal"
    elif error.msg.startswith("Invalid \\escape"):
        return f"invalid character {shown} in string escape code"
    return f"invalid character {shown} {where}"


def _in_object(text: str, position: int) -> bool:
    depth = 0
    for character in reversed(text[:position]):
        if character in "}]":
            depth += 1
        elif character in "{[":
            if depth == 0:
                return character == "{"
            depth -= 1
    return False


def parse_yaml(body: bytes) -> Any:
    """YAML as sigs.k8s.io/yaml turns it into JSON: keys are strings, times stay text."""
    import yaml

    from kubesim.apiserver import yamlform

    try:
        return yaml.load(body, Loader=yamlform.loader())
    except yaml.YAMLError as error:
        raise BadBody(yamlform.go_yaml_error(error)) from None


def unsupported(accepted: list[str]) -> ApiError:
    return messages.unsupported_media_type(accepted)
