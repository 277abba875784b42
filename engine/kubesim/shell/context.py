"""What a command is given, and the signature that every command in `commands/` has."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kubesim.errors import NotSimulated
from kubesim.files import ERRORS, FileSystem
from kubesim.machine import Machine
from kubesim.shell.streams import Input, Null, Output
from kubesim.shell.tty import Tty
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.shell.interpreter import Shell


class Usage(Exception):
    """The command line is wrong: `message` goes to stderr as it is, `code` is the exit status."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(eq=False, kw_only=True)
class Context:
    """One run of one command.

    `name` is what was typed (`ip6tables-save` and `iptables-save` are one file), `args` what followed.  `env` holds the exported
    variables; a command may not change the shell's, but for those that get the `shell` and are builtins in real life.
    `user` is who runs it, the machine's own where nothing else is said.  `terminal` says that stdout is a terminal (progress
    meters and columns differ).  `background`: nobody waits for this command (a container's main process), so that its sleeping
    does not keep the cluster from coming to rest.
    """

    machine: Machine
    name: str
    args: list[str]
    env: Mapping[str, str]
    cwd: str
    stdin: Input = field(default_factory=Null)
    out: Output = field(default_factory=Null)
    err: Output = field(default_factory=Null)
    shell: Shell | None = None
    user: str = ""
    terminal: bool = False
    background: bool = False

    def __post_init__(self) -> None:
        self.user = self.user or self.machine.user

    @property
    def world(self) -> World:
        return self.machine.world

    @property
    def tty(self) -> Tty | None:
        """The terminal that stdin is, if it is one."""
        return self.stdin if isinstance(self.stdin, Tty) else None

    @property
    def files(self) -> FileSystem:
        return self.machine.files

    def path(self, name: str) -> str:
        """An absolute path for what the user typed."""
        return FileSystem.join(self.cwd, name)

    def print(self, text: str = "") -> None:
        """A line to stdout."""
        self.out.write(text + "\n")

    def complain(self, text: str) -> None:
        """A line to stderr."""
        self.err.write(text + "\n")

    def with_args(self, name: str, args: list[str]) -> Context:
        return replace(self, name=name, args=args)

    async def call(self, argv: list[str], **changes: object) -> int:
        """Run another command line (no words are expanded) with this one's streams, or with `changes` of them."""
        from kubesim.shell import processes

        return await processes.run(replace(self, name=argv[0], args=argv[1:], **changes))  # type: ignore[arg-type]


Run = Callable[[Context], Awaitable[int]]


def words(text: str) -> frozenset[str]:
    """A set of names, for tables that are read by people."""
    return frozenset(text.split())


def options(
    args: list[str],
    flags: str = "",
    values: str = "",
    long_flags: tuple[str, ...] = (),
    long_values: tuple[str, ...] = (),
    *,
    name: str,
    stop: bool = False,
) -> tuple[dict[str, list[str]], list[str]]:
    """getopt_long(3): options by their letter or long name, each with its values ("" for a flag), and the operands.

    `stop`: the first operand ends the options (as for commands that run others).  Unknown options raise Usage in GNU's words.
    """
    found: dict[str, list[str]] = {}
    rest: list[str] = []
    queue = list(args)
    while queue:
        arg = queue.pop(0)
        if arg == "--":
            return found, rest + queue
        if arg.startswith("--"):
            key, eq, value = arg[2:].partition("=")
            if key in long_flags and not eq:
                found.setdefault(key, []).append("")
            elif key in long_values:
                if not eq and not queue:
                    raise Usage(f"{name}: option '--{key}' requires an argument\n")
                found.setdefault(key, []).append(value if eq else queue.pop(0))
            else:
                raise Usage(f"{name}: unrecognized option '{arg}'\n")
        elif arg.startswith("-") and len(arg) > 1:
            letters = arg[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in flags:
                    found.setdefault(letter, []).append("")
                elif letter in values:
                    if not letters and not queue:
                        raise Usage(f"{name}: option requires an argument -- '{letter}'\n")
                    found.setdefault(letter, []).append(letters or queue.pop(0))
                    letters = ""
                else:
                    raise Usage(f"{name}: invalid option -- '{letter}'\n")
        else:
            rest.append(arg)
            if stop:
                return found, rest + queue
    return found, rest


def not_simulated(ctx: Context, what: str, remedy: str = "") -> NotSimulated:
    """`what` of this command does not exist here, said by name."""
    return NotSimulated(f"{ctx.name}: {what}", remedy)


def reason(error: OSError) -> str:
    """strerror(3)."""
    return next((text for kind, text in ERRORS.items() if isinstance(error, kind)), str(error).split(":")[0])


def busybox(machine: Machine) -> bool:
    """Whether the disk's network tools are busybox's: its words differ.  Debian's busybox stands beside the real ones, and
    netshoot (it has mtr) brings them on top of Alpine."""
    return "busybox" in machine.tools and not ({"apt-get", "mtr"} & machine.tools)


def basename(path: str) -> str:
    return posixpath.basename(path.rstrip("/"))
