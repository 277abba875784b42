"""head: stops reading when it has enough."""

from __future__ import annotations

import re

from kubesim.shell.context import Context, options, reason
from kubesim.shell.streams import Input, Text, decode, encode


def numbered(args: list[str]) -> list[str]:
    """The old form -20 as -n20, where it is not another option's value."""
    return [
        f"-n{arg[1:]}" if re.fullmatch(r"-\d+", arg) and args[index - 1 : index] not in (["-n"], ["-c"]) else arg
        for index, arg in enumerate(args)
    ]


async def run(ctx: Context) -> int:
    args = numbered(ctx.args)
    found, names = options(
        args, flags="qv", values="nc", long_flags=("quiet", "verbose"), long_values=("lines", "bytes"), name="head"
    )
    count = (found.get("c") or found.get("bytes") or [""])[-1]
    lines = int((found.get("n") or found.get("lines") or ["10"])[-1])
    status = 0
    for index, name in enumerate(names or ["-"]):
        try:
            source: Input = ctx.stdin if name == "-" else Text(decode(ctx.files.read_bytes(ctx.path(name))))
        except OSError as error:
            ctx.complain(f"head: cannot open '{name}' for reading: {reason(error)}")
            status = 1
            continue
        if len(names) > 1 and "q" not in found:
            ctx.print(("\n" if index else "") + f"==> {'standard input' if name == '-' else name} <==")
        if count:
            ctx.out.write(decode(encode(await source.read())[: int(count)]))
        elif lines < 0:
            ctx.out.write("".join((await source.read()).splitlines(keepends=True)[:lines]))
        else:
            for _ in range(lines):
                line = await source.readline()
                if not line:
                    break
                ctx.out.write(line)
    return status
