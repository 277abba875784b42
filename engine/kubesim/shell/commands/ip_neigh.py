"""arp -n (net-tools)"""

from __future__ import annotations

from kubesim.shell.commands import ip
from kubesim.shell.context import Context, options


async def run(ctx: Context) -> int:
    options(ctx.args, flags="nae", name="arp")
    ctx.print("Address                  HWtype  HWaddress           Flags Mask            Iface")
    for address, interface, mac in ip.neighbours(ctx):
        if ":" not in address:
            ctx.print(f"{address:<24} ether   {mac:<19} C                     {interface.name}")
    return 0
