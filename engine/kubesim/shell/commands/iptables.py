"""iptables, ip6tables (1.8, nf_tables): the command line; tables and rules are `kubesim.net.netfilter`'s."""

from __future__ import annotations

from collections.abc import Callable

from kubesim.errors import LearnerError
from kubesim.net import listing, netfilter
from kubesim.net.extension import InvalidRule, UsageError
from kubesim.net.netfilter import Table
from kubesim.shell.context import Context, Usage

COMMANDS = {
    "--append": "-A", "--check": "-C", "--delete": "-D", "--insert": "-I", "--replace": "-R", "--list": "-L",
    "--list-rules": "-S",
    "--flush": "-F", "--zero": "-Z", "--new-chain": "-N", "--new": "-N", "--delete-chain": "-X", "--policy": "-P",
    "--rename-chain": "-E", "--rename": "-E",
}  # fmt: skip
SWITCHES = {
    "-n": "numeric", "--numeric": "numeric", "-v": "verbose", "--verbose": "verbose", "-x": "exact", "--exact": "exact",
    "--line-numbers": "line_numbers", "--line-number": "line_numbers", "-w": "wait", "--wait": "wait",
}  # fmt: skip
# How many words of its own a command takes at most.
OPERANDS = {
    "-A": 1,
    "-C": 1,
    "-D": 2,
    "-I": 2,
    "-R": 2,
    "-L": 2,
    "-S": 2,
    "-F": 1,
    "-Z": 2,
    "-N": 1,
    "-X": 1,
    "-P": 2,
    "-E": 2,
}


async def run(ctx: Context) -> int:
    program = "ip6tables" if "6" in ctx.name else "iptables"
    head = f"{program} {netfilter.VERSION}"
    if not may(ctx):
        ctx.complain(f"{head}: Could not fetch rule set generation id: Permission denied (you must be root)\n")
        return 4
    if ctx.args in (["-V"], ["--version"]):
        ctx.print(head)
        return 0
    try:
        return _run(ctx, program)
    except UsageError as error:
        ctx.complain(
            (error.message if error.bare else f"{head}: {error.message}")
            + f"\nTry `{program} -h' or '{program} --help' for more information."
        )
        return 2
    except (netfilter.CommandError, InvalidRule) as error:
        ctx.complain(f"{program}: {error.message}")
        return 1


def may(ctx: Context) -> bool:
    """Rules are root's."""
    return ctx.user == "root"


def _run(ctx: Context, program: str) -> int:
    table_name, command, operands, switches, rest = _split(ctx.args)
    if not command:
        raise UsageError("no command specified")
    filters = ctx.machine.net.netfilter6 if program == "ip6tables" else ctx.machine.net.netfilter
    table = filters.table(table_name)
    try:
        status = _apply(ctx, table, command, operands, switches, lambda: filters.rule(rest), rest)
    except (LearnerError, ValueError):
        table.undo()
        raise
    table.done()
    return status


def _split(args: list[str]) -> tuple[str, str, list[str], set[str], list[str]]:
    """Table, command, its operands, switches, and the words of the rule."""
    table, command = "filter", ""
    operands: list[str] = []
    switches: set[str] = set()
    rest: list[str] = []
    queue: list[str] = []
    for arg in args:
        # -nL, -nvL, -tnat: joined letters.
        if (
            len(arg) > 2
            and arg[0] == "-"
            and arg[1] != "-"
            and not rest
            and arg[1] in "nvxLSFZ"
            and set(arg[1:]) <= set("nvxwLSFZt")
        ):
            queue += [f"-{letter}" for letter in arg[1:]]
        elif len(arg) > 2 and arg.startswith("-t") and arg[2:] in netfilter.TABLES:
            queue += ["-t", arg[2:]]
        else:
            queue.append(arg)
    while queue:
        word = queue.pop(0)
        word = COMMANDS.get(word, word)
        if word in ("-t", "--table"):
            if not queue:
                raise UsageError('option "-t" requires an argument')
            table = queue.pop(0)
        elif word.startswith("--table="):
            table = word.partition("=")[2]
        elif word in SWITCHES:
            switches.add(SWITCHES[word])
            if word in ("-w", "--wait") and queue and queue[0].isdigit():
                queue.pop(0)
        elif word in OPERANDS and not (command and rest):
            if command:
                raise UsageError(f"Cannot use -{word[1]} with -{command[1]}\n")
            command = word
            while queue and len(operands) < OPERANDS[word] and not queue[0].startswith(("-", "!")):
                if len(operands) == 1 and word in ("-D", "-I", "-R", "-L", "-S", "-Z") and not queue[0].isdigit():
                    break
                operands.append(queue.pop(0))
        else:
            rest.append(word)
    return table, command, operands, switches, rest


def _apply(
    ctx: Context,
    table: Table,
    command: str,
    operands: list[str],
    switches: set[str],
    rule: Callable[[], object],
    rest: list[str],
) -> int:
    chain = operands[0] if operands else ""
    number = int(operands[1]) if len(operands) > 1 and operands[1].isdigit() else 0
    if command in ("-A", "-C", "-D", "-I", "-R", "-N", "-P", "-E") and not chain:
        raise UsageError(f'option "{command}" requires an argument')
    if command in ("-L", "-S", "-F", "-Z", "-N", "-X", "-P", "-E") and rest:
        raise Usage(f"Bad argument `{rest[0]}'\nTry `iptables -h' or 'iptables --help' for more information.\n", 2)
    if command == "-L":
        wanted = {each: each in switches for each in ("numeric", "verbose", "line_numbers", "exact")}
        ctx.out.write(listing.table(table, chain, number, ipv6="6" in ctx.name, **wanted))
    elif command == "-S":
        ctx.out.write(listing.specifications(table, chain, number, verbose="verbose" in switches))
    elif command == "-A":
        table.append(chain, rule())  # type: ignore[arg-type]
    elif command == "-I":
        table.insert(chain, number or 1, rule())  # type: ignore[arg-type]
    elif command == "-R":
        if not number:
            raise UsageError("-R requires a rule number\n")
        table.replace(chain, number, rule())  # type: ignore[arg-type]
    elif command == "-D":
        table.delete(chain, number or rule())  # type: ignore[arg-type]
    elif command == "-C":
        table.find(chain, rule())  # type: ignore[arg-type]
    elif command == "-F":
        table.flush(chain)
    elif command == "-Z":
        table.zero(chain)
    elif command == "-N":
        table.new_chain(chain)
    elif command == "-X":
        if chain:
            table.delete_chain(chain)
        else:
            table.delete_chains()
    elif command == "-E":
        if len(operands) < 2:
            raise UsageError("-E requires old-chain-name and new-chain-name\n")
        table.rename_chain(operands[0], operands[1])
    elif command == "-P":
        if len(operands) < 2:
            raise UsageError("-P requires a chain and a policy\n")
        table.set_policy(operands[0], operands[1])
    return 0
