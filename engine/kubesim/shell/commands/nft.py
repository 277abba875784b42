"""nft (1.0): the command line; tables are `kubesim.net.nft`'s, their text `kubesim.net.nft_listing`'s.

The rules of tables that iptables-nft keeps in the kernel are not listed here, and that is said: `iptables-save` shows them.
"""

from __future__ import annotations

import shlex

from kubesim.net import nft, nft_listing
from kubesim.net.nft import NftChain, NftError, NftSet, NftTable
from kubesim.shell.commands import iptables
from kubesim.shell.context import Context, Usage, not_simulated
from kubesim.shell.streams import decode

VERSION = "nftables v1.0.6 (Lester Gooch #5)"
# Switches that change nothing here: numbers are always numbers.
PLAIN = {"-n", "--numeric", "-nn", "-y", "--numeric-priority"}
PLURAL = ("tables", "chains", "sets", "maps")


async def run(ctx: Context) -> int:
    args, files, handles = list(ctx.args), [], False
    while args and args[0].startswith("-"):
        option = args.pop(0)
        if option in ("-v", "--version", "-V"):
            ctx.print(VERSION)
            return 0
        if option in ("-a", "--handle"):
            handles = True
        elif option in ("-f", "--file"):
            if not args:
                raise Usage(f"nft: option requires an argument -- '{option.lstrip('-')}'\n")
            files.append(args.pop(0))
        elif option not in PLAIN:
            raise not_simulated(ctx, f"the option {option}")
    if not iptables.may(ctx):
        ctx.complain("Operation not permitted (you must be root)")
        return 1
    for name in files:
        text = await ctx.stdin.read() if name in ("-", "/dev/stdin") else decode(ctx.files.read_bytes(ctx.path(name)))
        if not _apply(ctx, text, ""):
            return 1
    if files:
        return 0
    if not args:
        ctx.complain("nft: no command specified")
        return 1
    # A line may hold several commands, and may come as one word or as many.
    for command in " ".join(args).split(";") if "{" not in " ".join(args) else [" ".join(args)]:
        if not command.strip():
            continue
        words = shlex.split(command)
        if words[0] == "list":
            if not _list(ctx, words[1:], handles, command.strip()):
                return 1
        elif not _apply(ctx, command.strip(), command.strip()):
            return 1
    return 0


def _apply(ctx: Context, text: str, shown: str) -> bool:
    try:
        ctx.machine.net.nft.apply(text)
    except NftError as error:
        _complain(ctx, error, shown)
        return False
    return True


def _complain(ctx: Context, error: NftError, command: str) -> None:
    ctx.complain(error.message)
    if command:
        ctx.complain(command)
        at = f" {command} ".find(f" {error.at} ") if error.at else len(command)
        ctx.complain(" " * max(at, 0) + "^" * max(1, len(error.at)))


def _list(ctx: Context, words: list[str], handles: bool, command: str) -> bool:
    rules = ctx.machine.net.nft
    now = ctx.world.now
    what, rest = (words[0], words[1:]) if words else ("", [])
    family = rest.pop(0) if rest and rest[0] in nft.FAMILIES else ""
    try:
        if what == "ruleset":
            ctx.out.write(nft_listing.ruleset(rules, family=family, now=now, handles=handles))
            _warn(ctx, family)
        elif what in PLURAL and not rest:
            if what == "tables":
                ctx.out.write("".join(f"table {kind} {name}\n" for kind, name in _of_iptables(ctx, family)))
            tables = [each for each in rules.tables.values() if family in ("", each.family)]
            ctx.out.write("".join(_all(what, each, now, handles) for each in tables))
        elif what in ("table", "chain", "set", "map") and len(rest) == (1 if what == "table" else 2):
            ctx.out.write(_one(what, _table(ctx, family or "ip", rest[0]), rest, now, handles))
        elif what not in ("table", "chain", "set", "map", *PLURAL):
            raise not_simulated(ctx, f"list {what}") if what else NftError("Error: syntax error, unexpected newline")
        else:
            raise NftError("Error: syntax error, unexpected newline, expecting string")
    except NftError as error:
        _complain(ctx, NftError(error.message.replace("Could not process rule: ", ""), error.at), command)
        return False
    return True


def _of_iptables(ctx: Context, family: str) -> list[tuple[str, str]]:
    """Family and name of the tables that iptables-nft keeps."""
    host = ctx.machine.net
    kinds = [("ip", host.netfilter), ("ip6", host.netfilter6)]
    return [(kind, table.name) for kind, filters in kinds if family in ("", kind) for table in filters.tables()]


def _warn(ctx: Context, family: str) -> None:
    found = _of_iptables(ctx, family)
    for kind, name in found:
        ctx.complain(f"# Warning: table {kind} {name} is managed by iptables-nft, do not touch!")
    if found:
        ctx.complain("nft: not simulated: its view of these tables; iptables-save shows their rules")


def _table(ctx: Context, family: str, name: str) -> NftTable:
    found = ctx.machine.net.nft.tables.get((family, name))
    if found is None:
        raise NftError("Error: No such file or directory", name)
    return found


def _all(what: str, table: NftTable, now: float, handles: bool) -> str:
    if what == "tables":
        return f"table {table.family} {table.name}\n"
    if what == "chains":
        return nft_listing.chains(table, table.chains.values(), handles=handles, rules=False)
    return nft_listing.sets(table, _of_kind(what[:-1], table), now=now, handles=handles)


def _of_kind(kind: str, table: NftTable) -> list[NftSet]:
    return [each for each in table.sets.values() if each.kind == kind]


def _one(what: str, table: NftTable, names: list[str], now: float, handles: bool) -> str:
    if what == "table":
        return nft_listing.table(table, now=now, handles=handles)
    if what == "chain":
        chain: NftChain = table.chain(names[1])
        return nft_listing.chains(table, [chain], handles=handles)
    found = table.set(names[1])
    if found.kind != what:
        raise NftError("Error: No such file or directory", names[1])
    return nft_listing.sets(table, [found], now=now, handles=handles)
