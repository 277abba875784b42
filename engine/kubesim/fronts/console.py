"""A person's terminal, a script's, and a machine's (one JSON object a line)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import IO

from kubesim.cluster import Cluster
from kubesim.fronts import keyboard as keys
from kubesim.fronts import pacing
from kubesim.shell.terminal import Terminal
from kubesim.world import Cancelled

WELCOME = """\
A cluster of {count} in this process: {title} ({version}).
You are {user} on {hostname}. kubectl (k for short), curl, iptables-save, ip and the usual tools are here.
Try: k create deployment web --image=nginx && k expose deployment web --port=80
Time passes as on your wall; nothing leaves this machine. `exit` or Ctrl-D ends it, and the cluster with it.
"""


def script(cluster: Cluster, text: str, out: IO[str], err: IO[str]) -> int:
    """Run a script on the first node in virtual time, show what it says as it says it, and give its exit code."""
    return cluster.shell(text, out=writer(out), err=writer(err)).exit_code


def writer(stream: IO[str]) -> Callable[[str], None]:
    """Writes to a stream at once, so that output and errors stand in the order in which they came."""

    def write(text: str) -> None:
        # What is not text (a file of bytes) is shown as a real terminal would: as it can.
        stream.write(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        stream.flush()

    return write


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
    keyboard = keys.Keyboard()
    code = 0
    typed = ""
    while True:
        try:
            line, typed = _line(terminal.prompt(), typed)
            while not terminal.complete(line):
                more, typed = _line("> ", typed)
                line += "\n" + more
        except EOFError:
            print("exit")
            return code
        except KeyboardInterrupt:
            print()
            continue
        pacer.catch_up()
        if line.strip() in ("exit", "logout"):
            return code
        code = paced(cluster, terminal, line, pacer, keyboard)
        assert terminal.tty is not None
        typed += terminal.tty.taken()


def _line(prompt: str, typed: str) -> tuple[str, str]:
    """The next line, and what was typed after it: from what was typed while a command ran, then from the keyboard."""
    line, ended, rest = typed.partition("\n")
    if ended:
        sys.stdout.write(f"{prompt}{line}\n")
        return line, rest
    return (_edited(prompt, line) if line else input(prompt)), ""


def _edited(prompt: str, text: str) -> str:
    """A line that has its beginning already, where Python has readline to change it."""
    try:
        import readline
    except ImportError:
        sys.stdout.write(prompt + text)
        return text + input()
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        return input(prompt)
    finally:
        readline.set_startup_hook()


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


def paced(cluster: Cluster, terminal: Terminal, line: str, pacer: pacing.Pacer, keyboard: keys.Keyboard) -> int:
    """Run one command while the wall clock drives the world: `sleep 3` takes three seconds, `get -w` shows what comes as it
    comes, what is typed is the command's standard input, Ctrl-C ends it."""

    def screen(stream: IO[str]) -> Callable[[str], None]:
        # A terminal further in has ended its lines for a screen already; the real one does it again.
        write = writer(stream)
        return lambda text: write(text.replace("\r\n", "\n"))

    world, tty = cluster.world, terminal.tty
    assert tty is not None
    task = world.spawn(terminal.run(line, out=screen(sys.stdout), err=screen(sys.stderr)), "terminal")
    try:
        with keyboard.keys(), tty.foreground(task.cancel):
            pacer.catch_up()
            while not task.done:
                typed = keyboard.wait(pacing.TICK)
                if typed:
                    tty.type(typed)
                elif keyboard.gone:
                    tty.hang_up()
                pacer.catch_up()
        return task.result().exit_code
    except Cancelled:
        sys.stdout.write("\n")
    except KeyboardInterrupt:
        # It did not even look up at the first Ctrl-C.
        task.cancel()
        world.drain()
        sys.stdout.write("\n")
    return 130
