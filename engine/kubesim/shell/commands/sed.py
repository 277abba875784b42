"""sed"""

from __future__ import annotations

from kubesim.shell import sed
from kubesim.shell.context import Context, Usage, options, reason
from kubesim.shell.streams import decode, encode

LONG_FLAGS = ("quiet", "silent", "regexp-extended", "separate", "in-place")


async def run(ctx: Context) -> int:
    # -i may have a suffix, but only attached to it.
    args, suffix, in_place = [], "", False
    for arg in ctx.args:
        if arg.startswith("--in-place="):
            suffix, in_place = arg.partition("=")[2], True
        elif arg == "--in-place" or (arg.startswith("-i") and not arg.startswith("--")):
            suffix, in_place = arg[2:] if arg.startswith("-i") else "", True
        else:
            args.append(arg)
    found, names = options(
        args, flags="nErsuzi", values="ef", long_flags=LONG_FLAGS, long_values=("expression", "file"), name="sed"
    )
    in_place = in_place or "i" in found
    scripts = found.get("e", []) + found.get("expression", [])
    for name in found.get("f", []) + found.get("file", []):
        scripts.append(decode(ctx.files.read_bytes(ctx.path(name))))
    if not scripts:
        if not names:
            raise Usage("Usage: sed [OPTION]... {script-only-if-no-other-script} [input-file]...\n")
        scripts = [names.pop(0)]
    quiet = bool({"n", "quiet", "silent"} & set(found))
    extended = bool({"E", "r", "regexp-extended"} & set(found))

    def read(name: str) -> str:
        path = ctx.path(name)
        return decode(ctx.files.read_bytes(path)) if ctx.files.is_file(path) else ""

    def fresh() -> sed.Run:
        return sed.Run(sed.Parser("\n".join(scripts), extended).commands(), quiet, read)

    try:
        if in_place or "s" in found:
            return _each(ctx, fresh, names, in_place, suffix)
        status, text = 0, ""
        for name in names or ["-"]:
            try:
                part = await ctx.stdin.read() if name == "-" else decode(ctx.files.read_bytes(ctx.path(name)))
            except OSError as error:
                ctx.complain(f"sed: can't read {name}: {reason(error)}")
                status = 2
                continue
            text += ("\n" if text and not text.endswith("\n") else "") + part
        run = fresh()
        ctx.out.write(run.over(text))
        return run.status or status
    except sed.Problem as problem:
        ctx.complain(f"sed: {problem}")
        return 1


def _each(ctx: Context, fresh, names: list[str], in_place: bool, suffix: str) -> int:  # type: ignore[no-untyped-def]
    """Every file for itself."""
    if not names:
        raise Usage("sed: no input files\n")
    status = 0
    for name in names:
        path = ctx.path(name)
        try:
            data = ctx.files.read_bytes(path)
        except OSError as error:
            ctx.complain(f"sed: can't read {name}: {reason(error)}")
            status = 4 if in_place else 2
            continue
        run = fresh()
        text = run.over(decode(data))
        if not in_place:
            ctx.out.write(text)
            continue
        if suffix:
            ctx.files.write(path + suffix, data)
        ctx.files.write(path, encode(text))
        status = run.status or status
    return status
