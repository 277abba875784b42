"""The process that runs a submission's cells: IPython, inside the walls.

It is told one cell at a time and says when that is done, what it printed and how it ended.  Between, the cells' own questions
to the cluster go over the same wire (`kubegrade.remote`).  What it says is information for people, never a mark; only
the tests of a plain nbgrader course, which have no cluster to look at, must run here too.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import kubelab
import kubesim
from kubegrade import remote, wire

# What is kept of a cell's output, in characters.
OUTPUT = 20_000
_CUT = "\n[… the rest of the output is left out]\n"


class Tape(io.TextIOBase):
    """A stream that keeps what was written first, and forgets the rest."""

    def __init__(self, room: int = OUTPUT) -> None:
        self._room = room
        self._parts: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._room > 0:
            kept = text[: self._room]
            self._parts.append(kept)
            self._room -= len(text)
            if self._room <= 0:
                self._parts.append(_CUT)
        return len(text)

    def text(self) -> str:
        return "".join(self._parts)


def warm(folder: Path) -> Any:
    """An IPython shell that shows only text, with its own files in `folder`.  Made once; each submission gets a copy by fork."""
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import InteractiveShell

    HistoryManager.enabled = False  # type: ignore[assignment]
    shell: Any = InteractiveShell.instance(ipython_dir=str(folder), colors="nocolor", autocall=0)
    shell.display_formatter.active_types = ["text/plain"]
    shell.display_formatter.mimebundle_formatter.enabled = False
    shell.display_formatter.ipython_display_formatter.enabled = False
    # Questions to people, and pagers, have nobody to ask.
    shell.system = _no_programs
    # exit() ends nothing: the cells after it are graded too.
    shell.ask_exit = lambda: None
    load()
    _rehearse(shell)
    return shell


def load() -> None:
    """Have all there that notebooks and checks use of the official client: its modules and models come with their first use, and
    take a second.  Before a worker forks, so that it is done once."""
    lab = remote.Lab(_cardboard, _cardboard("open"))  # type: ignore[arg-type]
    for read in (
        lab.core.list_namespaced_pod,
        lab.core.list_namespaced_service,
        lab.core.list_namespaced_endpoints,
        lab.apps.list_namespaced_deployment,
        lab.apps.list_namespaced_replica_set,
        lab.discovery.list_namespaced_endpoint_slice,
        lab.cluster.NetworkingV1Api().list_namespaced_ingress,
        lab.cluster.NetworkingV1Api().list_namespaced_network_policy,
    ):
        read("default")
    lab.core.list_node()


# What a notebook does sooner or later: what is behind it is then there before the first fork.
_REHEARSAL = """
import json, math, random, re, time
from kubernetes import client, config, watch
import kubelab
lab = kubelab.open("rehearsal")
[each.metadata.name for each in lab.core.list_namespaced_pod("default").items]
lab.shell("true")
"""


def _rehearse(shell: Any) -> None:
    """Run what notebooks are made of, against answers of cardboard, and forget it."""
    real = kubelab.open
    kubelab.open = remote.opener(_cardboard)  # type: ignore[arg-type]
    sys.stdout, sys.stderr = Tape(), Tape()
    try:
        shell.run_cell(_REHEARSAL).raise_error()
        shell.run_cell("%%shell\ntrue").raise_error()
        shell.run_cell("1 / 0")
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        kubelab.open = real
        shell.reset(new_session=True)


def _cardboard(verb: str, **what: Any) -> Any:
    """What a cluster would say in which there is nothing."""
    if verb == "api":
        body = json.dumps({"metadata": {}, "items": []})
        return {"status": 200, "headers": [["content-type", "application/json"]], "body": body}
    if verb == "open":
        return {"name": "x", "title": "x", "namespace": "default", "tasks": []}
    return {"stdout": "", "stderr": "", "code": 0, "said": []}


def _no_programs(command: str) -> None:
    print("Graded work starts no programs of the machine: use %%shell, the lab's own terminal.", file=sys.stderr)  # noqa: T201


# A cell that has been run once: its source, its questions with their answers, and what it said in the end.
Known = tuple[str, list[tuple[str, Any]], dict[str, Any]]


def rerun(shell: Any, cells: Sequence[Known], folder: Path) -> remote.Asker | None:
    """Run cells that have been run before, in a folder with nothing in it.  The asker that their lab has; None if there is more
    to them than what can be had by forking: if they ask or say anything else now, or leave a file or a thread."""
    script = remote.Script()
    asker = remote.Asker(script)
    _open_by(asker)
    os.chdir(folder)
    for source, asked, said in cells:
        script.known = list(asked)
        done = _run(shell, {"source": source})
        if script.broken or script.known or any(done[each] != said[each] for each in ("error", "says", "out", "err")):
            return None
    return asker if threading.active_count() == 1 and not any(folder.iterdir()) else None


def _open_by(asker: remote.Asker) -> None:
    from kubelab import lab as lab_module

    kubelab.open = lab_module.open = remote.opener(asker)


def serve(channel: wire.Channel, shell: Any, asker: remote.Asker | None) -> None:
    """Run what is told, until the wire is closed.  `asker` is that of the cells that have been run already."""
    if asker is None:
        _open_by(remote.Asker(channel))
    else:
        asker.channel = channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            order = channel.receive()
        except wire.Closed:
            return
        if "run" not in order:
            # The answer to a question that was interrupted.
            continue
        channel.send({"done": order["run"], **_run(shell, order)})


def _run(shell: Any, order: dict[str, Any]) -> dict[str, Any]:
    tape, complaints = Tape(), Tape()
    sys.stdout, sys.stderr = tape, complaints
    value = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = shell.run_cell(order["source"], store_history=False)
        error = result.error_before_exec or result.error_in_exec
        value = result.result
    except BaseException as raised:
        error = raised
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return {
        "error": type(error).__name__ if error is not None else None,
        "says": _text(error)[:500] if error is not None else "",
        "out": _text(tape.text()),
        "err": _text(complaints.text()),
        "value": float(value) if isinstance(value, int | float) and abs(value) < 1e9 else None,
    }


def _text(value: object) -> str:
    """As text that JSON can carry, whatever a stranger's class makes of `str`."""
    try:
        return str(value).encode("utf-8", "replace").decode()
    except BaseException:
        return ""


def readable() -> list[int]:
    """Open handles (O_PATH) of what Python's libraries need to be read from, and nothing that tells of labs or courses."""
    import sysconfig

    paths = sysconfig.get_paths()
    wanted = {Path(paths[name]) for name in ("stdlib", "platstdlib")}
    packages = {Path(paths[name]) for name in ("purelib", "platlib")}
    for folder in packages:
        # Labs and courses may be installed here too: this project's own packages are all imported before the walls are up.
        wanted |= {each for each in folder.iterdir() if not each.name.startswith(("kube", "_kube"))}
        wanted |= {each for each in folder.iterdir() if each.name.startswith("kubernetes")}
    # In an environment of its own, Python's library folder holds site-packages as well: then by its entries.
    for folder in list(wanted):
        if any(folder in other.parents or folder == other for other in packages):
            wanted.remove(folder)
            wanted |= {each for each in folder.iterdir() if each not in packages}
    # A notebook may make clusters of its own; the folders of labs and courses, which a wheel has in here, stay out.
    own = [Path(each.__file__ or "").parent for each in (kubesim, kubelab)]
    wanted |= {own[0], *(each for each in own[1].iterdir() if each.name not in ("_labs", "_course"))}
    wanted |= {
        Path(each) for each in ("/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom")
    }
    wanted |= {Path("/dev/null"), Path("/dev/zero"), Path("/etc/ld.so.cache")}
    return handles(wanted)


def handles(paths: Iterable[Path]) -> list[int]:
    """Open handles (O_PATH) of those paths that are there."""
    opened: list[int] = []
    # macOS has neither O_PATH nor a Landlock to use it for.
    for path in sorted(paths) if hasattr(os, "O_PATH") else []:
        with contextlib.suppress(OSError):
            opened.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
    return opened
