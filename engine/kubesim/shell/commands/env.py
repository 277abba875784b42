"""env, printenv"""

from __future__ import annotations

from kubesim.shell.context import Context, options


async def run(ctx: Context) -> int:
    if ctx.name == "printenv":
        return _printenv(ctx)
    found, rest = options(
        ctx.args,
        flags="i0",
        values="uC",
        long_flags=("ignore-environment", "null"),
        long_values=("unset", "chdir"),
        name="env",
        stop=True,
    )
    env = {} if "i" in found or "ignore-environment" in found else dict(ctx.env)
    for name in found.get("u", []) + found.get("unset", []):
        env.pop(name, None)
    while rest and "=" in rest[0]:
        name, _, value = rest.pop(0).partition("=")
        env[name] = value
    if rest:
        return await ctx.call(rest, env=env)
    end = "\0" if "0" in found or "null" in found else "\n"
    for name, value in env.items():
        ctx.out.write(f"{name}={value}{end}")
    return 0


def _printenv(ctx: Context) -> int:
    names = [arg for arg in ctx.args if not arg.startswith("-")]
    if not names:
        for name, value in ctx.env.items():
            ctx.print(f"{name}={value}")
        return 0
    for name in names:
        if name in ctx.env:
            ctx.print(ctx.env[name])
    return int(not all(name in ctx.env for name in names))
