"""A file system in memory: what a node, a container or a computer outside has on its disk.

An image's files are shared by all its containers as a lower, read-only layer; what a container writes lies above
it, as in an overlay file system.  Paths are absolute and normalised; text is UTF-8.

A file or directory of another file system may be mounted at a path: what is done below that path is done there.
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


class ReadOnly(OSError):
    """EROFS."""


class Busy(OSError):
    """EBUSY: something is mounted there."""


@dataclass(slots=True)
class Mount:
    """`root` of `files` stands at some path here; `tell` passes on what changes below it."""

    files: FileSystem
    root: str
    read_only: bool
    tell: Callable[[str], None]

ERRORS = {
    FileNotFoundError: "No such file or directory",
    NotADirectoryError: "Not a directory",
    IsADirectoryError: "Is a directory",
    FileExistsError: "File exists",
    PermissionError: "Permission denied",
    ReadOnly: "Read-only file system",
    Busy: "Device or resource busy",
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
        self._mounts: dict[str, Mount] = {}
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

    # -- mounts ---------------------------------------------------------------------------------------------

    def mount(self, path: str, files: FileSystem, root: str = "/", read_only: bool = False) -> None:
        """Put the file or directory `root` of another file system at `path`, in place of what is there (mount --bind)."""
        path = self.resolve(path)
        if not self.exists(path):
            if files.is_file(root):
                self.mkdir(posixpath.dirname(path), parents=True)
                self.write(path, "")
            else:
                self.mkdir(path, parents=True)

        def tell(changed: str) -> None:
            if changed == root or changed.startswith(root.rstrip("/") + "/"):
                self._changed(posixpath.join(path, changed[len(root) :].lstrip("/")) if changed != root else path)

        files.on_change.append(tell)
        self._mounts[path] = Mount(files, root, read_only, tell)

    def unmount_all(self) -> None:
        """The namespace is gone."""
        for mount in self._mounts.values():
            mount.files.on_change.remove(mount.tell)
        self._mounts.clear()

    @property
    def mounts(self) -> Mapping[str, Mount]:
        """What is mounted, by path."""
        return self._mounts

    def _elsewhere(self, path: str, write: bool = False) -> tuple[FileSystem, str] | None:
        """The file system that a resolved path leads to, and the path there; None when it is of this one."""
        if not self._mounts:
            return None
        at = path
        while at not in self._mounts:
            if at == "/":
                return None
            at = posixpath.dirname(at)
        mount = self._mounts[at]
        if write and mount.read_only:
            raise ReadOnly(path)
        return mount.files, posixpath.join(mount.root, path[len(at) :].lstrip("/")) if path != at else mount.root

    # -- files ----------------------------------------------------------------------------------------------

    def node(self, path: str, follow: bool = True) -> Node | None:
        path = self.resolve(path) if follow else self._parent_resolved(path)
        there = self._elsewhere(path)
        return there[0].node(there[1], follow) if there is not None else self._nodes.get(path)

    def _parent_resolved(self, path: str) -> str:
        """The path of an entry itself, links followed only on the way to it."""
        path = self.join("/", path)
        return posixpath.join(self.resolve(posixpath.dirname(path)), posixpath.basename(path)) if self._mounts else path

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
        there = self._elsewhere(path, write=True)
        if there is not None:
            there[0].write(there[1], data, mode)
            return
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
        there = self._elsewhere(path, write=path not in self._mounts)
        if there is not None:
            there[0].mkdir(there[1], parents)
            return
        found = self._nodes.get(path)
        if found is not None:
            if parents and isinstance(found, Directory):
                return
            raise FileExistsError(path)
        if parents:
            self.mkdir(posixpath.dirname(path), parents=True)
        self._add(path, Directory(mtime=self._clock()))

    def symlink(self, target: str, path: str) -> None:
        path = self._parent_resolved(path)
        there = self._elsewhere(path, write=True)
        if there is not None:
            there[0].symlink(target, there[1])
            return
        if path in self._nodes:
            raise FileExistsError(path)
        self._add(path, Link(target))

    def chmod(self, path: str, mode: int) -> None:
        node = self.node(path)
        if node is None:
            raise FileNotFoundError(path)
        self._elsewhere(self.resolve(path), write=True)
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
        path = self._parent_resolved(path)
        there = self._elsewhere(path, write=path not in self._mounts)
        if path in self._mounts:
            raise Busy(path)
        if there is not None:
            there[0].remove(there[1], recursive)
            return
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
        found = {path for path in self._nodes if self._elsewhere(path) is None}
        for at, mount in self._mounts.items():
            prefix = mount.root.rstrip("/")
            found |= {
                at + path[len(prefix) :].rstrip("/")
                for path in mount.files.walk()
                if path == mount.root or path.startswith(f"{prefix}/")
            }
        return sorted(found)

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
