"""Redirections (XCU 2.7, bash's own beside them): from the descriptors in force to those of one command, left to right."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubesim.shell.context import reason
from kubesim.shell.kept import expansion
from kubesim.shell.streams import FileOutput, Null, Text, decode

if TYPE_CHECKING:
    from kubesim.shell.interpreter import Shell


class Failed(Exception):
    """The redirection cannot be made: the command is not run."""


async def opened(shell: Shell, nodes: Sequence[Any]) -> dict[int, Any]:
    """The descriptors with all redirections made."""
    fds = dict(shell.fds)
    for node in nodes:
        await _open(shell, node, fds)
    return fds


async def _open(shell: Shell, node: Any, fds: dict[int, Any]) -> None:
    operator = node.operator
    if operator in ("<<", "<<-"):
        text = await expansion.expand_word_async(shell.ctx, node.target.content) if node.target.content else ""
        if operator == "<<-":
            text = "".join(line.lstrip("\t") for line in text.splitlines(keepends=True))
        fds[0 if node.fd is None else node.fd] = Text(text)
        return
    target = await expansion.expand_word_async(shell.ctx, node.target)
    if operator == "<<<":
        fds[0 if node.fd is None else node.fd] = Text(target + "\n")
        return
    fd = node.fd if node.fd is not None else (0 if operator.startswith("<") else 1)
    number = target.rstrip("-")
    if operator in (">&", "<&") and (target == "-" or number.isdigit()):
        if target == "-":
            fds.pop(fd, None)
            return
        if int(number) not in fds:
            raise Failed(f"{number}: Bad file descriptor")
        fds[fd] = fds[int(number)]
        if target.endswith("-"):
            fds.pop(int(number))
        return
    if not target:
        raise Failed(": No such file or directory")
    if operator in ("<", "<>"):
        fds[fd] = await _reader(shell, target, fds)
        return
    writer = await _writer(shell, target, operator, fds)
    fds[fd] = writer
    if operator.startswith("&") or operator == ">&":
        fds[1] = fds[2] = writer


async def _reader(shell: Shell, target: str, fds: dict[int, Any]) -> Any:
    if target == "/dev/null":
        return Null()
    if target == "/dev/stdin":
        return fds.get(0) or Null()
    if target.startswith(("/dev/tcp/", "/dev/udp/")):
        return await _network(shell, target)
    try:
        return Text(decode(shell.machine.files.read_bytes(shell.machine.files.join(shell.cwd, target))))
    except OSError as error:
        raise Failed(f"{target}: {reason(error)}") from None


async def _writer(shell: Shell, target: str, operator: str, fds: dict[int, Any]) -> Any:
    if target == "/dev/null":
        return Null()
    if target in ("/dev/stdout", "/dev/stderr", "/dev/tty"):
        return fds.get(2 if target == "/dev/stderr" else 1) or Null()
    if target.startswith(("/dev/tcp/", "/dev/udp/")):
        return await _network(shell, target)
    files = shell.machine.files
    path = files.join(shell.cwd, target)
    try:
        exists = files.exists(path)
        if exists and operator == ">" and shell.state.options.noclobber:
            raise Failed(f"{target}: cannot overwrite existing file")
        if files.is_dir(path):
            raise IsADirectoryError(path)
        if exists and not files.is_file(path) and not files.is_dir(posixpath.dirname(path)):
            raise NotADirectoryError(path)
        if not operator.endswith(">>") or not exists:
            files.write(path, b"")
    except OSError as error:
        raise Failed(f"{target}: {reason(error)}") from None
    return FileOutput(files, path)


async def _network(shell: Shell, target: str) -> Any:
    """bash's /dev/tcp/HOST/PORT: a connection of the machine's own."""
    from kubesim.shell import sockets

    _, _, protocol, host, port = [*target.split("/", 4), "", ""][:5]
    try:
        return await sockets.device(shell.machine, protocol, host, port)
    except sockets.Failed as error:
        shell.complain(f"connect: {error}")
        raise Failed(f"{target}: {error}") from None
