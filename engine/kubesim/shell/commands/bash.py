"""bash, sh: another shell process, with exported variables only."""

from __future__ import annotations

from kubesim.shell.context import Context, Usage, reason
from kubesim.shell.streams import decode


async def run(ctx: Context) -> int:
    from kubesim.shell import interpreter
    from kubesim.shell.session import Session

    name = "bash" if ctx.name == "bash" else "sh"
    args = list(ctx.args)
    flags: list[str] = []
    script: str | None = None
    while args and args[0][:1] in "-+" and len(args[0]) > 1:
        flag = args.pop(0)
        if flag == "--":
            break
        if flag in ("--login", "--norc", "--noprofile", "--posix"):
            continue
        if flag in ("-o", "+o") and args:
            flags += ["set", flag, args.pop(0), ";"]
            continue
        letters = flag[1:]
        if flag.startswith("--") or set(letters) - set("ceuxilsv"):
            raise Usage(f"{name}: {flag}: invalid option\n", 2)
        if "c" in letters:
            if not args:
                raise Usage(f"{name}: -c: option requires an argument\n", 2)
            script = args.pop(0)
        kept = "".join(each for each in letters if each in "euxv")
        flags += ["set", f"-{kept}", ";"] if kept else []
    called = name
    if script is None and args:
        called = args.pop(0)
        try:
            script = decode(ctx.files.read_bytes(ctx.path(called)))
        except OSError as error:
            ctx.complain(f"{name}: {called}: {reason(error)}")
            return 127 if isinstance(error, FileNotFoundError) else 126
    elif args:
        called = args.pop(0)
    # At a terminal it is a session of its own, with its own history and jobs.
    tty = ctx.tty if script is None else None
    session = ctx.shell.session if ctx.shell is not None and tty is None else Session(interactive=tty is not None)
    shell = interpreter.Shell(
        ctx.machine,
        session,
        ctx.env,
        ctx.cwd,
        {0: ctx.stdin, 1: ctx.out, 2: ctx.err},
        name=name,
        args=args,
        user=ctx.user,
        interactive=tty is not None,
        background=ctx.background,
        screen=ctx.out if ctx.terminal else None,
    )
    shell.state.env["0"] = called
    shell.aliases.clear()
    if flags:
        await shell.source(" ".join(flags))
    if script is not None:
        return await shell.run(script)
    if tty is not None:
        from kubesim.shell import interactive

        return await interactive.run(shell, tty)
    return await _from_stdin(ctx, shell)


async def _from_stdin(ctx: Context, shell) -> int:  # type: ignore[no-untyped-def]
    """Commands as they come, line by line, each run when it is whole (`exec -i`, or `sh < script`)."""
    from kubesim.shell import syntax
    from kubesim.shell.kept import errors

    status = 0
    text = ""
    while line := await ctx.stdin.readline():
        text += line
        if not syntax.is_whole(text.rstrip("\n")):
            continue
        try:
            status = await shell.source(text)
        except errors.ExitError as error:
            return error.exit_code
        text = ""
    return await shell.run(text) if text.strip() else status
