"""Programs of the learner's own computer: one after the other, or a shell that stays."""

from __future__ import annotations

import secrets
import selectors
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from kubesim.errors import LearnerError
from kubesim.shell.terminal import Result

if TYPE_CHECKING:
    from kubelab.port import Tell

# Where each comes from, for those who have it not.
INSTALL = {
    "docker": "Install Docker Engine or Docker Desktop (https://docs.docker.com/get-docker/) and start it.",
    "kind": "Install kind (https://kind.sigs.k8s.io/docs/user/quick-start/#installation).",
    "kubectl": "Install kubectl (https://kubernetes.io/docs/tasks/tools/).",
    "bash": "Install bash; on Windows open the notebook inside of WSL.",
}
WITHOUT = "Or leave cluster=... away: the embedded cluster needs nothing."


def need(program: str) -> str:
    """The program's path.  LearnerError says where it comes from."""
    found = shutil.which(program)
    if found is None:
        raise LearnerError(f"a live cluster needs {program}, which is not here", f"{INSTALL[program]} {WITHOUT}")
    return found


def run(argv: Sequence[str], env: Mapping[str, str], *, stdin: str = "", timeout: float = 120) -> Result:
    """Run a program to its end.  LearnerError when it is missing or takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            [need(argv[0]), *argv[1:]],
            input=stdin,
            env=dict(env),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LearnerError(f"{' '.join(argv[:4])} ... has not ended after {timeout:g} s") from None
    return Result(done.stdout, done.stderr, done.returncode)


def must(argv: Sequence[str], env: Mapping[str, str], *, stdin: str = "", timeout: float = 120) -> str:
    """What it prints.  LearnerError with its own last words when it fails."""
    done = run(argv, env, stdin=stdin, timeout=timeout)
    if done.exit_code:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LearnerError(f"{' '.join(argv[:4])} failed: {said[-1] if said else done.exit_code}")
    return done.stdout


class Shell:
    """A shell that stays: what a script sets or where it goes lasts until the next.

    Scripts are fed to a shell on a pipe, each between marks that no script prints; what they read is empty.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._argv = [need(argv[0]), *argv[1:]]
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, script: str, tell: Tell | None = None) -> Result:
        """Run a script to its end; `tell` hears what it writes.  An interrupt ends the shell, and the next run has another."""
        process = self._started()
        mark = f"kubelab-{secrets.token_hex(8)}"
        # `eval` of quoted text: a script that does not parse is an error of its own, and not the end of the shell.
        ended = f"printf '{mark} %s\\n' $?; printf '{mark}\\n' >&2"
        fed = f"eval \"$(cat <<'{mark}'\n{script}\n{mark}\n)\" </dev/null\n{ended}\n"
        assert process.stdin is not None
        try:
            process.stdin.write(fed.encode("utf-8", "surrogateescape"))
            process.stdin.flush()
            return self._read(process, mark.encode(), tell)
        except BrokenPipeError:
            self.close()
            return Result("", "the shell has ended\n", 1)
        except KeyboardInterrupt:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for each in (self._process.stdin, self._process.stdout, self._process.stderr):
                if each is not None:
                    each.close()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._argv,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # A Ctrl-C at the notebook is for the script, and not for whoever shares its terminal.
                start_new_session=True,
            )
        return self._process

    def _read(self, process: subprocess.Popen[bytes], mark: bytes, tell: Tell | None) -> Result:
        """Both streams up to their marks."""
        assert process.stdout is not None
        assert process.stderr is not None
        kept: dict[Literal["out", "err"], bytes] = {"out": b"", "err": b""}
        ends = {"out": mark + b" ", "err": mark + b"\n"}
        told = {"out": 0, "err": 0}
        status = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, "out")
            selector.register(process.stderr, selectors.EVENT_READ, "err")
            while selector.get_map():
                for key, _events in selector.select():
                    stream: Literal["out", "err"] = key.data
                    piece = key.fileobj.read(65536)  # type: ignore[union-attr]
                    kept[stream] += piece
                    at = kept[stream].find(ends[stream])
                    whole = at >= 0 and kept[stream].endswith(b"\n")
                    if whole:
                        status = kept[stream][at + len(ends[stream]) :] if stream == "out" else status
                        kept[stream] = kept[stream][:at]
                    if whole or not piece:
                        selector.unregister(key.fileobj)
                    # What may be the beginning of a mark is not told before it is known to be none.
                    upto = len(kept[stream]) if whole or not piece else _safe(kept[stream], mark)
                    if tell is not None and upto > told[stream]:
                        tell(stream, _text(kept[stream][told[stream] : upto]))
                        told[stream] = upto
        code = int(status) if status.strip() else process.wait()
        return Result(_text(kept["out"]), _text(kept["err"]), code)


def _safe(data: bytes, mark: bytes) -> int:
    """How much of it is told already: what ends like the beginning of a mark waits."""
    at = data.find(mark)
    if at >= 0:
        return at
    longest = min(len(mark) - 1, len(data))
    return len(data) - next((size for size in range(longest, 0, -1) if data.endswith(mark[:size])), 0)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
