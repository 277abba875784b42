"""Frames of JSON over a socket, between the grader and a process that it does not trust.

A frame is four bytes of length (big-endian) and so many bytes of UTF-8 JSON.  Nothing else is ever read: no pickle, no code.
Every frame is bounded in size and in time, whatever the other side sends.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

# The longest frame, in bytes: a list of some hundred objects, or a node's rules, in full.
LIMIT = 8 * 1024 * 1024


class Closed(Exception):
    """The other side has gone."""


class Late(Exception):
    """Nothing, or not the whole of it, came in time."""


class Malformed(Exception):
    """What came is no frame."""


class Channel:
    """One end.  `deadline` is a moment of `time.monotonic()`, None to wait for ever."""

    def __init__(self, sock: socket.socket, limit: int = LIMIT) -> None:
        self._sock = sock
        self._limit = limit

    def send(self, value: Any, deadline: float | None = None) -> None:
        """Send one value.  Late if the other side does not take it in time, Closed if it has gone."""
        data = json.dumps(value, separators=(",", ":")).encode()
        if len(data) > self._limit:
            raise Malformed(f"a frame of {len(data)} bytes")
        view = memoryview(struct.pack(">I", len(data)) + data)
        while view:
            self._await(write=True, deadline=deadline)
            try:
                view = view[self._sock.send(view, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                continue
            except OSError:
                raise Closed from None

    def receive(self, deadline: float | None = None) -> Any:
        """The next value.  Closed, Late or Malformed."""
        (length,) = struct.unpack(">I", self._exactly(4, deadline))
        if length > self._limit:
            raise Malformed(f"a frame of {length} bytes")
        try:
            return json.loads(self._exactly(length, deadline))
        except (ValueError, RecursionError):
            raise Malformed("not JSON") from None

    def _exactly(self, size: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []
        while size:
            self._await(write=False, deadline=deadline)
            try:
                part = self._sock.recv(min(size, 1 << 16), socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:
                raise Closed from None
            if not part:
                raise Closed
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _await(self, *, write: bool, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT if write else select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left):
            raise Late

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


def question(told: Mapping[str, Any]) -> str:
    """What is asked, whatever its number: the same question is the same text."""
    return json.dumps({name: value for name, value in told.items() if name != "number"}, sort_keys=True)


def text(data: bytes) -> str:
    """Bytes as text that JSON can carry; what is not UTF-8 is kept in surrogates."""
    return data.decode("utf-8", "surrogateescape")


def data(text: str) -> bytes:
    """The bytes of `text`.  Malformed if they cannot have been any."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Malformed("a text with lone surrogates") from None
