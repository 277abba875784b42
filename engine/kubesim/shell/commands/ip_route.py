"""route -n (net-tools)"""

from __future__ import annotations

from kubesim.net import address
from kubesim.shell.context import Context, not_simulated, options


async def run(ctx: Context) -> int:
    _, rest = options(ctx.args, flags="nve", name="route")
    if rest:
        raise not_simulated(ctx, rest[0], "Use: ip route")
    ctx.print("Kernel IP routing table")
    ctx.print("Destination     Gateway         Genmask         Flags Metric Ref    Use Iface")
    for route in ctx.machine.net.routes.all():
        prefix = address.prefix("0.0.0.0/0" if route.destination == "default" else route.destination)
        flags = "U" + ("G" if route.via else "") + ("H" if prefix.length == 32 else "")
        mask = address.text(prefix.mask)
        base = address.text(prefix.base)
        ctx.print(
            f"{base:<15} {route.via or '0.0.0.0':<15} {mask:<15} {flags:<5} {route.metric:<6} 0        0 {route.device}"
        )
    return 0
