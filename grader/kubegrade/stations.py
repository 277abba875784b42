"""What a machine that helps does: grade a submission that came over the network, in forks behind walls as at home.

Dask's worker unpacks, asks and waits, and no more.  Student code runs where it always does, in forks of a `kubegrade.worker`,
which is a process of its own: whatever a submission does to it, Dask's worker stays.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubegrade import notebooks, sandbox, wire
from kubegrade.jobs import Bounds, Job, Key
from kubegrade.process import Process
from kubegrade.report import Report

# A file's name below its folder, what it is ("file", "link", "folder", "large"), and what it holds (or how long it is).
Packed = list[tuple[str, str, str]]

# A submission that ends this many workers of a station is given up.
PATIENCE = 3
# How many submissions its worker has at work, if Dask's worker has so many threads.
LANES = 64


# -- over the network ---------------------------------------------------------------------------------------------


def pack(root: Path) -> Packed | None:
    """The entries of a folder; None if it is a link, or none.  Links are sent as links to nowhere: nobody follows them anyway."""
    return None if root.is_symlink() or not root.is_dir() else _packed(root, sorted(root.iterdir())[:1000])


def _packed(root: Path, paths: Iterable[Path]) -> Packed:
    found: Packed = []
    for path in paths:
        name = str(path.relative_to(root)).encode("utf-8", "surrogateescape").hex()
        if path.is_symlink():
            found.append((name, "link", ""))
        elif not path.is_file():
            found.append((name, "folder", ""))
        elif path.stat().st_size > notebooks.LARGEST:
            found.append((name, "large", str(path.stat().st_size)))
        else:
            found.append((name, "file", base64.b85encode(zlib.compress(path.read_bytes())).decode()))
    return found


def unpack(packed: Packed, root: Path) -> None:
    """Write packed entries below a new folder.  ValueError if one would come to lie elsewhere."""
    root.mkdir(parents=True)
    for name, kind, holds in packed:
        path = root / bytes.fromhex(name).decode("utf-8", "surrogateescape")
        if ".." in path.parts or not path.is_relative_to(root):
            raise ValueError(f"{path} is not below {root}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            path.symlink_to("nowhere")
        elif kind == "folder":
            path.mkdir(exist_ok=True)
        elif kind == "large":
            with path.open("wb") as file:
                file.truncate(int(holds))
        else:
            path.write_bytes(zlib.decompress(base64.b85decode(holds)))


def against(job: Job) -> dict[str, Any]:
    """What the job is graded against, to be sent along: the teacher's notebook, the lab's folder, more checks.

    `id` is the same for the same content, so that a station unpacks it once.
    """
    source, lab = Path(job.source), Path(job.lab_folder)
    told: dict[str, Any] = {"source": source.name, "notebook": _packed(source.parent, [source])}
    files = (
        [each for each in lab.rglob("*") if each.suffix in (".py", ".yaml") and each.is_file()]
        if job.lab_folder
        else []
    )
    told["lab"] = _packed(lab, sorted(files))
    told["checks"] = Path(job.checks).read_text(encoding="utf-8") if job.checks else ""
    return {"id": hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest(), **told}


def handed_in(job: Job) -> Packed | None:
    """What a job's student handed in, to be sent along."""
    if job.file:
        return _packed(Path(job.file).parent, [Path(job.file)])
    return pack(Path(job.folder))


# -- there ------------------------------------------------------------------------------------------------------------


def grade(job: dict[str, Any], folder: Packed | None, of: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The task that Dask runs: the Report of a Job, both as JSON.  `folder` is what was handed in (None: no folder), `of` what
    `against` gave, `settings` the bounds, the limits and whether to go on without a sandbox.

    {"refused": ...} where this machine has no sandbox.
    """
    station = _station(settings)
    if isinstance(station, str):
        return {"refused": station}
    here = Path(tempfile.mkdtemp(dir=station.folder))
    try:
        graded_against = station.unpacked(of)
        told = Job(**job)
        told = replace(
            told,
            source=str(graded_against / "source" / of["source"]),
            lab_folder=str(graded_against / told.lab) if of["lab"] else "",
            checks=str(graded_against / "more_checks.py") if of["checks"] else "",
        )
        if folder is not None:
            unpack(folder, here / "handed-in")
        if told.file:
            told = replace(told, file=str(here / "handed-in" / Path(told.file).name))
        else:
            told = replace(told, folder=str(here / "handed-in"))
        return {"report": station.grade(told).to_json(), "layers": str(station.layers)}
    finally:
        shutil.rmtree(here, ignore_errors=True)


class Station:
    """One `kubegrade.worker` on this machine, shared by the threads of Dask's worker; started when it is needed.

    The thread that starts it listens to it for as long as it lives: the kernel ends a child with the thread that has started it.
    """

    def __init__(self, layers: sandbox.Layers, bounds: Bounds, limits: sandbox.Limits) -> None:
        self.layers = layers
        self.folder = Path(tempfile.mkdtemp(prefix=f"kubegrade-{os.getpid()}-station-"))
        self._settings = (layers, bounds, limits)
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._waiting: dict[Key, Future[Report]] = {}

    def unpacked(self, of: dict[str, Any]) -> Path:
        """The folder with what is graded against."""
        root = self.folder / of["id"]
        with self._lock:
            if not root.is_dir():
                half = Path(tempfile.mkdtemp(dir=self.folder))
                unpack(of["notebook"], half / "source")
                if of["lab"]:
                    unpack(of["lab"], half / Path(of["source"]).stem)
                if of["checks"]:
                    (half / "more_checks.py").write_text(of["checks"], encoding="utf-8")
                half.rename(root)
        return root

    def grade(self, job: Job) -> Report:
        """The report of a job; it is graded again if the worker dies of anything, a few times."""
        for _ in range(PATIENCE):
            try:
                return self._ask(job).result()
            except wire.Closed:
                continue
        told = f"{PATIENCE} workers ended while they graded it"
        return Report(student=job.student, lab=job.lab, notebook=job.notebook, digest=job.digest, fault=told)

    def _ask(self, job: Job) -> Future[Report]:
        answer: Future[Report] = Future()
        with self._lock:
            if self._process is None:
                started: Future[Process] = Future()
                threading.Thread(target=self._listen, args=(started,), daemon=True).start()
                self._process = started.result()
            # Dask may send a job once more while the first is still at work: both get the one answer.
            if job.key in self._waiting:
                return self._waiting[job.key]
            self._waiting[job.key] = answer
            # The listener sees a worker's end too, and says so to all who wait.
            with contextlib.suppress(wire.Closed):
                self._process.give(job, LANES)
        return answer

    def _listen(self, started: Future[Process]) -> None:
        try:
            process = Process(*self._settings)
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(process)
        while True:
            try:
                report = process.take()
            except (wire.Closed, wire.Malformed):
                break
            with self._lock:
                answer = self._waiting.pop(report.key, None)
            if answer is not None:
                answer.set_result(report)
        with self._lock:
            lost, self._waiting, self._process = self._waiting, {}, None
        process.end()
        for each in lost.values():
            each.set_exception(wire.Closed())

    def end(self) -> None:
        """End the worker and remove the files."""
        process = self._process
        if process is not None:
            process.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def _probe() -> sandbox.Layers:
    """What this machine has for walls, tried in a program of its own: Dask's worker has threads, and must not fork."""
    tried = "import dataclasses, json; from kubegrade import sandbox; print(json.dumps(dataclasses.asdict(sandbox.probe())))"
    done = subprocess.run([sys.executable, "-P", "-c", tried], capture_output=True, text=True, check=True)
    return sandbox.Layers(**json.loads(done.stdout))


_stations: dict[str, Station | str] = {}
_lock = threading.Lock()


def _station(settings: dict[str, Any]) -> Station | str:
    """This process's station for these settings; or why there is none."""
    key = repr(sorted(settings.items()))
    with _lock:
        if key not in _stations:
            layers = _probe()
            if not layers.sufficient and not settings["unsandboxed"]:
                _stations[key] = f"{sandbox.REFUSAL} (there is: {layers})"
            else:
                made = Station(layers, Bounds(**settings["bounds"]), sandbox.Limits(**settings["limits"]))
                atexit.register(made.end)
                _stations[key] = made
        return _stations[key]
