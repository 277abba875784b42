"""`nft list`: tables, chains, sets and maps as nft 1.0 prints them.

Members of sets lie in hash tables, but nft sorts what it prints: plain keys as numbers, keys of several parts as the number
whose lowest byte comes first in memory (nftables, src/mergesort.c and gmputil.c), so ports decide before addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kubesim.net import address, extension, nft

if TYPE_CHECKING:
    from kubesim.net.nft import Element, NftChain, NftSet, NftTable, Ruleset

_BETWEEN = ",\n\t\t\t     "
# How many members stand in a line (src/expression.c: calculate_delim).
_PER_LINE = {"ipv4_addr": 2, "ether_addr": 2, "inet_service": 5, "mark": 5, "inet_proto": 5}


def ruleset(of: Ruleset, *, family: str = "", now: float = 0.0, handles: bool = False) -> str:
    """`nft list ruleset [FAMILY]`; `handles` is `-a`."""
    found = [each for each in of.tables.values() if family in ("", each.family)]
    return "".join(table(each, now=now, handles=handles) for each in found)


def table(of: NftTable, *, now: float = 0.0, handles: bool = False) -> str:
    """`nft list table`."""
    blocks = [_set_lines(each, now, handles) for each in of.sets.values()]
    blocks += [_chain_lines(each, handles) for each in of.chains.values()]
    return _braced(of, blocks, handles, apart=True)


def chains(of: NftTable, wanted: Iterable[NftChain], *, handles: bool = False, rules: bool = True) -> str:
    """`nft list chain`; without `rules` as `nft list chains` shows them."""
    return _braced(of, [_chain_lines(each, handles, rules) for each in wanted], handles, comment=False)


def sets(of: NftTable, wanted: Iterable[NftSet], *, now: float = 0.0, handles: bool = False) -> str:
    """`nft list set` and `nft list map`."""
    return _braced(of, [_set_lines(each, now, handles) for each in wanted], handles, comment=False)


def _braced(of: NftTable, blocks: list[list[str]], handles: bool, *, apart: bool = False, comment: bool = True) -> str:
    lines = [f"table {of.family} {of.name} {{{_handle(of.handle, handles)}"]
    if of.comment and comment:
        lines.append(f'\tcomment "{of.comment}"')
    for number, block in enumerate(blocks):
        lines += ([""] if number and apart else []) + block
    return "".join(f"{line}\n" for line in [*lines, "}"])


def _handle(number: int, shown: bool) -> str:
    return f" # handle {number}" if shown else ""


def _set_lines(of: NftSet, now: float, handles: bool) -> list[str]:
    lines = [f"\t{of.kind} {of.name} {{{_handle(of.handle, handles)}", f"\t\ttype {of.type}"]
    if of.size:
        lines.append(f"\t\tsize {of.size}")
    if of.flags:
        lines.append(f"\t\tflags {of.flags}")
    if of.timeout:
        lines.append(f"\t\ttimeout {_duration(of.timeout)}")
    if of.comment:
        lines.append(f'\t\tcomment "{of.comment}"')
    types = of.type.partition(":")[0].split(".")
    keys = [key for key, each in of.elements.items() if each.expires > now]
    if keys:
        keys.sort(key=lambda key: _order(key, len(types) > 1))
        shown = [_member(key, of.elements[key], now) for key in keys]
        count = _PER_LINE.get(of.type.partition(" : ")[0], 1)
        rows = [", ".join(shown[at : at + count]) for at in range(0, len(shown), count)]
        lines.append("\t\telements = { " + _BETWEEN.join(rows) + " }")
    return [*lines, "\t}"]


def _member(key: tuple[str, ...], element: Element, now: float) -> str:
    words = [" . ".join(key)]
    if element.expires != float("inf"):
        words.append(f"expires {_duration(element.expires - now)}")
    if element.comment:
        words.append(f'comment "{element.comment}"')
    if element.said:
        words.append(f": {element.said}")
    return " ".join(words)


def _order(key: tuple[str, ...], several: bool) -> tuple[int, int, str]:
    total, bits = 0, 0
    for part in key:
        if address.is_address(part.partition("/")[0]):
            value, size = address.prefix(part).base, 16 if ":" in part else 4
        elif part.isdigit():
            value, size = int(part), 2
        elif part in extension.PROTOCOL_NUMBERS:
            value, size = extension.PROTOCOL_NUMBERS[part], 1
        else:
            return 1, 0, part
        if several:
            # Every part begins at a multiple of four bytes, in the network's order; the whole is read from its end.
            value = int.from_bytes(value.to_bytes(size, "big"), "little")
        total |= value << bits
        bits += max(size, 4) * 8
    return 0, total, ""


def _duration(seconds: float) -> str:
    words, left = "", round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        if left >= size:
            words += f"{left // size}{unit}"
            left %= size
    return words or "0s"


def _chain_lines(of: NftChain, handles: bool, rules: bool = True) -> list[str]:
    lines = [f"\tchain {of.name} {{{_handle(of.handle, handles)}"]
    if of.comment:
        lines.append(f'\t\tcomment "{of.comment}"')
    if of.hook:
        lines.append(f"\t\ttype {of.type} hook {of.hook} priority {_priority(of)}; policy {of.policy};")
    shown = of.rules if rules else []
    return [*lines, *(f"\t\t{rule}{_handle(rule.handle, handles)}" for rule in shown), "\t}"]


def _priority(of: NftChain) -> str:
    """By name, where it has one or is near one (src/rule.c: prio2str)."""
    for name, number in nft.PRIORITIES.items():
        # dstnat is a name at prerouting only, srcnat at postrouting and input.
        if of.hook not in {"dstnat": ("prerouting",), "srcnat": ("postrouting", "input")}.get(name, (of.hook,)):
            continue
        apart = of.priority - number
        if not apart:
            return name
        if abs(apart) <= 10:
            return f"{name} {'+' if apart > 0 else '-'} {abs(apart)}"
    return str(of.priority)
