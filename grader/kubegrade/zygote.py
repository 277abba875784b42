"""The process from which submissions' processes are forked.

It imports what a notebook needs, while its worker warms up beside it, and knows nothing else: no lab's checks, no course, no
gradebook, no environment.  For each submission it forks a *warden*, which makes the namespaces and forks the *inmate*, the
first process in them.  The warden waits: when the inmate ends it tells how, and when its referee is gone it kills the inmate.
Every process here dies with the one that made it.

A *nest* is a fork of the zygote that has run the cells with which a class's notebooks begin, the teacher's own, and forks
inmates as the zygote does: they need not run these cells again.
"""

from __future__ import annotations

import contextlib
import gc
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

from kubegrade import inside, remote, sandbox, wire

# Frames to a nest: what a whole beginning has asked and was answered.
LARGEST = 1 << 27


@dataclass(frozen=True, slots=True)
class _Walls:
    """What inmates are put behind; `readable` are open handles of what they may read."""

    layers: sandbox.Layers
    limits: sandbox.Limits
    readable: list[int]


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


class Nursery:
    """The worker's end of a process that forks inmates: the zygote, or a nest of it."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders

    def spawn(self, scratch: Path, files: Sequence[Path] = ()) -> Inmate:
        """A new inmate whose current directory is `scratch`, with copies of the files in it.  OSError if it does not come.

        Any process that was forked from the worker may ask.
        """
        ours, theirs = socket.socketpair()
        line, wardens = socket.socketpair()
        told = json.dumps({"scratch": str(scratch), "files": [str(each) for each in files]}).encode()
        _order(self._orders, told, theirs, wardens)
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
        self._orders.close()


class Zygote(Nursery):
    """Forked from the worker as it is made."""

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
        super().__init__(ours)

    def nest(self, cells: Sequence[inside.Known], folder: Path) -> Nursery | None:
        """A nest with these cells, run in an empty folder; None if it cannot be (see `inside.rerun`)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near, far = socket.socketpair()
        _order(self._orders, json.dumps({"folder": str(folder)}).encode(), theirs, far)
        channel = wire.Channel(near, LARGEST)
        deadline = time.monotonic() + 120
        try:
            channel.send({"cells": cells}, deadline)
            if channel.receive(deadline)["ready"]:
                return Nursery(ours)
        except (wire.Closed, wire.Late, wire.Malformed):
            pass
        finally:
            channel.close()
        ours.close()
        return None

    def close(self) -> None:
        super().close()
        os.waitpid(self.pid, 0)


def _order(orders: socket.socket, told: bytes, *handed: socket.socket) -> None:
    """Tell a nursery something, and hand it the other ends."""
    socket.send_fds(orders, [told], [each.fileno() for each in handed])
    for each in handed:
        each.close()


def _serve(orders: socket.socket, layers: sandbox.Layers, limits: sandbox.Limits, folder: Path) -> None:
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
    _hatch(orders, _Walls(layers, limits, handles), shell, None)


def _hatch(orders: socket.socket, walls: _Walls, shell: Any, asker: remote.Asker | None) -> None:
    """Fork what is ordered, until nobody is left to order anything."""
    while True:
        told, fds, _, _ = socket.recv_fds(orders, 1 << 16, 2)
        if not told:
            return
        order = json.loads(told)
        if os.fork() == 0:
            try:
                orders.close()
                sandbox.die_with_parent()
                if "scratch" in order:
                    _warden(order, *fds, walls=walls, shell=shell, asker=asker)
                else:
                    _nest(Path(order["folder"]), *fds, walls=walls, shell=shell)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        for fd in fds:
            os.close(fd)


def _nest(folder: Path, orders_fd: int, line_fd: int, *, walls: _Walls, shell: Any) -> None:
    line = wire.Channel(socket.socket(fileno=line_fd), LARGEST)
    asker = inside.rerun(shell, line.receive()["cells"], folder)
    gc.freeze()
    line.send({"ready": asker is not None})
    line.close()
    if asker is not None:
        _hatch(socket.socket(fileno=orders_fd), walls, shell, asker)


def _warden(
    told: dict[str, Any],
    wire_fd: int,
    line_fd: int,
    *,
    walls: _Walls,
    shell: Any,
    asker: remote.Asker | None,
) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line = socket.socket(fileno=line_fd)
    sandbox.leave(walls.layers)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            line.close()
            sandbox.die_with_parent()
            _inmate(told, wire_fd, walls=walls, shell=shell, asker=asker)
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
    walls: _Walls,
    shell: Any,
    asker: remote.Asker | None,
) -> None:
    os.setsid()
    scratch = Path(told["scratch"])
    files = [Path(each) for each in told["files"]]
    os.environ["HOME"] = os.environ["TMPDIR"] = str(scratch)
    sandbox.enclose(walls.layers, walls.limits, scratch, walls.readable, files)
    _close_all_but(wire_fd, errors=False)
    sys.path[:] = [str(scratch), *(each for each in sys.path if each)]
    channel = wire.Channel(socket.socket(fileno=wire_fd))
    channel.send({"ready": True})
    inside.serve(channel, shell, asker)


def _close_all_but(kept: int, *, errors: bool) -> None:
    """Close every file but this one; the three standard ones lead nowhere (standard error stays, for `errors` of our own)."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1) if errors else (0, 1, 2):
        os.dup2(nowhere, fd)
    highest = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, kept)
    os.closerange(kept + 1, highest)
