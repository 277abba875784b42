"""Loading many rules at once: the quick way through `iptables-restore --noflush`, for what kube-proxy writes.

Theory of operation
-------------------
A text of a table comes in pieces.  A piece is scanned line by line with one expression that only fits lines which cannot be
wrong: those are not read now but when a packet comes to them (`runs`).  Other rules are read at once.  Then the chains are
given their runs, jumps are counted, and new jumps are looked through for loops.

A piece that was loaded before, word for word, is not scanned again, and where its chain is declared again its runs stay where
they are: so a sync of kube-proxy, which writes KUBE-SERVICES whole every time, costs by what is different.

Whatever is out of the ordinary - another command, counters, an error - is not judged here: nothing is changed, and `restore`
goes its own way, line by line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kubesim.errors import LearnerError
from kubesim.net import netfilter, rules
from kubesim.net.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kubesim.net.chain import Chain
    from kubesim.net.netfilter import Table

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_PREFIX = rf"{_ADDRESS}(?:/(?:3[0-2]|[12]?\d))?"
_PORT = r"[1-9]\d{0,3}"
# Rules in the forms that kube-proxy writes today, each option once: they need nothing but their jump's chain.
_PLAIN = re.compile(
    r"-A ([A-Z][\w-]*) ("
    r'(?:-m comment --comment (?:"[^"\\]{1,200}"|[\w./:]{1,200}) )?'
    r"(?:-m statistic --mode random --probability 0\.\d{1,10} )?"
    r"(?:-m addrtype --src-type LOCAL )?"
    rf"(?:-m (tcp|udp|sctp) -p \3 (?:-d {_PREFIX} )?(?:--dport {_PORT} )?)?"
    rf"(?:(?:! )?-s {_PREFIX} )?"
    rf"-j (?:([A-Z][A-Z0-9-]*)|(?(3)DNAT --to-destination {_ADDRESS}:{_PORT}|(?!))))",
    re.ASCII,
)
_NAME = re.compile(r"[A-Z][A-Z0-9-]{0,27}", re.ASCII)
# Targets that are no chains; those that are read at once.
_SPECIAL = frozenset([*rules.TARGETS, *rules.UNKNOWN_TARGETS])
# Longer pieces are not remembered: they are of a full sync, whose like does not come again.
REMEMBERED = 1 << 16


class Piece(NamedTuple):
    """A piece of a table's text: chains declared, rules by chain, chains deleted."""

    declared: list[str]
    runs: dict[str, Run]
    deleted: list[str]


def load(table: Table, pieces: Sequence[str]) -> bool:
    """Load the lines between `*TABLE` and `COMMIT`; False, and nothing is changed, where `restore` has to see to it."""
    scanned = _scan(table, pieces)
    if scanned is None:
        return False
    table.done()
    try:
        stayed = _apply(table, list(scanned.values()))
    except (LearnerError, _NotPlain):
        table.undo()
        return False
    table.done()
    for run in stayed:
        run.zero()
    table.loaded = {text: piece for text, piece in scanned.items() if len(text) < REMEMBERED}
    return True


class _NotPlain(Exception):  # a word to `load`, not an error
    pass


def _scan(table: Table, pieces: Sequence[str]) -> dict[str, Piece] | None:
    """Each piece with what it says; what stands loaded already is the very same."""
    found: dict[str, Piece] = {}
    for text in pieces:
        if not text:
            continue
        known = table.loaded.get(text)
        if known is not None and all(run.attached for run in known.runs.values()):
            piece: Piece | None = known
        else:
            piece = _read(table, text)
        if piece is None or text in found:
            return None
        found[text] = piece
    return found


def _read(table: Table, text: str) -> Piece | None:
    piece = Piece([], {}, [])
    plain, runs = _PLAIN.fullmatch, piece.runs
    last, run = "", Run()
    for line in text.splitlines():
        found = plain(line)
        if found is None:
            if line.startswith("-A "):
                if not _special(table, line, runs):
                    return None
                last = ""
            elif line.startswith(":"):
                name, policy, *counters = line[1:].split()
                if policy != "-" or counters not in ([], ["[0:0]"]):
                    return None
                piece.declared.append(name)
            elif line.startswith("-X "):
                piece.deleted.append(line[3:].strip())
            elif line and line[0] != "#":
                return None
            continue
        name, words, _protocol, target = found.groups()
        if (target in _SPECIAL) if target else (table.name != "nat" or name in table.own):
            if not _special(table, line, runs):
                return None
            last = ""
            continue
        if name != last:
            last = name
            run = runs.setdefault(name, Run())
        run.lines.append(words)
        run.size += 1
        if target and target not in rules.VERDICTS:
            run.targets.append(target)
    return piece


def _special(table: Table, line: str, runs: dict[str, Run]) -> bool:
    """Read a rule at once; False where that fails."""
    name, _, words = line[3:].strip().partition(" ")
    try:
        rule = rules.parse_line(words.strip(), ipv6=table.ipv6)
        netfilter.check_interfaces(name, rule)
    except LearnerError:
        return False
    run = runs.setdefault(name, Run())
    run.lines.append(rule)
    run.special = [*run.special, rule]
    run.size += 1
    if rule.target is None and rule.target_name and rule.target_name not in rules.VERDICTS:
        run.targets.append(rule.target_name)
    return True


def _apply(table: Table, pieces: Sequence[Piece]) -> list[Run]:
    """Change the table; returns the runs that stay, to begin counting anew.  Raises where it cannot be done here."""
    chains = table.chains
    declared = dict.fromkeys(name for piece in pieces for name in piece.declared)
    missing = [name for name in declared if name not in chains]
    if not all(_NAME.fullmatch(name) and name not in _SPECIAL and name not in rules.VERDICTS for name in missing):
        raise _NotPlain
    if table.looped or any(name in declared for name in table.own):
        raise _NotPlain
    table.new_chains(missing)
    wanted: dict[str, list[Run]] = {name: [] for name in declared}
    for piece in pieces:
        for name, run in piece.runs.items():
            if name not in wanted:
                wanted[name] = list(table.chain(name).runs)
            if run.attached and name not in declared:
                # The same rules once more, behind those that are there.
                raise _NotPlain
            wanted[name].append(run)
    targets: dict[str, Chain] = {}
    stayed: list[Run] = []
    refilled: dict[Chain, list[Run]] = {}
    for name, runs in wanted.items():
        chain = chains[name]
        for run in runs:
            if not run.attached:
                _check(table, chain, run, targets)
            elif name in declared:
                stayed.append(run)
        if runs or chain.runs:
            refilled[chain] = runs
    table.refill(refilled)
    if _has_loop(targets.values()):
        raise _NotPlain
    for piece in pieces:
        for name in piece.deleted:
            table.delete_chain(name)
    return stayed


def _check(table: Table, chain: Chain, run: Run, targets: dict[str, Chain]) -> None:
    """Raise unless the run can stand in the chain; the chains it jumps to are added to `targets`."""
    for rule in run.special:
        table.jump(chain, rule)
    for name in run.targets:
        if name not in targets:
            target = table.chains.get(name)
            if target is None or target.policy is not None:
                raise _NotPlain
            targets[name] = target


def _has_loop(starts: Iterable[Chain]) -> bool:
    """Whether a packet in one of these chains could come to some chain again and again."""
    done: set[Chain] = set()
    for start in starts:
        above = {start}
        way = [(start, start.jumps())]
        while way:
            chain, ahead = way[-1]
            following = next(ahead, None)
            if following is None:
                way.pop()
                above.discard(chain)
                done.add(chain)
            elif following in above:
                return True
            elif following not in done:
                above.add(following)
                way.append((following, following.jumps()))
    return False
