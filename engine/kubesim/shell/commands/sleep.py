"""sleep: in virtual time."""

from __future__ import annotations

import re

from kubesim.shell.context import Context, Usage

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str, name: str = "sleep") -> float:
    """ "1.5", "2m"; Usage for what is no time interval."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smhd]?)", text)
    if match is None:
        raise Usage(f"{name}: invalid time interval '{text}'\nTry '{name} --help' for more information.\n")
    return float(match[1]) * UNITS[match[2]]


async def run(ctx: Context) -> int:
    if not ctx.args:
        raise Usage("sleep: missing operand\nTry 'sleep --help' for more information.\n")
    if "infinity" in ctx.args:
        while True:
            await ctx.world.sleep(86400.0, background=True)
    await ctx.world.sleep(sum(seconds(text) for text in ctx.args), background=ctx.background)
    return 0
