"""kubectl, k: the kubectl of `kubesim.kubectl`, with this machine's files, clock and way to the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubesim import http
from kubesim.machine import Machine
from kubesim.shell import ports
from kubesim.shell.context import Context
from kubesim.shell.streams import Null, decode, encode

if TYPE_CHECKING:
    from kubesim.kubectl import config, io

# What a kubectl command takes on a nearby cluster, in virtual seconds, most of it to start.  Time is what lets the
# cluster act on a command before the next one comes; without it a script would outrun every controller.
SECONDS = 0.05


def _connect(machine: Machine, target: config.Target) -> io.Transport:
    """The way to the server that a kubeconfig or a flag names, if it is the cluster's; elsewhere nobody listens."""
    from kubesim.kubectl import io

    assert machine.api is not None
    parts = urlsplit(target.server)
    address = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    if not machine.api_addresses or address in machine.api_addresses:
        return machine.api

    def refused(_request: http.Request) -> http.Response:
        raise io.Refused(parts.netloc)

    return refused


async def run(ctx: Context) -> int:
    from kubesim.kubectl import io, main

    machine, tty = ctx.machine, ctx.tty

    async def stdin() -> bytes:
        return encode(await ctx.stdin.read_some())

    async def execute(argv: list[str]) -> int:
        return await ctx.call(argv)

    def raw(on: bool) -> None:
        assert tty is not None
        tty.canonical = not on

    into = io.IO(
        out=lambda data: ctx.out.write(decode(data)),
        err=lambda data: ctx.err.write(decode(data)),
        files=ctx.files,
        now=lambda: ctx.world.now,
        wait=io.wait_in(ctx.world),
        transport=machine.api,
        connect=(lambda target: _connect(machine, target)) if machine.api is not None else None,
        stdin=stdin,
        # Where nothing was given to it, a person could look on: as far as kubectl asks, that is a terminal too.
        stdin_is_terminal=tty is not None or (ctx.shell is not None and isinstance(ctx.stdin, Null)),
        raw=raw if tty is not None else None,
        spawn=lambda coro: ctx.world.spawn(coro, "kubectl"),
        env=dict(ctx.env),
        cwd=ctx.cwd,
        home=machine.home,
        cache=machine.discovered,
        execute=execute,
        listen=lambda address, port: ports.listen(machine, address, port),
    )
    status = await main.run(ctx.args, into)
    await ctx.world.sleep(SECONDS)
    return status
