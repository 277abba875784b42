"""Finding a command on a machine and running it: what execvp(3) and the kernel do."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.machine import Machine
from kubesim.shell import commands
from kubesim.shell.context import Context, Usage, reason
from kubesim.shell.streams import BrokenPipe, decode

if TYPE_CHECKING:
    from kubesim.shell.interpreter import Shell

DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class NotFound(Exception):
    """No such command."""


class NotExecutable(Exception):
    """It is there and cannot be run."""


def where(machine: Machine, name: str) -> str:
    """The path that `which` shows; NotFound, NotExecutable."""
    if name in machine.programs:
        return name if "/" in name else posixpath.join("/usr/sbin", name)
    if "/" in name:
        directory, base = posixpath.split(name)
        if directory in DIRECTORIES and (base in machine.tools or base in machine.programs):
            return name
        node = machine.files.node(name)
        if node is None:
            raise NotFound(name)
        if machine.files.is_dir(name):
            raise IsADirectoryError(name)
        if not getattr(node, "mode", 0) & 0o111:
            raise NotExecutable(name)
        return name
    if name in machine.tools:
        return posixpath.join(commands.directory(name), name)
    for directory in DIRECTORIES:
        path = posixpath.join(directory, name)
        if machine.files.is_file(path):
            return path
    raise NotFound(name)


async def run(ctx: Context, shell: Shell | None = None) -> int:
    """Run the command line of the context to its exit status.  Errors are said in the shell's words, as bash does."""
    prefix = shell.prefix if shell is not None else ""
    name = ctx.name if "/" not in ctx.name or ctx.name.startswith("/") else ctx.path(ctx.name)
    try:
        path = where(ctx.machine, name)
    except NotFound:
        missing = shell.not_found if shell is not None else "command not found"
        ctx.complain(f"{prefix}{ctx.name}: {'No such file or directory' if '/' in ctx.name else missing}")
        return 127
    except NotExecutable:
        ctx.complain(f"{prefix}{ctx.name}: Permission denied")
        return 126
    except IsADirectoryError:
        ctx.complain(f"{prefix}{ctx.name}: Is a directory")
        return 126
    return await start(ctx, path)


async def start(ctx: Context, path: str) -> int:
    """Run what lies at the path: a tool of the machine or a script."""
    base = posixpath.basename(path)
    in_place = posixpath.dirname(path) in DIRECTORIES
    programs = ctx.machine.programs
    try:
        if path in programs or (in_place and base in programs):
            return await programs[path if path in programs else base](ctx)
        if in_place and base in ctx.machine.tools:
            return await commands.lookup(base)(ctx.with_args(base, ctx.args))
        return await _script(ctx, path)
    except Usage as usage:
        ctx.err.write(usage.message)
        return usage.code
    except BrokenPipe:
        return 141
    except LearnerError as error:
        ctx.complain(str(error) if f"{ctx.name}: " in error.message else f"{ctx.name}: {error}")
        return 1
    except OSError as error:
        ctx.complain(f"{ctx.name}: {error}: {reason(error)}")
        return 1


async def _script(ctx: Context, path: str) -> int:
    text = decode(ctx.files.read_bytes(path))
    words = ["/bin/sh"]
    if text.startswith("#!"):
        words = text[2:].split("\n", 1)[0].split() or words
    if posixpath.basename(words[0]) == "env" and len(words) > 1:
        words = words[1:]
    try:
        interpreter = where(ctx.machine, words[0])
    except NotFound:
        ctx.complain(f"bash: {ctx.name}: {words[0]}: bad interpreter: No such file or directory")
        return 126
    return await start(ctx.with_args(words[0], [*words[1:], path, *ctx.args]), interpreter)
