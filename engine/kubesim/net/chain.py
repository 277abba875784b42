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
from kubesim.net.runs import Index, Item, Run
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubesim.net.netfilter import Table
    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk

# Shorter chains are tried rule by rule: the index would cost more than it saves, and a learner sees every rule.
INDEX_FROM = 12
# Rules for the same port of other addresses that a trace of a long chain shows.
NEAR = 3


class Chain:
    """A chain of a table.  `policy` is None for a user's own chain.  `references` counts the rules that jump to it.

    Its rules stand in `runs`, as they were loaded; `items` are the rules one by one.
    """

    __slots__ = ("_cache", "_flat", "_index", "_is_long", "_table", "name", "policy", "references", "runs")

    def __init__(self, table: Table, name: str, policy: str | None = None) -> None:
        self._table = table
        self.name = name
        self.policy = policy
        self.references = 0
        self.runs: list[Run] = []
        self._flat: list[Item] | None = None
        self._is_long = False
        self._index: Index | None = None
        self._cache: dict[tuple[str, str, int], tuple[Item, ...]] | None = None

    @property
    def table(self) -> str:
        """Its table's name."""
        return self._table.name

    @property
    def size(self) -> int:
        """How many rules it has."""
        return sum(run.size for run in self.runs)

    @property
    def items(self) -> list[Item]:
        """Its rules; not to be changed but by `put` and `take`."""
        if self._flat is None:
            if len(self.runs) == 1:
                self._flat = self._read(self.runs[0])
            else:
                self._flat = [item for run in self.runs for item in self._read(run)]
            self._is_long = len(self._flat) >= INDEX_FROM
        return self._flat

    def _read(self, run: Run) -> list[Item]:
        return run.items(self._table.chains, ipv6=self._table.ipv6)

    def jumps(self) -> Iterator[Chain]:
        """The chains that its rules jump to."""
        return (chain for run in self.runs for chain in run.jumps(self._table.chains))

    # -- changing -----------------------------------------------------------------------------------------------

    def put(self, position: int, item: Item) -> None:
        """A rule more, at that place from 0."""
        self._own_run().insert(position, item)
        self._edited()

    def take(self, position: int) -> Item:
        """The rule at that place, taken out."""
        item = self._own_run().pop(position)
        self._edited()
        return item

    def _own_run(self) -> Run:
        """All its rules in one run that may be edited; those that were loaded stay as they were loaded."""
        if len(self.runs) != 1 or not self.runs[0].edited:
            own = Run(list(self.items))
            for run in self.runs:
                run.attached = False
            self.runs = [own]
        return self.runs[0]

    def _edited(self) -> None:
        if not self.runs[0].size:
            self.runs = []
        self._index = None
        self.changed()

    def replace(self, runs: list[Run]) -> list[Run]:
        """Other runs; returns those before.  The index changes by those that differ."""
        before, self.runs = self.runs, runs
        for run in before:
            run.attached = False
        for run in runs:
            run.attached = True
        if self._index is not None:
            kept = {id(run) for run in before}
            for run in before:
                if not run.attached:
                    self._index.remove(run)
            for run in runs:
                if id(run) not in kept:
                    self._index.add(run)
            self._place()
        self.changed()
        return before

    def changed(self) -> None:
        """Its items are not what they were."""
        self._flat = None
        self._is_long = False
        self._cache = None

    def _place(self) -> None:
        start = 0
        for run in self.runs:
            run.start = start
            start += run.size

    # -- asking -------------------------------------------------------------------------------------------------

    def candidates(self, flight: Flight) -> tuple[Item, ...] | list[Item]:
        """The items that can apply to the packet, in order."""
        if not self._is_long:
            if self._flat is not None:
                return self._flat
            if self.size < INDEX_FROM:
                return self.items
            self._is_long = True
        key = (flight.dst, flight.protocol, flight.dport)
        if self._cache is None or len(self._cache) > 4096:
            self._cache = {}
        found = self._cache.get(key)
        if found is None:
            spots = self._indexed().candidates(*key)
            found = self._cache[key] = tuple(self._read(run)[position] for run, position in spots)
        return found

    def _indexed(self) -> Index:
        if self._index is None:
            self._index = Index()
            for run in self.runs:
                self._index.add(run)
            self._place()
        return self._index

    def nearby(self, flight: Flight, place: int) -> list[Item]:
        """The last few rules before that place for the same port of other addresses."""
        self._indexed()
        key = (flight.protocol, flight.dport)
        found: list[Item] = []
        at = bisect.bisect_right(self.runs, place, key=lambda run: run.start) - 1
        while at >= 0:
            run = self.runs[at]
            for position in reversed(run.of_port.get(key, ())):
                item = self._read(run)[position]
                if item.place < place and item.rule.keys[0] not in ("", flight.dst):
                    found.append(item)
                    if len(found) == NEAR:
                        return found[::-1]
            at -= 1
        return found[::-1]


def traverse(chain: Chain, flight: Flight, walk: Walk) -> int:
    """Send the packet through the chain: ACCEPT, DROP (`walk.end` has been told why), or CONTINUE at its end."""
    recording = walk.steps is not None
    live = walk.live
    passed = _Passed(chain) if recording and chain.size >= INDEX_FROM else None
    for item in chain.candidates(flight):
        rule = item.rule
        if recording:
            if passed is not None:
                passed.upto(item.place)
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
                passed.tell(flight, walk, item.place)
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
            item.run.counted = True
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
        passed.tell(flight, walk, chain.size)
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

    def upto(self, position: int) -> None:
        self._count += position - self._next
        self._next = position + 1

    def tell(self, flight: Flight, walk: Walk, position: int) -> None:
        """Note them, once, before the rule that applied (or at the end)."""
        chain = self._chain
        if position == chain.size:
            self._count += position - self._next
        if not self._count:
            return
        nearby = chain.nearby(flight, position)
        for item in nearby:
            why = f"the destination is {flight.dst}, not {item.rule.keys[0]}"
            walk.note(Kind.RULE, why, chain.table, chain.name, _Placed(chain, item.rule), False)
        rest = self._count - len(nearby)
        if rest:
            rules = "1 more rule is" if rest == 1 else f"{rest:,} more rules are"
            walk.note(Kind.RULE, f"{rules} for other addresses or ports", chain.table, chain.name, "", False)
        self._count = 0
