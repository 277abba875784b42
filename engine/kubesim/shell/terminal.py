"""The terminal of one machine: a shell whose variables, files and directory last, and single commands without a shell."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.machine import Machine
from kubesim.shell import completion, processes
from kubesim.shell.context import Context
from kubesim.shell.session import Session
from kubesim.shell.streams import BrokenPipe, Callback, Capture, Input, Null, Output, Text, decode, encode
from kubesim.shell.tty import Tty
from kubesim.world import Cancelled

if TYPE_CHECKING:
    from kubesim.shell.interpreter import Shell


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left.  Text is UTF-8; bytes that are not (a tar file) are kept as surrogates and come back by `_bytes`."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0

    @property
    def stdout_bytes(self) -> bytes:
        return encode(self.stdout)

    @property
    def stderr_bytes(self) -> bytes:
        return encode(self.stderr)

    def __str__(self) -> str:
        return self.stdout + self.stderr


class Terminal:
    """A shell on a machine.  `interactive`: a person looks on (meters and colours are as on a terminal) and types: what runs
    reads from `tty`, which the front feeds.  Elsewhere standard input is at its end."""

    def __init__(self, machine: Machine, interactive: bool = False) -> None:
        self.machine = machine
        self.session = Session(interactive=interactive)
        self.tty = Tty(machine.world, self.session.screen.write) if interactive else None
        self._shell: Shell | None = None

    @property
    def shell(self) -> Shell:
        """The shell process; it begins at first use, for it is the costly part."""
        if self._shell is None:
            from kubesim.shell import interpreter

            machine = self.machine
            fds: dict[int, Input | Output] = {0: Null(), 1: self.session.screen, 2: self.session.errors}
            self._shell = interpreter.Shell(
                machine, self.session, environment(machine), machine.cwd, fds, interactive=True
            )
        return self._shell

    async def run(
        self,
        script: str,
        stdin: bytes | str = b"",
        env: Mapping[str, str] | None = None,
        out: Callable[[str], None] | None = None,
        err: Callable[[str], None] | None = None,
    ) -> Result:
        """Run a script in the shell, as if it were typed; what it printed and its exit status.

        `out` and `err` are given text as it is written (the result's are then empty).  Errors of the learner end up in stderr.
        `exit` ends the script, and the next `run` begins in the same shell.  Cancelling the task is Ctrl-C.
        """
        captured, complaints = Capture(), Capture()
        shell = self.shell
        self.session.screen.attach(Callback(out) if out else captured)
        self.session.errors.attach(Callback(err) if err else complaints)
        given = Text(stdin if isinstance(stdin, str) else decode(stdin)) if stdin else None
        shell.fds[0] = given or self.tty or Null()
        if env:
            shell.state.env.update(env)
            for name in env:
                shell.state.env.set_attribute(name, "x")
        if script.strip():
            self.session.history.append(script.rstrip("\n"))
        try:
            status = await shell.run(script)
        except LearnerError as error:
            self.session.errors.write(f"{error}\n")
            status = 1
        except BrokenPipe:
            status = 141
        except Cancelled:
            shell.interrupted()
            raise
        finally:
            self.session.screen.attach(None)
            self.session.errors.attach(None)
        shell._status(status)
        return Result(captured.text, complaints.text, status)

    # -- for a prompt ---------------------------------------------------------------------------------------

    def prompt(self) -> str:
        """The line's beginning, e.g. `vagrant@k8sMaster:~$ `."""
        machine = self.machine
        cwd = self._shell.cwd if self._shell is not None else machine.cwd
        if cwd == machine.home or cwd.startswith(machine.home.rstrip("/") + "/"):
            cwd = "~" + cwd[len(machine.home) :]
        return machine.prompt.format(user=machine.user, hostname=machine.hostname, cwd=cwd)

    @property
    def history(self) -> list[str]:
        """What was run, oldest first."""
        return self.session.history

    def complete(self, text: str) -> bool:
        """Whether the text is a whole command; if not, a front asks for another line after `> `."""
        from kubesim.shell import syntax

        return syntax.is_whole(text)

    def completions(self, line: str) -> list[str]:
        """What the last word of the line may become: commands in the first place, files elsewhere."""
        cwd = self._shell.cwd if self._shell is not None else self.machine.cwd
        return completion.candidates(self.machine, cwd, line)


def environment(machine: Machine) -> dict[str, str]:
    """A login shell's environment."""
    return {
        "HOME": machine.home,
        "HOSTNAME": machine.hostname,
        "PATH": ":".join(processes.DIRECTORIES),
        "PWD": machine.cwd,
        "SHELL": "/bin/bash" if "bash" in machine.tools else "/bin/sh",
        "TERM": "xterm",
        "USER": machine.user,
        **machine.env,
    }


async def execute(
    machine: Machine,
    argv: Sequence[str],
    stdin: bytes | Input = b"",
    *,
    out: Callable[[str], None] | None = None,
    err: Callable[[str], None] | None = None,
) -> Result:
    """Run a command in a container as `kubectl exec` does: no shell, the container's environment.

    Where it cannot be started, the result is the runtime's: status 127 or 126, and the message that the kubelet hands on.
    `out` and `err` are given text (`streams.encode` makes bytes of it) as it is written.
    """
    captured, complaints = Capture(), Capture()
    output: Output = Callback(out) if out else captured
    problems: Output = Callback(err) if err else complaints
    name = argv[0] if argv else ""
    try:
        path = processes.where(
            machine, name if "/" not in name or name.startswith("/") else machine.files.join(machine.cwd, name)
        )
    except processes.NotFound:
        how = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
        return cannot_start(machine, name, how, 127)
    except processes.NotExecutable:
        return cannot_start(machine, name, "permission denied", 126)
    except IsADirectoryError:
        return cannot_start(machine, name, "is a directory", 126)
    env = {"PATH": ":".join(processes.DIRECTORIES), "HOSTNAME": machine.hostname, "HOME": machine.home, **machine.env}
    source: Input = (Text(decode(stdin)) if stdin else Null()) if isinstance(stdin, bytes) else stdin
    terminal = isinstance(source, Tty)
    if terminal:
        env.setdefault("TERM", "xterm")
    ctx = Context(
        machine=machine,
        name=name,
        args=list(argv[1:]),
        env=env,
        cwd=machine.cwd,
        stdin=source,
        out=output,
        err=problems,
        terminal=terminal,
    )
    status = await processes.start(ctx, path)
    return Result(captured.text, complaints.text, status)


def cannot_start(machine: Machine, name: str, why: str, status: int) -> Result:
    """runc's refusal (libcontainer, `exec.LookPath`), as containerd's CRI hands it on; kubectl prints it after "error: "."""
    identifier = f"{machine.world.rng('exec').getrandbits(256):064x}"
    message = (
        "Internal error occurred: error executing command in container: failed to exec in container: "
        f'failed to start exec "{identifier}": OCI runtime exec failed: exec failed: unable to start container process: '
        f'exec: "{name}": {why}: unknown'
    )
    return Result("", message, status)


def answer(terminal: Terminal, line: str) -> str:
    """The JSON protocol: {"command": str} in, {"stdout", "stderr", "exit_code"} out, one line each."""
    try:
        command = json.loads(line)["command"]
        if not isinstance(command, str):
            raise TypeError(command)
    except (ValueError, KeyError, TypeError):
        result = Result("", 'each line must be {"command": "..."}\n', 2)
    else:
        result = terminal.machine.world.run(terminal.run(command), "terminal")
    return json.dumps({"stdout": result.stdout, "stderr": result.stderr, "exit_code": result.exit_code})
