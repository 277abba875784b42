"""minikube ip, minikube ssh"""

from __future__ import annotations

from kubesim.errors import LearnerError
from kubesim.shell.context import Context, Usage, not_simulated
from kubesim.shell.terminal import environment


async def run(ctx: Context) -> int:
    verb, rest = (ctx.args[0], ctx.args[1:]) if ctx.args else ("", [])
    if verb not in ("ip", "ssh"):
        raise not_simulated(ctx, f"the command {verb!r}", "Known: minikube ip, minikube ssh -- COMMAND")
    try:
        if ctx.machine.machines is None:
            raise LookupError
        node = ctx.machine.machines("node/minikube")
    except (LookupError, LearnerError):
        raise Usage('* Profile "minikube" not found. Run "minikube profile list" to view all profiles.\n', 85) from None
    if verb == "ip":
        ctx.print(node.net.addresses()[0])
        return 0
    argv = rest[1:] if rest[:1] == ["--"] else rest
    return await ctx.call(
        argv or ["bash"], machine=node, env=environment(node), cwd=node.home, shell=None, user=node.user
    )
