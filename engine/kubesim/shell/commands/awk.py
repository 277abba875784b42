"""awk, gawk, mawk"""

from __future__ import annotations

import re

from kubesim.shell.awk import parser, runtime
from kubesim.shell.context import Context, Usage, options, reason
from kubesim.shell.streams import decode, encode


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, values="Fvf", name="awk", stop=True)
    text = "\n".join(decode(ctx.files.read_bytes(ctx.path(name))) for name in found.get("f", []))
    if "f" not in found:
        if not rest:
            raise Usage("usage: awk [-F fs][-v var=value][prog | -f progfile][file ...]\n", 2)
        text = rest.pop(0)

    def write(path: str, append: bool, text: str) -> None:
        if path in ("", "/dev/stdout"):
            ctx.out.write(text)
        elif path == "/dev/stderr":
            ctx.err.write(text)
        elif append:
            ctx.files.append(ctx.path(path), encode(text))
        else:
            ctx.files.write(ctx.path(path), encode(text))

    try:
        program = runtime.Program(text, write, ctx.world.rng("awk"), ctx.world.now)
        program.arrays["ENVIRON"] = {key: runtime.Field(value) for key, value in ctx.env.items()}
        if "F" in found:
            separator = found["F"][-1]
            program.variables["FS"] = "\t" if separator == "t" else parser.unescape(separator)
        for each in found.get("v", []):
            _assign(program, each)
        return await _run(ctx, program, rest)
    except parser.Problem as problem:
        ctx.complain(f"awk: {problem}")
        return 2
    except re.error as error:
        ctx.complain(f"awk: regular expression: {error}")
        return 2


async def _run(ctx: Context, program: runtime.Program, names: list[str]) -> int:
    status = 0
    try:
        program.start()
        if program.needs_input:
            files = [name for name in names if not re.match(r"[A-Za-z_]\w*=", name)]
            for name in names if files else [*names, "-"]:
                if re.match(r"[A-Za-z_]\w*=", name):
                    _assign(program, name)
                elif name == "-":
                    program.feed(await ctx.stdin.read(), "")
                else:
                    try:
                        program.feed(decode(ctx.files.read_bytes(ctx.path(name))), name)
                    except OSError as error:
                        ctx.complain(f"awk: cannot open {name} ({reason(error)})")
                        status = 2
    except runtime.Exit as ended:
        status = ended.code
    try:
        program.finish()
    except runtime.Exit as ended:
        status = ended.code
    return status


def _assign(program: runtime.Program, text: str) -> None:
    name, _, value = text.partition("=")
    program.variables[name] = runtime.Field(parser.unescape(value))
