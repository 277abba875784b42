"""The entrance: `kubectl ARGS`.

A command is found in COMMANDS and its module imported only then.  Such a module has `COMMANDS` too: each a `Command`, with its
flags and a coroutine `run(session) -> int | None`, or with subcommands.

Source for what is said of unknown commands: spf13/cobra `command.go`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from kubesim import errors
from kubesim.kubectl import fail, flags, io, session
from kubesim.kubectl.command import Command

# In the order of kubectl's own groups of commands, which is that of suggestions.
COMMANDS = {
    "create": "create",
    "expose": "expose",
    "run": "run",
    "set": "set",
    "explain": "explain",
    "get": "get",
    "edit": "edit",
    "delete": "delete",
    "rollout": "rollout",
    "scale": "scale",
    "autoscale": "scale",
    "cluster-info": "server",
    "top": "top",
    "cordon": "nodes",
    "uncordon": "nodes",
    "drain": "nodes",
    "taint": "nodes",
    "describe": "describe",
    "logs": "logs",
    "attach": "execute",
    "exec": "execute",
    "port-forward": "forward",
    "proxy": "proxy",
    "cp": "cp",
    "auth": "access",
    "debug": "debug",
    "diff": "diff",
    "apply": "apply",
    "patch": "patch",
    "replace": "replace",
    "wait": "wait",
    "label": "annotate",
    "annotate": "annotate",
    "api-resources": "server",
    "api-versions": "server",
    "config": "conf",
    "version": "server",
}
_SUGGESTED = {"list": "get", "ls": "get", "rm": "delete"}


async def run(args: list[str], into: io.IO) -> int:
    """Run `kubectl ARGS`; the exit code.  Whatever a learner can cause ends as kubectl's own words on standard error."""
    try:
        return await _run(args, into)
    except fail.Failed as error:
        text = fail.message(error)
        if text:
            into.complain(text, end="" if text.endswith("\n") else "\n")
        return error.code
    except errors.ApiError as error:
        into.complain(fail.message(fail.from_api(error)))
        return 1
    except errors.LearnerError as error:
        into.complain(f"error: {error}")
        return 1


async def _run(args: list[str], into: io.IO) -> int:
    name, rest = _first_word(args)
    if not name:
        if any(arg in ("--version",) for arg in args):
            raise fail.Failed("error: unknown flag: --version\nSee 'kubectl --help' for usage.")
        into.print(_overview(), end="")
        return 0
    if name in ("help", "options"):
        into.print(_overview(), end="")
        return 0
    if name not in COMMANDS:
        if args[0].startswith("-"):
            # It may be a plugin, which would not know kubectl's flags.
            raise fail.Failed(f"Error: flags cannot be placed before plugin name: {args[0]}")
        raise fail.Failed(unknown(name))
    module = importlib.import_module(f"kubesim.kubectl.commands.{COMMANDS[name]}")
    command: Command = module.COMMANDS[name]
    path = f"kubectl {name}"
    while command.subcommands:
        inner, after = _first_word(rest)
        found = command.subcommand(inner)
        if found is None:
            break
        command, rest, path = found, after, f"{path} {found.name}"
    try:
        parsed = flags.parse(rest, [*session.GLOBAL_FLAGS, *command.flags], path)
    except fail.Help:
        into.print(command.help(path), end="")
        return 0
    if command.run is None:
        if parsed.args:
            raise fail.Failed(
                f"error: unknown command \"{' '.join(parsed.args)}\"\nSee '{path} -h' for help and examples"
            )
        into.print(command.help(path), end="")
        return 1 if command.must_choose else 0
    of = session.Session(into, parsed, path)
    of.dash = parsed.dash
    missing = [f'"{each}"' for each in command.required if each not in parsed.flags.changed]
    if missing:
        raise fail.Failed(f"error: required flag(s) {', '.join(missing)} not set")
    return await command.run(of) or 0


def _first_word(args: Iterable[str]) -> tuple[str, list[str]]:
    """The first argument that is no flag, and the others.  Flags may stand before the command.

    As cobra's stripFlags: a flag that is not known yet, for it is the command's own, is taken to have a value after it
    (`-o yaml get pods`; but `--watch get pods` is not understood).
    """
    known = {f"--{flag.name}": flag for flag in session.GLOBAL_FLAGS}
    known |= {f"-{flag.short}": flag for flag in session.GLOBAL_FLAGS if flag.short}
    rest = list(args)
    at = 0
    while at < len(rest):
        arg = rest[at]
        if arg == "--":
            break
        if not arg.startswith("-"):
            return arg, rest[:at] + rest[at + 1 :]
        alone = "=" in arg or (len(arg) > 2 and not arg.startswith("--"))
        at += 1 if alone or (arg in known and known[arg].kind == "bool") else 2
    return "", rest


def unknown(name: str) -> str:
    """cobra's words, with what was perhaps meant."""
    text = f'error: unknown command "{name}" for "kubectl"'
    meant = [each for each in COMMANDS if _distance(name, each) <= 2 or each.startswith(name.lower())]
    if name in _SUGGESTED:
        meant.append(_SUGGESTED[name])
    if meant:
        text += "\n\nDid you mean this?\n" + "".join(f"\t{each}\n" for each in meant)
    return text


def _distance(left: str, right: str) -> int:
    """Levenshtein's, regardless of case (cobra's ld)."""
    left, right = left.lower(), right.lower()
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


def _overview() -> str:
    names = "".join(f"  {name}\n" for name in sorted(COMMANDS))
    return (
        "kubectl controls the Kubernetes cluster manager.\n\nAvailable Commands:\n"
        f"{names}\nUsage:\n  kubectl [flags] [options]\n\n"
        'Use "kubectl <command> --help" for more information about a given command.\n'
    )
