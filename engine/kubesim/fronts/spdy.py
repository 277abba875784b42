"""SPDY/3.1 frames, without I/O: what kubectl before 1.31 speaks for exec, and every kubectl within port-forward.

Theory of operation
-------------------
A connection carries streams that the client opens (SYN_STREAM with headers, answered by SYN_REPLY), each a pair of byte
directions that end with FLAG_FIN.  Headers are compressed with zlib, one context a direction for the whole connection, which
begins with a dictionary that both sides know.  Kubernetes' SPDY (moby/spdystream) keeps no flow-control windows, so neither
do we.

Source: draft-mbelshe-httpbis-spdy-00, sections 2.2 (framing) and 2.6 (control frames, the dictionary).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
CONTROL = 0x8000_0000
# A frame's data; the length field has 24 bits, but a reader has to hold a frame whole.
LARGEST = 1 << 16
# The longest frame that is taken, in bytes: kubectl copies in pieces of 32 KiB.
LIMIT = 1 << 20

# Words of the dictionary that stand with their length, as headers do; then texts that stand alone.
_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK
version HTTP/1.1 url public set-cookie keep-alive origin
"""
_TEXTS = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _TEXTS.encode()
)


class Broken(Exception):
    """The other side does not speak SPDY/3.1; the connection is of no more use."""


@dataclass(frozen=True)
class Opened:
    """The client opened a stream."""

    stream: int
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


@dataclass(frozen=True)
class Data:
    """Bytes of a stream; `ended`: no more will come on it."""

    stream: int
    data: bytes = b""
    ended: bool = False


@dataclass(frozen=True)
class Reset:
    """The client gave a stream up."""

    stream: int


Event = Opened | Data | Reset


class Connection:
    """The server's side.  `write` is given the bytes to send."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._buffer = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    # -- from the client --------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """What has happened.  Raises Broken."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFF_FFFF
            if length > LIMIT:
                raise Broken(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                break
            payload, self._buffer = self._buffer[8 : 8 + length], self._buffer[8 + length :]
            event = self._control(first, flags, payload) if first & CONTROL else Data(first, payload, bool(flags & FIN))
            if event is not None:
                events.append(event)
        return events

    def _control(self, first: int, flags: int, payload: bytes) -> Event | None:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise Broken(f"version {version} of SPDY")
        try:
            if kind == SYN_STREAM:
                (stream,) = struct.unpack_from(">I", payload)
                return Opened(stream, self._headers(payload[10:]), bool(flags & FIN))
            if kind == HEADERS:
                # The compression goes on through it, whoever reads it.
                self._headers(payload[4:])
            elif kind == RST_STREAM:
                return Reset(struct.unpack_from(">I", payload)[0])
            elif kind == PING:
                self._send_control(PING, payload)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise Broken(str(error)) from None
        # SETTINGS and WINDOW_UPDATE ask for what is not kept; after GOAWAY the client closes the connection.
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, LIMIT)
        (count,) = struct.unpack_from(">I", plain)
        at = 4
        texts = []
        for _ in range(2 * min(count, 1000)):
            (length,) = struct.unpack_from(">I", plain, at)
            texts.append(plain[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))

    # -- to the client ----------------------------------------------------------------------------------------

    def accept(self, stream: int) -> None:
        """Take a stream that was opened."""
        empty = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._send_control(SYN_REPLY, struct.pack(">I", stream) + empty)

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        """Bytes on a stream; `end`: the last."""
        pieces = [data[at : at + LARGEST] for at in range(0, len(data), LARGEST)] or [b""]
        for index, piece in enumerate(pieces):
            flags = FIN if end and index == len(pieces) - 1 else 0
            self._write(struct.pack(">II", stream, flags << 24 | len(piece)) + piece)

    def reset(self, stream: int) -> None:
        """Refuse a stream (PROTOCOL_ERROR)."""
        self._send_control(RST_STREAM, struct.pack(">II", stream, 1))

    def _send_control(self, kind: int, payload: bytes) -> None:
        self._write(struct.pack(">II", CONTROL | VERSION << 16 | kind, len(payload)) + payload)
