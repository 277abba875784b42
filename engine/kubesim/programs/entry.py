"""From a container's command line to what runs: the image's own program, a tool of its disk, or a shell.

As in life, the first word decides.  `["nginx", "-g", "daemon off;"]` is the image's program; `["sh", "-c", "..."]` and
`["sleep", "3600"]` run on the container's machine as a terminal would run them, with their output going to the log line
by line - and a script may start the image's program in turn (`echo hi > index.html; exec nginx -g 'daemon off;'`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kubesim.world import Cancelled

if TYPE_CHECKING:
    from kubesim.programs.image import Image, Process
    from kubesim.shell.context import Context

# Linux: 128 + SIGTERM.
TERMINATED = 143


class CannotStart(Exception):
    """The runtime could not exec the command; the message is runc's (the kubelet reports it as StartError, exit code 128)."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the variable, `$$` one dollar; an unknown name stays as it is (third_party/forked/golang/expansion)."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", value, text)


async def run(image: Image, process: Process) -> int:
    """Run the container's command line to its exit code."""
    args = process.args
    if args and image.wrapper and posixpath.basename(args[0]) == image.wrapper:
        args = args[1:]
        if image.wrapped and args and args[0].startswith("-"):
            args = [image.wrapped, *args]
    if not args:
        raise CannotStart("no command specified")
    process = replace(process, args=args)
    taken = Taken()
    if image.program is not None:
        # By name, and by the path that the image starts it with where that is in no directory of $PATH (/agnhost).
        rooted = [each for each in image.entrypoint[:1] if posixpath.basename(each) in image.programs]
        for name in (*image.programs, *rooted):
            process.machine.programs[name] = _command(image, process, taken)
        if posixpath.basename(args[0]) in image.programs:
            return await image.program(process)
    return await first_process(process, _tool(process), lambda: taken.by_exec)


async def first_process(
    process: Process, work: Coroutine[Any, Any, int], replaced: Callable[[], bool] = lambda: False
) -> int:
    """Run `work` as a process 1 that has no handler for SIGTERM: the kernel does not deliver it (pid_namespaces(7)), so that
    only SIGKILL ends it when the grace period is over.  Shells, `sleep` and node.js programs are like that.  `replaced` says
    whether the image's own program has taken the shell's place by then (`exec nginx`): that one has a handler."""
    task = process.world.spawn(work, f"{process.machine.name}: {process.args[0]}")
    try:
        return await task
    except Cancelled:
        if task.done:
            raise
        if replaced():
            task.cancel()
    try:
        return await task
    except Cancelled:
        task.cancel()
        raise


class Taken:
    """Whether the image's program has taken the place of the shell that is process 1."""

    by_exec = False


def _command(image: Image, process: Process, taken: Taken) -> Callable[[Context], Coroutine[Any, Any, int]]:
    """The image's program as a command of the container's shell."""

    async def run(ctx: Context) -> int:
        assert image.program is not None
        if ctx.shell is not None and ctx.shell.replaced:
            taken.by_exec = True
        log = Lines(ctx.print)
        started = replace(process, args=[ctx.name, *ctx.args], log=log.line)
        return await image.program(started)

    return run


class Lines:
    """An output that hands on whole lines."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)

    def line(self, text: str) -> None:
        self._log(text)

    def end(self) -> None:
        """What was written last had no newline."""
        if self._rest:
            self._log(self._rest)
            self._rest = ""


async def _tool(process: Process) -> int:
    from kubesim.shell import context, processes, streams

    machine, (name, *args) = process.machine, process.args
    try:
        processes.where(machine, name)
    except processes.NotFound:
        if "/" in name:
            raise CannotStart(f'exec: "{name}": stat {name}: no such file or directory') from None
        raise CannotStart(f'exec: "{name}": executable file not found in $PATH') from None
    except (processes.NotExecutable, IsADirectoryError):
        raise CannotStart(f'exec: "{name}": permission denied') from None
    lines = Lines(process.log)
    console = process.console
    ctx = context.Context(
        machine=machine,
        name=name,
        args=args,
        env=machine.env,
        cwd=machine.cwd,
        stdin=console.stdin if console is not None else streams.Null(),
        out=console or lines,
        err=console or lines,
        # Whoever gives it input waits for what it does with it.
        background=console is None,
    )
    ctx.terminal = ctx.tty is not None
    try:
        return await processes.run(ctx)
    finally:
        lines.end()
