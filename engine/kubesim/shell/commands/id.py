"""id"""

from __future__ import annotations

from kubesim.shell.context import Context, options


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="ugnGr", name="id")
    user = rest[0] if rest else ctx.user
    number = 0 if user == "root" else 1000
    if "u" in found or "g" in found or "G" in found:
        ctx.print(user if "n" in found else str(number))
    else:
        ctx.print(f"uid={number}({user}) gid={number}({user}) groups={number}({user})")
    return 0
