"""managedFields: filled in by the next change."""

from __future__ import annotations

from typing import Any


def created(registry: Any, call: Any, obj: Any) -> Any:
    return None


def updated(registry: Any, call: Any, new: Any, old: Any, submitted: Any) -> Any:
    return old["metadata"].get("managedFields")


def changed(new: Any, old: Any) -> bool:
    return False
