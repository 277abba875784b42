"""netstat (net-tools): sockets and, with -r, routes."""

from __future__ import annotations

from kubesim.shell.commands import ip_route, ss
from kubesim.shell.context import Context, not_simulated, options


async def run(ctx: Context) -> int:
    found, _ = options(
        ctx.args,
        flags="tulnapreiswW46oc",
        long_flags=("tcp", "udp", "listening", "numeric", "all", "program", "route"),
        name="netstat",
    )
    letters = {each[0] if len(each) > 1 else each for each in found}
    if "r" in letters:
        return await ip_route.run(ctx.with_args("route", ["-n"]))
    if "i" in letters or "s" in letters:
        raise not_simulated(ctx, "counters of interfaces and protocols")
    kinds = (
        {"tcp"}
        if "t" in letters and "u" not in letters
        else {"udp"}
        if "u" in letters and "t" not in letters
        else {"tcp", "udp"}
    )
    which = "only servers" if "l" in letters else "servers and established" if "a" in letters else "w/o servers"
    ctx.print(f"Active Internet connections ({which})")
    program = "PID/Program name" if "p" in letters else ""
    ctx.print(
        f"Proto Recv-Q Send-Q {'Local Address':<23} {'Foreign Address':<23} State      {program}".rstrip()
        + (" " if program else "      ")
    )
    for protocol in ("tcp", "udp"):
        for each in ss.sockets(ctx):
            waits = each.state in ("LISTEN", "UNCONN")
            if each.protocol != protocol or protocol not in kinds:
                continue
            if ("l" in letters and not waits) or ("l" not in letters and "a" not in letters and waits):
                continue
            family = ":" in each.local[0] or each.local[0] == ""
            local = f"{each.local[0] or '::'}:{each.local[1]}"
            peer = f"{each.peer[0]}:{each.peer[1]}" if each.peer else f"{'::' if family else '0.0.0.0'}:*"
            state = "" if each.state == "UNCONN" else ss.STATES.get(each.state, each.state)
            tail = f" {'-':<20}" if program else ""
            ctx.print(f"{protocol + ('6' if family else ''):<5} {0:>6} {0:>6} {local:<23} {peer:<23} {state:<11}{tail}")
    return 0
