"""What kubectl says when something is wrong, and with which exit code.

Source: kubectl `pkg/cmd/util/helpers.go` (checkErr, StandardErrorMessage, MultilineError).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubesim import errors


class Failed(Exception):
    """kubectl's own error: printed as "error: ..." unless it says so itself."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Usage(Failed):
    """A flag is wrong: cobra's words and where the help is.  `path` is "kubectl get"."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(f"error: {message}\nSee '{path} --help' for usage.")


class UsageHint(Failed):
    """cmdutil.UsageErrorf: the arguments are wrong."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(f"error: {message}\nSee '{path} -h' for help and examples")


class Exit(Failed):
    """Everything has been said; only the code is left."""

    def __init__(self, code: int = 1) -> None:
        super().__init__("", code)


class Help(Exception):
    """-h or --help."""


class NoResource(Failed):
    """meta.NoResourceMatchError."""

    def __init__(self, resource: str) -> None:
        super().__init__(f'the server doesn\'t have a resource type "{resource}"')
        self.resource = resource


class Many(Failed):
    """Several errors, each on its line."""

    def __init__(self, each: Iterable[Failed]) -> None:
        self.each = list(each)
        super().__init__("\n".join(message(error) for error in self.each))


class StatusError(Failed):
    """An answer of the server that is not a success."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", ""))
        self.status = status

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")

    @property
    def http_code(self) -> int:
        return int(self.status.get("code") or 0)

    @property
    def not_found(self) -> bool:
        return self.reason == "NotFound"


def when(verb: str, source: str, error: Failed) -> Failed:
    """cmdutil.AddSourceToErr: which file or stream the object came from."""
    if not source:
        return error
    if isinstance(error, StatusError):
        text = f'error when {verb} "{source}": {error.status.get("message", "")}'
        return StatusError({**error.status, "message": text})
    return Failed(f'error when {verb} "{source}": {error.message}', error.code)


def message(error: Failed) -> str:
    """What stands on standard error, without the last newline."""
    if isinstance(error, StatusError):
        return _status(error.status)
    if isinstance(error, Many) or not error.message:
        return error.message
    if error.message.startswith(("error:", "The connection to", "Unable to connect", "Error")):
        return error.message
    return f"error: {error.message}"


def _status(status: dict[str, Any]) -> str:
    reason, text = status.get("reason") or "", status.get("message") or ""
    if reason == "Invalid":
        return _invalid(status, text)
    if reason == "Unauthorized":
        return f"error: You must be logged in to the server ({text})"
    return f"Error from server ({reason}): {text}" if reason else f"Error from server: {text}"


def _invalid(status: dict[str, Any], text: str) -> str:
    details = status.get("details")
    said = "The request is invalid"
    if details is None:
        return f"{said}: {text}" if text else said
    causes = details.get("causes") or []
    if details.get("kind") or details.get("name"):
        said = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
    elif text and not causes:
        said += f": {text}"
    if not causes:
        return said
    lines = list(
        dict.fromkeys(
            f"{cause['field']}: {cause['message']}" if cause.get("field") else cause.get("message", "")
            for cause in causes
        )
    )
    if len(lines) == 1:
        return f"{said}: {lines[0]}"
    return f"{said}: \n" + "\n".join(f"* {line}" for line in lines)


def code(error: Failed) -> int:
    return error.code


def from_api(error: errors.ApiError) -> StatusError:
    """An error that our own machinery raised in the API server's words."""
    return StatusError(error.status())
