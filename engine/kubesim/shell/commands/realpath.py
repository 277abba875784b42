"""realpath"""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    for name in [arg for arg in ctx.args if not arg.startswith("-")]:
        ctx.print(ctx.files.resolve(ctx.path(name)))
    return 0
