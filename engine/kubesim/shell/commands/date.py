"""date: the world's clock, in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from kubesim import ids
from kubesim.shell.context import Context, Usage, options

UNITS = {"sec": 1, "second": 1, "min": 60, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


async def run(ctx: Context) -> int:
    found, rest = options(
        ctx.args,
        flags="uR",
        values="dIr",
        long_flags=("utc", "universal", "rfc-email"),
        long_values=("date", "iso-8601", "rfc-3339"),
        name="date",
    )
    now = ids.utc(ctx.world.now)
    text = (found.get("d") or found.get("date") or [""])[-1]
    if text:
        now = _parse(text, now)
    form = next((each[1:] for each in rest if each.startswith("+")), "%a %b %e %H:%M:%S UTC %Y")
    if "R" in found or "rfc-email" in found:
        form = "%a, %d %b %Y %H:%M:%S +0000"
    ctx.print(_format(form, now))
    return 0


def _parse(text: str, now: datetime) -> datetime:
    if text.startswith("@"):
        return ids.utc(float(text[1:]))
    words = {"now": 0, "today": 0, "yesterday": -86400, "tomorrow": 86400}
    if text in words:
        return now + timedelta(seconds=words[text])
    match = re.fullmatch(r"([+-]?\d+)\s*([a-z]+?)s?(\s+ago)?", text.strip())
    if match and match[2] in UNITS:
        return now + timedelta(seconds=int(match[1]) * UNITS[match[2]] * (-1 if match[3] else 1))
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise Usage(f"date: invalid date '{text}'\n") from None
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def _format(form: str, now: datetime) -> str:
    own = {
        "%s": str(int(now.timestamp())),
        "%N": f"{now.microsecond * 1000:09d}",
        "%3N": f"{now.microsecond // 1000:03d}",
        "%6N": f"{now.microsecond:06d}",
        "%e": f"{now.day:2d}",
        "%F": now.strftime("%Y-%m-%d"),
        "%T": now.strftime("%H:%M:%S"),
        "%R": now.strftime("%H:%M"),
        "%D": now.strftime("%m/%d/%y"),
        "%Z": "UTC",
        "%z": "+0000",
        "%:z": "+00:00",
        "%n": "\n",
        "%t": "\t",
        "%k": f"{now.hour:2d}",
        "%l": f"{(now.hour - 1) % 12 + 1:2d}",
        "%%": "%",
    }
    return re.sub(r"%(?:[36]N|:z|.)", lambda m: own[m[0]] if m[0] in own else now.strftime(m[0]), form)
