"""Files in memory behave as on a disk."""

from __future__ import annotations

import pytest

from kubesim.files import Busy, FileSystem, ReadOnly


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


def test_what_is_done_below_a_mount_is_done_there(files: FileSystem) -> None:
    other = FileSystem({"/data/a": "1"})
    files.mount("/mnt/x", other, "/data")
    assert files.read("/mnt/x/a") == "1"
    files.write("/mnt/x/b", "2")
    files.mkdir("/mnt/x/c/d", parents=True)
    files.symlink("a", "/mnt/x/l")
    assert files.listdir("/mnt/x") == other.listdir("/data") == ["a", "b", "c", "l"]
    assert files.read("/mnt/x/l") == "1"
    files.remove("/mnt/x/c", recursive=True)
    assert not other.exists("/data/c")
    assert [path for path in files.walk() if path.startswith("/mnt")] == [
        "/mnt",
        "/mnt/x",
        "/mnt/x/a",
        "/mnt/x/b",
        "/mnt/x/l",
    ]
    with pytest.raises(Busy):
        files.remove("/mnt/x", recursive=True)


def test_a_file_can_be_mounted_alone(files: FileSystem) -> None:
    other = FileSystem({"/data/a": "1", "/data/b": "2"})
    files.mount("/etc/hosts", other, "/data/a")
    assert files.read("/etc/hosts") == "1"
    other.write("/data/a", "3")
    assert files.read("/etc/hosts") == "3"
    assert files.listdir("/etc") == ["hosts"]


def test_a_read_only_mount(files: FileSystem) -> None:
    other = FileSystem({"/data/a": "1"})
    files.mount("/mnt", other, "/data", read_only=True)
    for change in (
        lambda: files.write("/mnt/a", ""),
        lambda: files.write("/mnt/b", ""),
        lambda: files.remove("/mnt/a"),
        lambda: files.mkdir("/mnt/c"),
        lambda: files.chmod("/mnt/a", 0o600),
        lambda: files.symlink("a", "/mnt/l"),
    ):
        with pytest.raises(ReadOnly):
            change()
    assert other.walk() == ["/", "/data", "/data/a"]
