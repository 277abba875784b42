"""A chain of rules, and how a packet goes through it.

Theory of operation
-------------------
The kernel tries a chain's rules one after the other.  KUBE-SERVICES has one for every port of every service, so trying
them all would make each packet cost as much as there are services.  Nearly all of them name one destination address, or
at least one port: a long chain is indexed by these, and only the rules that can apply - those for the packet's
destination, those for its port, and those that name neither - are tried, in their order.  What applies is the same.

A recorded walk still tells what was passed by: rules for the same port of other addresses (they are what a learner
compares with), and how many the rest were.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from kubesim.net.extension import ACCEPT, CONTINUE, DROP, RETURN
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk

# Shorter chains are tried rule by rule: the index would cost more than it saves, and a learner sees every rule.
INDEX_FROM = 12
# Rules for the same port of other addresses that a trace of a long chain shows.
NEAR = 3

_VERDICTS = {"ACCEPT": ACCEPT, "DROP": DROP, "RETURN": RETURN}


class Item:
    """A rule in its place, with its counters; `chain` is the one it jumps to."""

    __slots__ = ("bytes", "chain", "packets", "position", "rule", "verdict")

    def __init__(self, rule: Rule, chain: Chain | None = None) -> None:
        self.rule = rule
        self.chain = chain
        self.verdict = _VERDICTS.get(rule.target_name)
        self.packets = 0
        self.bytes = 0
        self.position = 0


class Chain:
    """A chain of a table.  `policy` is None for a user's own chain.  `references` counts the rules that jump to it."""

    __slots__ = ("_cache", "_index", "items", "name", "policy", "references", "table")

    def __init__(self, table: str, name: str, policy: str | None = None) -> None:
        self.table = table
        self.name = name
        self.policy = policy
        self.items: list[Item] = []
        self.references = 0
        self._index: _Index | None = None
        self._cache: dict[tuple[str, str, int], tuple[Item, ...]] = {}

    def changed(self) -> None:
        """Its items are not what they were."""
        self._index = None
        self._cache.clear()

    def candidates(self, flight: Flight) -> tuple[Item, ...] | list[Item]:
        """The items that can apply to the packet, in order."""
        if len(self.items) < INDEX_FROM:
            return self.items
        key = (flight.dst, flight.protocol, flight.dport)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) > 4096:
                self._cache.clear()
            found = self._cache[key] = self.index().candidates(self.items, key)
        return found

    def index(self) -> _Index:
        if self._index is None:
            self._index = _Index(self.items)
        return self._index


class _Index:
    __slots__ = ("by_destination", "by_port", "of_port", "rest")

    def __init__(self, items: list[Item]) -> None:
        self.by_destination: dict[str, list[int]] = {}
        self.by_port: dict[tuple[str, int], list[int]] = {}
        self.of_port: dict[tuple[str, int], list[int]] = {}
        self.rest: list[int] = []
        for position, item in enumerate(items):
            item.position = position
            destination, port = item.rule.keys
            if port is not None:
                self.of_port.setdefault(port, []).append(position)
            if destination:
                self.by_destination.setdefault(destination, []).append(position)
            elif port is not None:
                self.by_port.setdefault(port, []).append(position)
            else:
                self.rest.append(position)

    def candidates(self, items: list[Item], key: tuple[str, str, int]) -> tuple[Item, ...]:
        destination, protocol, port = key
        positions = [
            *self.by_destination.get(destination, ()),
            *self.by_port.get((protocol, port), ()),
            *self.rest,
        ]
        positions.sort()
        return tuple(items[position] for position in positions)


def traverse(chain: Chain, flight: Flight, walk: Walk) -> int:
    """Send the packet through the chain: ACCEPT, DROP (`walk.end` has been told why), or CONTINUE at its end."""
    recording = walk.steps is not None
    live = walk.live
    passed = _Passed(chain) if recording and len(chain.items) >= INDEX_FROM else None
    for item in chain.candidates(flight):
        rule = item.rule
        if recording:
            if passed is not None:
                passed.upto(item.position)
            why = ""
            walk.drawn = 1.0
            for test, words in rule.tests:
                if not test(flight, walk):
                    why = words(flight, walk)
                    break
            if why:
                walk.note(Kind.RULE, why, chain.table, chain.name, _Placed(chain, rule), False, None, None, walk.drawn)
                continue
            if passed is not None:
                passed.tell(flight, walk, item.position)
            before = flight.packet()
            walk.note(
                Kind.RULE,
                _effect(chain, item, flight, walk),
                chain.table,
                chain.name,
                _Placed(chain, rule),
                True,
                before,
                before,
                walk.drawn,
            )
        else:
            applies = False
            for test in rule.checks:
                if not test(flight, walk):
                    break
            else:
                applies = True
            if not applies:
                continue
        if live:
            item.packets += 1
            item.bytes += flight.length
        if item.chain is not None:
            verdict = traverse(item.chain, flight, walk)
            if verdict != CONTINUE:
                return verdict
            if rule.goto:
                return CONTINUE
        elif item.verdict is not None:
            if item.verdict == DROP:
                plain = f"a rule in {chain.name} ({chain.table}) of {walk.host.name} drops it"
                walk.end(Verdict.DROPPED, walk.host.legend.dropped(chain.name, flight.packet()) or plain)
            return CONTINUE if item.verdict == RETURN else item.verdict
        elif rule.target is not None:
            verdict = rule.target.act(flight, walk)
            if verdict != CONTINUE:
                return verdict
    if passed is not None:
        passed.tell(flight, walk, len(chain.items))
    return CONTINUE


class _Placed:
    """A rule's text with its chain, made only when a trace is read."""

    __slots__ = ("_chain", "_rule")

    def __init__(self, chain: Chain, rule: Rule) -> None:
        self._chain = chain.name
        self._rule = rule

    def __str__(self) -> str:
        return f"-A {self._chain} {self._rule}"


def _effect(chain: Chain, item: Item, flight: Flight, walk: Walk) -> str:
    rule = item.rule
    if item.verdict == DROP:
        said = walk.host.legend.dropped(chain.name, flight.packet())
        return f"dropped: {said}" if said else "dropped"
    if item.chain is not None:
        return f"on to {walk.host.legend.named(item.chain.name)}"
    if item.verdict is not None:
        return {ACCEPT: "accepted", RETURN: "back to where it came from"}[item.verdict]
    return rule.target.words(flight) if rule.target is not None else "counted"


class _Passed:
    """What the index passed by, for a trace."""

    __slots__ = ("_chain", "_count", "_next")

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._count = 0
        self._next = 0
        chain.index()

    def upto(self, position: int) -> None:
        self._count += position - self._next
        self._next = position + 1

    def tell(self, flight: Flight, walk: Walk, position: int) -> None:
        """Note them, once, before the rule that applied (or at the end)."""
        chain = self._chain
        if position == len(chain.items):
            self._count += position - self._next
        if not self._count:
            return
        nearby = self._nearby(flight, position)
        for item in nearby:
            why = f"the destination is {flight.dst}, not {item.rule.keys[0]}"
            walk.note(Kind.RULE, why, chain.table, chain.name, _Placed(chain, item.rule), False)
        rest = self._count - len(nearby)
        if rest:
            rules = "1 more rule is" if rest == 1 else f"{rest:,} more rules are"
            walk.note(Kind.RULE, f"{rules} for other addresses or ports", chain.table, chain.name, "", False)
        self._count = 0

    def _nearby(self, flight: Flight, position: int) -> list[Item]:
        """The last few rules before that place for the same port of other addresses."""
        chain = self._chain
        positions = chain.index().of_port.get((flight.protocol, flight.dport), [])
        found: list[Item] = []
        at = bisect.bisect_left(positions, position) - 1
        while at >= 0 and len(found) < NEAR:
            item = chain.items[positions[at]]
            if item.rule.keys[0] not in ("", flight.dst):
                found.append(item)
            at -= 1
        return found[::-1]
