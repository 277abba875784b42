"""A chain's rules as they were loaded: runs of text that are read when a packet or a person comes to look.

kube-proxy loads hundreds of thousands of rules, most of which no packet ever meets.  A run keeps the text of those that were
loaded together, and what a table must know of them at once: which chains they jump to.  The index files a run's rules by
destination and port; loading one run more or less changes it by that run alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kubesim.net import rules
from kubesim.net.extension import ACCEPT, DROP, RETURN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kubesim.net.chain import Chain
    from kubesim.net.rules import Rule

_NO_PORTS: dict[tuple[str, int], list[int]] = {}
_VERDICTS = {"ACCEPT": ACCEPT, "DROP": DROP, "RETURN": RETURN}


class Item:
    """A rule in its place, with its counters; `chain` is the one it jumps to."""

    __slots__ = ("bytes", "chain", "packets", "position", "rule", "run", "verdict")

    def __init__(self, rule: Rule, chain: Chain | None = None) -> None:
        self.rule = rule
        self.chain = chain
        self.verdict = _VERDICTS.get(rule.target_name)
        self.packets = 0
        self.bytes = 0
        # Where it stands: in which run, and there as the how-manieth from 0.
        self.run: Run = _NOWHERE
        self.position = 0

    @property
    def place(self) -> int:
        """Its number in the chain, from 0.  The chain's runs know their starts (`Chain.index`)."""
        return self.run.start + self.position


class Run:
    """Rules that stand together, as they were loaded, or one by one (`edited`).

    `lines` are texts, or rules where they had to be read at once (`special`); `targets` names the chains jumped to, a name
    for each jump.  `attached`: it stands in a chain now.  `counted`: some rule may have met a packet.
    """

    __slots__ = ("_items", "attached", "counted", "edited", "lines", "of_port", "size", "special", "start", "targets")

    def __init__(self, items: list[Item] | None = None) -> None:
        self.lines: list[str | Rule] = []
        self.targets: list[str] = []
        self.special: Sequence[Rule] = ()
        self.size = 0
        # The place of its first rule in the chain.
        self.start = 0
        self.attached = False
        self.counted = False
        self.edited = items is not None
        # Of each (protocol, port), which rules are for it, in order; made by the index.
        self.of_port: Mapping[tuple[str, int], list[int]] = _NO_PORTS
        self._items: list[Item] | None = None
        if items is not None:
            self.attached = self.counted = True
            self._own(items)

    def _own(self, items: list[Item]) -> None:
        self._items = items
        self.size = len(items)
        self._number(0)

    def _number(self, first: int) -> None:
        items = self._items or []
        for position in range(first, len(items)):
            items[position].run, items[position].position = self, position

    def insert(self, position: int, item: Item) -> None:
        """A rule more, of an edited run."""
        assert self._items is not None
        self._items.insert(position, item)
        self.size += 1
        self._number(position)

    def pop(self, position: int) -> Item:
        """A rule less, of an edited run."""
        assert self._items is not None
        item = self._items.pop(position)
        self.size -= 1
        self._number(position)
        return item

    def items(self, chains: Mapping[str, Chain], *, ipv6: bool) -> list[Item]:
        """Its rules; `chains` are the table's."""
        if self._items is None:
            found: list[Item] = []
            for line in self.lines:
                rule = rules.parse_line(line, ipv6=ipv6) if isinstance(line, str) else line
                jumps = rule.target is None and rule.target_name and rule.target_name not in rules.VERDICTS
                found.append(Item(rule, chains[rule.target_name] if jumps else None))
            self._own(found)
        return self._items  # type: ignore[return-value]  # _own has set it

    def jumps(self, chains: Mapping[str, Chain]) -> Iterator[Chain]:
        """The chains that its rules jump to, without reading them."""
        if self._items is None:
            return (chains[name] for name in self.targets)
        return (item.chain for item in self._items if item.chain is not None)

    def keys(self) -> Iterable[Keys]:
        """Of each rule, what the index may file it under."""
        if self._items is None:
            return map(_keys, self.lines)
        return (item.rule.keys for item in self._items)

    def counting_rules(self) -> Iterable[Rule]:
        """Those of its rules that may use sets or connection tracking."""
        if self.edited:
            return [item.rule for item in self._items or ()]
        return self.special

    def zero(self) -> None:
        """Nothing was counted."""
        if self.counted:
            for item in self._items or ():
                item.packets = item.bytes = 0
            self.counted = self.edited


_NOWHERE = Run()


# A rule that stands in a run by its number there.
Spot = tuple[Run, int]
Keys = tuple[str, tuple[str, int] | None]

_ENDS = re.compile(
    r'(?:-m comment --comment (?:"[^"]*"|[^\s"]+) )?[^"]*?-p (\w+) (?:-d ([\d.]+)(/32(?= )|(?= )|/\d+) )?(?:--dport (\d+) )?',
    re.ASCII,
)


def _keys(line: str | Rule) -> Keys:
    """As `Rule.keys`, without reading a rule that `bulk` found to be plain."""
    if not isinstance(line, str):
        return line.keys
    found = _ENDS.match(line)
    if found is None:
        return "", None
    protocol, address, mask, port = found.groups()
    return address if mask in ("", "/32") else "", (protocol, int(port)) if port else None


class Index:
    """Which rules of a long chain can apply to a packet.  Only those are read."""

    __slots__ = ("_by_destination", "_by_port", "_rest")

    def __init__(self) -> None:
        self._by_destination: dict[str, list[Spot]] = {}
        self._by_port: dict[tuple[str, int], list[Spot]] = {}
        self._rest: list[Spot] = []

    def add(self, run: Run) -> None:
        of_port: dict[tuple[str, int], list[int]] = {}
        run.of_port = of_port
        for position, (destination, port) in enumerate(run.keys()):
            if port is not None:
                of_port.setdefault(port, []).append(position)
            if destination:
                self._by_destination.setdefault(destination, []).append((run, position))
            elif port is not None:
                self._by_port.setdefault(port, []).append((run, position))
            else:
                self._rest.append((run, position))

    def remove(self, run: Run) -> None:
        for position, (destination, port) in enumerate(run.keys()):
            if destination:
                self._by_destination[destination].remove((run, position))
            elif port is not None:
                self._by_port[port].remove((run, position))
            else:
                self._rest.remove((run, position))

    def candidates(self, destination: str, protocol: str, port: int) -> list[Spot]:
        """Those that can apply, in their order."""
        found = [
            *self._by_destination.get(destination, ()),
            *self._by_port.get((protocol, port), ()),
            *self._rest,
        ]
        found.sort(key=_place)
        return found


def _place(spot: Spot) -> int:
    run, position = spot
    return run.start + position
