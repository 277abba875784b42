"""The shell's builtins: those of the kept bash that only look at its state, and ours for what runs, waits or reads."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kubesim.shell import commands, processes
from kubesim.shell.context import Usage, options
from kubesim.shell.context import words as names_of
from kubesim.shell.kept import BUILTINS, errors
from kubesim.shell.streams import Null, decode
from kubesim.shell.tty import Tty
from kubesim.world import TimedOut

if TYPE_CHECKING:
    from kubesim.shell.interpreter import Shell

Builtin = Callable[["Shell", list[str]], Awaitable[int]]
KEPT = names_of("""
    test [ cd export set shift unset local break continue return exit declare typeset mapfile readarray let readonly shopt alias
    unalias getopts pushd popd dirs : true false hash
""")
KEYWORDS = names_of("if then else elif fi case esac for select while until do done in function time { } ! [[ ]]")


def _kept(name: str) -> Builtin:
    handler = BUILTINS[name]
    takes_stdin = len(inspect.signature(handler).parameters) >= 3

    async def run(shell: Shell, words: list[str]) -> int:
        extra = (await shell.fds[0].read(),) if takes_stdin and 0 in shell.fds else ("",) if takes_stdin else ()
        result = await handler(shell.ctx, words[1:], *extra)
        if result.stdout:
            shell.fds.get(1, Null()).write(result.stdout)
        if result.stderr:
            shell.fds.get(2, Null()).write(result.stderr.replace("bash: ", shell.prefix, 1))
        return result.exit_code

    return run


async def evaluate(shell: Shell, words: list[str]) -> int:
    """eval"""
    return await shell.source(" ".join(words[1:]))


async def source(shell: Shell, words: list[str]) -> int:
    """. and source"""
    if len(words) < 2:
        shell.complain(f"{words[0]}: filename argument required")
        return 2
    files = shell.machine.files
    try:
        text = decode(files.read_bytes(files.join(shell.cwd, words[1])))
    except OSError:
        shell.complain(f"{words[1]}: No such file or directory")
        return 1
    shell.state.source_depth += 1
    try:
        if len(words) > 2:
            return await shell._with_arguments(words[2:], shell.source(text))
        return await shell.source(text)
    except errors.ReturnError as error:
        return error.exit_code
    finally:
        shell.state.source_depth -= 1


async def execute(shell: Shell, words: list[str]) -> int:
    """exec: with a command, it takes the shell's place; without, the redirections stay."""
    if len(words) == 1:
        return 0
    shell.replaced = True
    raise errors.ExitError(await shell.execute(words[1:]))


async def command(shell: Shell, words: list[str]) -> int:
    """command [-v|-V] NAME ...: past functions and aliases."""
    found, rest = options(words[1:], flags="pvV", name="command", stop=True)
    if not rest:
        return 0
    if "v" in found or "V" in found:
        status = 1
        for name in rest:
            kind, text = _kind(shell, name)
            if kind:
                status = 0
                described = f"alias {name}='{shell.aliases[name]}'" if kind == "alias" else text or name
                shell.fds[1].write((_describe(shell, name) if "V" in found else described) + "\n")
            elif "V" in found:
                shell.complain(f"command: {name}: not found")
        return status
    if rest[0] in TABLE:
        return await TABLE[rest[0]](shell, rest)
    return await shell.execute(rest)


async def builtin(shell: Shell, words: list[str]) -> int:
    if len(words) < 2:
        return 0
    if words[1] not in TABLE:
        shell.complain(f"builtin: {words[1]}: not a shell builtin")
        return 1
    return await TABLE[words[1]](shell, words[1:])


def _kind(shell: Shell, name: str) -> tuple[str, str]:
    """What `type -t` says of a name, and its path if it is a file."""
    if name in shell.aliases:
        return "alias", ""
    if name in KEYWORDS:
        return "keyword", ""
    if name in shell.state.functions:
        return "function", ""
    if name in TABLE or name in commands.ALWAYS:
        return "builtin", ""
    try:
        return "file", processes.where(shell.machine, name)
    except (processes.NotFound, processes.NotExecutable, IsADirectoryError):
        return "", ""


def _describe(shell: Shell, name: str) -> str:
    kind, path = _kind(shell, name)
    return {
        "alias": f"{name} is aliased to `{shell.aliases.get(name)}'",
        "keyword": f"{name} is a shell keyword",
        "function": f"{name} is a function",
        "builtin": f"{name} is a shell builtin",
        "file": f"{name} is {path}",
    }[kind]


async def kind(shell: Shell, words: list[str]) -> int:
    """type"""
    found, rest = options(words[1:], flags="afptP", name="type")
    status = 0
    for name in rest:
        sort, path = _kind(shell, name)
        if not sort:
            status = 1
            if "t" not in found:
                shell.complain(f"type: {name}: not found")
        elif "t" in found:
            shell.fds[1].write(sort + "\n")
        elif "p" in found or "P" in found:
            shell.fds[1].write(path + "\n" if path else "")
        else:
            shell.fds[1].write(_describe(shell, name) + "\n")
    return status


async def read(shell: Shell, words: list[str]) -> int:
    """read [-rs] [-a ARRAY] [-d DELIM] [-n N] [-p PROMPT] [-s] [-t SECONDS] [-u FD] [NAME ...]"""
    found, names = options(words[1:], flags="rse", values="adnNptui", name="read")
    stream = shell.fds.get(int(found["u"][0]) if "u" in found else 0) or Null()
    tty = stream if isinstance(stream, Tty) else None
    count = int((found.get("n") or found["N"])[0]) if {"n", "N"} & set(found) else 0
    if tty is not None and "p" in found:
        tty.write(found["p"][0])
    try:
        typed = _characters(tty, count) if tty is not None and count else stream.readline()
        if tty is not None:
            tty.echo = "s" not in found
        seconds = float(found["t"][0]) if "t" in found else None
        line = await shell.machine.world.wait_for(typed, seconds) if seconds else await typed
    except TimedOut:
        return 142
    finally:
        if tty is not None:
            tty.echo = True
    ended = not line.endswith("\n")
    raw = "r" in found
    while not raw and line.endswith("\\\n"):
        line = line[:-2] + await stream.readline()
    line = line.rstrip("\n") if line.endswith("\n") else line
    if count:
        line = line[:count]
    env = shell.state.env
    separators = env.get("IFS", " \t\n")
    if "a" in found:
        array = found["a"][0]
        for key in [key for key in env if key.startswith(f"{array}_")]:
            del env[key]
        env[f"{array}__is_array"] = "indexed"
        env.update({f"{array}_{index}": word for index, word in enumerate(_fields(line, separators, raw, 0))})
    else:
        fields = _fields(line, separators, raw, len(names)) if names else [_unescape(line, raw)]
        for index, name in enumerate(names or ["REPLY"]):
            env[name] = fields[index] if index < len(fields) else ""
    return 1 if ended and not line else int(ended)


async def _characters(tty: Tty, count: int) -> str:
    """So many keys, without Enter; as a line."""
    text = ""
    tty.canonical = False
    try:
        while len(text) < count and "\n" not in text:
            more = await tty.read_some()
            if not more:
                return text
            text += more.replace("\r", "\n")
    finally:
        tty.canonical = True
    tty.unread(text[count:])
    if tty.echo:
        tty.write(text[:count])
    return text[:count].partition("\n")[0] + "\n"


def _unescape(text: str, raw: bool) -> str:
    if raw or "\\" not in text:
        return text
    out, skip = [], False
    for char in text:
        if char == "\\" and not skip:
            skip = True
            continue
        out.append(char)
        skip = False
    return "".join(out)


def _fields(line: str, separators: str, raw: bool, most: int) -> list[str]:
    """Split at IFS, the last name taking the rest (XCU read); blanks of IFS run together, other characters do not."""
    blanks = "".join(each for each in separators if each in " \t\n")
    rest = line.strip(blanks) if blanks else line
    fields: list[str] = []
    while rest:
        if most and len(fields) == most - 1:
            fields.append(rest)
            break
        at = next((i for i, char in enumerate(rest) if char in separators and (raw or rest[i - 1 : i] != "\\")), -1)
        if at < 0:
            fields.append(rest)
            break
        fields.append(rest[:at])
        after = rest[at:].lstrip(blanks) if blanks else rest[at:]
        if after and after[0] in separators:
            after = after[1:].lstrip(blanks) if blanks else after[1:]
        rest = after
    return [_unescape(field, raw) for field in fields]


async def wait(shell: Shell, words: list[str]) -> int:
    jobs = [_job(shell, word) for word in words[1:]] or list(shell.session.jobs)
    status = 0
    for job in jobs:
        if job is None:
            shell.complain(f"wait: {words[1]}: no such job")
            return 127
        if job.task is not None:
            status = await job.task
        job.told = True
    return status if len(words) > 1 else 0


def _job(shell: Shell, word: str):  # type: ignore[no-untyped-def]
    jobs = shell.session.jobs
    if word in ("%%", "%+", "%"):
        return jobs[-1] if jobs else None
    number = word.lstrip("%")
    return next((job for job in jobs if str(job.number if word.startswith("%") else job.pid) == number), None)


async def jobs(shell: Shell, words: list[str]) -> int:
    """jobs"""
    for job in shell.session.jobs:
        if not job.told:
            state = "Running" if job.running else "Done"
            mark = "+" if job is shell.session.jobs[-1] else "-"
            tail = " &" if job.running else ""
            pid = f"{job.pid} " if "-l" in words else ""
            shell.fds[1].write(f"[{job.number}]{mark}  {pid}{state:<24}{job.command}{tail}\n")
            job.told = not job.running
    return 0


async def kill(shell: Shell, words: list[str]) -> int:
    """kill [-SIGNAL] PID|%JOB ...: jobs of this shell; other processes here have no numbers of their own."""
    targets = [word for word in words[1:] if not word.startswith("-")]
    if "-l" in words:
        shell.fds[1].write("HUP INT QUIT KILL TERM\n")
        return 0
    if not targets:
        shell.complain("kill: usage: kill [-s sigspec | -n signum | -sigspec] pid | jobspec ... or kill -l [sigspec]")
        return 2
    status = 0
    for word in targets:
        job = _job(shell, word)
        if job is None or not job.running:
            why = "no such job" if word.startswith("%") else f"({word}) - No such process"
            shell.complain(f"kill: {word}: {why}" if word.startswith("%") else f"kill: {why}")
            status = 1
        elif job.task is not None:
            job.task.cancel()
            job.told = True
    return status


async def foreground(shell: Shell, words: list[str]) -> int:
    """fg"""
    job = _job(shell, words[1] if len(words) > 1 else "%%")
    if job is None or job.task is None:
        shell.complain(f"fg: {words[1] if len(words) > 1 else 'current'}: no such job")
        return 1
    shell.fds[1].write(job.command + "\n")
    job.told = True
    return await job.task


async def nothing(shell: Shell, words: list[str]) -> int:
    """bg, disown, umask, ulimit, stty ...: no effect that could be seen here."""
    return 0


async def trap(shell: Shell, words: list[str]) -> int:
    """trap ACTION SIGNAL ...: EXIT runs at the end; a signal never comes to a script here."""
    if len(words) == 1:
        for name, action in shell.traps.items():
            shell.fds[1].write(f"trap -- '{action}' {name}\n")
        return 0
    if len(words) == 2 or words[1] == "-":
        for name in words[1:]:
            shell.traps.pop("EXIT" if name == "0" else name.removeprefix("SIG"), None)
        return 0
    for name in words[2:]:
        shell.traps["EXIT" if name == "0" else name.removeprefix("SIG")] = words[1]
    return 0


async def time(shell: Shell, words: list[str]) -> int:
    """time COMMAND: in virtual time; the user's and the system's share are not simulated and so are zero."""
    portable = words[1:2] == ["-p"]
    rest = words[2:] if portable else words[1:]
    before = shell.machine.world.now
    status = await shell._dispatch(rest, {}, True) if rest else 0
    spent = shell.machine.world.now - before
    if portable:
        shell.fds[2].write(f"real {spent:.2f}\nuser 0.00\nsys 0.00\n")
    else:
        shell.fds[2].write(f"\nreal\t{spent // 60:.0f}m{spent % 60:.3f}s\nuser\t0m0.000s\nsys\t0m0.000s\n")
    return status


async def history(shell: Shell, words: list[str]) -> int:
    for number, line in enumerate(shell.session.history, 1):
        shell.fds[1].write(f"{number:5}  {line}\n")
    return 0


async def _always(shell: Shell, words: list[str]) -> int:
    """A builtin that is also a command everywhere (echo, printf, pwd): here whatever the machine has on its disk."""
    context = shell.context(words)
    try:
        return await commands.lookup(words[0])(context)
    except Usage as usage:
        context.err.write(usage.message)
        return usage.code


TABLE: dict[str, Builtin] = {
    **{name: _kept(name) for name in sorted(KEPT)},
    **dict.fromkeys(commands.ALWAYS, _always),
    "eval": evaluate,
    "source": source,
    ".": source,
    "exec": execute,
    "command": command,
    "builtin": builtin,
    "type": kind,
    "read": read,
    "wait": wait,
    "jobs": jobs,
    "kill": kill,
    "fg": foreground,
    "bg": nothing,
    "disown": nothing,
    "umask": nothing,
    "ulimit": nothing,
    "stty": nothing,
    "trap": trap,
    "time": time,
    "history": history,
}
