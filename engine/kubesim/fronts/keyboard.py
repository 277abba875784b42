"""The keys of a person's terminal, one by one, while a command runs (termios(3); Linux and macOS have it).

The command's own terminal device (`shell.tty`) echoes and edits, so the real one must not: no echo, no canonical mode, no
translation of Enter.  Ctrl-C stays a signal, so that a person can end what never looks at the keyboard.
"""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Keyboard:
    """See the module."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._interrupted = False
        self.gone = False

    def wait(self, seconds: float) -> str:
        """The keys pressed within so many seconds, as soon as there are some; "\\x03" for Ctrl-C, "" for none."""
        if self._interrupted:
            self._interrupted = False
            return "\x03"
        if self.gone:
            time.sleep(seconds)
            return ""
        if not select.select([self._fd], [], [], seconds)[0]:
            return ""
        data = os.read(self._fd, 4096)
        self.gone = not data
        # Ctrl-D that came before the keys did: the kernel keeps it as a NUL (n_tty.c, __DISABLED_CHAR).
        return self._decoder.decode(data).replace("\0", "\x04")

    @contextmanager
    def keys(self) -> Iterator[None]:
        """While this lasts, keys come here.  A second Ctrl-C that nobody took raises KeyboardInterrupt."""
        with _signals(self._interrupt), _raw(self._fd):
            yield

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt
        self._interrupted = True


@contextmanager
def _signals(handler: signal._HANDLER) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _raw(fd: int) -> Iterator[None]:
    try:
        import termios
    except ImportError:  # not a POSIX system: its own terminal edits and echoes
        yield
        return
    before = termios.tcgetattr(fd)
    changed = termios.tcgetattr(fd)
    changed[0] &= ~termios.ICRNL
    changed[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    termios.tcsetattr(fd, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
