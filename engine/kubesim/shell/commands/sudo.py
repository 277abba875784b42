"""sudo, su -c: everybody may, without a password."""

from __future__ import annotations

from dataclasses import replace

from kubesim.shell import processes
from kubesim.shell.context import Context, Usage, options


async def run(ctx: Context) -> int:
    if ctx.name == "su":
        return await _su(ctx)
    found, rest = options(
        ctx.args,
        flags="EHnSkKibsAv",
        values="ugpCh",
        long_flags=("preserve-env", "login", "non-interactive", "validate"),
        long_values=("user", "group"),
        name="sudo",
        stop=True,
    )
    env = dict(ctx.env)
    while rest and "=" in rest[0] and rest[0].split("=")[0].isidentifier():
        name, _, value = rest.pop(0).partition("=")
        env[name] = value
    user = (found.get("u") or found.get("user") or ["root"])[-1]
    home = _home(ctx, user)
    if not ({"E", "preserve-env"} & set(found)):
        env = {key: value for key, value in env.items() if key in ("PATH", "TERM", "LANG")} | {
            "USER": user,
            "LOGNAME": user,
            "HOME": home,
            "SHELL": "/bin/bash",
            "SUDO_USER": ctx.user,
        }
    if not rest:
        if not ({"i", "s", "login", "v", "k", "K", "validate"} & set(found)):
            raise Usage(
                "usage: sudo -h | -K | -k | -V\nusage: sudo [-ABbEHknPS] [-g group] [-u user] [VAR=value] [-i|-s] [command]\n"
            )
        if {"v", "k", "K", "validate"} & set(found):
            return 0
        rest = ["bash"]
    try:
        path = processes.where(ctx.machine, rest[0])
    except (processes.NotFound, processes.NotExecutable, IsADirectoryError):
        ctx.complain(f"sudo: {rest[0]}: command not found")
        return 1
    cwd = home if {"i", "login"} & set(found) else ctx.cwd
    return await processes.start(replace(ctx, user=user, name=rest[0], args=rest[1:], env=env, cwd=cwd), path)


async def _su(ctx: Context) -> int:
    args = [each for each in ctx.args if each not in ("-", "-l", "--login")]
    found, rest = options(args, values="cs", name="su", long_values=("command",))
    user = rest[0] if rest else "root"
    command = (found.get("c") or found.get("command") or [""])[-1]
    argv = ["bash", "-c", command] if command else ["bash"]
    return await ctx.call(argv, user=user, env={**ctx.env, "USER": user, "HOME": _home(ctx, user)})


def _home(ctx: Context, user: str) -> str:
    return "/root" if user == "root" else ctx.machine.home if user == ctx.machine.user else f"/home/{user}"
