"""A worker in a process of its own, as `kubegrade.batch` and `kubegrade.api` have it."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kubegrade import sandbox, wire
from kubegrade.jobs import Bounds, Job, Key
from kubegrade.report import Report, from_json

# Frames from a worker: a report with all its cards.
LARGEST = 1 << 26


class Process:
    """A worker in a process of its own, with nothing of this one's environment."""

    def __init__(self, layers: sandbox.Layers, bounds: Bounds, limits: sandbox.Limits) -> None:
        ours, theirs = socket.socketpair()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "TMPDIR") if name in os.environ}
        self._scratch = scratch()
        self._process = subprocess.Popen(
            # The folder tells whose it is in a listing of processes: all its forks bear the same line.
            [sys.executable, "-P", "-m", "kubegrade.worker", str(theirs.fileno()), str(self._scratch)],
            pass_fds=[theirs.fileno()],
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._socket = ours
        self._channel = wire.Channel(ours, LARGEST)
        settings = {"layers": layers, "bounds": bounds, "limits": limits}
        told = {name: asdict(each) for name, each in settings.items()}  # type: ignore[call-overload]
        self._channel.send(told)
        self.jobs: dict[Key, Job] = {}
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Process] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def tell(self, ready: queue.SimpleQueue[Process]) -> None:
        """Put this process into a queue whenever `take` has something.  Before the first job is given."""
        self._ready = ready

    def give(self, job: Job, lanes: int = 1) -> None:
        """Another job for it to work on, beside those that it has: so many at a time, the others wait."""
        if self._reader.ident is None:
            self._reader.start()
        self.jobs[job.key] = job
        self._channel.send({"job": asdict(job), "lanes": lanes})

    def take(self) -> Report:
        """The next report of the jobs that were given.  wire.Closed if the worker died of one."""
        told = self._inbox.get()
        if told is None:
            raise wire.Closed
        report = from_json(told["report"])
        self.jobs.pop(report.key, None)
        return report

    def _read(self) -> None:
        """Take in what the worker says at once, in a thread: it must not wait for whoever writes books and pages."""
        told: Any = True
        while told is not None:
            try:
                told = self._channel.receive()
            except (wire.Closed, wire.Malformed):
                told = None
            self._inbox.put(told)
            if self._ready is not None:
                self._ready.put(self)

    def end(self) -> None:
        """End it, and all that it has forked."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.kill()
        self._process.wait()
        if self._reader.ident is not None:
            self._reader.join()
        self._channel.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def scratch() -> Path:
    """A new folder for a worker.  Folders of graders that were killed are removed on the way."""
    for path in Path(tempfile.gettempdir()).glob("kubegrade-*-*"):
        pid = path.name.split("-")[1]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, ValueError):
            continue
    return Path(tempfile.mkdtemp(prefix=f"kubegrade-{os.getpid()}-"))
