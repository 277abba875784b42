"""watch: the screen again and again, until Ctrl-C.  In a script, where nobody can press it, ten times."""

from __future__ import annotations

import shlex

from kubesim import ids
from kubesim.shell.commands.sleep import seconds
from kubesim.shell.context import Context, Usage, options
from kubesim.shell.streams import Capture

TIMES = 10


async def run(ctx: Context) -> int:
    found, rest = options(
        ctx.args,
        flags="dtgexcb",
        values="n",
        long_flags=("differences", "no-title", "chgexit", "errexit", "exec", "color", "beep"),
        long_values=("interval",),
        name="watch",
        stop=True,
    )
    if not rest:
        raise Usage("Usage:\n watch [options] command\n")
    interval = max(0.1, seconds((found.get("n") or found.get("interval") or ["2"])[-1], "watch"))
    command = " ".join(rest)
    argv = rest if "x" in found or "exec" in found else ["sh", "-c", command]
    if argv[0] == "sh" and len(rest) > 1:
        argv = ["sh", "-c", " ".join(shlex.quote(each) if " " in each else each for each in rest)]
    live = ctx.shell is not None and ctx.shell.session.interactive
    before = None
    count = 0
    while live or count < TIMES:
        captured = Capture()
        status = await ctx.call(argv, out=captured, err=captured)
        if "t" not in found and "no-title" not in found:
            stamp = ids.utc(ctx.world.now).strftime("%a %b %e %H:%M:%S %Y")
            left = f"Every {interval:.1f}s: {command}"
            ctx.out.write(("\x1b[H\x1b[2J" if live else "") + f"{left}    {ctx.machine.hostname}: {stamp}\n\n")
        ctx.out.write(captured.text)
        changed = before is not None and captured.text != before
        if (changed and ("g" in found or "chgexit" in found)) or (status and ("e" in found or "errexit" in found)):
            return status
        before = captured.text
        count += 1
        await ctx.world.sleep(interval)
    return 0
