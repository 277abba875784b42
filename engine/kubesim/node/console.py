"""The standard streams of a container that asks for them (`stdin: true`, `tty: true`): what `kubectl attach` holds on to.

Source: the CRI's ContainerConfig (`stdin`, `stdin_once`, `tty`), `pkg/kubelet/kuberuntime/kuberuntime_container.go`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from kubesim.node.logs import Log
from kubesim.programs.entry import Lines
from kubesim.shell import streams
from kubesim.shell.tty import Tty
from kubesim.world import World


class Console:
    """See the module.  What is written goes to the log, line by line, and to whoever is attached, as it comes."""

    def __init__(self, world: World, log: Log, tty: bool, once: bool) -> None:
        self.stdin: Tty | streams.Pipe = Tty(world, self.write) if tty else streams.Pipe(world)
        self.once = once
        self._lines = Lines(log.write)
        self._attached: list[Callable[[str], None]] = []
        self._last = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def write(self, text: str) -> None:
        """The container's output."""
        self._lines.write(text)
        self._last = (self._last + text).rpartition("\n")[2]
        for each in list(self._attached):
            each(text)

    def attach(self, show: Callable[[str], None]) -> None:
        """Show all output from now on.  On a terminal also the line that is not ended, a prompt: kubectl changes the size of
        the screen when it attaches, and then changes it back, so that programs draw it anew (kubectl, attach.go)."""
        if isinstance(self.stdin, Tty) and self._last:
            show(self._last)
        self._attached.append(show)

    def detach(self, show: Callable[[str], None]) -> None:
        if show in self._attached:
            self._attached.remove(show)

    def type(self, data: bytes) -> None:
        """Standard input, as an attached client sends it."""
        if isinstance(self.stdin, Tty):
            self.stdin.type(self._decoder.decode(data))
        else:
            self.stdin.write(streams.decode(data))

    def no_more_input(self) -> None:
        """An attached client's input is at its end: with `stdinOnce`, so is the container's."""
        if not self.once:
            return
        if isinstance(self.stdin, Tty):
            self.stdin.hang_up()
        else:
            self.stdin.end()

    def end(self) -> None:
        """The container has ended."""
        self._lines.end()
