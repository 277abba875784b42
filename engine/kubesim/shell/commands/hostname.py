"""hostname"""

from __future__ import annotations

from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, options


async def run(ctx: Context) -> int:
    found, rest = options(
        ctx.args,
        flags="iIsfda",
        long_flags=("ip-address", "all-ip-addresses", "short", "fqdn", "domain"),
        name="hostname",
    )
    name = ctx.machine.hostname
    if rest:
        raise Usage("hostname: you must be root to change the host name\n")
    if "I" in found or "all-ip-addresses" in found:
        ctx.print(" ".join([*ctx.machine.net.addresses(), *ctx.machine.net.addresses(ipv6=True)]) + " ")
    elif "i" in found or "ip-address" in found:
        try:
            ctx.print(" ".join(await sockets.resolve(ctx.machine, name)))
        except sockets.Failed as error:
            own = ctx.machine.net.addresses()
            if not own:
                raise Usage(f"hostname: {error}\n") from None
            ctx.print(own[0])
    elif "d" in found or "domain" in found:
        ctx.print(name.partition(".")[2])
    else:
        ctx.print(name.partition(".")[0] if "s" in found or "short" in found else name)
    return 0
