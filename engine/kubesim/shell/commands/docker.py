"""docker ps|exec|stop|start|restart where the cluster's machines are containers: the nodes of kind, and a box before them."""

from __future__ import annotations

from kubesim.machine import Machine
from kubesim.shell.context import Context, Usage, not_simulated, options
from kubesim.shell.terminal import environment

POWER = {"stop": (False,), "kill": (False,), "start": (True,), "restart": (False, True)}


async def run(ctx: Context) -> int:
    verb = ctx.args[0] if ctx.args else ""
    if verb == "exec":
        return await _exec(ctx)
    if verb not in POWER:
        raise not_simulated(
            ctx,
            f"the command {verb!r}" if verb else "this",
            "Known: docker exec [-it] NODE COMMAND, docker stop|start|restart|kill NODE",
        )
    _, names = options(ctx.args[1:], values="ts", long_values=("time", "signal", "timeout"), name=f"docker {verb}")
    if not names:
        raise Usage(f'"docker {verb}" requires at least 1 argument.\n')
    status = 0
    for name in names:
        try:
            machine = _find(ctx, name)
        except Usage as error:
            ctx.err.write(error.message)
            status = 1
            continue
        assert machine.power is not None
        for on in POWER[verb]:
            machine.power(on)
        ctx.print(name)
    return status


async def _exec(ctx: Context) -> int:
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
    machine = _find(ctx, rest[0])
    env = environment(machine)
    for each in found.get("e", []) + found.get("env", []):
        name, _, value = each.partition("=")
        env[name] = value
    cwd = (found.get("w") or found.get("workdir") or ["/"])[-1]
    return await ctx.call(rest[1:], machine=machine, env=env, cwd=cwd, shell=None, user="root")


def _find(ctx: Context, name: str) -> Machine:
    """The machine of that name, a node or a box."""
    if ctx.machine.machines is None:
        raise Usage(
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n"
        )
    machine = ctx.machine.neighbour(name)
    if machine is None:
        raise Usage(f"Error response from daemon: No such container: {name}\n")
    return machine
