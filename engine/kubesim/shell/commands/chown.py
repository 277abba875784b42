"""chown, chgrp: files here belong to everybody; that they exist is checked."""

from __future__ import annotations

from kubesim.shell.context import Context, Usage


async def run(ctx: Context) -> int:
    words = [arg for arg in ctx.args if not arg.startswith("-")]
    if len(words) < 2:
        raise Usage(f"{ctx.name}: missing operand\n")
    status = 0
    for name in words[1:]:
        if not ctx.files.exists(ctx.path(name)):
            ctx.complain(f"{ctx.name}: cannot access '{name}': No such file or directory")
            status = 1
    return status
