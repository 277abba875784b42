"""The process from which submissions' processes are forked.

It imports what a notebook needs, while its worker warms up beside it, and knows nothing else: no lab's checks, no course, no
gradebook, no environment.  For
each submission it forks a *warden*, which makes the namespaces and forks the *inmate*, the first process in them.  The warden
waits: when the inmate ends it tells how, and when its referee is gone it kills the inmate.  Every process here dies with
the one that made it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubegrade import inside, sandbox, wire


@dataclass(slots=True)
class Inmate:
    """A submission's process, as its referee holds it: the wire to it, and the warden's line."""

    channel: wire.Channel
    _line: socket.socket
    _process: int

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._signal(signal.SIGINT)

    def kill(self) -> int:
        """End it if it has not ended; how it ended (see `ended`)."""
        self._signal(signal.SIGKILL)
        return self.ended(5000)

    def ended(self, milliseconds: int) -> int:
        """How it ended: its exit code, or minus the signal that killed it; 0 too where the warden could not tell in time."""
        try:
            self._line.settimeout(milliseconds / 1000)
            return int(self._line.recv(16) or b"0")
        except (OSError, ValueError):
            return 0

    def close(self) -> None:
        self.channel.close()
        self._line.close()
        if self._process >= 0:
            os.close(self._process)
            self._process = -1

    def _signal(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._process, number)
        except (ProcessLookupError, OSError):
            return


class Zygote:
    """The worker's end: `start` forks it, `spawn` (of any process forked from the worker) asks it for an inmate."""

    def __init__(self, layers: sandbox.Layers, limits: sandbox.Limits, folder: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                ours.close()
                _close_all_but(theirs.fileno(), errors=True)
                sandbox.die_with_parent()
                _serve(theirs, layers, limits, folder)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        self._socket = ours

    def spawn(self, scratch: Path, files: Sequence[Path] = ()) -> Inmate:
        """A new inmate whose current directory is `scratch`, with copies of the files in it.  OSError if it does not come."""
        ours, theirs = socket.socketpair()
        line, wardens = socket.socketpair()
        told = json.dumps({"scratch": str(scratch), "files": [str(each) for each in files]}).encode()
        socket.send_fds(self._socket, [told], [theirs.fileno(), wardens.fileno()])
        theirs.close()
        wardens.close()
        # The first one waits until the zygote is warm.
        line.settimeout(120)
        _, fds, _, _ = socket.recv_fds(line, 1, 1)
        inmate = Inmate(wire.Channel(ours), line, fds[0] if fds else -1)
        try:
            inmate.channel.receive(time.monotonic() + 30)
        except (wire.Closed, wire.Late) as error:
            inmate.close()
            raise OSError("a submission's sandbox did not come up") from error
        return inmate

    def close(self) -> None:
        """End it; its inmates end with their referees."""
        self._socket.close()
        os.waitpid(self.pid, 0)


def _serve(orders: socket.socket, layers: sandbox.Layers, limits: sandbox.Limits, folder: Path) -> None:
    import gc

    os.environ.clear()
    os.environ.update(PATH="/usr/bin:/bin", LANG="C.UTF-8", HOME="/nonexistent", USER="student")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    # Wardens are nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    handles = inside.readable()
    shell = inside.warm(folder / "ipython")
    gc.freeze()
    gc.enable()
    while True:
        told, fds, _, _ = socket.recv_fds(orders, 1 << 16, 2)
        if not told:
            return
        if os.fork() == 0:
            try:
                orders.close()
                _warden(json.loads(told), *fds, layers=layers, limits=limits, handles=handles, shell=shell)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        for fd in fds:
            os.close(fd)


def _warden(
    told: dict[str, Any],
    wire_fd: int,
    line_fd: int,
    *,
    layers: sandbox.Layers,
    limits: sandbox.Limits,
    handles: list[int],
    shell: Any,
) -> None:
    sandbox.die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line = socket.socket(fileno=line_fd)
    sandbox.leave(layers)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            line.close()
            sandbox.die_with_parent()
            _inmate(told, wire_fd, layers=layers, limits=limits, handles=handles, shell=shell)
            code = 0
        except wire.Closed:
            code = 0
        except BaseException:
            # Shown only while the walls are not yet up: then standard error leads nowhere.
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(wire_fd)
    process = os.pidfd_open(pid)
    socket.send_fds(line, [b"!"], [process])
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(line, select.POLLIN)
    if not any(fd == process for fd, _ in poll.poll()):
        # The referee has hung up: whatever happens in there is of no use any more.
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        line.send(str(os.waitstatus_to_exitcode(status)).encode(), socket.MSG_NOSIGNAL)
    os._exit(0)


def _inmate(
    told: dict[str, Any],
    wire_fd: int,
    *,
    layers: sandbox.Layers,
    limits: sandbox.Limits,
    handles: list[int],
    shell: Any,
) -> None:
    os.setsid()
    scratch = Path(told["scratch"])
    files = [Path(each) for each in told["files"]]
    os.environ["HOME"] = os.environ["TMPDIR"] = str(scratch)
    sandbox.enclose(layers, limits, scratch, handles, files)
    _close_all_but(wire_fd, errors=False)
    sys.path[:] = [str(scratch), *(each for each in sys.path if each)]
    channel = wire.Channel(socket.socket(fileno=wire_fd))
    channel.send({"ready": True})
    inside.serve(channel, shell)


def _close_all_but(kept: int, *, errors: bool) -> None:
    """Close every file but this one; the three standard ones lead nowhere (standard error stays, for `errors` of our own)."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1) if errors else (0, 1, 2):
        os.dup2(nowhere, fd)
    highest = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, kept)
    os.closerange(kept + 1, highest)
