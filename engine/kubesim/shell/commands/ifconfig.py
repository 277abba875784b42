"""ifconfig (net-tools 2.x); counters are not simulated and left out."""

from __future__ import annotations

from kubesim.net import address
from kubesim.shell.commands import ip
from kubesim.shell.context import Context, Usage, not_simulated


async def run(ctx: Context) -> int:
    names = [each for each in ctx.args if not each.startswith("-")]
    if len(names) > 1:
        raise not_simulated(ctx, "changing an interface", "Use: ip address, ip link")
    found = ip.interfaces(ctx)
    if names:
        found = [each for each in found if each.name == names[0]]
        if not found:
            raise Usage(f"{names[0]}: error fetching interface information: Device not found\n")
    for each in found:
        loop = each.kind == "loopback"
        number = 73 if loop else 4163
        ctx.print(
            f"{each.name}: flags={number}<{'UP,LOOPBACK,RUNNING' if loop else 'UP,BROADCAST,RUNNING,MULTICAST'}>  mtu {each.mtu}"
        )
        for one in each.addresses:
            if ":" in one.ip:
                scope = {"host": "0x10<host>", "link": "0x20<link>"}.get(one.scope, "0x0<global>")
                ctx.print(f"        inet6 {one.ip}  prefixlen {one.length}  scopeid {scope}")
                continue
            prefix = address.prefix(str(one))
            tail = (
                ""
                if loop or one.length >= 31
                else f"  broadcast {address.text(prefix.base | ~prefix.mask & 0xFFFFFFFF)}"
            )
            ctx.print(f"        inet {one.ip}  netmask {address.text(prefix.mask)}{tail}")
        ctx.print(
            "        loop  txqueuelen 1000  (Local Loopback)"
            if loop
            else f"        ether {each.mac}  txqueuelen 1000  (Ethernet)"
        )
        ctx.print()
    return 0
