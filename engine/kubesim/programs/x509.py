"""Real certificates: their facts, read from DER.  What a learner's own OpenSSL has made works in the cluster, too.

Sources: RFC 5280 section 4 (the fields), X.690 (DER).  Signatures are not verified: as everywhere here, a key's id stands for
what only its holder can sign.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

SEQUENCE, UTC_TIME = 0x30, 0x17
VERSION, EXTENSIONS = 0xA0, 0xA3  # [0] and [3] of a TBSCertificate
DNS_NAME, IP_ADDRESS, KEY_ID = 0x82, 0x87, 0x80  # [2] and [7] of a GeneralName, [0] of an AuthorityKeyIdentifier
# Attribute types of a Name, as OpenSSL abbreviates them; by the bytes of their OID.
ATTRIBUTES = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("2a864886f70d010901"): "emailAddress",
}
SUBJECT_KEY, ALT_NAMES, CONSTRAINTS, AUTHORITY_KEY = (bytes((0x55, 0x1D, number)) for number in (14, 17, 19, 35))


def facts(der: bytes) -> dict[str, Any]:
    """The fields of a `tls.Certificate`.  ValueError if it is no certificate."""
    try:
        return _facts(der)
    except (IndexError, StopIteration) as error:
        raise ValueError("not a certificate") from error


def _facts(der: bytes) -> dict[str, Any]:
    fields = list(_parts(next(_parts(_only(der, SEQUENCE)))[1]))
    if fields[0][0] == VERSION:
        fields.pop(0)
    serial, _algorithm, issuer, validity, subject, public = (content for _, content in fields[:6])
    extensions = _extensions(next((content for tag, content in fields if tag == EXTENSIONS), b""))
    _, (_, key_bits) = _parts(public)
    # What OpenSSL makes an id of where none is written: RFC 5280 section 4.2.1.2, method (1).
    key = extensions.get(SUBJECT_KEY, b"\x04\x14" + hashlib.sha1(key_bits[1:]).digest())[2:].hex()
    begins, ends = (_time(tag, content) for tag, content in _parts(validity))
    return {
        "subject": _name(subject),
        "issuer": _name(issuer),
        "not_before": begins,
        "not_after": ends,
        "key": key,
        "issuer_key": _authority(extensions) or (key if issuer == subject else "unknown"),
        "sans": tuple(_alternatives(extensions)),
        "authority": any(content != b"\0" for _, content in _within(extensions, CONSTRAINTS)),
        "serial": serial.hex().removeprefix("00") or "00",
    }


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value, one after the other."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("a value is cut off")
        yield tag, data[at : at + length]
        at += length


def _only(data: bytes, expected: int) -> bytes:
    """The content of the one value there is."""
    ((tag, content),) = _parts(data)
    if tag != expected:
        raise ValueError(f"tag {tag:#x} instead of {expected:#x}")
    return content


def _name(content: bytes) -> str:
    """"O=Example, CN=shop.example"."""
    parts = []
    for _, many in _parts(content):
        for _, pair in _parts(many):
            (_, oid), (tag, value) = _parts(pair)
            # BMPString is two bytes a character, all others are read as UTF-8.
            text = value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace")
            parts.append(f"{ATTRIBUTES.get(oid, oid.hex())}={text}")
    return ", ".join(parts)


def _time(tag: int, content: bytes) -> float:
    """Seconds since the epoch.  Two digits of a year are of 1950 to 2049: RFC 5280 section 4.1.2.5.1."""
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _extensions(content: bytes) -> dict[bytes, bytes]:
    """What each extension says, by its OID."""
    found = {}
    for _, listed in _parts(content):
        for _, extension in _parts(listed):
            (_, oid), *_critical, (_, value) = _parts(extension)
            found[oid] = value
    return found


def _within(extensions: dict[bytes, bytes], oid: bytes) -> Iterator[tuple[int, bytes]]:
    if oid in extensions:
        yield from _parts(_only(extensions[oid], SEQUENCE))


def _authority(extensions: dict[bytes, bytes]) -> str:
    return next((content.hex() for tag, content in _within(extensions, AUTHORITY_KEY) if tag == KEY_ID), "")


def _alternatives(extensions: dict[bytes, bytes]) -> Iterator[str]:
    for tag, content in _within(extensions, ALT_NAMES):
        if tag == DNS_NAME:
            yield f"DNS:{content.decode('ascii')}"
        elif tag == IP_ADDRESS:
            yield f"IP:{ipaddress.ip_address(content)}"
