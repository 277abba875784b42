"""gRPC as far as health checks need it: one call over HTTP/2, `grpc.health.v1.Health/Check`.

Sources: RFC 9113 (frames), RFC 7541 (HPACK), grpc's PROTOCOL-HTTP2.md, health.proto.  Left out: Huffman coding and the dynamic
table (nobody here writes them), several streams at once, flow control beyond the first window.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PATH = "/grpc.health.v1.Health/Check"
# health.proto's ServingStatus, and the codes of google.rpc.Code that are used here.
SERVING, NOT_SERVING = 1, 2
STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
OK, NOT_FOUND, UNIMPLEMENTED = 0, 5, 12
CODE_NAMES = {NOT_FOUND: "NotFound", UNIMPLEMENTED: "Unimplemented"}
# RFC 7541, appendix A: the part of the static table that both ends need by number.
STATIC = {1: (":authority", ""), 2: (":method", "GET"), 3: (":method", "POST"), 4: (":path", "/"), 6: (":scheme", "http"),
          8: (":status", "200"), 31: ("content-type", "")}  # fmt: skip

Headers = list[tuple[str, str]]


class Wire(Protocol):
    async def send(self, data: bytes) -> None: ...
    async def recv(self) -> bytes: ...


class GrpcError(Exception):
    """What came is not gRPC, or ended in the middle."""


class CallFailed(Exception):
    """The call was answered with a status other than OK: `code` of google.rpc.Code, and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


# -- frames and headers --------------------------------------------------------------------------------------


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def headers(pairs: Headers) -> bytes:
    """HPACK: each a literal without indexing, its name written out (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in pairs)


def _string(text: str) -> bytes:
    data = text.encode()
    if len(data) >= 127:
        raise GrpcError("a header of 127 bytes or more is not simulated")
    return bytes([len(data)]) + data


def parse_headers(block: bytes) -> Headers:
    """Headers of a block.  GrpcError for what is broken, or needs the dynamic table or Huffman's code."""
    found: Headers = []
    at = 0
    try:
        while at < len(block):
            first = block[at]
            at += 1
            if first & 0x80:
                found.append(STATIC[first & 0x7F])
                continue
            index = first & (0x3F if first & 0x40 else 0x0F)
            if index:
                name = STATIC[index][0]
            else:
                name, at = _parse_string(block, at)
            value, at = _parse_string(block, at)
            found.append((name, value))
    except (IndexError, KeyError, UnicodeDecodeError):
        raise GrpcError("a header block that is not simulated") from None
    return found


def _parse_string(block: bytes, at: int) -> tuple[str, int]:
    length = block[at]
    if length & 0x80 or length == 0x7F or at + 1 + length > len(block):
        raise GrpcError("a header in Huffman's code is not simulated")
    return block[at + 1 : at + 1 + length].decode(), at + 1 + length


class Frames:
    """The frames that come over a wire, one after the other."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = b""

    async def exactly(self, count: int) -> bytes:
        """So many bytes.  GrpcError at the end of the data."""
        while len(self._buffer) < count:
            data = await self._wire.recv()
            if not data:
                raise GrpcError("EOF")
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    async def next(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and payload."""
        head = await self.exactly(9)
        length = int.from_bytes(head[:3], "big")
        if head.startswith(b"HTTP/1") or length > 16384:
            raise GrpcError("error reading server preface: http2: failed reading the frame payload")
        return head[3], head[4], int.from_bytes(head[5:], "big"), await self.exactly(length)


# -- health --------------------------------------------------------------------------------------------------


def _message(body: bytes) -> bytes:
    """A length-prefixed message, not compressed."""
    return b"\x00" + len(body).to_bytes(4, "big") + body


async def check(wire: Wire, authority: str, service: str) -> int:
    """Ask once: the ServingStatus.  CallFailed, or GrpcError when no gRPC server answers."""
    name = service.encode()
    request = [(":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", authority)]
    request += [("content-type", "application/grpc"), ("user-agent", "kube-probe/1"), ("te", "trailers")]
    await wire.send(
        PREFACE
        + frame(SETTINGS, 0, 0)
        + frame(HEADERS, END_HEADERS, 1, headers(request))
        + frame(DATA, END_STREAM, 1, _message(b"\x0a" + bytes([len(name)]) + name if name else b""))
    )
    frames = Frames(wire)
    status, told = 0, dict[str, str]()
    while True:
        kind, flags, stream, payload = await frames.next()
        if kind == SETTINGS and not flags & ACK:
            await wire.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            await wire.send(frame(PING, ACK, 0, payload))
        elif kind in (GOAWAY, RST_STREAM):
            raise GrpcError("the server ended the call")
        elif stream == 1 and kind == HEADERS:
            told.update(parse_headers(payload))
        elif stream == 1 and kind == DATA:
            status = payload[6] if payload[5:6] == b"\x08" else 0
        if stream == 1 and flags & END_STREAM:
            break
    code = int(told.get("grpc-status", "2"))
    if code != OK:
        raise CallFailed(code, told.get("grpc-message", ""))
    return status


# Answers `service` with a ServingStatus, or None when it knows no such service.
Health = Callable[[str], Awaitable[int | None]]


async def serve(wire: Wire, health: Health) -> None:
    """Answer the calls of one connection, to its end.  GrpcError when the client does not speak HTTP/2."""
    frames = Frames(wire)
    if await frames.exactly(len(PREFACE)) != PREFACE:
        raise GrpcError("bad client preface")
    await wire.send(frame(SETTINGS, 0, 0))
    asked: dict[int, Headers] = {}
    bodies: dict[int, bytes] = {}
    while True:
        kind, flags, stream, payload = await frames.next()
        if kind == SETTINGS and not flags & ACK:
            await wire.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            await wire.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            return
        elif kind == HEADERS:
            asked[stream] = parse_headers(payload)
        elif kind == DATA:
            bodies[stream] = bodies.get(stream, b"") + payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            await wire.send(await _answer(stream, asked.pop(stream, []), bodies.pop(stream, b""), health))


async def _answer(stream: int, request: Headers, body: bytes, health: Health) -> bytes:
    head: Headers = [(":status", "200"), ("content-type", "application/grpc")]
    path = dict(request).get(":path", "")
    if path != PATH:
        end = [*head, ("grpc-status", str(UNIMPLEMENTED)), ("grpc-message", f"unknown service {path.split('/')[1]}")]
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, headers(end))
    message = body[5:]
    service = message[2 : 2 + message[1]].decode() if message[:1] == b"\x0a" else ""
    status = await health(service)
    if status is None:
        end = [*head, ("grpc-status", str(NOT_FOUND)), ("grpc-message", "unknown service")]
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, headers(end))
    return (
        frame(HEADERS, END_HEADERS, stream, headers(head))
        + frame(DATA, 0, stream, _message(b"\x08" + bytes([status])))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, headers([("grpc-status", "0")]))
    )
