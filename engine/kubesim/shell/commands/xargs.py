"""xargs"""

from __future__ import annotations

import shlex

from kubesim.shell.context import Context, Usage, options
from kubesim.shell.streams import Null


async def run(ctx: Context) -> int:
    found, argv = options(
        ctx.args,
        flags="0rtpx",
        values="nILPds",
        long_flags=("no-run-if-empty", "null", "verbose"),
        long_values=("max-args", "max-procs", "replace", "delimiter", "max-lines"),
        name="xargs",
        stop=True,
    )
    argv = argv or ["echo"]
    text = await ctx.stdin.read()
    replace = (found.get("I") or found.get("replace") or [""])[-1]
    delimiter = (found.get("d") or found.get("delimiter") or [""])[-1].replace("\\n", "\n").replace("\\t", "\t")
    if "0" in found or "null" in found:
        delimiter = "\0"
    if delimiter:
        items = text.removesuffix(delimiter).split(delimiter) if text else []
    elif replace or "L" in found:
        items = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        try:
            items = shlex.split(text)
        except ValueError:
            raise Usage(
                "xargs: unmatched single quote; by default quotes are special to xargs unless you use the -0 option\n"
            ) from None
    if replace:
        lines = [[word.replace(replace, item) for word in argv] for item in items]
    elif not items:
        lines = [] if "r" in found or "no-run-if-empty" in found else [argv]
    else:
        most = int(
            (found.get("n") or found.get("max-args") or found.get("L") or found.get("max-lines") or [str(len(items))])[
                -1
            ]
        )
        lines = [argv + items[at : at + most] for at in range(0, len(items), most)]
    status = 0
    for line in lines:
        if "t" in found or "verbose" in found:
            ctx.complain(" ".join(line))
        code = await ctx.call(line, stdin=Null())
        if code in (126, 127):
            return code
        if code == 255:
            ctx.complain(f"xargs: {argv[0]}: exited with status 255; aborting")
            return 124
        if code:
            status = 123
    return status
