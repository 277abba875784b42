"""What kube-proxy does to a node's kernel, other than writing its rules: jumps, chains, canaries, stale connections.

Upstream: pkg/util/iptables (EnsureChain, EnsureRule, Monitor), pkg/proxy/conntrack/cleanup.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kubesim.net import rules
from kubesim.net.netfilter import CommandError
from kubesim.proxy.iptables import Jump
from kubesim.proxy.state import State

if TYPE_CHECKING:
    from kubesim.net.conntrack import Conntrack
    from kubesim.net.netfilter import Netfilter

CANARY = "KUBE-PROXY-CANARY"
# The first is the one that is watched; the others only tell that the flush is over.
CANARY_TABLES = ("mangle", "nat", "filter")


class Iptables:
    """One family's tables on one node."""

    def __init__(self, netfilter: Netfilter) -> None:
        self._netfilter = netfilter

    def restore(self, text: str | Sequence[str]) -> None:
        """`iptables-restore --noflush --counters`, of a text or its pieces.  LearnerError when the kernel does not take it."""
        self._netfilter.restore(text, counters=True)

    def chains(self, table: str) -> list[str]:
        """The chains of a table, built-in ones too."""
        return list(self._netfilter.table(table).chains)

    def ensure(self, chains: Iterable[tuple[str, str]], jumps: Sequence[Jump] = ()) -> None:
        """`iptables -N` what chain is missing, and `iptables -I` what jump is."""
        for name, chain in (*chains, *((jump.table, jump.chain) for jump in jumps)):
            table = self._netfilter.table(name)
            if chain not in table.chains:
                table.new_chain(chain)
                table.done()
        for jump in jumps:
            self._ensure_rule(jump.table, jump.source, jump.rule, first=True)

    def append(self, table: str, chain: str, rule: str) -> None:
        """`iptables -A` a rule that is not there yet."""
        self._ensure_rule(table, chain, rule, first=False)

    def _ensure_rule(self, name: str, chain: str, text: str, *, first: bool) -> None:
        table = self._netfilter.table(name)
        rule = rules.parse_line(text, ipv6=self._netfilter.ipv6)
        try:
            table.find(chain, rule)
        except CommandError:
            table.insert(chain, 1 if first else table.chain(chain).size + 1, rule)
            table.done()

    def ensure_counters(self, names: Iterable[str]) -> None:
        """`nfacct add` those that are missing."""
        for name in sorted(names):
            self._netfilter.nfacct.setdefault(name, (0, 0))

    def set_canaries(self, name: str = CANARY) -> None:
        """Chains that exist to be missed when somebody flushes the tables (`iptables -X`, a firewall's reload)."""
        self.ensure((table, name) for table in CANARY_TABLES)

    def canary_lives(self) -> bool:
        """Only mangle's is looked at: `iptables -t nat -F` goes unnoticed until the next sync."""
        return CANARY in self.chains(CANARY_TABLES[0])


def forget_stale(conntrack: Conntrack, state: State) -> int:
    """Delete the UDP connections to Services that go to no endpoint that serves: UDP has no end that would be seen, so a
    client that keeps its port would be sent there for ever.  Returns how many there were (conntrack.CleanStaleEntries)."""
    by_address: dict[tuple[str, int], set[tuple[str, int]]] = {}
    by_node_port: dict[int, set[tuple[str, int]]] = {}
    for name, service in state.services.items():
        if service.protocol != "udp":
            continue
        # Also one that is terminating may go on serving those that it serves.
        serving = {(each.address, each.port) for each in state.endpoints.get(name, ()) if each.serving}
        for address in (service.cluster_ip, *service.external_ips, *service.load_balancer_ips):
            by_address[address, service.port] = serving
        if service.node_port:
            by_node_port[service.node_port] = serving
    deleted = 0
    for entry in conntrack.entries():
        to = entry.original
        if to.protocol != "udp":
            continue
        endpoints = by_address.get((to.dst, to.dport), by_node_port.get(to.dport))
        if endpoints is not None and (entry.reply.src, entry.reply.sport) not in endpoints:
            conntrack.delete(entry)
            deleted += 1
    return deleted
