"""Editing a line at a shell's prompt: the keys of GNU Readline (its manual, "Commands For Moving" and after) that people use.

What is drawn is what changes, from the cursor on, so that it needs not know the screen's width; on a line that is longer
than the screen is wide, changes in its middle are drawn in the last row only.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kubesim.shell.tty import Tty

# A key: a character, or what a terminal sends for one that has none (xterm's control sequences).
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z]|[^\[O])?")
CLEAR = "\x1b[H\x1b[2J"


class Interrupted(Exception):
    """Ctrl-C: the line is given up."""


class Editor:
    """Reads lines from a terminal.  `complete` gives what the last word of a line may become."""

    def __init__(self, tty: Tty, history: list[str], complete: Callable[[str], list[str]]) -> None:
        self._tty = tty
        self._history = history
        self._complete = complete
        self._prompt = ""
        self._text = ""
        self._at = 0
        self._back = 0
        self._draft = ""
        self._cut = ""
        self._done = False
        self._actions: dict[str, Callable[[], None]] = {
            **dict.fromkeys(("\r", "\n"), self._enter),
            **dict.fromkeys(("\x7f", "\b"), self._backspace),
            **dict.fromkeys(("\x01", "\x1b[H", "\x1b[1~", "\x1bOH"), lambda: self._move(0)),
            **dict.fromkeys(("\x05", "\x1b[F", "\x1b[4~", "\x1bOF"), lambda: self._move(len(self._text))),
            **dict.fromkeys(("\x02", "\x1b[D", "\x1bOD"), lambda: self._move(self._at - 1)),
            **dict.fromkeys(("\x06", "\x1b[C", "\x1bOC"), lambda: self._move(self._at + 1)),
            **dict.fromkeys(("\x1bb", "\x1b[1;5D"), lambda: self._move(self._word())),
            **dict.fromkeys(("\x1bf", "\x1b[1;5C"), lambda: self._move(self._next_word())),
            **dict.fromkeys(("\x10", "\x1b[A", "\x1bOA"), lambda: self._recall(1)),
            **dict.fromkeys(("\x0e", "\x1b[B", "\x1bOB"), lambda: self._recall(-1)),
            "\x1b[3~": lambda: self._replace(self._at, self._at + 1),
            "\x0b": lambda: self._replace(self._at, len(self._text), keep=True),
            "\x15": lambda: self._replace(0, self._at, keep=True),
            "\x17": lambda: self._replace(self._word(), self._at, keep=True),
            "\x19": lambda: self._insert(self._cut),
            "\x0c": self._clear,
            "\t": self._tab,
        }

    async def line(self, prompt: str) -> str | None:
        """The next line, without its newline; None at the end of input.  Raises Interrupted."""
        self._prompt, self._text, self._at, self._back, self._done = prompt, "", 0, 0, False
        tty = self._tty
        tty.canonical = False
        tty.write(prompt)
        rest = ""
        try:
            while not self._done:
                if not rest:
                    rest = await tty.read_some()
                    if not rest:
                        return None
                match = SEQUENCE.match(rest)
                key = match[0] if match else rest[0]
                rest = rest[len(key) :]
                if key == "\x03":
                    tty.write("^C\n")
                    raise Interrupted
                if key == "\x04" and not self._text:
                    return None
                if key == "\x04":
                    key = "\x1b[3~"
                action = self._actions.get(key)
                if action is not None:
                    action()
                elif key >= " ":
                    self._insert(key)
            return self._text
        finally:
            tty.canonical = True
            tty.unread(rest)

    # -- keys -------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        self._move(len(self._text))
        self._tty.write("\n")
        self._done = True

    def _insert(self, text: str) -> None:
        self._replace(self._at, self._at, text)

    def _backspace(self) -> None:
        if self._at:
            self._replace(self._at - 1, self._at)

    def _clear(self) -> None:
        tail = self._text[self._at :]
        self._tty.write(CLEAR + self._prompt + self._text + "\b" * len(tail))

    def _recall(self, step: int) -> None:
        wanted = self._back + step
        if not 0 <= wanted <= len(self._history):
            return
        if self._back == 0:
            self._draft = self._text
        self._back = wanted
        # A command of several lines comes back as one, as with bash's cmdhist.
        text = self._history[-wanted].replace("\n", "; ") if wanted else self._draft
        self._replace(0, len(self._text), text)

    def _tab(self) -> None:
        line = self._text[: self._at]
        found = self._complete(line)
        word = re.split(r"[\s|;&(=]", line)[-1]
        common = _common(found)
        if len(found) == 1 and not common.endswith("/"):
            common += " "
        if len(common) > len(word):
            self._insert(common[len(word) :])
        elif len(found) > 1:
            tail = self._text[self._at :]
            self._tty.write(f"\n{'  '.join(found)}\n{self._prompt}{self._text}" + "\b" * len(tail))

    # -- the line and its picture -------------------------------------------------------------------------------

    def _word(self) -> int:
        """Where the word before the cursor begins."""
        return len(re.sub(r"\S+\s*$", "", self._text[: self._at]))

    def _next_word(self) -> int:
        match = re.match(r"\s*\S+", self._text[self._at :])
        return self._at + (match.end() if match else 0)

    def _move(self, to: int) -> None:
        to = max(0, min(to, len(self._text)))
        self._tty.write("\b" * (self._at - to) + self._text[self._at : to])
        self._at = to

    def _replace(self, start: int, end: int, text: str = "", keep: bool = False) -> None:
        """Put `text` in the place of [start:end]; the cursor is then behind it."""
        if keep:
            self._cut = self._text[start:end]
        shorter = end - start > len(text)
        self._move(start)
        tail = self._text[end:]
        self._text = self._text[:start] + text + tail
        self._at = start + len(text)
        self._tty.write(text + tail + ("\x1b[K" if shorter else "") + "\b" * len(tail))


def _common(words: list[str]) -> str:
    """What they all begin with."""
    first, last = min(words, default=""), max(words, default="")
    return first[: next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))]
