"""clear"""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    if ctx.terminal:
        ctx.out.write("\x1b[H\x1b[2J\x1b[3J")
    return 0
