"""yes"""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    line = " ".join(ctx.args) or "y"
    while True:
        for _ in range(64):
            ctx.print(line)
        # Let the reader have its turn: it ends us by closing the pipe.
        await ctx.world.sleep(0)
