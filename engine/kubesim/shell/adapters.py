"""Between the kept bash's protocols and our world: its file system, and its commands as ours."""

from __future__ import annotations

import posixpath
from typing import Any

from kubesim.files import Directory, File, FileSystem, Link
from kubesim.shell import kept
from kubesim.shell.context import Context
from kubesim.shell.streams import Input, Pipe, decode, encode
from kubesim.shell.tty import Tty


class Files:
    """IFileSystem of the kept bash over a machine's files."""

    def __init__(self, files: FileSystem) -> None:
        self._files = files

    def resolve_path(self, base: str, path: str) -> str:
        return FileSystem.join(base, path)

    async def read_file(self, path: str, encoding: str = "utf-8") -> str:
        return decode(self._files.read_bytes(path))

    async def read_file_bytes(self, path: str) -> bytes:
        return self._files.read_bytes(path)

    async def write_file(self, path: str, content: str | bytes, encoding: str = "utf-8") -> None:
        self._files.write(path, encode(content) if isinstance(content, str) else content)

    async def append_file(self, path: str, content: str | bytes) -> None:
        self._files.append(path, encode(content) if isinstance(content, str) else content)

    async def exists(self, path: str) -> bool:
        return self._files.exists(path)

    async def is_file(self, path: str) -> bool:
        return self._files.is_file(path)

    async def is_directory(self, path: str) -> bool:
        return self._files.is_dir(path)

    async def mkdir(self, path: str, recursive: bool = False) -> None:
        self._files.mkdir(path, parents=recursive)

    async def readdir(self, path: str) -> list[str]:
        return self._files.listdir(path)

    async def readdir_with_file_types(self, path: str) -> list[Any]:
        from just_bash.fs.in_memory_fs import DirentEntry

        entries = []
        for name in self._files.listdir(path):
            node = self._files.node(posixpath.join(path, name), follow=False)
            entries.append(
                DirentEntry(
                    name=name,
                    is_file=isinstance(node, File),
                    is_directory=isinstance(node, Directory),
                    is_symbolic_link=isinstance(node, Link),
                )
            )
        return entries

    async def rm(self, path: str, recursive: bool = False, force: bool = False) -> None:
        try:
            self._files.remove(path, recursive=recursive)
        except FileNotFoundError:
            if not force:
                raise

    async def stat(self, path: str) -> Any:
        return self._stat(path, follow=True)

    async def lstat(self, path: str) -> Any:
        return self._stat(path, follow=False)

    def _stat(self, path: str, follow: bool) -> Any:
        node = self._files.node(path, follow=follow)
        if node is None:
            raise FileNotFoundError(path)
        if isinstance(node, Link):
            return kept.FsStat(is_symbolic_link=True, mode=0o777, size=len(node.target))
        size = len(node.data) if isinstance(node, File) else 4096
        return kept.FsStat(
            is_file=isinstance(node, File),
            is_directory=isinstance(node, Directory),
            mode=node.mode,
            size=size,
            mtime=node.mtime,
        )

    async def chmod(self, path: str, mode: int) -> None:
        self._files.chmod(path, mode)

    async def symlink(self, target: str, link_path: str) -> None:
        self._files.symlink(target, link_path)

    async def link(self, target: str, link_path: str) -> None:
        self._files.write(link_path, self._files.read_bytes(target))

    async def readlink(self, path: str) -> str:
        node = self._files.node(path, follow=False)
        if not isinstance(node, Link):
            raise OSError(f"EINVAL: invalid argument, readlink '{path}'")
        return node.target

    async def cp(self, source: str, target: str, recursive: bool = False) -> None:
        if not self._files.is_dir(source):
            self._files.write(target, self._files.read_bytes(source))
            return
        if not recursive:
            raise IsADirectoryError(source)
        self._files.mkdir(target, parents=True)
        for name in self._files.listdir(source):
            await self.cp(posixpath.join(source, name), posixpath.join(target, name), recursive=True)

    async def mv(self, source: str, target: str) -> None:
        await self.cp(source, target, recursive=True)
        self._files.remove(source, recursive=True)

    async def utimes(self, path: str, atime: float, mtime: float) -> None:
        # What is touched is touched now, by the world's clock (the kept commands would give the wall's).
        if self._files.is_file(path):
            self._files.write(path, self._files.read_bytes(path))

    async def realpath(self, path: str) -> str:
        if not self._files.exists(path):
            raise FileNotFoundError(path)
        return self._files.resolve(path)

    def get_all_paths(self) -> list[str]:
        return self._files.walk()


class _Wanted(BaseException):
    """The kept command asked for stdin, which is not all there yet."""


class _Arguments(kept.CommandContext):
    """The kept bash gives a command its whole stdin as a string, beforehand.

    Ours is read only when it is asked for, so that `while read x; do date; done < file` leaves the file to `read`.  From a
    keyboard, or a pipe that is still being written, the command is started over once all has come: until then it has done
    nothing.
    """

    source: Input
    taken: str | None = None

    @property
    def stdin(self) -> str:
        if self.taken is None:
            if isinstance(self.source, Pipe | Tty):
                raise _Wanted
            self.taken = _at_once(self.source)
        return self.taken

    @stdin.setter
    def stdin(self, value: str) -> None:
        return None


def _at_once(source: Input) -> str:
    coro = source.read()
    try:
        coro.send(None)
    except StopIteration as stop:
        return stop.value
    raise _Wanted


async def run(ctx: Context) -> int:
    """A kept command as one of ours."""
    command = kept.registry.create_command_registry([ctx.name])[ctx.name]
    taken: str | None = None
    while True:
        arguments = _Arguments(fs=Files(ctx.files), cwd=ctx.cwd, env=_variables(ctx), limits=kept.LIMITS)
        arguments.source, arguments.taken = ctx.stdin, taken
        try:
            result = await command.execute(ctx.args, arguments)
        except _Wanted:
            taken = await ctx.stdin.read()
            continue
        ctx.out.write(result.stdout)
        ctx.err.write(result.stderr)
        return result.exit_code


def _variables(ctx: Context) -> Any:
    # `printf -v` sets a variable of the shell it is a builtin of.
    if ctx.name == "printf" and ctx.shell is not None:
        return ctx.shell.state.env
    return dict(ctx.env)
