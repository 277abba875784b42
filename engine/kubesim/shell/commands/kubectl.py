"""kubectl, k: the kubectl of `kubesim.kubectl`, with this machine's files, clock and way to the API server."""

from __future__ import annotations

from kubesim.shell.context import Context
from kubesim.shell.streams import Null, decode, encode

# What a kubectl command takes on a nearby cluster, in virtual seconds, most of it to start.  Time is what lets the
# cluster act on a command before the next one comes; without it a script would outrun every controller.
SECONDS = 0.05


async def run(ctx: Context) -> int:
    from kubesim.kubectl import io, main

    machine = ctx.machine

    async def stdin() -> bytes:
        return encode(await ctx.stdin.read_some())

    async def execute(argv: list[str]) -> int:
        return await ctx.call(argv)

    into = io.IO(
        out=lambda data: ctx.out.write(decode(data)),
        err=lambda data: ctx.err.write(decode(data)),
        files=ctx.files,
        now=lambda: ctx.world.now,
        wait=io.wait_in(ctx.world),
        transport=machine.api,
        stdin=stdin,
        # Nothing was given to it, and a person could look on: as far as kubectl asks, that is a terminal.
        stdin_is_terminal=ctx.shell is not None and isinstance(ctx.stdin, Null),
        spawn=lambda coro: ctx.world.spawn(coro, "kubectl"),
        env=dict(ctx.env),
        cwd=ctx.cwd,
        home=machine.home,
        execute=execute,
    )
    status = await main.run(ctx.args, into)
    await ctx.world.sleep(SECONDS)
    return status
