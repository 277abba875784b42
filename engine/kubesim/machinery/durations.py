"""Durations as Go writes and reads them, and ages as kubectl shows them.

Sources: Go's time.ParseDuration and Duration.String; apimachinery `pkg/util/duration/duration.go`.  All in seconds.
"""

from __future__ import annotations

import re

from kubesim.machinery import gotext

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")


class DurationError(ValueError):
    """The text is no duration; the message is Go's."""


def parse(text: str) -> float:
    """Seconds of "1h2m3s", "-1.5s", "300ms".  Raises DurationError."""
    bare = text[1:] if text[:1] in ("+", "-") else text
    if bare == "0":
        return 0.0
    total = 0.0
    at = 0
    while at < len(bare):
        part = _PART.match(bare, at)
        if part is None:
            raise DurationError(f"time: invalid duration {gotext.quote(text)}")
        number, unit = part.groups()
        if not unit:
            raise DurationError(f"time: missing unit in duration {gotext.quote(text)}")
        if unit not in _UNITS:
            raise DurationError(f"time: unknown unit {gotext.quote(unit)} in duration {gotext.quote(text)}")
        total += float(number) * _UNITS[unit] / 1e9
        at = part.end()
    if not bare:
        raise DurationError(f"time: invalid duration {gotext.quote(text)}")
    return -total if text.startswith("-") else total


def format(seconds: float) -> str:
    """Go's Duration.String: "1h2m3s", "1.5s", "300ms", "0s"."""
    nanoseconds = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < 1000 * _UNITS[unit]:
            return f"{sign}{_decimal(nanoseconds, _UNITS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{str(rest).zfill(digits)}".rstrip("0")


def human(seconds: float) -> str:
    """duration.HumanDuration: an age of two or three figures."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    total = int(seconds)
    if total < 60 * 2:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return f"{hours // 24}d{hours % 24}h" if hours % 24 else f"{hours // 24}d"
    if hours < 24 * 365 * 2:
        return f"{hours // 24}d"
    days = hours // 24
    years = days // 365
    if hours < 24 * 365 * 8 and days % 365:
        return f"{years}y{days % 365}d"
    return f"{years}y"


def short(seconds: float) -> str:
    """duration.ShortHumanDuration: one figure."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    for unit, size, limit in (("s", 1, 60), ("m", 60, 60), ("h", 3600, 24), ("d", 86400, 365)):
        if int(seconds // size) < limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // (86400 * 365))}y"
