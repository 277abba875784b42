"""One call to the API, after its path, query and body have been read: who asks for what, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kubesim import http
from kubesim.schema import Resource

if TYPE_CHECKING:
    from kubesim.apiserver.apply import Plan


@dataclass(slots=True, kw_only=True)
class Call:
    """`version` is the one that the request names; `manager` the field manager (from the user agent when none is named).

    `warnings` are sent as `Warning: 299` headers.  `validation` is fieldValidation: "Strict", "Warn" or "Ignore".
    """

    user: http.User
    resource: Resource
    version: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)
    # What a server-side apply found out about the owners of fields.
    applied: Plan | None = None

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """metav1.DeleteOptions.  `propagation`: "Orphan", "Background", "Foreground", or "" for the resource's default."""

    grace_period_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    # The deprecated boolean that "Orphan" came from.
    orphan_dependents: bool | None = None
