"""Apache's password files, as far as Python's own hashes go: {SHA} and $apr1$ (apr `crypto/apr_md5.c`)."""

from __future__ import annotations

import base64
import hashlib


def matches(password: str, digest: str) -> bool:
    """htpasswd's {SHA} and $apr1$."""
    if digest.startswith("{SHA}"):
        return base64.b64encode(hashlib.sha1(password.encode()).digest()).decode() == digest[5:]
    if digest.startswith("$apr1$"):
        return apr1(password, digest.split("$")[2]) == digest
    return False


_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def apr1(password: str, salt: str) -> str:
    """Apache's iterated MD5 (apr_md5.c)."""
    word, grain = password.encode(), salt[:8].encode()
    inner = hashlib.md5(word + grain + word).digest()
    text = word + b"$apr1$" + grain
    text += b"".join(inner[: min(16, left)] for left in range(len(word), 0, -16))
    left = len(word)
    while left:
        text += b"\0" if left & 1 else word[:1]
        left >>= 1
    final = hashlib.md5(text).digest()
    for turn in range(1000):
        part = word if turn & 1 else final
        part += grain if turn % 3 else b""
        part += word if turn % 7 else b""
        part += final if turn & 1 else word
        final = hashlib.md5(part).digest()
    out = ""
    for a, b, c in ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)):
        out += _to64(final[a] << 16 | final[b] << 8 | final[c], 4)
    return f"$apr1${salt[:8]}${out + _to64(final[11], 2)}"


def _to64(value: int, count: int) -> str:
    return "".join(_ITOA64[value >> 6 * each & 0x3F] for each in range(count))
