"""Log lines as klog writes them (k8s.io/klog: formatHeader, and klog/v2's InfoS)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kubesim import ids
from kubesim.world import World


class Logger:
    """Writes lines with klog's header.  In a container the program is process 1, and so is its "thread".

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
