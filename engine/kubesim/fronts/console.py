"""A person's terminal, a script's, and a machine's (one JSON object a line)."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import IO

from kubesim.cluster import Cluster
from kubesim.fronts import pacing
from kubesim.shell.terminal import Result, Terminal
from kubesim.world import Stalled

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
    """Prompt, run, print, until the end of input.  The world follows the wall clock."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  line editing and history, where there is one
    terminal = cluster.terminal()
    pacer = pacing.Pacer(cluster.world)
    preset, machine = cluster.preset, terminal.machine
    nodes = len(cluster.nodes)
    sys.stdout.write(
        WELCOME.format(
            count="one node" if nodes == 1 else f"{nodes} nodes",
            title=preset.title,
            version=preset.version,
            user=machine.user,
            hostname=machine.hostname,
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
            print("^C")
            continue
        pacer.catch_up()
        if line.strip() in ("exit", "logout"):
            return code
        result = paced(cluster, terminal, line, pacer)
        sys.stdout.write(result.stdout)
        sys.stdout.flush()
        sys.stderr.write(result.stderr)
        sys.stderr.flush()
        code = result.exit_code


def paced(cluster: Cluster, terminal: Terminal, line: str, pacer: pacing.Pacer) -> Result:
    """Run one command while the wall clock drives the world, so that `sleep 3` takes three seconds.  Ctrl-C ends it."""
    world = cluster.world
    task = world.spawn(terminal.run(line), "terminal")
    try:
        while not task.done:
            pacer.catch_up()
            if not task.done:
                time.sleep(pacing.TICK)
    except KeyboardInterrupt:
        task.cancel()
        world.drain()
        sys.stdout.write("^C\n")
        return Result("", "", 130)
    try:
        return task.result()
    except Stalled as error:
        return Result("", f"{error}\n", 1)
