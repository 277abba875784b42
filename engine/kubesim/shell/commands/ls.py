"""ls: one name a line, or -l."""

from __future__ import annotations

import posixpath
import stat

from kubesim import ids
from kubesim.files import Directory, File, Link, Node
from kubesim.shell.context import Context, options
from kubesim.shell.curl.meter import size as short_size

KINDS = {File: stat.S_IFREG, Directory: stat.S_IFDIR, Link: stat.S_IFLNK}


async def run(ctx: Context) -> int:
    found, names = options(
        ctx.args,
        flags="laA1RdhtrSFinpGoCkX",
        long_flags=("all", "almost-all", "recursive", "directory", "human-readable"),
        name="ls",
    )
    listing = _Listing(ctx, set(found))
    status = 0
    files, folders = [], []
    for name in names or ["."]:
        node = ctx.files.node(ctx.path(name), follow="l" not in found)
        node = node if node is not None else ctx.files.node(ctx.path(name), follow=False)
        if node is None:
            ctx.complain(f"ls: cannot access '{name}': No such file or directory")
            status = 2
        elif isinstance(node, Directory) and not ({"d", "directory"} & set(found)):
            folders.append(name)
        else:
            files.append(name)
    listing.names([(name, ctx.path(name)) for name in files])
    titled = len(names) > 1 or bool({"R", "recursive"} & set(found))
    for index, name in enumerate(sorted(folders)):
        if titled:
            ctx.print(("\n" if index or files else "") + f"{name}:")
        listing.folder(name)
    return status


class _Listing:
    def __init__(self, ctx: Context, flags: set[str]) -> None:
        self.ctx = ctx
        self.flags = flags

    def folder(self, name: str) -> None:
        path = self.ctx.path(name)
        entries = [(each, posixpath.join(path, each)) for each in self.ctx.files.listdir(path)]
        if not ({"a", "A", "all", "almost-all"} & self.flags):
            entries = [each for each in entries if not each[0].startswith(".")]
        if {"a", "all"} & self.flags:
            entries = [(".", path), ("..", posixpath.dirname(path)), *entries]
        if "l" in self.flags:
            self.ctx.print(f"total {4 * len(entries)}")
        self.names(entries)
        if {"R", "recursive"} & self.flags:
            for each, below in entries:
                if each not in (".", "..") and isinstance(self.ctx.files.node(below, follow=False), Directory):
                    self.ctx.print(f"\n{posixpath.join(name, each)}:")
                    self.folder(posixpath.join(name, each))

    def names(self, entries: list[tuple[str, str]]) -> None:
        def node(path: str) -> Node:
            found = self.ctx.files.node(path, follow=False)
            assert found is not None
            return found

        if "t" in self.flags:
            entries = sorted(entries, key=lambda each: -getattr(node(each[1]), "mtime", 0.0))
        elif "S" in self.flags:
            entries = sorted(entries, key=lambda each: -_size(node(each[1])))
        if "r" in self.flags:
            entries = entries[::-1]
        for name, path in entries:
            found = node(path)
            mark = "/" if isinstance(found, Directory) and {"F", "p"} & self.flags else ""
            self.ctx.print(self._long(name + mark, found) if "l" in self.flags else name + mark)

    def _long(self, name: str, node: Node) -> str:
        mode = stat.filemode(KINDS[type(node)] | (0o777 if isinstance(node, Link) else node.mode))
        size = _size(node)
        shown = short_size(size).strip().upper() if {"h", "human-readable"} & self.flags else str(size)
        when = ids.utc(getattr(node, "mtime", 0.0))
        target = f" -> {node.target}" if isinstance(node, Link) else ""
        links = 2 if isinstance(node, Directory) else 1
        return f"{mode} {links} root root {shown:>5} {when:%b} {when.day:2d} {when:%H:%M} {name}{target}"


def _size(node: Node) -> int:
    return len(node.data) if isinstance(node, File) else len(node.target) if isinstance(node, Link) else 4096
