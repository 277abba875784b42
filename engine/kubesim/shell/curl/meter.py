"""curl's progress meter (src/tool_progress.c, lib/progress.c), as it stands on stderr when the output is not a terminal."""

from __future__ import annotations

HEAD = (
    "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n"
    "                                 Dload  Upload   Total   Spent    Left  Speed\n"
)


def size(value: float) -> str:
    """Five characters for a number of bytes (max5data)."""
    count = int(value)
    if count < 100000:
        return f"{count:5d}"
    for unit, factor in (("k", 1024), ("M", 1024**2), ("G", 1024**3)):
        if count < 10000 * factor:
            if unit != "k" and count < 100 * factor:
                return f"{count // factor:2d}.{count % factor // (factor // 10):d}{unit}"
            return f"{count // factor:4d}{unit}"
    return f"{count // 1024**4:4d}T"


def clock(seconds: float) -> str:
    whole = int(seconds)
    if whole <= 0:
        return "--:--:--"
    return f"{whole // 3600:2d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def line(spent: float, received: int, expected: int | None, sent: int) -> str:
    """One state of the meter, with its carriage return."""
    total = (received if expected is None else expected) + sent
    down = 100 if expected and received >= expected else (received * 100 // expected if expected else 0)
    percent = 100 if total and received + sent >= total and expected is not None else 0
    speed = received / spent if spent > 0 else 0
    up = sent / spent if spent > 0 else 0
    left = "--:--:--"
    share = f"{100 if sent else 0:3d} {size(sent)}"
    return (
        f"\r{percent:3d} {size(total)}  {down:3d} {size(received)}  {share}  {size(speed)}  {size(up)} "
        f"{left if spent < 1 or expected is None else clock(spent)} {clock(spent)} {left} {size(speed)}"
    )
