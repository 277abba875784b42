"""A worker in a process of its own, as `kubegrade.batch` and `kubegrade.api` have it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

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
        self.socket = ours
        self._channel = wire.Channel(ours, LARGEST)
        settings = {"layers": layers, "bounds": bounds, "limits": limits}
        told = {name: asdict(each) for name, each in settings.items()}  # type: ignore[call-overload]
        self._channel.send(told)
        self.jobs: dict[Key, Job] = {}

    def give(self, job: Job) -> None:
        """Another job for it to work on, beside those that it has."""
        self.jobs[job.key] = job
        self._channel.send(asdict(job))

    def take(self) -> Report:
        """The next report of the jobs that were given.  wire.Closed if the worker died of one."""
        report = from_json(self._channel.receive()["report"])
        self.jobs.pop(report.key, None)
        return report

    def end(self) -> None:
        """End it, and all that it has forked."""
        self._channel.close()
        self._process.kill()
        self._process.wait()
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
