"""ipset (7.17): the command line; the sets are `kubesim.net.ipset`'s."""

from __future__ import annotations

from kubesim.net.ipset import IpSets, SetError
from kubesim.shell.commands import iptables
from kubesim.shell.context import Context, not_simulated
from kubesim.shell.streams import decode

VERSION = "ipset v7.17"
SHORT = {
    "-N": "create", "-n": "create", "n": "create", "-A": "add", "-D": "del", "-T": "test", "-X": "destroy", "x": "destroy",
    "-L": "list", "-S": "save", "-R": "restore", "-F": "flush", "-W": "swap", "-E": "rename",
}  # fmt: skip


async def run(ctx: Context) -> int:
    words = [word for word in ctx.args if word not in ("-exist", "-!", "--exist")]
    exist = len(words) != len(ctx.args)
    if words[:1] in (["-v"], ["--version"], ["version"]):
        ctx.print(f"{VERSION}, protocol version: 7")
        return 0
    if not words:
        ctx.complain(f"{VERSION}: No command specified.")
        return 1
    if not iptables.may(ctx):
        ctx.complain(f"{VERSION}: Kernel error received: Operation not permitted")
        return 1
    command, *rest = words
    command = SHORT.get(command, command)
    sets = ctx.machine.net.ipsets
    try:
        if command == "restore":
            name = rest[1] if rest[:1] in (["-f"], ["-file"]) and len(rest) > 1 else ""
            sets.restore(decode(ctx.files.read_bytes(ctx.path(name))) if name else await ctx.stdin.read())
            return 0
        return _apply(ctx, sets, command, rest, exist)
    except SetError as error:
        ctx.complain(f"{VERSION}: {error.message}")
        return 1


def _apply(ctx: Context, sets: IpSets, command: str, rest: list[str], exist: bool) -> int:
    if command == "list":
        names_only = [word for word in rest if word in ("-n", "-name")]
        of = [word for word in rest if word not in names_only]
        if any(word.startswith("-") for word in of):
            raise not_simulated(ctx, f"the option {of[0]}")
        ctx.out.write("".join(f"{name}\n" for name in sets.names()) if names_only else sets.list(*of[:1]))
    elif command == "save" and len(rest) < 2:
        ctx.out.write(sets.save(*rest))
    elif command == "create" and len(rest) > 1:
        sets.create(rest[0], rest[1], rest[2:], exist=exist)
    elif command in ("add", "del") and len(rest) == 2:
        (sets.add if command == "add" else sets.delete)(rest[0], rest[1], exist=exist)
    elif command == "test" and len(rest) == 2:
        there = sets.test(rest[0], rest[1])
        ctx.complain(f"{'Warning: ' if there else ''}{rest[1]} is {'' if there else 'NOT '}in set {rest[0]}.")
        return 0 if there else 1
    elif command in ("flush", "destroy") and len(rest) < 2:
        (sets.flush if command == "flush" else sets.destroy)(*rest)
    elif command == "swap" and len(rest) == 2:
        sets.swap(rest[0], rest[1])
    elif command in ("create", "add", "del", "test", "swap"):
        ctx.complain(f"{VERSION}: Missing mandatory argument to command {command}")
        return 1
    else:
        raise not_simulated(ctx, f"the command {command}")
    return 0
