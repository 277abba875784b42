"""iptables-restore, ip6tables-restore"""

from __future__ import annotations

from kubesim.net.restore import RestoreError
from kubesim.shell.commands import iptables
from kubesim.shell.context import Context, options
from kubesim.shell.streams import decode


async def run(ctx: Context) -> int:
    program = "ip6tables-restore" if "6" in ctx.name else "iptables-restore"
    found, rest = options(
        ctx.args,
        flags="cntvw",
        values="TM",
        long_flags=("counters", "noflush", "test", "verbose", "wait"),
        long_values=("table",),
        name=program,
    )
    if not iptables.may(ctx):
        ctx.complain(f"{program}: Permission denied (you must be root)")
        return 4
    text = decode(ctx.files.read_bytes(ctx.path(rest[0]))) if rest else await ctx.stdin.read()
    filters = ctx.machine.net.netfilter6 if "6" in ctx.name else ctx.machine.net.netfilter
    try:
        filters.restore(text, noflush="n" in found or "noflush" in found, counters="c" in found or "counters" in found)
    except RestoreError as error:
        ctx.complain(error.message)
        return error.code
    return 0
