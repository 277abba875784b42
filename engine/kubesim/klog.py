"""How Kubernetes' own programs write a line and read a command line (k8s.io/klog/v2, k8s.io/component-base)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kubesim import ids

if TYPE_CHECKING:
    from kubesim.programs.image import Process
    from kubesim.world import World

Say = Callable[..., None]


class Logger:
    """Writes lines with klog's header (buffer.FormatHeader).  In a container the program is process 1, and so is its
    "thread".

    `severity` is "I", "W", "E" or "F"; `source` the file and line that upstream logs it from ("server.go:529").
    """

    def __init__(self, world: World, write: Callable[[str], None]) -> None:
        self._world = world
        self._write = write

    def line(self, severity: str, source: str, message: str) -> None:
        self._write(f"{severity}{ids.utc(self._world.now):%m%d %H:%M:%S.%f}       1 {source}] {message}")

    def structured(self, severity: str, source: str, message: str, **pairs: Any) -> None:
        """`"Message" key="value"`: text in quotes, numbers bare, lists as JSON."""
        words = [json.dumps(message, ensure_ascii=False)]
        for key, value in pairs.items():
            if isinstance(value, list | tuple):
                value = json.dumps(list(value), separators=(",", ":"))
            elif isinstance(value, bool | str):
                value = json.dumps(value, ensure_ascii=False)
            words.append(f"{key}={value}")
        self.line(severity, source, " ".join(words))


def logger(process: Process) -> Say:
    """`say("words", source="file.go:12", level="I")` into a container's log."""
    to = Logger(process.world, process.log)

    def say(words: str, source: str, level: str = "I") -> None:
        to.line(level, source, words)

    return say


def flag(args: list[str], name: str, default: str = "") -> str:
    """The value of `--name=value` (or `--name value`) on a command line; the last one counts."""
    found = default
    for index, arg in enumerate(args):
        if arg.startswith(f"--{name}="):
            found = arg.partition("=")[2]
        elif arg == f"--{name}" and index + 1 < len(args):
            found = args[index + 1]
    return found
