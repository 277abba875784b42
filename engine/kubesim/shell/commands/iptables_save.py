"""iptables-save, ip6tables-save"""

from __future__ import annotations

from kubesim.net import netfilter
from kubesim.net.extension import UsageError
from kubesim.shell.commands import iptables
from kubesim.shell.context import Context, Usage, options


async def run(ctx: Context) -> int:
    program = "ip6tables-save" if "6" in ctx.name else "iptables-save"
    found, _ = options(
        ctx.args, flags="c", values="tfM", long_flags=("counters",), long_values=("table", "file"), name=program
    )
    if not iptables.may(ctx):
        ctx.complain(
            f"{program} {netfilter.VERSION}: Could not fetch rule set generation id: Permission denied (you must be root)\n"
        )
        return 4
    filters = ctx.machine.net.netfilter6 if "6" in ctx.name else ctx.machine.net.netfilter
    table = (found.get("t") or found.get("table") or [""])[-1] or None
    try:
        text = filters.save(table, counters="c" in found or "counters" in found)
    except UsageError as error:
        raise Usage(f"{program} {netfilter.VERSION}: {error.message}\n") from None
    if "f" in found or "file" in found:
        ctx.files.write(ctx.path((found.get("f") or found["file"])[-1]), text)
    else:
        ctx.out.write(text)
    return 0
