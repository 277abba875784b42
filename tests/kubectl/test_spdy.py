"""SPDY/3.1 as the draft has it, and sessions over it, without a socket."""

from __future__ import annotations

import struct
import zlib

import pytest

from kubesim import http
from kubesim.fronts import spdy, tunnel


class Client:
    """The other side: opens streams, and reads what comes."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, **headers: str) -> bytes:
        block = struct.pack(">I", len(headers))
        for text in (each for pair in headers.items() for each in pair):
            block += struct.pack(">I", len(text)) + text.encode()
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">IIH", stream, 0, 0) + packed
        return struct.pack(">II", 0x8003_0001, len(payload)) + payload

    @staticmethod
    def data(stream: int, data: bytes, end: bool = False) -> bytes:
        return struct.pack(">II", stream, end << 24 | len(data)) + data

    @staticmethod
    def frames(sent: list[bytes]) -> list[tuple[int, bytes, bool]]:
        """(stream, data, ended) of the data frames."""
        raw, found = b"".join(sent), []
        while raw:
            first, second = struct.unpack_from(">II", raw)
            length = second & 0xFF_FFFF
            if not first & 0x8000_0000:
                found.append((first, raw[8 : 8 + length], bool(second >> 24 & 1)))
            raw = raw[8 + length :]
        return found


def test_the_dictionary_is_the_drafts():
    assert len(spdy.DICTIONARY) == 1423
    # The DICTID that every SPDY/3 stream names in its zlib header.
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_frames_come_in_any_pieces():
    client, sent = Client(), []
    raw = client.open(1, streamtype="stdin") + client.data(1, b"hello") + client.data(1, b"", end=True)
    raw += client.open(3, streamtype="error")
    connection = spdy.Connection(sent.append)
    events = [event for byte in raw for event in connection.receive(bytes([byte]))]
    assert events == [
        spdy.Opened(1, {"streamtype": "stdin"}),
        spdy.Data(1, b"hello"),
        spdy.Data(1, b"", True),
        spdy.Opened(3, {"streamtype": "error"}),
    ]


def test_a_ping_comes_back():
    sent: list[bytes] = []
    ping = struct.pack(">III", 0x8003_0006, 4, 7)
    assert spdy.Connection(sent.append).receive(ping) == []
    assert sent == [ping]


def test_large_data_goes_in_pieces_of_which_the_last_ends_it():
    sent: list[bytes] = []
    spdy.Connection(sent.append).send(5, b"x" * 100_000, end=True)
    assert [(len(data), ended) for _, data, ended in Client.frames(sent)] == [(65536, False), (34464, True)]


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">II", 0x8002_0001, 4) + b"abcd",  # SPDY/2
        struct.pack(">II", 0x8003_0001, 2) + b"ab",  # cut short
        struct.pack(">II", 0x8003_0001, 12) + b"\0" * 10 + b"xx",  # not zlib
        struct.pack(">II", 1, 0xFF_FFFF),  # more than anybody sends
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_no_spdy_breaks_the_connection(raw):
    connection = spdy.Connection(lambda _data: None)
    with pytest.raises(spdy.Broken):
        connection.receive(raw + b"\0" * 32)


class Echo:
    """A session that gives back what stdin gets, and ends with it."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] | None = []
        self.ready = lambda: None

    def write(self, channel: int, data: bytes) -> None:
        assert self.frames is not None
        self.frames.append((1, data))
        self.ready()

    def close_channel(self, channel: int) -> None:
        self.frames = None
        self.ready()

    def read(self) -> list[tuple[int, bytes]] | None:
        if self.frames is None:
            return None
        found, self.frames = self.frames, []
        return found

    def on_ready(self, callback) -> None:
        self.ready = callback

    def close(self) -> None:
        self.frames = None


class Backend:
    def answer(self, request: http.Request) -> http.Response:
        raise AssertionError

    def catch_up(self) -> None:
        pass


def test_a_command_has_a_stream_for_each_channel():
    client, sent, over = Client(), [], []
    session = Echo()
    command = tunnel.Command(Backend(), session, sent.append, lambda: over.append(True))
    command.receive(client.open(1, streamtype="error") + client.open(3, streamtype="stdin"))
    # What is said before the client has opened the stream for it waits.
    command.receive(client.data(3, b"early"))
    assert client.frames(sent) == []
    command.receive(client.open(5, streamtype="stdout"))
    command.receive(client.data(3, b"late"))
    assert client.frames(sent) == [(5, b"early", False), (5, b"late", False)]
    command.receive(client.data(3, b"", end=True))
    assert client.frames(sent)[2:] == [(1, b"", True), (3, b"", True), (5, b"", True)]
    assert over == [True]
