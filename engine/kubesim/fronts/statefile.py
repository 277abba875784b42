"""A cluster's state in a file (`snapshot`): read when it begins, written at the end and on SIGUSR1.

A write goes to a new file beside the old one, is synced to the disk, and takes the old one's place in one step: whoever looks
finds one or the other, whole.  The file holds credentials, so it is for its owner alone.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from kubesim import snapshot
from kubesim.errors import LearnerError


def load(path: Path) -> snapshot.Snapshot | None:
    """What was saved there; None where there is no file yet (or an empty one).  LearnerError for what cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise LearnerError(f"no folder {path.parent}", "Name a file in one that there is with --state.") from None
        return None
    except UnicodeDecodeError:
        raise LearnerError(f"{path} is no state of a cluster: it is no text", "It was left as it is.") from None
    except OSError as error:
        raise LearnerError(f"cannot read {path}: {error.strerror}", "Name another file with --state.") from None
    return snapshot.read(text, str(path)) if text else None


def save(path: Path, text: str) -> None:
    """Replace the file's content.  LearnerError when it cannot be; the old content is there then."""
    # What a symbolic link names is replaced, not the link.
    path = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise LearnerError(f"cannot write {path}: {error.strerror}", "Name another place.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise LearnerError(f"cannot write {path}: {error.strerror}", "Name another place.") from None


def _sync_folder(path: Path) -> None:
    """The new name is on the disk too.  (Windows opens no folders.)"""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
