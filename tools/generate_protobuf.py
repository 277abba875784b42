"""Make schema/protobuf.txt: the numbers of the fields of every type, as Kubernetes' protobuf encoding has them.

Typed clients (kubectl create, auth can-i, ...) send protobuf.  The numbers are facts of the wire; they are read from the
(gzipped) file descriptors that a kubectl binary up to 1.33 carries.

    tools/generate_protobuf.py /path/to/kubectl engine/kubesim/schema/protobuf.txt
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from kubesim import schema
from kubesim.schema import types


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        match tag & 7:
            case 0:
                value, at = varint(data, at)
                yield tag >> 3, value
            case 1:
                yield tag >> 3, data[at : at + 8]
                at += 8
            case 2:
                length, at = varint(data, at)
                yield tag >> 3, data[at : at + length]
                at += length
            case 5:
                yield tag >> 3, data[at : at + 4]
                at += 4
            case _:
                raise ValueError("no wire type of proto2")


def descriptors(binary: bytes) -> Iterator[bytes]:
    for match in re.finditer(rb"\x1f\x8b\x08", binary):
        try:
            data = zlib.decompressobj(31).decompress(binary[match.start() : match.start() + 400_000])
        except zlib.error:
            continue
        if b"generated.proto" in data[:200]:
            yield data


def messages(file: bytes) -> Iterator[tuple[str, dict[str, int]]]:
    """descriptor.proto: FileDescriptorProto.package = 2, message_type = 4; DescriptorProto.name = 1, field = 2;
    FieldDescriptorProto.name = 1, number = 3."""
    package = next(value for number, value in fields(file) if number == 2)
    assert isinstance(package, bytes)
    for number, message in fields(file):
        if number == 4 and isinstance(message, bytes):
            name = next(value for n, value in fields(message) if n == 1)
            found = {}
            for n, field in fields(message):
                if n == 2 and isinstance(field, bytes):
                    parts = dict(fields(field))
                    assert isinstance(parts[1], bytes)
                    assert isinstance(parts[3], int)
                    found[parts[1].decode()] = parts[3]
            assert isinstance(name, bytes)
            yield f"{package.decode()}.{name.decode()}", found


def main(binary: Path, target: Path) -> None:
    known: dict[str, dict[str, int]] = {}
    for file in descriptors(binary.read_bytes()):
        for name, found in messages(file):
            parts = name.split(".")
            known[".".join(parts[-3:])] = found
    lines = []
    for name in types.names():
        numbers = known.get(name, {})
        found = schema.find_type(name)
        assert found is not None
        kept = [f"{field}={numbers[field]}" for field in found.fields if field in numbers]
        if kept:
            lines.append(" ".join([name, *kept]))
    target.write_text("\n".join(lines) + "\n")
    print(len(known), "messages read,", len(lines), "types written")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
