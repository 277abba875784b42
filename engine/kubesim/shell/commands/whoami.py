"""whoami"""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    ctx.print(ctx.user)
    return 0
