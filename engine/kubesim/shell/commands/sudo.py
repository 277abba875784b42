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
    machine = as_user(ctx, user)
    if not ({"E", "preserve-env"} & set(found)):
        env = {key: value for key, value in env.items() if key in ("PATH", "TERM", "LANG")} | dict(
            USER=user, LOGNAME=user, HOME=machine.home, SHELL="/bin/bash", SUDO_USER=ctx.machine.user
        )
    if not rest:
        if not ({"i", "s", "login", "v", "k", "K", "validate"} & set(found)):
            raise Usage("usage: sudo -h | -K | -k | -V\nusage: sudo [-ABbEHknPS] [-g group] [-u user] [VAR=value] [-i|-s] [command]\n")
        if {"v", "k", "K", "validate"} & set(found):
            return 0
        rest = ["bash"]
    try:
        path = processes.where(machine, rest[0])
    except (processes.NotFound, processes.NotExecutable, IsADirectoryError):
        ctx.complain(f"sudo: {rest[0]}: command not found")
        return 1
    cwd = machine.home if {"i", "login"} & set(found) else ctx.cwd
    return await processes.start(replace(ctx, machine=machine, name=rest[0], args=rest[1:], env=env, cwd=cwd), path)


async def _su(ctx: Context) -> int:
    args = [each for each in ctx.args if each not in ("-", "-l", "--login")]
    found, rest = options(args, values="cs", name="su", long_values=("command",))
    user = rest[0] if rest else "root"
    command = (found.get("c") or found.get("command") or [""])[-1]
    argv = ["bash", "-c", command] if command else ["bash"]
    machine = as_user(ctx, user)
    return await ctx.call(argv, machine=machine, env={**ctx.env, "USER": user, "HOME": machine.home})


def as_user(ctx: Context, user: str):  # type: ignore[no-untyped-def]
    """The same machine with somebody else at it."""
    home = "/root" if user == "root" else ctx.machine.home if user == ctx.machine.user else f"/home/{user}"
    return replace(ctx.machine, user=user, home=home)
