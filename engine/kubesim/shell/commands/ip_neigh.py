"""arp -n (net-tools, BusyBox)"""

from __future__ import annotations

from kubesim.shell.commands import ip
from kubesim.shell.context import Context, busybox, options


async def run(ctx: Context) -> int:
    options(ctx.args, flags="nae", name="arp")
    if busybox(ctx.machine):
        for address, interface, mac in ip.neighbours(ctx):
            if ":" not in address:
                ctx.print(f"? ({address}) at {mac} [ether]  on {interface.name}")
        return 0
    ctx.print("Address                  HWtype  HWaddress           Flags Mask            Iface")
    for address, interface, mac in ip.neighbours(ctx):
        if ":" not in address:
            ctx.print(f"{address:<24} ether   {mac:<19} C                     {interface.name}")
    return 0
