"""What kube-proxy does to a node's kernel: the ways of iptables, iptables-save and iptables-restore.

Upstream: pkg/util/iptables (EnsureChain, EnsureRule, GetChainsFromTable, Monitor).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kubesim.proxy.iptables import Jump

if TYPE_CHECKING:
    from kubesim.net.netfilter import Netfilter

CANARY = "KUBE-PROXY-CANARY"
# The first is the one that is watched; the others only tell that the flush is over.
CANARY_TABLES = ("mangle", "nat", "filter")


class Iptables:
    """One family's tables on one node."""

    def __init__(self, netfilter: Netfilter) -> None:
        self._netfilter = netfilter

    def restore(self, text: str) -> None:
        """`iptables-restore --noflush --counters`.  Raises what the rules' reader raises."""
        self._netfilter.restore(text)

    def chains(self, table: str) -> list[str]:
        """The chains of a table, built-in ones too."""
        lines = self._netfilter.save(table).splitlines()
        return [line[1:].split(" ", 1)[0] for line in lines if line.startswith(":")]

    def ensure(self, chains: Iterable[tuple[str, str]], jumps: Sequence[Jump] = ()) -> None:
        """Make the chains that are missing, and insert each jump that is, at the head of its chain."""
        wanted: dict[str, dict[str, None]] = {}
        for table, chain in (*chains, *((jump.table, jump.chain) for jump in jumps)):
            wanted.setdefault(table, {})[chain] = None
        for table, names in wanted.items():
            saved = set(self._netfilter.save(table).splitlines())
            there = {line[1:].split(" ", 1)[0] for line in saved if line.startswith(":")}
            lines = [f":{chain} - [0:0]" for chain in names if chain not in there]
            lines += [
                f"-I {jump.source} {jump.rule}"
                for jump in jumps
                if jump.table == table and f"-A {jump.source} {jump.rule}" not in saved
            ]
            if lines:
                self._netfilter.restore("\n".join([f"*{table}", *lines, "COMMIT\n"]))

    def set_canaries(self) -> None:
        """Chains that exist to be missed when somebody flushes the tables (`iptables -X`, a firewall's reload)."""
        self.ensure((table, CANARY) for table in CANARY_TABLES)

    def canary_lives(self) -> bool:
        """Only mangle's is looked at: `iptables -t nat -F` goes unnoticed until the next sync."""
        return CANARY in self.chains(CANARY_TABLES[0])
