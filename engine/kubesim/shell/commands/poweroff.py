"""poweroff: the machine is gone from the network, and what ran on it with it.

Who puts it in again: `docker start NODE` on the computer outside.
"""

from __future__ import annotations

from kubesim.shell.context import Context, not_simulated


async def run(ctx: Context) -> int:
    if ctx.machine.power is None:
        raise not_simulated(ctx, "this on a machine of this kind", "Nodes and load balancers have a plug.")
    ctx.machine.power(False)
    return 0
