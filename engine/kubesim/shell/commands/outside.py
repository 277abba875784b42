"""outside CMD: run a command on the computer beyond the cluster (the course's own; on a real cluster it is your laptop)."""

from __future__ import annotations

from kubesim.shell.context import Context, Usage
from kubesim.shell.terminal import environment


async def run(ctx: Context) -> int:
    if ctx.machine.machines is None:
        raise Usage("outside: this machine knows no other\n", 127)
    if not ctx.args:
        raise Usage("usage: outside COMMAND [ARG ...]\n", 2)
    machine = ctx.machine.machines("outside")
    return await ctx.call(
        ctx.args, machine=machine, env=environment(machine), cwd=machine.home, shell=None, user=machine.user
    )
