"""The walls around a submission, as the kernel gives them without any privilege.

Theory of operation
-------------------
A process puts the walls around itself, one after the other, and can never take one down again:

| layer | keeps |
|---|---|
| namespaces: user, mount, net, ipc, uts, pid | other processes, the network and mounts out of sight; files go to memory |
| Landlock | files: Python's own libraries to read, the submission's scratch folder to write; signals to nobody else |
| seccomp | no other programs, no new processes, no sockets, none of the calls that reach deep into a kernel |
| rlimits | memory, processor time, file size, open files |
| no_new_privs, no capabilities | what is out stays out |

Which of them a machine has is found out by trying each, in a process that is then thrown away.  `sufficient` says whether
what is there keeps files and the network from a stranger's code; if not, strangers' code is not run (unless told).

Sources: landlock(7), seccomp(2), unshare(2), user_namespaces(7), include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kubegrade import seccomp

# linux/sched.h
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
# linux/mount.h
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18

# The same numbers on every architecture (asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl).
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
# What each version of the interface can handle: a set bit that the kernel does not know is an error.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_TCP = 0b11
_SCOPES = 0b11


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one submission may use.  Bytes and seconds; `memory` is address space beyond what the process has at the start."""

    memory: int = 1 << 30
    cpu: int = 300
    file_size: int = 16 << 20
    scratch: int = 32 << 20
    scratch_files: int = 1000
    open_files: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What this machine has.  `landlock` is the version of its interface, 0 for none."""

    user: bool = False
    namespaces: bool = False
    mount: bool = False
    landlock: int = 0
    seccomp: bool = False
    rlimits: bool = False

    @property
    def sufficient(self) -> bool:
        """Whether files and the network are kept from what runs inside."""
        return bool(self.landlock) and (self.seccomp or self.namespaces)

    def __str__(self) -> str:
        names = [
            "namespaces" if self.namespaces else "",
            "a file system in memory" if self.mount else "",
            f"Landlock (version {self.landlock})" if self.landlock else "",
            "seccomp" if self.seccomp else "",
            "rlimits" if self.rlimits else "",
        ]
        return ", ".join(filter(None, names)) or "none"


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("fd", ctypes.c_int32))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> int:
    """A function of the C library; OSError with its errno if it fails."""
    done = int(getattr(_libc(), name)(*args))
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return done


# -- what there is --------------------------------------------------------------------------------------------


def probe() -> Layers:
    """Try each layer in a process of its own."""
    if not sys.platform.startswith("linux"):
        return Layers(rlimits=_works(lambda: _limit(Limits(), _address_space())))
    return Layers(
        user=_works(lambda: _unshare(user=True)),
        namespaces=_works(lambda: _unshare(user=True)) or _works(lambda: _unshare(user=False)),
        mount=_works(lambda: _mounted(user=True)) or _works(lambda: _mounted(user=False)),
        landlock=landlock_version() if _works(lambda: restrict_files([], [], landlock_version())) else 0,
        seccomp=_works(seccomp.install),
        rlimits=_works(lambda: _limit(Limits(), _address_space())),
    )


def landlock_version() -> int:
    try:
        return min(7, _call("syscall", _LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))
    except OSError:
        return 0


def _works(layer: Callable[[], object]) -> bool:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            layer()
            code = 0
        except BaseException:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _mounted(*, user: bool) -> None:
    _unshare(user=user)
    _in_memory(Path("/tmp"), Limits())


# -- putting them up ------------------------------------------------------------------------------------------


def leave(layers: Layers) -> None:
    """Into namespaces of our own: from here on the next child is the first process of its own world."""
    if layers.namespaces:
        _unshare(user=layers.user)


def enclose(layers: Layers, limits: Limits, scratch: Path, readable: Sequence[int], files: Sequence[Path]) -> None:
    """Put up all the other walls around this process; the current directory is then `scratch`.

    `readable` are open folders and files (O_PATH) that may be read, and they are closed; `files` are copied into the scratch
    folder first.
    """
    linux = sys.platform.startswith("linux")
    if layers.mount:
        _in_memory(scratch, limits)
    for path in files:
        _copy(path, scratch)
    os.chdir(scratch)
    mapped = _address_space()
    if linux:
        _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _drop_capabilities()
    if layers.landlock:
        writable = [os.open(scratch, os.O_PATH | os.O_DIRECTORY), os.open(os.devnull, os.O_PATH)]
        restrict_files(readable, writable, layers.landlock)
        for fd in writable:
            os.close(fd)
    for fd in readable:
        os.close(fd)
    if layers.rlimits:
        _limit(limits, mapped)
    if layers.seccomp:
        seccomp.install()
    if linux:
        _call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)


def confine(layers: Layers, readable: Sequence[int]) -> None:
    """The walls for a process of our own that handles what strangers send: it may read these (O_PATH) and nothing else, and
    start and connect nothing."""
    if layers.landlock:
        restrict_files(readable, [], layers.landlock, scoped=False)
    if layers.seccomp:
        seccomp.install()


def die_with_parent() -> None:
    """Be killed when the process that forked this one is gone (Linux)."""
    if sys.platform.startswith("linux"):
        _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _unshare(*, user: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET | (NEWUSER if user else 0))
    if user:
        # One user of the outside is one inside, and not root: user_namespaces(7).
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"1000 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"1000 {gid} 1", encoding="ascii")


def _in_memory(folder: Path, limits: Limits) -> None:
    """A file system in memory over `folder`, seen by this process alone."""
    _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    options = f"size={limits.scratch},nr_inodes={limits.scratch_files},mode=700".encode()
    _call("mount", b"none", os.fsencode(folder), b"tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)


def _limit(limits: Limits, mapped: int) -> None:
    for name, value in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_CPU", limits.cpu),
        ("RLIMIT_FSIZE", limits.file_size),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_AS", mapped + limits.memory),
    ):
        which = getattr(resource, name, None)
        if which is None:
            continue
        hard = resource.getrlimit(which)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(which, (wanted, wanted))
        except (OSError, ValueError):
            # macOS has RLIMIT_AS and takes no value for it.
            if sys.platform.startswith("linux"):
                raise


def _address_space() -> int:
    """What this process has mapped, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _drop_capabilities() -> None:
    """capset(2), version 3, all empty."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _call("capset", header, nothing)


def restrict_files(readable: Sequence[int], writable: Sequence[int], version: int, *, scoped: bool = True) -> None:
    """Landlock: from here on only these may be read, and only those written beneath.  Needs no_new_privs, which it sets.

    `scoped`: and signals go to none but itself and its children.
    """
    if not version:
        raise OSError(errno.EOPNOTSUPP, "no Landlock")
    handled = _FILE_RIGHTS[min(version, 5)]
    rules = _Ruleset(handled, _TCP if version >= 4 else 0, _SCOPES if scoped and version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call("syscall", _LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    for fds, rights in ((readable, _READ_FILE | _READ_DIR), (writable, handled & ~_EXECUTE)):
        for fd in fds:
            of_file = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _OF_FILES
            beneath = _Beneath(of_file & handled, fd)
            _call("syscall", _LANDLOCK_ADD, ruleset, 1, ctypes.byref(beneath), 0)
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _copy(path: Path, folder: Path) -> None:
    """A regular file, no link, into the folder."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as source:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            with (folder / path.name).open("xb") as target:
                shutil.copyfileobj(source, target)


REFUSAL = "this machine has nothing that keeps a stranger's code from your files and the network"
REMEDY = (
    "Grade on Linux with Landlock (5.13 and later), in Docker or Podman, or in WSL2; or say --unsandboxed for work that you "
    "trust: it then runs as you, with time-outs and caps only."
)
