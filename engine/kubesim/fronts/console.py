"""A person's terminal, a script's, and a machine's (one JSON object a line)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import IO

from kubesim.cluster import Cluster
from kubesim.fronts import pacing
from kubesim.shell.terminal import Terminal

WELCOME = """\
A cluster of {count} in this process: {title} ({version}).
You are {user} on {hostname}. kubectl (k for short), curl, iptables-save, ip and the usual tools are here.
Try: k create deployment web --image=nginx && k expose deployment web --port=80
Time passes as on your wall; nothing leaves this machine. `exit` or Ctrl-D ends it, and the cluster with it.
"""


def script(cluster: Cluster, text: str, out: IO[str], err: IO[str]) -> int:
    """Run a script on the first node in virtual time, show its output, and give its exit code."""
    result = cluster.shell(text)
    out.write(result.stdout)
    err.write(result.stderr)
    out.flush()
    err.flush()
    return result.exit_code


def json_lines(cluster: Cluster, lines: IO[str], out: IO[str]) -> None:
    """Answer each line {"command": str} with a line {"stdout", "stderr", "exit_code"}; state lasts between them."""
    terminal = cluster.terminal()
    for line in lines:
        if not line.strip():
            continue
        try:
            command = json.loads(line)["command"]
            if not isinstance(command, str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            answer = {"stdout": "", "stderr": 'each line must be {"command": "..."}\n', "exit_code": 2}
        else:
            result = cluster.shell(command, terminal)
            answer = {"stdout": result.stdout, "stderr": result.stderr, "exit_code": result.exit_code}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def interactive(cluster: Cluster) -> int:
    """Prompt, run, show, until the end of input.  The world follows the wall clock."""
    terminal = Terminal(cluster.home, interactive=True)
    pacer = pacing.Pacer(cluster.world)
    _line_editing(terminal)
    nodes = len(cluster.nodes)
    sys.stdout.write(
        WELCOME.format(
            count="one node" if nodes == 1 else f"{nodes} nodes",
            title=cluster.preset.title,
            version=cluster.preset.version,
            user=terminal.machine.user,
            hostname=terminal.machine.hostname,
        )
    )
    code = 0
    while True:
        try:
            line = input(terminal.prompt())
            while not terminal.complete(line):
                line += "\n" + input("> ")
        except EOFError:
            print("exit")
            return code
        except KeyboardInterrupt:
            print()
            continue
        pacer.catch_up()
        if line.strip() in ("exit", "logout"):
            return code
        code = paced(cluster, terminal, line, pacer)


def _line_editing(terminal: Terminal) -> None:
    """History and completion by Tab, where Python has readline."""
    try:
        import readline
    except ImportError:
        return

    def complete(_word: str, index: int) -> str | None:
        found = terminal.completions(readline.get_line_buffer()[: readline.get_endidx()])
        return found[index] if index < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n;|&<>()$")
    # macOS' Python has libedit under the same name, which takes other words.
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")


def paced(cluster: Cluster, terminal: Terminal, line: str, pacer: pacing.Pacer) -> int:
    """Run one command while the wall clock drives the world: `sleep 3` takes three seconds, `get -w` shows what comes as it
    comes, Ctrl-C ends it."""

    def show(stream: IO[str]) -> Callable[[str], None]:
        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write

    world = cluster.world
    task = world.spawn(terminal.run(line, out=show(sys.stdout), err=show(sys.stderr)), "terminal")
    try:
        while True:
            pacer.catch_up()
            if task.done:
                return task.result().exit_code
            time.sleep(pacing.TICK)
    except KeyboardInterrupt:
        task.cancel()
        world.drain()
        sys.stdout.write("\n")
        return 130
