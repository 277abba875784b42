"""ssh [USER@]NODE [COMMAND]: a command on another machine of the cluster."""

from __future__ import annotations

from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, options
from kubesim.shell.terminal import environment


async def run(ctx: Context) -> int:
    _, rest = options(ctx.args, flags="tTqnvA46", values="oiplF", name="ssh", stop=True)
    if not rest:
        raise Usage("usage: ssh [-o option] [-p port] destination [command [argument ...]]\n", 255)
    name = rest[0].rpartition("@")[2]
    machine = ctx.machine.neighbour(name)
    if machine is None:
        try:
            address = await sockets.resolve_one(ctx.machine, name)
        except sockets.Failed as error:
            raise Usage(f"ssh: Could not resolve hostname {name}: {error}\n", 255) from None
        raise Usage(f"ssh: connect to host {address} port 22: Connection refused\n", 255) from None
    argv = ["bash", "-c", " ".join(rest[1:])] if len(rest) > 1 else ["bash"]
    status = await ctx.call(
        argv, machine=machine, env=environment(machine), cwd=machine.home, shell=None, user=machine.user
    )
    if len(rest) == 1 and ctx.tty is not None:
        ctx.complain(f"Connection to {name} closed.")
    return status
