"""Files in memory behave as on a disk."""

from __future__ import annotations

import pytest

from kubesim.files import FileSystem


@pytest.fixture
def files() -> FileSystem:
    return FileSystem({"/etc/hosts": "127.0.0.1 localhost\n"}, clock=lambda: 42.0)


def test_read_write_append(files: FileSystem) -> None:
    files.append("/etc/hosts", "10.0.0.1 a\n")
    assert files.read("/etc/hosts") == "127.0.0.1 localhost\n10.0.0.1 a\n"
    files.write("/etc/new", b"\xff")
    assert files.read_bytes("/etc/new") == b"\xff"
    assert files.listdir("/etc") == ["hosts", "new"]


def test_the_system_s_own_errors(files: FileSystem) -> None:
    with pytest.raises(FileNotFoundError):
        files.read("/nothing")
    with pytest.raises(FileNotFoundError):
        files.write("/nowhere/file", "")
    with pytest.raises(IsADirectoryError):
        files.read("/etc")
    with pytest.raises(IsADirectoryError):
        files.write("/etc", "")
    with pytest.raises(FileExistsError):
        files.mkdir("/etc")
    with pytest.raises(NotADirectoryError):
        files.write("/etc/hosts/x", "")
    with pytest.raises(OSError, match="not empty"):
        files.remove("/etc")


def test_links_are_followed(files: FileSystem) -> None:
    files.mkdir("/var/run", parents=True)
    files.symlink("/var/run", "/run")
    files.write("/run/pid", "1")
    assert files.read("/var/run/pid") == "1"
    files.symlink("/loop", "/loop")
    with pytest.raises(OSError, match="symbolic links"):
        files.read("/loop")


def test_changes_are_told(files: FileSystem) -> None:
    told: list[str] = []
    files.on_change.append(told.append)
    files.mkdir("/a/b", parents=True)
    files.write("/a/b/c", "x")
    files.remove("/a", recursive=True)
    assert told[0] == "/a/b/c"
    assert "/a/b/c" in told[1:]
    assert not files.exists("/a/b/c")


def test_paths_are_normalised() -> None:
    assert FileSystem.join("/a/b", "../c") == "/a/c"
    assert FileSystem.join("", "x") == "/x"
    assert FileSystem.join("/a", "/b//c/") == "/b/c"
