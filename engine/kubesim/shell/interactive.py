"""A shell at a terminal: prompt, edit, run, until `exit` or Ctrl-D."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kubesim import ids
from kubesim.errors import LearnerError
from kubesim.shell import completion, lineedit, syntax
from kubesim.shell.kept import errors
from kubesim.shell.streams import BrokenPipe
from kubesim.world import Cancelled

if TYPE_CHECKING:
    from kubesim.machine import Machine
    from kubesim.shell.interpreter import Shell
    from kubesim.shell.tty import Tty

# bash's PROMPTING, as far as prompts here need it: what each letter after a backslash stands for.
ESCAPE = re.compile(r"\\([uhHwWst$nva\\\[\]e])")


def default_prompt(machine: Machine, name: str, user: str) -> str:
    """PS1 as the system's own start files set it."""
    debian = "apt-get" in machine.tools
    if name == "bash":
        if machine.kind != "container" and user == machine.user:
            return machine.prompt.format(user=r"\u", hostname=r"\h", cwd=r"\w")
        # /etc/bash.bashrc of Debian and Ubuntu; elsewhere bash's own.
        return r"\u@\h:\w\$ " if debian else r"\s-\v\$ "
    # dash, and busybox (with FEATURE_EDITING_FANCY_PROMPT).
    return r"\$ " if debian else r"\w \$ "


def prompt(shell: Shell, text: str) -> str:
    """PS1 or PS2 with its escapes replaced."""
    home, cwd = shell.state.env.get("HOME", ""), shell.cwd
    if home and home != "/" and (cwd == home or cwd.startswith(home + "/")):
        cwd = "~" + cwd[len(home) :]
    hostname = shell.machine.hostname
    values = {
        "u": shell.user,
        "h": hostname.split(".")[0],
        "H": hostname,
        "w": cwd,
        "W": cwd.rpartition("/")[2] or cwd,
        "s": shell.name,
        "v": "5.2",
        "t": ids.utc(shell.machine.world.now).strftime("%H:%M:%S"),
        "$": "#" if shell.user == "root" else "$",
        "n": "\n",
        "e": "\x1b",
        "a": "",
        "[": "",
        "]": "",
        "\\": "\\",
    }
    return ESCAPE.sub(lambda match: values[match[1]], text)


async def run(shell: Shell, tty: Tty) -> int:
    """Commands as they are typed.  The status of the last one, or that of `exit`."""
    machine, session = shell.machine, shell.session
    # An inherited PS1 is not exported in life either: each shell's start files set it.
    shell.state.env["PS1"] = default_prompt(machine, shell.name, shell.user)
    shell.state.env["PS2"] = "> "
    editor = lineedit.Editor(tty, session.history, lambda line: completion.candidates(machine, shell.cwd, line))
    text = ""
    while True:
        try:
            line = await editor.line(prompt(shell, shell.state.env.get("PS2" if text else "PS1", "")))
        except lineedit.Interrupted:
            text = ""
            shell._status(130)
            continue
        if line is None:
            tty.write("exit\n" if shell.name == "bash" else "\n")
            return await shell.trapped(int(shell.state.env["?"]))
        text += line + "\n"
        if not syntax.is_whole(text.rstrip("\n")):
            continue
        if text.strip():
            session.history.append(text.rstrip("\n"))
        ending = await command(shell, tty, text)
        if ending is not None:
            return await shell.trapped(ending)
        text = ""


async def command(shell: Shell, tty: Tty, text: str) -> int | None:
    """Run what was typed, until it is done or Ctrl-C; the exit status where it was `exit`."""
    task = shell.machine.world.spawn(shell.source(text), shell.name)
    try:
        with tty.foreground(task.cancel):
            shell._status(await task)
    except errors.ExitError as error:
        if shell.name == "bash":
            tty.write("exit\n")
        return shell._exited(error)
    except LearnerError as error:
        shell.complain(str(error))
        shell._status(1)
    except BrokenPipe:
        shell._status(141)
    except Cancelled:
        if not task.done:
            # It is this shell that is ended, and what it runs with it.
            task.cancel()
            raise
        shell.interrupted()
        tty.write("\n")
    return None
