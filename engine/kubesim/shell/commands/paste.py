"""paste"""

from __future__ import annotations

from itertools import cycle, zip_longest

from kubesim.shell.context import Context, options
from kubesim.shell.streams import decode


async def run(ctx: Context) -> int:
    found, names = options(
        ctx.args, flags="s", values="d", long_flags=("serial",), long_values=("delimiters",), name="paste"
    )
    marks = (found.get("d") or found.get("delimiters") or ["\t"])[-1].replace("\\n", "\n").replace("\\t", "\t") or "\0"
    columns = []
    stdin: list[str] | None = None
    for name in names or ["-"]:
        if name != "-":
            columns.append(decode(ctx.files.read_bytes(ctx.path(name))).splitlines())
            continue
        if stdin is None:
            stdin = (await ctx.stdin.read()).splitlines()
            step = max(1, (names or ["-"]).count("-"))
            shares = [stdin[at::step] for at in range(step)]
        columns.append(shares.pop(0))
    rows = columns if "s" in found or "serial" in found else [list(row) for row in zip_longest(*columns, fillvalue="")]
    for row in rows:
        line, mark = "", cycle(marks)
        for index, cell in enumerate(row):
            line += cell if not index else next(mark).replace("\0", "") + cell
        ctx.print(line)
    return 0
