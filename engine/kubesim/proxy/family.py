"""What keeps the rules of one IP family of one node: its state of the cluster, and how it is written down.

`Family` is the bookkeeping of syncs, which is the same in each mode: when all is written again, and what to do after a
failure.  The modes are `IptablesFamily` and `NftablesFamily` here, `ipvs_family` and `userspace` in modules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kubesim.proxy import iptables, legacy, nftables
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.model import ServiceName
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import Changes, State
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.net.nft import Ruleset

# proxyutil.FullSyncPeriod: however rarely things change, all is written again after an hour.
FULL_SYNC_PERIOD = 3600.0


class Family:
    """One per IP family; `KubeProxy` tells it of changes through `state` and says when to sync."""

    def __init__(self, world: World, state: State, options: Settings, full_period: float = FULL_SYNC_PERIOD) -> None:
        self.state = state
        self.options = options
        self.needs_full = True
        self.full_syncs = 0
        self.partial_syncs = 0
        self.world = world
        self._full_period = full_period
        self._last_full = world.now

    def sync(self) -> Changes:
        """Write what has changed, and say what that was.  LearnerError when the kernel would not have it; then the next
        sync is full."""
        now = self.world.now
        full = self.needs_full or now - self._last_full > self._full_period
        changes = self.state.checkout()
        # The changes are out of the state now: should this fail, only a full sync can make up for it.
        self.needs_full = True
        self.write(None if full else changes.services)
        self.needs_full = False
        if full:
            self._last_full = now
            self.full_syncs += 1
        else:
            self.partial_syncs += 1
        return changes

    def write(self, changed: frozenset[ServiceName] | None) -> None:
        """Write the rules of these Services, or of all (None)."""
        raise NotImplementedError

    def set_canaries(self) -> None:
        """Chains to be missed when somebody flushes the tables; a mode may have none."""

    def canary_lives(self) -> bool:
        return True

    def rule_counts(self) -> Mapping[str, int]:
        """iptables' rules by table, for the metrics."""
        return {}

    def stop(self) -> None:
        """The program ends.  Rules stay."""


class IptablesFamily(Family):
    """By iptables, in the form of release 1.`minor`."""

    def __init__(
        self, world: World, state: State, options: Settings, tables: Iptables, minor: int, sync_period: float
    ) -> None:
        self._renderer = legacy.renderer(options, minor)
        # Until 1.26 each sync was a full one.
        partial = not isinstance(self._renderer, legacy.Renderer)
        super().__init__(world, state, options, FULL_SYNC_PERIOD if partial else -1.0)
        self._tables = tables
        self._sync_period = sync_period
        self._last_sweep = float("-inf")

    def write(self, changed: frozenset[ServiceName] | None) -> None:
        now = self.world.now
        self._renderer.options = self.options
        if changed is None:
            self._tables.ensure(self._renderer.ensured_chains, self._renderer.jumps)
            self._tables.ensure_counters(self.options.counters)
        existing: list[str] = []
        large = self.state.endpoint_count() > iptables.LARGE_CLUSTER_ENDPOINTS
        if not large or now - self._last_sweep > self._sync_period:
            existing = self._tables.chains("nat")
            self._last_sweep = now
        self._tables.restore(self._renderer.pieces(self.state, changed, existing))

    def set_canaries(self) -> None:
        self._tables.set_canaries()

    def canary_lives(self) -> bool:
        return self._tables.canary_lives()

    def rule_counts(self) -> Mapping[str, int]:
        return self._renderer.rule_counts()


class NftablesFamily(Family):
    """By nftables: a table of its own, changed in transactions.  It has no canaries: nobody flushes another's table by
    accident."""

    def __init__(self, world: World, state: State, options: Settings, ruleset: Ruleset) -> None:
        super().__init__(world, state, options)
        self._ruleset = ruleset
        self._renderer = nftables.Renderer(options)

    def write(self, changed: frozenset[ServiceName] | None) -> None:
        self._renderer.options = self.options
        if changed is None:
            table = self._ruleset.tables.get(("ip6" if self.options.ipv6 else "ip", "kube-proxy"))
            there = (list(table.chains), list(table.sets)) if table is not None else ((), ())
            text = self._renderer.install(self.state, *there)
        else:
            text = self._renderer.partial(self.state, changed, self.world.now)
        self._ruleset.apply(text)
