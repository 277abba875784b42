"""Any other kind: its fields as a tree."""

from __future__ import annotations

import re
from typing import Any

from kubesim.kubectl.describe.page import Page
from kubesim.machinery import gotext

Object = dict[str, Any]

# Said at the top, or of no use.
_SKIPPED = frozenset(
    f".metadata.{name}" for name in ("name", "namespace", "labels", "annotations", "managedFields")
) | {".apiVersion", ".kind"}
_ACRONYMS = {"Api": "API", "Url": "URL", "Uid": "UID", "Guid": "GUID", "Osb": "OSB"}


def generic(page: Page, obj: Object) -> None:
    page.head(obj)
    page.field("API Version", obj.get("apiVersion", ""))
    page.field("Kind", obj.get("kind", ""))
    _tree(page, 0, obj, "")
    page.events(obj)


def _tree(page: Page, level: int, content: Object, prefix: str) -> None:
    for field, value in sorted(content.items()):
        path = f"{prefix}.{field}"
        if path in _SKIPPED:
            continue
        if isinstance(value, dict):
            page.line(level, f"{title(field)}:")
            _tree(page, level + 1, value, path)
        elif isinstance(value, list):
            page.line(level, f"{title(field)}:")
            for item in value:
                if isinstance(item, dict):
                    _tree(page, level + 1, item, path)
                else:
                    page.line(level + 1, gotext.v(item))
        else:
            page.field(title(field), gotext.v(value), level)


def title(field: str) -> str:
    """ "creationTimestamp" -> "Creation Timestamp" (smartLabelFor)."""
    if re.search(r"[^A-Za-z0-9]", field):
        return field
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", field)
    return " ".join(_ACRONYMS.get(word.capitalize(), word[:1].upper() + word[1:]) for word in words)
