"""tail: -n, -c, and -f, which follows a file until it is ended."""

from __future__ import annotations

from kubesim.shell.commands.head import numbered
from kubesim.shell.context import Context, options, reason
from kubesim.shell.streams import decode, encode


async def run(ctx: Context) -> int:
    args = numbered(ctx.args)
    found, names = options(
        args,
        flags="fFqv",
        values="ncs",
        long_flags=("follow", "quiet", "verbose"),
        long_values=("lines", "bytes"),
        name="tail",
    )
    lines = (found.get("n") or found.get("lines") or ["10"])[-1]
    count = (found.get("c") or found.get("bytes") or [""])[-1]
    follow = bool({"f", "F", "follow"} & set(found))
    status = 0
    for index, name in enumerate(names or ["-"]):
        try:
            text = await ctx.stdin.read() if name == "-" else decode(ctx.files.read_bytes(ctx.path(name)))
        except OSError as error:
            ctx.complain(f"tail: cannot open '{name}' for reading: {reason(error)}")
            status = 1
            continue
        if len(names) > 1 and "q" not in found:
            ctx.print(("\n" if index else "") + f"==> {name} <==")
        ctx.out.write(_bytes(text, count) if count else _lines(text, lines))
    if follow and names and not status:
        await _follow(ctx, names[-1])
    return status


def _lines(text: str, wanted: str) -> str:
    parts = text.splitlines(keepends=True)
    number = int(wanted.lstrip("+-"))
    if wanted.startswith("+"):
        return "".join(parts[max(0, number - 1) :])
    return "".join(parts[-number:]) if number else ""


def _bytes(text: str, wanted: str) -> str:
    data = encode(text)
    number = int(wanted.lstrip("+-"))
    return decode(data[max(0, number - 1) :] if wanted.startswith("+") else data[-number:] if number else b"")


async def _follow(ctx: Context, name: str) -> None:
    path = ctx.path(name)
    seen = len(ctx.files.read_bytes(path))
    world = ctx.world
    changed = world.future()

    def notice(which: str) -> None:
        if which == path:
            changed.resolve(None)

    ctx.files.on_change.append(notice)
    try:
        while True:
            await changed
            changed = world.future()
            data = ctx.files.read_bytes(path) if ctx.files.is_file(path) else b""
            if len(data) < seen:
                ctx.complain(f"tail: {name}: file truncated")
                seen = 0
            ctx.out.write(decode(data[seen:]))
            seen = len(data)
    finally:
        ctx.files.on_change.remove(notice)
