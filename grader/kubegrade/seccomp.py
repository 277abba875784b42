"""A filter of system calls, assembled by hand: classic BPF, as seccomp(2) takes it.

All is allowed but what a notebook of an honest student never needs and an attack does: starting programs and processes,
sockets, mounts, namespaces, other processes' memory, and the kernel's newest and largest doors.  Threads are allowed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

# linux/filter.h, linux/bpf_common.h
_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_SET, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
# linux/seccomp.h
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_MODE_FILTER, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 2, 22, 38
_CLONE_THREAD = 0x10000
# Offsets in struct seccomp_data: the call's number, the architecture, the low half of the first argument.
_NUMBER, _ARCH, _FIRST = 0, 4, 16

# Machine -> (AUDIT_ARCH_*, clone, calls refused).  Numbers: arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h.
_MACHINES: dict[str, tuple[int, int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        56,
        {
            "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "socket": 41, "ptrace": 101, "mount": 165, "umount2": 166,
            "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "keyctl": 250,
            "add_key": 248, "request_key": 249, "userfaultfd": 323, "io_uring_setup": 425, "process_vm_readv": 310,
            "process_vm_writev": 311, "init_module": 175, "finit_module": 313, "delete_module": 176, "reboot": 169,
            "open_by_handle_at": 304, "swapon": 167, "quotactl": 179, "kcmp": 312, "memfd_create": 319, "personality": 135,
        },
    ),
    "aarch64": (
        0xC00000B7,
        220,
        {
            "execve": 221, "execveat": 281, "socket": 198, "ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41,
            "chroot": 51, "unshare": 97, "setns": 268, "bpf": 280, "perf_event_open": 241, "keyctl": 219, "add_key": 217,
            "request_key": 218, "userfaultfd": 282, "io_uring_setup": 425, "process_vm_readv": 270, "process_vm_writev": 271,
            "init_module": 105, "finit_module": 273, "delete_module": 106, "reboot": 142, "open_by_handle_at": 265,
            "swapon": 224, "quotactl": 60, "kcmp": 272, "memfd_create": 279, "personality": 92,
        },
    ),
}  # fmt: skip
_CLONE3 = 435


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def program(machine: str) -> bytes:
    """The filter for a machine, 8 bytes an instruction.  KeyError for one that is not known here."""
    arch, clone, refused = _MACHINES[machine]
    code = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        # The x32 numbers reach the same kernel by another name.
        code += [(_JUMP_GREATER, 0, 1, 0x3FFFFFFF), (_RETURN, 0, 0, _KILL)]
    # The C library falls back from clone3, whose flags a filter cannot see, to clone.
    code += [(_JUMP_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for number in sorted(refused.values()):
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    code += [
        (_JUMP_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, _FIRST),
        (_JUMP_SET, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *each) for each in code)


def install() -> None:
    """Put the filter around this process, for good.  OSError where that cannot be."""
    try:
        code = program(platform.machine())
    except KeyError:
        raise OSError(errno.ENOSYS, f"no filter for {platform.machine()}") from None
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    filled = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p).value)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filled), 0, 0
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
