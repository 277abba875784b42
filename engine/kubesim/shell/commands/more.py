"""more, less: there is no screen to page through, so all of it."""

from __future__ import annotations

from kubesim.shell.context import Context
from kubesim.shell.streams import decode


async def run(ctx: Context) -> int:
    names = [arg for arg in ctx.args if not arg.startswith(("-", "+"))]
    for name in names:
        ctx.out.write(decode(ctx.files.read_bytes(ctx.path(name))))
    if not names:
        ctx.out.write(await ctx.stdin.read())
    return 0
