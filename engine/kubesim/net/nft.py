"""nftables: tables of chains, sets and maps, the commands of `nft -f`, and a packet's way through them.

A file of commands is a transaction: all of it holds, or none.  Base chains hang on the hooks beside iptables' own, by
priority.  A map of verdicts is one lookup however many services there are: no index is needed here.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kubesim import errors
from kubesim.errors import LearnerError
from kubesim.net import nft_blocks, nft_expressions
from kubesim.net.extension import ACCEPT, CONTINUE, DROP, RETURN
from kubesim.net.nft_expressions import Go, Rule
from kubesim.net.queue import Question
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubesim.net.host import Host
    from kubesim.net.packet import Flight
    from kubesim.net.walk import Walk

# nftables/src/rule.c: std_prios; a bridge's differ and are not simulated.
PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class NftError(LearnerError):
    """What nft prints; `at` is the word of the command that it underlines."""

    def __init__(self, message: str, at: str = "") -> None:
        super().__init__(message)
        self.at = at


@dataclass(slots=True)
class Element:
    """A member of a set: `verdict` in a verdict map, `expires` a virtual time for a remembered one."""

    verdict: int | Go | None = None
    said: str = ""
    comment: str = ""
    expires: float = float("inf")


@dataclass(slots=True)
class NftSet:
    """A set or a map.  `timeout` in seconds for members that rules add."""

    name: str
    kind: str
    type: str
    comment: str = ""
    flags: str = ""
    timeout: float = 0.0
    size: int = 0
    handle: int = 0
    elements: dict[tuple[str, ...], Element] = field(default_factory=dict)

    def has(self, key: tuple[str, ...], now: float) -> bool:
        found = self.elements.get(key)
        return found is not None and found.expires > now

    def remember(self, key: tuple[str, ...], now: float) -> None:
        self.elements[key] = Element(expires=now + self.timeout if self.timeout else float("inf"))


@dataclass(slots=True)
class NftChain:
    """A chain; a base chain has a `hook`."""

    name: str
    type: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    comment: str = ""
    handle: int = 0
    rules: list[Rule] = field(default_factory=list)


class NftTable:
    """A table of one family: "ip", "ip6" or "inet" (both).  Its chains, sets and rules are numbered as they come."""

    def __init__(self, family: str, name: str, handle: int) -> None:
        self.family = family
        self.name = name
        self.handle = handle
        self.comment = ""
        self.chains: dict[str, NftChain] = {}
        self.sets: dict[str, NftSet] = {}
        self._handles = 0

    def next_handle(self) -> int:
        self._handles += 1
        return self._handles

    def set(self, name: str) -> NftSet:
        found = self.sets.get(name)
        if found is None:
            raise NftError("Error: No such file or directory", name)
        return found

    def chain(self, name: str) -> NftChain:
        found = self.chains.get(name)
        if found is None:
            raise NftError("Error: Could not process rule: No such file or directory", name)
        return found


class Ruleset:
    """All nft tables of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.tables: dict[tuple[str, str], NftTable] = {}
        self._undo: list[Callable[[], None]] = []
        self._tables_made = 0

    @property
    def tracks(self) -> bool:
        """Whether connections must be tracked for it."""
        return any(
            chain.type == "nat" or any("ct " in rule.text for rule in chain.rules)
            for table in self.tables.values()
            for chain in table.chains.values()
        )

    def translates(self, *, ipv6: bool) -> bool:
        """Whether any of its chains translates addresses of that family."""
        families = ("inet", "ip6" if ipv6 else "ip")
        return any(
            chain.type == "nat"
            for table in self.tables.values()
            if table.family in families
            for chain in table.chains.values()
        )

    def base_chains(self, hook: str, *, ipv6: bool) -> list[tuple[NftTable, NftChain]]:
        """What hangs on a hook, by priority."""
        families = ("inet", "ip6" if ipv6 else "ip")
        found = [
            (table, chain)
            for table in self.tables.values()
            if table.family in families
            for chain in table.chains.values()
            if chain.hook == hook.lower()
        ]
        return sorted(found, key=lambda each: each[1].priority)

    # -- commands -----------------------------------------------------------------------------------------------

    def apply(self, text: str) -> None:
        """`nft -f`: commands, or blocks as `nft list` prints them.  Raises `NftError` or `errors.NotSimulated`, and then
        nothing has changed."""
        try:
            for words, line in nft_blocks.commands(text):
                self._command(words, line)
        except LearnerError:
            while self._undo:
                self._undo.pop()()
            raise
        finally:
            self._undo.clear()
            self._host.netfilter.changed()
            self._host.netfilter6.changed()

    def _command(self, words: list[str], line: str) -> None:
        if words[:2] == ["flush", "ruleset"]:
            before = dict(self.tables)
            self.tables.clear()
            self._undo.append(lambda: self.tables.update(before))
            return
        verb, what = words[0], words[1] if len(words) > 1 else ""
        if verb not in _VERBS or what not in _OBJECTS:
            raise errors.NotSimulated(f"nft command {line.strip()[:60]!r}")
        family, *rest = words[2:] if words[2:3] and words[2] in FAMILIES else ["ip", *words[2:]]
        if family not in FAMILIES[:3]:
            raise errors.NotSimulated(f"nft family {family!r}")
        if not rest or (what != "table" and len(rest) < 2):
            raise NftError("Error: syntax error, unexpected newline")
        table_name, *rest = rest
        if what == "table":
            self._table(verb, family, table_name, rest)
            return
        table = self.tables.get((family, table_name))
        if table is None:
            if verb == "destroy":
                return
            raise NftError("Error: No such file or directory", table_name)
        name, rest = rest[0], rest[1:]
        if what == "chain":
            self._chain(verb, table, name, rest)
        elif what == "rule":
            self._rule(verb, table, name, rest)
        elif what == "element":
            self._elements(verb, table.set(name), rest)
        else:
            self._set(verb, what, table, name, rest)

    def _table(self, verb: str, family: str, name: str, words: list[str]) -> None:
        key = (family, name)
        found = self.tables.get(key)
        if verb in ("add", "create"):
            if found is None:
                self._tables_made += 1
                made = self.tables[key] = NftTable(family, name, self._tables_made)
                made.comment = _option(words, "comment")
                self._undo.append(lambda: self._forget(key))
        elif found is None:
            if verb == "delete":
                raise NftError("Error: Could not process rule: No such file or directory", name)
        elif verb == "flush":
            for chain in found.chains.values():
                self._flush(chain)
        else:
            del self.tables[key]
            self._undo.append(lambda: self.tables.update({key: found}))

    def _forget(self, key: tuple[str, str]) -> None:
        del self.tables[key]

    def _chain(self, verb: str, table: NftTable, name: str, words: list[str]) -> None:
        chains = table.chains
        if verb in ("add", "create"):
            if name not in chains:
                made = chains[name] = _chain_of(name, words)
                made.handle = table.next_handle()
                self._undo.append(lambda: _drop(chains, name))
            elif verb == "create":
                raise NftError("Error: Could not process rule: File exists", name)
        elif verb == "destroy" and name not in chains:
            return
        elif verb == "flush":
            self._flush(table.chain(name))
        else:
            gone = table.chain(name)
            del chains[name]
            self._undo.append(lambda: chains.update({name: gone}))

    def _flush(self, chain: NftChain) -> None:
        before = chain.rules
        chain.rules = []
        self._undo.append(lambda: setattr(chain, "rules", before))

    def _rule(self, verb: str, table: NftTable, name: str, words: list[str]) -> None:
        chain = table.chain(name)
        before = list(chain.rules) if verb != "add" else []
        place = 0
        if words[:1] in (["handle"], ["position"]):
            number = words[1] if len(words) > 1 else ""
            place = next((at for at, each in enumerate(chain.rules) if str(each.handle) == number), -1)
            if place < 0:
                raise NftError("Error: Could not process rule: No such file or directory", number)
            words = words[2:]
        elif verb == "delete":
            raise NftError("Error: syntax error, unexpected newline, expecting handle")
        elif verb == "add":
            place = len(chain.rules) - 1
        if verb == "delete":
            del chain.rules[place]
            self._undo.append(lambda: setattr(chain, "rules", before))
            return
        if verb not in ("add", "insert"):
            raise errors.NotSimulated(f"nft {verb} rule")
        rule = Rule(table, words)
        place += verb == "add"
        chain.rules.insert(place, rule)
        self._undo.append(lambda: chain.rules.remove(rule))

    def _set(self, verb: str, what: str, table: NftTable, name: str, words: list[str]) -> None:
        sets = table.sets
        if verb in ("add", "create"):
            if name not in sets:
                made = sets[name] = _set_of(name, what, words)
                made.handle = table.next_handle()
                self._undo.append(lambda: _drop(sets, name))
            elif verb == "create":
                raise NftError("Error: Could not process rule: File exists", name)
            return
        if verb == "destroy" and name not in sets:
            return
        found = table.set(name)
        if verb == "flush":
            before = dict(found.elements)
            found.elements.clear()
            self._undo.append(lambda: found.elements.update(before))
        else:
            del sets[name]
            self._undo.append(lambda: sets.update({name: found}))

    def _elements(self, verb: str, onto: NftSet, words: list[str]) -> None:
        for key, element in _members(words):
            before = onto.elements.get(key)
            if verb in ("add", "create"):
                if verb == "create" and before is not None:
                    raise NftError("Error: Could not process rule: File exists", key[0])
                if onto.timeout:
                    element.expires = self._host.world.now + onto.timeout
                onto.elements[key] = element
            elif onto.elements.pop(key, None) is None and verb == "delete":
                raise NftError("Error: Could not process rule: No such file or directory", key[0])
            self._undo.append(functools.partial(_put_back, onto, key, before))

    def __str__(self) -> str:
        """`nft list ruleset`."""
        from kubesim.net import nft_listing  # it stands on this module

        return nft_listing.ruleset(self, now=self._host.world.now)


def _put_back(onto: NftSet, key: tuple[str, ...], before: Element | None) -> None:
    if before is None:
        onto.elements.pop(key, None)
    else:
        onto.elements[key] = before


FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
_VERBS = frozenset(["add", "create", "insert", "flush", "delete", "destroy"])
_OBJECTS = frozenset(["table", "chain", "rule", "set", "map", "element"])


def _drop(where: dict[str, NftChain] | dict[str, NftSet], name: str) -> None:
    del where[name]


def _option(words: list[str], name: str) -> str:
    for at, word in enumerate(words[:-1]):
        # "timeout" is also the name of a flag.
        if word == name and words[at - 1] not in (",", "flags"):
            return words[at + 1].strip('"')
    return ""


def _priority(words: list[str]) -> int:
    if "priority" not in words:
        return 0
    at = words.index("priority") + 1
    base = PRIORITIES[words[at]] if words[at] in PRIORITIES else int(words[at])
    if words[at + 1 : at + 2] in (["+"], ["-"]):
        base += int(words[at + 1] + words[at + 2])
    return base


def _chain_of(name: str, words: list[str]) -> NftChain:
    return NftChain(
        name,
        type=_option(words, "type"),
        hook=_option(words, "hook"),
        priority=_priority(words),
        policy=_option(words, "policy") or "accept",
        comment=_option(words, "comment"),
    )


def _duration(word: str) -> float:
    return float(sum(int(count) * _SECONDS[unit] for count, unit in re.findall(r"(\d+)([smhd])", word)))


def _set_of(name: str, kind: str, words: list[str]) -> NftSet:
    at = words.index("type") + 1 if "type" in words else 0
    until = next((n for n in range(at, len(words)) if words[n] in (";", "}")), len(words))
    return NftSet(
        name,
        kind,
        " ".join(words[at:until]),
        comment=_option(words, "comment"),
        flags=_flags(words),
        timeout=_duration(_option(words, "timeout")),
        size=int(_option(words, "size") or 0),
    )


def _flags(words: list[str]) -> str:
    if "flags" not in words:
        return ""
    at = words.index("flags") + 1
    until = next((n for n in range(at, len(words)) if words[n] in (";", "}")), len(words))
    return "".join(words[at:until])


def _members(words: list[str]) -> list[tuple[tuple[str, ...], Element]]:
    """`{ K . K [comment "..."] [: verdict], ... }`."""
    found: list[tuple[tuple[str, ...], Element]] = []
    inside = words[1:-1] if words and words[0] == "{" else words
    for member in _split(inside):
        comment = ""
        if "timeout" in member or "expires" in member:
            raise errors.NotSimulated("nft time-out of one element")
        if "comment" in member:
            at = member.index("comment")
            comment = member[at + 1].strip('"')
            member = member[:at] + member[at + 2 :]
        colon = member.index(":") if ":" in member else len(member)
        key = tuple(nft_expressions.value(each) for each in member[:colon] if each != ".")
        result, said = nft_expressions.verdict(member[colon + 1], member[-1]) if colon < len(member) else (None, "")
        found.append((key, Element(result, said, comment)))
    return found


def _split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == ",":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


# -- a packet's way ------------------------------------------------------------------------------------------------


def run_base(table: NftTable, chain: NftChain, flight: Flight, walk: Walk) -> int:
    """A packet through a base chain: ACCEPT, DROP (the walk has been told why) or CONTINUE for accepted at the end."""
    verdict = _traverse(table, chain, flight, walk)
    if verdict == CONTINUE and chain.policy == "drop":
        why = f"the policy of {chain.name} ({table.name}) is drop"
        walk.note(Kind.POLICY, why, table.name, chain.name, "", False)
        walk.end(Verdict.DROPPED, f"no rule in {chain.name} of {walk.host.name} accepts it, and {why}")
        return DROP
    return verdict


def _traverse(table: NftTable, chain: NftChain, flight: Flight, walk: Walk) -> int:
    for rule in chain.rules:
        walk.drawn = 1.0
        result: int | Go | Question | bool | None = None
        words = "counted"
        for statement in rule.statements:
            if walk.steps is not None:
                words = statement.words(flight)
            result = statement.run(flight, walk)
            if result is not None:
                break
        if walk.steps is not None:
            shown = _Shown(table, chain, rule)
            if isinstance(result, Go):
                words = words if result.chain in words else f"{words}: on to {result.chain}"
            if result is False:
                walk.note(Kind.RULE, words, table.name, chain.name, shown, False, None, None, walk.drawn)
            else:
                packet = flight.packet()
                walk.note(Kind.RULE, words, table.name, chain.name, shown, True, packet, packet, walk.drawn)
        if result is None or result is False:
            continue
        if isinstance(result, Question):
            return result.ask(flight, walk)
        if isinstance(result, Go):
            verdict = _traverse(table, table.chain(result.chain), flight, walk)
            if verdict != CONTINUE or not result.jump:
                return verdict
        elif result == RETURN:
            return CONTINUE
        elif result in (ACCEPT, DROP):
            return int(result)
    return CONTINUE


class _Shown:
    """A rule's text with its place, made only when a trace is read."""

    __slots__ = ("_chain", "_rule", "_table")

    def __init__(self, table: NftTable, chain: NftChain, rule: Rule) -> None:
        self._table = table
        self._chain = chain
        self._rule = rule

    def __str__(self) -> str:
        return f"{self._table.family} {self._table.name} {self._chain.name}: {self._rule}"
