"""timeout"""

from __future__ import annotations

from kubesim.shell.commands.sleep import seconds
from kubesim.shell.context import Context, Usage, options
from kubesim.world import TimedOut


async def run(ctx: Context) -> int:
    found, rest = options(
        ctx.args,
        flags="vt",
        values="ks",
        long_flags=("preserve-status", "foreground", "verbose"),
        long_values=("kill-after", "signal"),
        name="timeout",
        stop=True,
    )
    if len(rest) < 2:
        raise Usage("timeout: missing operand\nTry 'timeout --help' for more information.\n", 125)
    limit = seconds(rest[0], "timeout")
    try:
        return await ctx.world.wait_for(ctx.call(rest[1:]), limit or None)
    except TimedOut:
        killed = "KILL" in (found.get("s") or found.get("signal") or [""])[-1] or "9" in found.get("s", [])
        return 137 if killed else 143 if "preserve-status" in found else 124
