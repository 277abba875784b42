"""The two families of errors.

A *learner's* error is something that a person at the keyboard did or asked for: it is shown as it is, names its
remedy, and never as a traceback.  Everything else is *ours*: it is raised, never swallowed, and shows where it arose.

Errors of the Kubernetes API are learner's errors with a `Status` (upstream: apimachinery, `api/errors/errors.go`).
"""

from __future__ import annotations

from typing import Any


class LearnerError(Exception):
    """Shown to the learner: `message` says what happened, `remedy` what to do about it (may be empty)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return str(self).splitlines()


class NotSimulated(LearnerError):
    """A real system would do this; the embedded cluster does not, and says so by name."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"not simulated: {what}", remedy)
        self.what = what


class ApiError(LearnerError):
    """An answer of the API server that is not a success; renders its own `Status`.

    `code` is the HTTP status, `reason` a metav1.StatusReason ("NotFound", "Invalid", ...), `details` the
    StatusDetails object or None.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details

    def status(self) -> dict[str, Any]:
        """The metav1.Status object that goes on the wire."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body
