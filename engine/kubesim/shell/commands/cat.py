"""cat: hands on what comes as it comes."""

from __future__ import annotations

from kubesim.shell.context import Context, options, reason
from kubesim.shell.streams import Input, Text, decode

LONG = ("number", "number-nonblank", "show-all", "squeeze-blank", "show-ends", "show-tabs")


async def run(ctx: Context) -> int:
    found, names = options(ctx.args, flags="nbAsETuve", long_flags=LONG, name="cat")
    status = 0
    plain = not found or set(found) == {"u"}
    number = 0
    blank = False
    for name in names or ["-"]:
        try:
            source: Input = ctx.stdin if name == "-" else Text(decode(ctx.files.read_bytes(ctx.path(name))))
        except OSError as error:
            ctx.complain(f"cat: {name}: {reason(error)}")
            status = 1
            continue
        while plain and (text := await source.read_some()):
            ctx.out.write(text)
        while not plain and (line := await source.readline()):
            if {"s", "squeeze-blank"} & set(found) and blank and line == "\n":
                continue
            blank = line == "\n"
            if {"A", "T", "show-all", "show-tabs"} & set(found):
                line = line.replace("\t", "^I")
            if {"A", "E", "e", "show-all", "show-ends"} & set(found):
                line = line.replace("\n", "$\n")
            if {"n", "number"} & set(found) or ({"b", "number-nonblank"} & set(found) and not blank):
                number += 1
                line = f"{number:6}\t{line}"
            ctx.out.write(line)
    return status
