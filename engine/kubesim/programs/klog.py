"""How Kubernetes' own programs write a line: klog's header before the words."""

from __future__ import annotations

from collections.abc import Callable

from kubesim import ids
from kubesim.programs.image import Process

Say = Callable[..., None]


def logger(process: Process) -> Say:
    """`say("words", source="file.go:12", level="I")`, in klog's form (k8s.io/klog/v2, buffer.FormatHeader)."""

    def say(words: str, source: str, level: str = "I") -> None:
        now = process.world.now
        micros = int(now % 1 * 1_000_000)
        process.log(f"{level}{ids.utc(now):%m%d %H:%M:%S}.{micros:06d}       1 {source}] {words}")

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
