"""Addresses as numbers: what longest-prefix matching and `-s 10.244.0.0/16` compute with.

Addresses travel as canonical text; the number of one is remembered, because a cluster has few and asks often.
"""

from __future__ import annotations

import functools
from typing import NamedTuple


class Prefix(NamedTuple):
    """A range of addresses: `base` and `mask` as numbers, `length` in bits, `bits` 32 or 128."""

    base: int
    mask: int
    length: int
    bits: int

    def contains(self, address: str) -> bool:
        return (self.bits == 128) == (":" in address) and number(address) & self.mask == self.base

    def __str__(self) -> str:
        return f"{text(self.base, self.bits)}/{self.length}"


@functools.lru_cache(maxsize=65536)
def number(address: str) -> int:
    """The address as an unsigned integer.  Raises ValueError when it is none."""
    if ":" in address:
        import ipaddress  # only IPv6 needs it

        return int(ipaddress.IPv6Address(address))
    parts = address.split(".")
    if len(parts) != 4:
        raise ValueError(f"not an IP address: {address!r}")
    value = 0
    for part in parts:
        if not part.isascii() or not part.isdigit() or int(part) > 255:
            raise ValueError(f"not an IP address: {address!r}")
        value = value << 8 | int(part)
    return value


@functools.lru_cache(maxsize=65536)
def text(value: int, bits: int = 32) -> str:
    """The canonical text of an address."""
    if bits == 128:
        import ipaddress

        return str(ipaddress.IPv6Address(value))
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def canonical(address: str) -> str:
    """The address in the form in which this package compares it.  Raises ValueError when it is none."""
    return text(number(address), 128 if ":" in address else 32)


def is_address(word: str) -> bool:
    """Whether it is an IP address at all."""
    try:
        number(word)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=65536)
def prefix(word: str) -> Prefix:
    """ "10.244.0.0/16", "10.0.0.1" or "10.0.0.0/255.0.0.0" as a range; host bits are cleared.  ValueError when it is none."""
    address, slash, length = word.partition("/")
    bits = 128 if ":" in address else 32
    if not slash:
        size = bits
    elif length.isdigit():
        size = int(length)
    else:
        given = number(length)
        size = given.bit_count()
        if given != _mask(size, bits):
            raise ValueError(f"not a contiguous mask: {length!r}")
    if size > bits:
        raise ValueError(f"not a prefix length: {length!r}")
    mask = _mask(size, bits)
    return Prefix(number(address) & mask, mask, size, bits)


def _mask(length: int, bits: int) -> int:
    return ((1 << length) - 1) << (bits - length)


def is_loopback(address: str) -> bool:
    """127.0.0.0/8 or ::1."""
    return address.startswith("127.") or address == "::1"
