"""A command: its name, its flags, what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kubesim.kubectl import flags, session

Run = Callable[[session.Session], Awaitable[int | None]]


@dataclass(frozen=True)
class Command:
    """`required` flags must be given.  With `subcommands`, `run` (if any) is for when none of them was named; where there is
    no `run`, `must_choose` says that naming none is an error."""

    name: str
    short: str
    run: Run | None = None
    flags: tuple[flags.Flag, ...] = ()
    usage: str = ""
    aliases: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    subcommands: tuple[Command, ...] = ()
    must_choose: bool = False

    def subcommand(self, name: str) -> Command | None:
        return next((each for each in self.subcommands if name == each.name or name in each.aliases), None)

    def help(self, path: str) -> str:
        """What -h prints.  (The texts of kubectl's own help are not repeated here.)"""
        lines = [f"{self.short}\n"]
        if self.aliases:
            lines += ["Aliases:", f"{', '.join((self.name, *self.aliases))}\n"]
        if self.subcommands:
            width = max(len(each.name) for each in self.subcommands)
            lines += [
                "Available Commands:",
                *(f"  {each.name.ljust(width)}   {each.short}" for each in self.subcommands),
                "",
            ]
        if self.flags:
            lines += ["Options:"]
            for flag in sorted(self.flags, key=lambda each: each.name):
                short = f"-{flag.short}, " if flag.short else "    "
                lines.append(f"    {short}--{flag.name}={_shown(flag)}")
            lines.append("")
        what = self.usage or ("SUBCOMMAND [options]" if self.subcommands else "[options]")
        lines += ["Usage:", f"  {path} {what}", ""]
        if self.subcommands:
            lines.append(f'Use "{path} <command> --help" for more information about a given command.')
        lines.append('Use "kubectl options" for a list of global command-line options (applies to all commands).')
        return "\n".join(lines) + "\n"


def _shown(flag: flags.Flag) -> str:
    value = flag.empty()
    if isinstance(value, bool):
        return "true" if value else "false"
    if flag.kind == "duration":
        from kubesim.machinery import durations

        return durations.format(value)
    if isinstance(value, list):
        return "[" + ",".join(value) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value)
