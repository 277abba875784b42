"""A terminal device: characters typed on one side, lines read on the other.

Theory of operation
-------------------
This is the line discipline of Linux (drivers/tty/n_tty.c, termios(3)) as far as a person sees it.  In canonical mode what
is typed is echoed and kept until Enter; Backspace, Ctrl-W and Ctrl-U edit it; Ctrl-D ends the input; Ctrl-C interrupts the
foreground.  Otherwise (`canonical` false, as line editors and `kubectl exec -it` set it) every character goes to the reader
as it comes, and nothing is echoed.

A Tty is the Input and the Output of programs; the front types (`type`, `hang_up`) and is given what appears (`screen`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubesim.world import Future, World

INTERRUPT, END, ERASE_WORD, KILL, QUIT = "\x03", "\x04", "\x17", "\x15", "\x1c"
ERASE = "\x7f\b"


class Tty:
    """See the module."""

    def __init__(self, world: World, screen: Callable[[str], None]) -> None:
        self.write = screen
        self.echo = True
        self._world = world
        self._canonical = True
        self._line = ""
        # What can be read: lines, or in the other mode whatever came; "" is an end of file.
        self._ready: deque[str] = deque()
        self._readers: list[Future[None]] = []
        self._foreground: list[Callable[[], None]] = []
        self._gone = False

    # -- the keyboard's side ----------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Characters, as the keys send them (Enter is a carriage return)."""
        if not self._canonical:
            self._give(text)
            return
        for char in text:
            self._key(char)

    def hang_up(self) -> None:
        """The keyboard has gone: who reads finds the end, now and for good."""
        self._gone = True
        self._wake()

    @contextmanager
    def foreground(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """While this lasts, Ctrl-C does `interrupt`."""
        self._foreground.append(interrupt)
        try:
            yield
        finally:
            self._foreground.remove(interrupt)

    def _key(self, char: str) -> None:
        if char in (INTERRUPT, QUIT):
            self._show(char)
            self._line = ""
            self._ready.clear()
            if self._foreground:
                self._foreground[-1]()
        elif char in "\r\n":
            self._show("\n")
            line, self._line = self._line + "\n", ""
            self._give(line)
        elif char == END:
            line, self._line = self._line, ""
            self._give(line)
        elif char in ERASE:
            self._erase(len(self._line) - 1)
        elif char == KILL:
            self._erase(0)
        elif char == ERASE_WORD:
            self._erase(len(self._line.rstrip()[: self._line.rstrip().rfind(" ") + 1]))
        else:
            self._line += char
            self._show(char)

    def _erase(self, length: int) -> None:
        if length < 0:
            return
        gone, self._line = self._line[length:], self._line[:length]
        if self.echo:
            self.write("".join("\b \b" * len(_visible(char)) for char in gone))

    def _show(self, text: str) -> None:
        if self.echo:
            self.write("".join(_visible(char) for char in text))

    def _give(self, text: str) -> None:
        self._ready.append(text)
        self._wake()

    def _wake(self) -> None:
        readers, self._readers = self._readers, []
        for each in readers:
            each.resolve(None)

    # -- the programs' side -----------------------------------------------------------------------------------

    @property
    def canonical(self) -> bool:
        return self._canonical

    @canonical.setter
    def canonical(self, value: bool) -> None:
        if self._canonical and not value and self._line:
            # What was being typed can be read at once.
            line, self._line = self._line, ""
            self._give(line)
        self._canonical = value

    def unread(self, text: str) -> None:
        """Put back what was read too early: the next reader has it, line by line."""
        self._ready.extendleft(reversed(text.replace("\r", "\n").splitlines(keepends=True)))

    def taken(self) -> str:
        """All that was typed and nobody read: the shell's next line gets it."""
        text = "".join(self._ready) + self._line
        self._ready.clear()
        self._line = ""
        return text

    async def read_some(self) -> str:
        while not self._ready:
            if self._gone:
                return ""
            future = self._world.future()
            self._readers.append(future)
            await future
        return self._ready.popleft()

    async def readline(self) -> str:
        line = ""
        while not line.endswith("\n"):
            text = await self.read_some()
            if not text:
                break
            end = text.find("\n") + 1 or len(text)
            if text[end:]:
                self._ready.appendleft(text[end:])
            line += text[:end]
        return line

    async def read(self) -> str:
        parts = []
        while text := await self.read_some():
            parts.append(text)
        return "".join(parts)

    def close(self) -> None:
        """A program that stops reading leaves the terminal as it is."""


def _visible(char: str) -> str:
    """How a typed character is echoed: control characters as ^C (ECHOCTL)."""
    return f"^{chr(ord(char) ^ 64)}" if (char < " " and char not in "\n\t") or char == "\x7f" else char
