"""busybox APPLET ...: the same commands, by its name."""

from __future__ import annotations

from kubesim.shell import commands
from kubesim.shell.context import Context
from kubesim.shell.tools import BUSYBOX


async def run(ctx: Context) -> int:
    if not ctx.args or ctx.args[0] in ("--help", "--list"):
        names = sorted(BUSYBOX - {"busybox"})
        if ctx.args[:1] == ["--list"]:
            ctx.out.write("".join(f"{name}\n" for name in names))
        else:
            ctx.print("BusyBox v1.35.0 multi-call binary.\n\nCurrently defined functions:\n\t" + ", ".join(names))
        return 0
    name = ctx.args[0]
    if name not in BUSYBOX:
        ctx.complain(f"{name}: applet not found")
        return 127
    inner = ctx.with_args(f"busybox {name}" if name == "nslookup" else name, ctx.args[1:])
    return await commands.lookup(name)(inner)
