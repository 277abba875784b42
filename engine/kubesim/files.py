"""A file system in memory: what a node, a container or a computer outside has on its disk.

An image's files are shared by all its containers as a lower, read-only layer; what a container writes lies above
it, as in an overlay file system.  Paths are absolute and normalised; text is UTF-8.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class File:
    """A regular file.  `mtime` in seconds since the epoch."""

    data: bytes = b""
    mode: int = 0o644
    mtime: float = 0.0


@dataclass(slots=True)
class Directory:
    mode: int = 0o755
    mtime: float = 0.0
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Link:
    """A symbolic link."""

    target: str


Node = File | Directory | Link

ERRORS = {
    FileNotFoundError: "No such file or directory",
    NotADirectoryError: "Not a directory",
    IsADirectoryError: "Is a directory",
    FileExistsError: "File exists",
    PermissionError: "Permission denied",
}


class FileSystem:
    """See the module.  `clock` gives the mtime of what is written.  Raises the built-in OSError family.

    `on_change` callbacks are told the path of each file that was written or removed (a kubelet watches its
    manifests so).
    """

    def __init__(
        self, lower: Mapping[str, str | bytes] | None = None, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._clock = clock
        self._nodes: dict[str, Node] = {"/": Directory()}
        self.on_change: list[Callable[[str], None]] = []
        for path, data in (lower or {}).items():
            self.mkdir(posixpath.dirname(path), parents=True)
            self.write(path, data)

    @staticmethod
    def join(cwd: str, path: str) -> str:
        """An absolute, normalised path."""
        joined = posixpath.normpath(posixpath.join(cwd or "/", path))
        return "/" + joined.lstrip("/")

    def resolve(self, path: str, _depth: int = 0) -> str:
        """The path with symbolic links followed (also where the last part does not exist)."""
        if _depth > 40:
            raise OSError(f"Too many levels of symbolic links: {path}")
        path = self.join("/", path)
        done = "/"
        parts = path.strip("/").split("/") if path != "/" else []
        for index, part in enumerate(parts):
            here = posixpath.join(done, part)
            node = self._nodes.get(here)
            if isinstance(node, Link):
                target = posixpath.join(done, node.target, *parts[index + 1 :])
                return self.resolve(target, _depth + 1)
            done = here
        return done

    def node(self, path: str, follow: bool = True) -> Node | None:
        return self._nodes.get(self.resolve(path) if follow else self.join("/", path))

    def exists(self, path: str) -> bool:
        return self.node(path) is not None

    def is_file(self, path: str) -> bool:
        return isinstance(self.node(path), File)

    def is_dir(self, path: str) -> bool:
        return isinstance(self.node(path), Directory)

    def read_bytes(self, path: str) -> bytes:
        node = self.node(path)
        if node is None:
            raise FileNotFoundError(path)
        if not isinstance(node, File):
            raise IsADirectoryError(path)
        return node.data

    def read(self, path: str) -> str:
        return self.read_bytes(path).decode("utf-8", "replace")

    def write(self, path: str, data: str | bytes, mode: int | None = None) -> None:
        """Write a whole file; its directory must exist."""
        path = self.resolve(path)
        if isinstance(data, str):
            data = data.encode()
        found = self._nodes.get(path)
        if isinstance(found, Directory):
            raise IsADirectoryError(path)
        if isinstance(found, File):
            self._nodes[path] = File(data, found.mode if mode is None else mode, self._clock())
        else:
            self._add(path, File(data, 0o644 if mode is None else mode, self._clock()))
        self._changed(path)

    def append(self, path: str, data: str | bytes) -> None:
        if isinstance(data, str):
            data = data.encode()
        self.write(path, (self.read_bytes(path) if self.exists(path) else b"") + data)

    def mkdir(self, path: str, parents: bool = False) -> None:
        path = self.resolve(path)
        found = self._nodes.get(path)
        if found is not None:
            if parents and isinstance(found, Directory):
                return
            raise FileExistsError(path)
        if parents:
            self.mkdir(posixpath.dirname(path), parents=True)
        self._add(path, Directory(mtime=self._clock()))

    def symlink(self, target: str, path: str) -> None:
        path = self.join("/", path)
        if path in self._nodes:
            raise FileExistsError(path)
        self._add(path, Link(target))

    def chmod(self, path: str, mode: int) -> None:
        node = self.node(path)
        if node is None:
            raise FileNotFoundError(path)
        if not isinstance(node, Link):
            node.mode = mode

    def listdir(self, path: str) -> list[str]:
        node = self.node(path)
        if node is None:
            raise FileNotFoundError(path)
        if not isinstance(node, Directory):
            raise NotADirectoryError(path)
        return sorted(node.names)

    def remove(self, path: str, recursive: bool = False) -> None:
        path = self.join("/", path)
        node = self._nodes.get(path)
        if node is None:
            raise FileNotFoundError(path)
        if isinstance(node, Directory):
            if node.names and not recursive:
                raise OSError(f"Directory not empty: {path}")
            for name in list(node.names):
                self.remove(posixpath.join(path, name), recursive=True)
        del self._nodes[path]
        parent = self._nodes.get(posixpath.dirname(path))
        if isinstance(parent, Directory):
            parent.names.discard(posixpath.basename(path))
        self._changed(path)

    def walk(self) -> list[str]:
        """All paths, sorted."""
        return sorted(self._nodes)

    def _add(self, path: str, node: Node) -> None:
        parent = self._nodes.get(posixpath.dirname(path))
        if parent is None:
            raise FileNotFoundError(path)
        if not isinstance(parent, Directory):
            raise NotADirectoryError(path)
        parent.names.add(posixpath.basename(path))
        self._nodes[path] = node

    def _changed(self, path: str) -> None:
        for callback in list(self.on_change):
            callback(path)
