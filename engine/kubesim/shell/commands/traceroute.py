"""traceroute, tracepath: UDP datagrams with growing TTL (Linux traceroute 2.1), or ICMP with -I."""

from __future__ import annotations

from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, options


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="nIT46d", values="mqwpfi", name=ctx.name)
    if not rest:
        raise Usage("Usage:\n  traceroute [ -46dFITnreAUDV ] [ -m max_ttl ] host [ packetlen ]\n", 2)
    name = rest[0]
    try:
        address = await sockets.resolve_one(ctx.machine, name, 6 if "6" in found else 4 if "4" in found else 0)
    except sockets.Failed as error:
        raise Usage(
            f'{name}: {error}\nCannot handle "host" cmdline arg `{name}\' on position 1 (argc 1)\n', 2
        ) from None
    most = int(found.get("m", ["30"])[-1])
    probes = int(found.get("q", ["3"])[-1])
    wait = float(found.get("w", ["5"])[-1])
    ctx.print(f"traceroute to {name} ({address}), {most} hops max, 60 byte packets")
    for ttl in range(1, most + 1):
        line, last, reached = f"{ttl:2d}  ", "", False
        for _ in range(probes):
            echo = await ctx.machine.net.ping(address, ttl=ttl, timeout=wait)
            if not echo.icmp:
                line += "* "
                continue
            if echo.address != last:
                shown = echo.address
                if "n" not in found:
                    shown = f"{await sockets.reverse(ctx.machine, echo.address) or echo.address} ({echo.address})"
                line += f"{shown}  "
                last = echo.address
            line += f"{echo.rtt * 1000:.3f} ms  "
            if echo.icmp in ("host-unreachable", "net-unreachable"):
                line += "!H " if echo.icmp.startswith("host") else "!N "
            reached = reached or echo.icmp != "time-exceeded"
        ctx.print(line.rstrip())
        if reached:
            return 0
    return 0
