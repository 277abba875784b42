"""A host's packet filter: tables of chains, their place on the packet's way, and what `iptables` does to them.

A table's operations have the names of iptables' commands and fail in its words.  They are what `iptables-restore`
(module `restore`) and the `iptables` command stand on; `listing` prints.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.net import ipvs_hooks, nat, nft, rules
from kubesim.net.chain import Chain, traverse
from kubesim.net.extension import DROP, InvalidRule, UsageError
from kubesim.net.runs import Item
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kubesim.net import bulk
    from kubesim.net.host import Host
    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.runs import Run
    from kubesim.net.walk import Walk

    Hook = Callable[[Flight, Walk], bool]
    # Rules that are asked for a verdict.
    Ask = Callable[[Flight, Walk], int]

VERSION = "v1.8.9 (nf_tables)"

# In the order in which iptables-save prints the tables (iptables, nft.h: enum nft_table_type), each with its chains.
TABLES = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
    "raw": ("PREROUTING", "OUTPUT"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
# netfilter_ipv4.h: enum nf_ip_hook_priorities.  nat is asked for destinations early and for sources late.
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
CONNTRACK_PRIORITY = -200
DESTINATION_NAT_PRIORITY, SOURCE_NAT_PRIORITY = -100, 100
CONFIRM_PRIORITY = 2**31

NO_SUCH_CHAIN = "No chain/target/match by that name."
NO_SUCH_RULE = "Bad rule (does a matching rule exist in that chain?)."


class CommandError(LearnerError):
    """The kernel did not do it: iptables exits with 1 and prints this after its name."""


class Table:
    """One table.  Every change can be taken back until `done` is called (`iptables-restore` commits or leaves no trace)."""

    def __init__(self, netfilter: Netfilter, name: str) -> None:
        self.name = name
        self.chains: dict[str, Chain] = {chain: Chain(self, chain, "ACCEPT") for chain in TABLES[name]}
        self.tracked = 0
        # What `bulk` has loaded last, by its text.
        self.loaded: dict[str, bulk.Piece] = {}
        self.ipv6 = netfilter.ipv6
        self._netfilter = netfilter
        self._undo: list[Callable[[], object]] = []
        # There is a loop somewhere that no packet can come to.
        self.looped = False

    # -- taking back --------------------------------------------------------------------------------------------

    def done(self) -> None:
        """The changes so far are for good."""
        self._undo.clear()

    def undo(self) -> None:
        """Take back all changes since the last `done`."""
        while self._undo:
            self._undo.pop()()

    # -- asking -------------------------------------------------------------------------------------------------

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the kernel's own chains."""
        return TABLES[self.name]

    def chain(self, name: str) -> Chain:
        """Raises `CommandError`."""
        found = self.chains.get(name)
        if found is None:
            raise CommandError(NO_SUCH_CHAIN)
        return found

    def listed(self) -> list[Chain]:
        """Its chains as they are printed: the kernel's own, then the others by name."""
        return self._own() + [self.chains[name] for name in sorted(self.chains) if name not in self.own]

    # -- chains -------------------------------------------------------------------------------------------------

    def new_chain(self, name: str) -> Chain:
        """-N.  Raises `CommandError` when it exists, `UsageError` for a bad name."""
        if name in self.chains:
            raise CommandError("Chain already exists.")
        if len(name) > 28:
            raise UsageError(f"chain name `{name}' too long (must be under 29 chars)")
        if name.startswith(("-", "!")):
            raise UsageError("chain name not allowed to start with `" + name[0] + "'\n")
        if name in rules.TARGETS or name in rules.VERDICTS:
            raise UsageError("chain name may not clash with target name\n")
        made = self.chains[name] = Chain(self, name)
        self._undo.append(lambda: self._drop_chain(name))
        return made

    def new_chains(self, names: Sequence[str]) -> None:
        """Chains that are missing, and whose names are good (`bulk` has seen to both)."""
        self.chains.update({name: Chain(self, name) for name in names})
        self._undo.append(lambda: [self.chains.pop(name) for name in names])

    def _drop_chain(self, name: str) -> None:
        del self.chains[name]

    def delete_chain(self, name: str) -> None:
        """-X CHAIN.  Raises `CommandError` when it is missing, the kernel's own, in use or not empty."""
        chain = self.chain(name)
        if chain.policy is not None or chain.references:
            raise CommandError("Device or resource busy." if chain.references else NO_SUCH_CHAIN)
        if chain.runs:
            raise CommandError("Directory not empty.")
        del self.chains[name]
        self._undo.append(lambda: self.chains.update({name: chain}))

    def delete_chains(self) -> None:
        """-X: all empty chains that nobody jumps to."""
        for chain in self.listed():
            if chain.policy is None and not chain.references and not chain.runs:
                self.delete_chain(chain.name)

    def rename_chain(self, old: str, new: str) -> None:
        """-E."""
        chain = self.chain(old)
        if chain.policy is not None:
            raise CommandError(NO_SUCH_CHAIN)
        if new in self.chains:
            raise CommandError("File exists.")
        # All are read while the name is good; what was loaded under it is not what stands there any more.
        jumping = [item for other in self.chains.values() for item in other.items if item.chain is chain]
        self.loaded.clear()
        del self.chains[old]
        chain.name = new
        self.chains[new] = chain
        for item in jumping:
            item.rule = rules.retargeted(item.rule, new)
        self._changed(chain)

    def set_policy(self, name: str, policy: str) -> None:
        """-P.  Raises `CommandError`, `UsageError`."""
        chain = self.chain(name)
        if chain.policy is None or policy not in ("ACCEPT", "DROP"):
            raise CommandError("Bad policy name. Run `dmesg' for more information.")
        if self.name == "nat" and policy == "DROP":
            raise UsageError(
                '\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n'
            )
        before = chain.policy

        def back() -> None:
            chain.policy = before
            self._changed(chain)

        self._undo.append(back)
        chain.policy = policy
        self._changed(chain)

    # -- rules --------------------------------------------------------------------------------------------------

    def append(self, name: str, rule: Rule) -> Item:
        """-A."""
        return self.insert(name, self.chain(name).size + 1, rule)

    def insert(self, name: str, number: int, rule: Rule) -> Item:
        """-I CHAIN NUMBER.  Raises `CommandError`, `UsageError` when the target is no chain, `InvalidRule`."""
        chain = self.chain(name)
        if not 1 <= number <= chain.size + 1:
            raise CommandError("Index of insertion too big.")
        item = self._item(chain, rule)
        self._put(chain, number - 1, item)
        self._undo.append(lambda: self._take(chain, chain.items.index(item)))
        return item

    def replace(self, name: str, number: int, rule: Rule) -> None:
        """-R."""
        chain = self.chain(name)
        if not 1 <= number <= chain.size:
            raise CommandError("Index of replacement too big.")
        item = self._item(chain, rule)
        self.delete(name, number)
        self._put(chain, number - 1, item)
        self._undo.append(lambda: self._take(chain, number - 1))

    def delete(self, name: str, what: int | Rule) -> None:
        """-D, by number or by what the rule says."""
        chain = self.chain(name)
        if isinstance(what, int):
            if not 1 <= what <= chain.size:
                raise CommandError("Index of deletion too big.")
            position = what - 1
        else:
            position = self.find(name, what)
        item = chain.items[position]
        self._take(chain, position)
        self._undo.append(lambda: self._put(chain, position, item))

    def find(self, name: str, rule: Rule) -> int:
        """-C: where such a rule stands, from 0.  Raises `CommandError`."""
        text = str(rule)
        for position, item in enumerate(self.chain(name).items):
            if item.rule is rule or str(item.rule) == text:
                return position
        raise CommandError(NO_SUCH_RULE)

    def flush(self, name: str = "") -> None:
        """-F: the chain's rules, or all."""
        for chain in [self.chain(name)] if name else list(self.chains.values()):
            if chain.runs:
                self.refill({chain: []})

    def refill(self, wanted: Mapping[Chain, list[Run]]) -> None:
        """Give chains these runs in place of what they have; those that are there already stay, with their counters."""
        before = self._swap(wanted)
        self._undo.append(lambda: self._swap(before))

    def _swap(self, wanted: Mapping[Chain, list[Run]]) -> dict[Chain, list[Run]]:
        before = {}
        for chain, runs in wanted.items():
            old = before[chain] = chain.replace(runs)
            known = {id(run) for run in old}
            for run in old:
                if not run.attached:
                    self._count_run(run, -1)
            for run in runs:
                if id(run) not in known:
                    self._count_run(run, 1)
        self._netfilter.changed()
        return before

    def _count_run(self, run: Run, step: int) -> None:
        for chain in run.jumps(self.chains):
            chain.references += step
        for rule in run.counting_rules():
            self._count_rule(rule, step)

    def zero(self, name: str = "") -> None:
        """-Z: the counters."""
        for chain in [self.chain(name)] if name else list(self.chains.values()):
            for run in chain.runs:
                run.zero()

    def _item(self, chain: Chain, rule: Rule) -> Item:
        jump = self.jump(chain, rule)
        if jump is not None:
            self._check_loop(chain, jump)
        return Item(rule, jump)

    def jump(self, chain: Chain, rule: Rule) -> Chain | None:
        """The chain that the rule jumps to.  Raises `UsageError`, `InvalidRule` where such a rule cannot stand in the chain."""
        for name in rule.sets:
            if name not in self._netfilter.host.ipsets:
                raise UsageError(f"Set {name} doesn't exist.\n")
        target = rule.target_name
        if not target or target in rules.VERDICTS or rule.target is not None:
            if rule.target is not None and rule.target.tables and self.name not in rule.target.tables:
                raise InvalidRule("Invalid argument")
            self._check_hook(chain, rule)
            return None
        jump = self.chains.get(target)
        if jump is None:
            raise UsageError(f"Chain '{target}' does not exist")
        if jump.policy is not None:
            raise InvalidRule("Invalid argument")
        return jump

    def _check_loop(self, chain: Chain, jump: Chain) -> None:
        # The kernel forbids a loop only where a packet can come to it.
        if chain.policy is None and _reaches(jump, chain):
            if any(_reaches(each, chain) for each in self._own()):
                raise InvalidRule("Too many links")
            self.looped = True
        elif self.looped and _loops(jump, ()) and any(_reaches(each, chain) for each in self._own()):
            raise InvalidRule("Too many links")

    def _own(self) -> list[Chain]:
        return [self.chains[name] for name in self.own]

    def _check_hook(self, chain: Chain, rule: Rule) -> None:
        check_interfaces(chain.name, rule)
        if chain.policy is not None and chain.name in _UNFIT.get(rule.target_name, ()):
            raise InvalidRule("Invalid argument")

    def _put(self, chain: Chain, position: int, item: Item) -> None:
        chain.put(position, item)
        self._count(item, 1)
        self._netfilter.changed()

    def _take(self, chain: Chain, position: int) -> None:
        self._count(chain.take(position), -1)
        self._netfilter.changed()

    def _count(self, item: Item, step: int) -> None:
        if item.chain is not None:
            item.chain.references += step
        self._count_rule(item.rule, step)

    def _count_rule(self, rule: Rule, step: int) -> None:
        if rule.uses_conntrack:
            self.tracked += step
        for name in rule.sets:
            self._netfilter.host.ipsets.get(name).references += step

    def _changed(self, chain: Chain) -> None:
        chain.changed()
        self._netfilter.changed()


def check_interfaces(chain: str, rule: Rule) -> None:
    """Raise `UsageError` for an interface that a packet cannot have yet, or no longer, at that hook."""
    for side, unfit, option in (("out_if", ("PREROUTING", "INPUT"), "-o"), ("in_if", ("POSTROUTING", "OUTPUT"), "-i")):
        if getattr(rule, side) is not None and chain in unfit:
            raise UsageError(f"Can't use {option} with {chain}\n")


def _reaches(start: Chain, goal: Chain) -> bool:
    """Whether a packet in `start` can come to `goal`."""
    if start is goal:
        return True
    seen = {start}
    todo = [start]
    while todo:
        for following in todo.pop().jumps():
            if following not in seen:
                if following is goal:
                    return True
                seen.add(following)
                todo.append(following)
    return False


def _loops(chain: Chain, above: tuple[Chain, ...]) -> bool:
    if chain in above:
        return True
    return any(_loops(each, (*above, chain)) for each in chain.jumps())


# Targets that make no sense at some hooks (each extension's `hooks` in the kernel).
_UNFIT = {
    "DNAT": ("INPUT", "POSTROUTING"),
    "REDIRECT": ("INPUT", "POSTROUTING"),
    "SNAT": ("PREROUTING", "OUTPUT"),
    "MASQUERADE": ("PREROUTING", "INPUT", "OUTPUT"),
}


class Netfilter:
    """The rules of one address family on one host.  `recent` are the lists of the recent match, `nfacct` named counters."""

    def __init__(self, host: Host, *, ipv6: bool) -> None:
        self.host = host
        self.ipv6 = ipv6
        self.recent: dict[str, dict[str, list[float]]] = {}
        self.nfacct: dict[str, tuple[int, int]] = {}
        self._tables: dict[str, Table] = {}
        self._hooks: dict[str, tuple[Hook, ...]] = {}

    def table(self, name: str) -> Table:
        """The table of that name; the first to ask makes it.  Raises `UsageError` for an unknown one."""
        found = self._tables.get(name)
        if found is None:
            if name not in TABLES:
                raise UsageError(
                    f"table '{name}' does not exist\nPerhaps iptables or your kernel needs to be upgraded."
                )
            found = self._tables[name] = Table(self, name)
            self.changed()
        return found

    def tables(self) -> list[Table]:
        """Those that exist, in the order in which they are saved."""
        return [self._tables[name] for name in TABLES if name in self._tables]

    def rule(self, words: Sequence[str]) -> Rule:
        """A rule from words as typed.  Raises `UsageError`."""
        return rules.parse(words, ipv6=self.ipv6)

    def append(self, table: str, chain: str, rule: Rule | str) -> None:
        """-A, for good."""
        at = self.table(table)
        at.append(chain, rules.parse_line(rule, ipv6=self.ipv6) if isinstance(rule, str) else rule)
        at.done()

    def restore(self, text: str | Sequence[str], *, noflush: bool = True, counters: bool = False) -> None:
        """As `iptables-restore` does with the text, whole or in pieces; see `restore.restore`."""
        from kubesim.net import restore  # it stands on this module

        restore.restore(self, text, noflush=noflush, counters=counters)

    def save(self, table: str | None = None, *, counters: bool = False) -> str:
        """As `iptables-save` prints it."""
        from kubesim.net import listing

        return listing.save(self, table, counters=counters)

    # -- on the packet's way ------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Some rule is not what it was."""
        self._hooks = {}

    @property
    def tracks(self) -> bool:
        """Whether connections are tracked: only where rules need it, as in a fresh network namespace."""
        return (
            "nat" in self._tables
            or any(table.tracked for table in self._tables.values())
            or self.host.nft.tracks
            or bool(self.host.ipvs and self.host.sysctls.get("net.ipv4.vs.conntrack"))
        )

    def hooks(self, name: str) -> tuple[Hook, ...]:
        """What a packet meets at that hook, in order; each says whether it goes on."""
        found = self._hooks.get(name)
        if found is None:
            registered = sorted(self._registered(name), key=lambda each: each[0])
            found = self._hooks[name] = tuple(hook for _priority, hook in registered)
        return found

    def _registered(self, name: str) -> list[tuple[int, Hook]]:
        found: list[tuple[int, Hook]] = []
        for table, priority in PRIORITIES.items():
            at = self._tables.get(table)
            chain = at.chains.get(name) if at is not None else None
            if chain is not None and (chain.runs or chain.policy == "DROP"):
                found.append((priority, _filtering(chain)))
        if self.tracks:
            if name in ("PREROUTING", "OUTPUT"):
                found.append((CONNTRACK_PRIORITY, self._track))
            if name in ("INPUT", "POSTROUTING"):
                found.append((CONFIRM_PRIORITY, self._confirm))
        if self.host.ipvs:
            found += ipvs_hooks.hooks(name)
        source = name in ("INPUT", "POSTROUTING")
        priority = SOURCE_NAT_PRIORITY if source else DESTINATION_NAT_PRIORITY
        asked: list[tuple[int, Ask]] = []
        nat_table = self._tables.get("nat")
        if nat_table is not None and name in nat_table.chains:
            asked.append((priority, functools.partial(traverse, nat_table.chains[name])))
        for nft_table, nft_chain in self.host.nft.base_chains(name, ipv6=self.ipv6):
            run = functools.partial(nft.run_base, nft_table, nft_chain)
            if nft_chain.type == "nat":
                asked.append((nft_chain.priority, run))
            else:
                found.append((nft_chain.priority, _passing(run)))
        # Whoever translates anywhere translates answers everywhere (nf_nat_register_fn takes all four hooks at once).
        if name != "FORWARD" and (nat_table is not None or self.host.nft.translates(ipv6=self.ipv6)):
            asked.sort(key=lambda each: each[0])
            found.append((priority, _translating([ask for _priority, ask in asked], source)))
        return found

    def _track(self, flight: Flight, walk: Walk) -> bool:
        if flight.entry is None and flight.state != "UNTRACKED":
            walk.conntrack(self.host).track(flight)
            if walk.steps is not None:
                walk.note(Kind.CONNTRACK, _connection_words(flight))
        return True

    def _confirm(self, flight: Flight, walk: Walk) -> bool:
        walk.conntrack(self.host).confirm(flight)
        return True


def _connection_words(flight: Flight) -> str:
    if flight.state == "INVALID":
        return "it belongs to no connection that is known, and begins none: INVALID"
    if flight.state == "NEW":
        return "the first packet of a connection: NEW"
    if flight.state == "RELATED":
        return "it is about a connection that is known: RELATED"
    return (
        "an answer in a connection that is known: ESTABLISHED"
        if flight.reply
        else "a connection that is known: ESTABLISHED"
    )


def _filtering(chain: Chain) -> Hook:
    def hook(flight: Flight, walk: Walk) -> bool:
        verdict = traverse(chain, flight, walk)
        if verdict == DROP:
            return False
        if not verdict and chain.policy == "DROP":
            why = f"the policy of {chain.name} ({chain.table}) is DROP"
            walk.note(Kind.POLICY, why, chain.table, chain.name, "", False)
            walk.end(Verdict.DROPPED, f"no rule in {chain.name} of {walk.host.name} accepts it, and {why}")
            return False
        return True

    return hook


def _passing(run: Ask) -> Hook:
    return lambda flight, walk: run(flight, walk) != DROP


def _translating(asked: list[Ask], source: bool) -> Hook:
    def hook(flight: Flight, walk: Walk) -> bool:
        # Linux, nf_nat_core.c: nf_nat_inet_fn.
        entry = flight.entry
        if entry is None:
            return True
        if flight.state == "NEW" and not (entry.source_decided if source else entry.destination_decided):
            for ask in asked:
                if ask(flight, walk) == DROP:
                    return False
                if entry.source_decided if source else entry.destination_decided:
                    break
            if not (entry.source_decided if source else entry.destination_decided):
                nat.bind(walk.conntrack(walk.host), entry, None, walk, source=source)
        nat.rewrite(flight, walk, source=source)
        return True

    return hook
