"""test, [ as a command on the disk (sudo test -f ...): the shell's own builtin does the work."""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    from kubesim.shell import interpreter
    from kubesim.shell.session import Session

    shell = interpreter.Shell(ctx.machine, Session(), ctx.env, ctx.cwd, {0: ctx.stdin, 1: ctx.out, 2: ctx.err})
    from kubesim.shell import builtins

    return await builtins.TABLE[ctx.name](shell, [ctx.name, *ctx.args])
