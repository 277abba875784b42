"""docker exec|ps on a kind host: its nodes are containers there."""

from __future__ import annotations

from kubesim.errors import LearnerError
from kubesim.shell.context import Context, Usage, not_simulated, options
from kubesim.shell.terminal import environment


async def run(ctx: Context) -> int:
    if not ctx.args or ctx.args[0] != "exec":
        raise not_simulated(
            ctx, f"the command {ctx.args[0]!r}" if ctx.args else "this", "Known: docker exec [-it] NODE COMMAND"
        )
    found, rest = options(
        ctx.args[1:],
        flags="itd",
        values="ewu",
        long_flags=("interactive", "tty", "privileged", "detach"),
        long_values=("env", "workdir", "user"),
        name="docker exec",
        stop=True,
    )
    if len(rest) < 2:
        raise Usage('"docker exec" requires at least 2 arguments.\n')
    if ctx.machine.machines is None:
        raise Usage(
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n"
        )
    try:
        machine = ctx.machine.machines(f"node/{rest[0]}")
    except (LookupError, LearnerError):
        raise Usage(f"Error response from daemon: No such container: {rest[0]}\n") from None
    env = environment(machine)
    for each in found.get("e", []) + found.get("env", []):
        name, _, value = each.partition("=")
        env[name] = value
    cwd = (found.get("w") or found.get("workdir") or ["/"])[-1]
    return await ctx.call(rest[1:], machine=machine, env=env, cwd=cwd, shell=None, user="root")
