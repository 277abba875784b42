"""true, false"""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    return int(ctx.name == "false")
