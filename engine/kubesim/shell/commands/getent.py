"""getent hosts|ahosts|ahostsv4|services|passwd"""

from __future__ import annotations

import ipaddress

from kubesim.shell import sockets
from kubesim.shell.commands.nc import SERVICES
from kubesim.shell.context import Context, Usage, not_simulated


async def run(ctx: Context) -> int:
    if not ctx.args:
        raise Usage("Usage: getent [OPTION...] database [key ...]\n", 1)
    database, keys = ctx.args[0], ctx.args[1:]
    if database in ("hosts", "ahosts", "ahostsv4", "ahostsv6"):
        return await _hosts(ctx, database, keys)
    if database == "services":
        for key in keys:
            for port, name in SERVICES.items():
                if key in (name, str(port)):
                    ctx.print(f"{name:<22}{port}/tcp")
        return 0
    if database == "passwd":
        for line in ctx.files.read("/etc/passwd").splitlines() if ctx.files.is_file("/etc/passwd") else ():
            if not keys or line.split(":")[0] in keys:
                ctx.print(line)
        return 0
    raise not_simulated(ctx, f"the database {database}")


async def _hosts(ctx: Context, database: str, keys: list[str]) -> int:
    if not keys:
        ctx.out.write(ctx.files.read("/etc/hosts") if ctx.files.is_file("/etc/hosts") else "")
        return 0
    status = 0
    for key in keys:
        try:
            ipaddress.ip_address(key)
            name = await sockets.reverse(ctx.machine, key)
            found = [key] if name else []
        except ValueError:
            name = key
            try:
                found = await sockets.resolve(ctx.machine, key, {"ahostsv4": 4, "ahostsv6": 6}.get(database, 0))
            except sockets.Failed:
                found = []
            else:
                from kubesim.dns import resolver

                name = (await resolver.lookup(ctx.machine, key)).canonical
        if not found:
            status = 2
        for address in found:
            if database == "hosts":
                ctx.print(f"{address:<15} {name}")
            else:
                for index, kind in enumerate(("STREAM", "DGRAM", "RAW")):
                    ctx.print(f"{address:<15} {kind:<6} {name if not index else ''}".rstrip())
    return status
