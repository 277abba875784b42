"""`iptables-restore`: a text of tables and rules, table by table, each all or nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kubesim.errors import LearnerError
from kubesim.net import bulk, netfilter, rules
from kubesim.net.extension import InvalidRule, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubesim.net.netfilter import Netfilter, Table
    from kubesim.net.rules import Rule

_COMMIT = "COMMIT\n"
_TABLE_END = re.compile(rf"(?<=\n{_COMMIT})")
_COUNTERS = re.compile(r"\[(\d+):(\d+)\]")


class RestoreError(LearnerError):
    """`message` is all that iptables-restore prints; `code` what it exits with, `line` where, from 1."""

    def __init__(self, message: str, code: int, line: int) -> None:
        super().__init__(message)
        self.code = code
        self.line = line


def restore(onto: Netfilter, text: str | Sequence[str], *, noflush: bool, counters: bool) -> None:
    """Load a text as iptables-save prints it, or as kube-proxy writes it.

    It may come in pieces of whole lines; then the one that ends a table ends with its COMMIT.  What is loaded again in the
    same piece costs next to nothing (`bulk`).

    Without `noflush` each named table is emptied first.  With it, a declared chain is emptied if it exists and made if it
    does not, and all other chains stay.  Raises `RestoreError`: the table in hand stays as it was, those committed before
    it stay committed.
    """
    _Restore(onto, noflush, counters).run(text)


class _Order(NamedTuple):
    """What a line says; `command` is ":" for a declared chain, or "-I 3"."""

    line: int
    command: str
    chain: str
    argument: Rule | int | str | None
    counters: tuple[int, int]


class _Restore:
    def __init__(self, onto: Netfilter, noflush: bool, counters: bool) -> None:
        self._onto = onto
        self._noflush = noflush
        self._counters = counters
        self._program = "ip6tables-restore" if onto.ipv6 else "iptables-restore"
        self._table: Table | None = None
        # What is to be done at COMMIT.
        self._batch: list[_Order] = []

    def run(self, text: str | Sequence[str]) -> None:
        # A table ends with the piece that ends with COMMIT.
        pieces = _TABLE_END.split(text) if isinstance(text, str) else text
        start = 0
        for end, piece in enumerate(pieces, 1):
            if piece.endswith(_COMMIT) or end == len(pieces):
                if not (self._noflush and self._quickly(pieces[start:end])):
                    before = sum(each.count("\n") for each in pieces[:start])
                    self._line_by_line(before, "".join(pieces[start:end]))
                start = end

    def _quickly(self, pieces: Sequence[str]) -> bool:
        """Load a table in one go, if all is plain."""
        head, newline, first = pieces[0].partition("\n")
        if head[:1] != "*" or head[1:] not in netfilter.TABLES or not newline or not pieces[-1].endswith(_COMMIT):
            return False
        body = [first, *pieces[1:]]
        body[-1] = body[-1].removesuffix(_COMMIT)
        return bulk.load(self._onto.table(head[1:]), body)

    def _line_by_line(self, before: int, text: str) -> None:
        number = before
        for number, line in enumerate(text.splitlines(), before + 1):
            try:
                self._line(number, line)
            except UsageError as error:
                raise self._usage(error, number) from None
        if self._table is not None:
            raise RestoreError(f"{self._program}: COMMIT expected at line {number + 1}", 1, number + 1)

    def _usage(self, error: UsageError, number: int) -> RestoreError:
        name = "" if error.bare else f"{self._program} {netfilter.VERSION}: "
        return RestoreError(
            f"{name}{error.message}\nError occurred at line: {number}\n"
            f"Try `{self._program} -h' or '{self._program} --help' for more information.",
            2,
            number,
        )

    def _line(self, number: int, line: str) -> None:
        if not line or line[0] in "#\n":
            return
        table = self._table
        if line[0] == "*" and table is None:
            name = line[1:].strip()
            if name not in netfilter.TABLES:
                raise UsageError(f"{self._program}: line {number} table name '{name}' invalid")
            self._table = self._onto.table(name)
        elif table is None:
            raise RestoreError(f"{self._program}: line {number} failed", 1, number)
        elif line.strip() == "COMMIT":
            self._commit(table, number)
            self._table = None
        elif line[0] == ":":
            self._declare(number, line[1:].split())
        else:
            self._command(number, line)

    def _declare(self, number: int, words: list[str]) -> None:
        if len(words) < 2:
            raise UsageError(f"{self._program}: line {number} chain policy invalid")
        self._batch.append(_Order(number, ":", words[0], words[1], _numbers(words[2]) if len(words) > 2 else (0, 0)))

    def _command(self, number: int, line: str) -> None:
        count = (0, 0)
        if line[0] == "[":
            counted, _, line = line.partition(" ")
            count = _numbers(counted)
        command, _, rest = line.partition(" ")
        name, _, rest = rest.strip().partition(" ")
        command = _LONG.get(command, command)
        if command == "-A":
            rule = rules.parse_line(rest.strip(), ipv6=self._onto.ipv6)
            netfilter.check_interfaces(name, rule)
            self._batch.append(_Order(number, command, name, rule, count))
            return
        if command not in _SHORT:
            if command.startswith("-"):
                raise UsageError(f'unknown option "{command}"')
            raise UsageError(f"Bad argument `{command}'", bare=True)
        words = rules.split(rest)
        argument: Rule | int | str | None = None
        if command in ("-I", "-R"):
            position = int(words.pop(0)) if words and words[0].isdigit() else 1
            self._batch.append(
                _Order(number, f"{command} {position}", name, rules.parse(words, ipv6=self._onto.ipv6), count)
            )
            return
        if command == "-D":
            argument = int(words[0]) if words and words[0].isdigit() else rules.parse(words, ipv6=self._onto.ipv6)
        elif words:
            argument = words[0]
        self._batch.append(_Order(number, command, name, argument, count))

    def _commit(self, table: Table, last: int) -> None:
        batch, self._batch = self._batch, []
        # What others did to the table before is theirs, and not to be taken back here.
        table.done()
        number, name = last, ""
        try:
            if not self._noflush:
                table.flush()
                table.delete_chains()
            # Chains first: a rule may jump to one that is declared further down.
            for each in batch:
                number, name = each.line, each.chain
                if each.command == ":":
                    self._declared(table, name, str(each.argument))
            for each in batch:
                number, name = each.line, each.chain
                if each.command != ":":
                    self._apply(table, each)
        except UsageError as error:
            table.undo()
            raise self._usage(error, last) from None
        except netfilter.CommandError as error:
            table.undo()
            raise RestoreError(f"{self._program}: line {number} failed: {error.message}", 1, number) from None
        except InvalidRule as error:
            table.undo()
            failed = f"line {number}: RULE_APPEND failed ({error.message}): rule in chain {name}"
            raise RestoreError(f"{self._program} {netfilter.VERSION}: \n{failed}", 4, number) from None
        table.done()

    def _declared(self, table: Table, name: str, policy: str) -> None:
        chain = table.chains.get(name)
        if chain is None:
            table.new_chain(name)
        elif chain.policy is None:
            if self._noflush:
                table.flush(name)
        elif policy != "-":
            table.set_policy(name, policy)

    def _apply(self, table: Table, order: _Order) -> None:
        name, argument = order.chain, order.argument
        verb, _, position = order.command.partition(" ")
        if verb in ("-A", "-I"):
            assert isinstance(argument, rules.Rule)
            item = table.append(name, argument) if verb == "-A" else table.insert(name, int(position), argument)
            if self._counters:
                item.packets, item.bytes = order.counters
        elif verb == "-R":
            assert isinstance(argument, rules.Rule)
            table.replace(name, int(position), argument)
        elif verb == "-D":
            assert isinstance(argument, rules.Rule | int)
            table.delete(name, argument)
        elif verb == "-N":
            table.new_chain(name)
        elif verb == "-F":
            table.flush(name)
        elif verb == "-X":
            table.delete_chain(name) if name else table.delete_chains()
        elif verb == "-P":
            table.set_policy(name, str(argument))
        else:
            table.zero(name)


_SHORT = frozenset(["-A", "-D", "-F", "-I", "-N", "-P", "-R", "-X", "-Z"])
_LONG = {
    "--append": "-A", "--delete": "-D", "--flush": "-F", "--insert": "-I", "--new-chain": "-N", "--policy": "-P",
    "--replace": "-R", "--delete-chain": "-X", "--zero": "-Z",
}  # fmt: skip


def _numbers(word: str) -> tuple[int, int]:
    found = _COUNTERS.fullmatch(word)
    if found is None:
        raise UsageError("invalid policy counters")
    return int(found[1]), int(found[2])
