"""mktemp"""

from __future__ import annotations

import posixpath

from kubesim.shell.context import Context, options


async def run(ctx: Context) -> int:
    found, rest = options(
        ctx.args, flags="dqtu", values="p", long_flags=("directory",), long_values=("tmpdir", "suffix"), name="mktemp"
    )
    template = (
        rest[0] if rest else posixpath.join((found.get("p") or found.get("tmpdir") or ["/tmp"])[-1], "tmp.XXXXXXXXXX")
    )
    stem = template.rstrip("X")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    rng = ctx.world.rng("mktemp")
    path = ctx.path(stem + "".join(rng.choice(letters) for _ in range(len(template) - len(stem))))
    ctx.files.mkdir(posixpath.dirname(path), parents=True)
    if "d" in found or "directory" in found:
        ctx.files.mkdir(path)
    else:
        ctx.files.write(path, b"", 0o600)
    ctx.print(path)
    return 0
