"""Names, uids and times: all that would be random or read off a clock elsewhere comes from the world here."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from kubesim.world import World

# apimachinery util/rand: no vowels (no accidental words), nothing easily mistaken for another.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def suffix(world: World, length: int = 5) -> str:
    """A name suffix as `generateName` makes it (apimachinery `util/rand.String`)."""
    rng = world.rng("names")
    return "".join(rng.choice(ALPHABET) for _ in range(length))


def uid(world: World) -> str:
    """A version 4 UUID out of the world's seed."""
    return str(uuid.UUID(int=world.rng("uids").getrandbits(128), version=4))


def safe_encode(text: str) -> str:
    """apimachinery `rand.SafeEncodeString`: each character folded into the alphabet above."""
    return "".join(ALPHABET[ord(character) % len(ALPHABET)] for character in text)


def fnv32a(data: bytes) -> int:
    """The 32-bit FNV-1a hash, as Go's hash/fnv."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def utc(seconds: float) -> datetime:
    """The date and time in UTC, for logs and headers with forms of their own."""
    return datetime.fromtimestamp(seconds, UTC)


def timestamp(seconds: float) -> str:
    """metav1.Time: RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(seconds: float) -> str:
    """metav1.MicroTime: RFC 3339 in UTC, six digits of a second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch of a metav1.Time or MicroTime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
