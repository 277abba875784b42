"""What a command reads from and writes to: text streams that wait in virtual time.

Text is UTF-8 decoded with `surrogateescape`, so that bytes which are not text (a tar file in a pipe) survive the round trip.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kubesim.files import FileSystem
from kubesim.world import Future, World


class BrokenPipe(Exception):
    """Nobody reads any more: the writer ends with status 141, as by SIGPIPE."""


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class Input(Protocol):
    """A file descriptor open for reading."""

    async def read(self) -> str:
        """All until the end."""

    async def readline(self) -> str:
        """One line with its newline; "" at the end."""

    async def read_some(self) -> str:
        """What is there, waiting only while there is nothing; "" at the end."""

    def close(self) -> None:
        """The reader has gone."""


class Output(Protocol):
    """A file descriptor open for writing."""

    def write(self, text: str) -> None:
        """Raises BrokenPipe when the reader has gone."""


class Text:
    """An Input that is all there already: a file, a here-document, a string."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._at = 0

    async def read(self) -> str:
        rest, self._at = self._text[self._at :], len(self._text)
        return rest

    async def read_some(self) -> str:
        return await self.read()

    async def readline(self) -> str:
        end = self._text.find("\n", self._at) + 1 or len(self._text)
        line, self._at = self._text[self._at : end], end
        return line

    def close(self) -> None:
        return None


class Pipe:
    """Both ends of a pipe.  The buffer is not bounded: a writer never waits."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer: list[str] = []
        self._ended = False
        self._abandoned = False
        self._waiting: Future[None] | None = None

    def write(self, text: str) -> None:
        if self._abandoned:
            raise BrokenPipe
        if text:
            self._buffer.append(text)
            self._wake()

    def end(self) -> None:
        """The last writer has gone."""
        self._ended = True
        self._wake()

    def close(self) -> None:
        self._abandoned = True
        self._buffer.clear()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.resolve(None)

    async def _more(self) -> bool:
        """Wait for something new; False at the end."""
        if self._ended:
            return False
        self._waiting = self._world.future()
        await self._waiting
        return True

    async def read(self) -> str:
        while await self._more():
            pass
        text = "".join(self._buffer)
        self._buffer.clear()
        return text

    async def read_some(self) -> str:
        while not self._buffer and await self._more():
            pass
        text = "".join(self._buffer)
        self._buffer.clear()
        return text

    async def readline(self) -> str:
        while not any("\n" in each for each in self._buffer) and await self._more():
            pass
        text = "".join(self._buffer)
        end = text.find("\n") + 1 or len(text)
        self._buffer = [text[end:]] if text[end:] else []
        return text[:end]


class Capture:
    """An Output that keeps what is written."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, text: str) -> None:
        self._parts.append(text)

    @property
    def text(self) -> str:
        return "".join(self._parts)


class Callback:
    """An Output that hands on what is written, for a front that shows it at once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write


class Null:
    """/dev/null, both ways."""

    def write(self, text: str) -> None:
        return None

    async def read(self) -> str:
        return ""

    async def read_some(self) -> str:
        return ""

    async def readline(self) -> str:
        return ""

    def close(self) -> None:
        return None


class FileOutput:
    """A file open for writing; each write is in the file at once."""

    def __init__(self, files: FileSystem, path: str) -> None:
        self._files = files
        self._path = path

    def write(self, text: str) -> None:
        if text:
            self._files.append(self._path, encode(text))
