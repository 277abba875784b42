"""which"""

from __future__ import annotations

from kubesim.shell import processes
from kubesim.shell.context import Context, options


async def run(ctx: Context) -> int:
    _, names = options(ctx.args, flags="as", name="which")
    status = int(not names)
    for name in names:
        try:
            ctx.print(processes.where(ctx.machine, name))
        except (processes.NotFound, processes.NotExecutable, IsADirectoryError):
            status = 1
    return status
