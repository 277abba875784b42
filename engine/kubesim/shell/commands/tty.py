"""tty"""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    ctx.print("/dev/pts/0" if ctx.terminal else "not a tty")
    return 0 if ctx.terminal else 1
