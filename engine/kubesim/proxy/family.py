"""What keeps the rules of one IP family of one node: its state of the cluster, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from kubesim.proxy import iptables, legacy, nftables
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import Changes, State
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.net.nft import Ruleset

# proxyutil.FullSyncPeriod: however rarely things change, all is written again after an hour.
FULL_SYNC_PERIOD = 3600.0


class Family(Protocol):
    """One per IP family; `KubeProxy` tells it of changes through `state` and says when to sync."""

    state: State
    options: Settings
    needs_full: bool
    full_syncs: int
    partial_syncs: int

    def sync(self) -> Changes:
        """Write what has changed, and say what that was.  LearnerError when the kernel would not have it; then the next
        sync is full."""

    def set_canaries(self) -> None: ...

    def canary_lives(self) -> bool: ...

    def rule_counts(self) -> Mapping[str, int]: ...

    def stop(self) -> None:
        """The program ends.  Rules stay."""


class IptablesFamily:
    """By iptables, in the form of release 1.`minor`."""

    def __init__(self, world: World, state: State, options: Settings, tables: Iptables, minor: int, sync_period: float) -> None:
        self.state = state
        self.needs_full = True
        self.full_syncs = 0
        self.partial_syncs = 0
        self._world = world
        self._tables = tables
        self._renderer = legacy.renderer(options, minor)
        self._partial = not isinstance(self._renderer, legacy.Renderer)
        self._sync_period = sync_period
        self._last_full = world.now
        self._last_sweep = float("-inf")

    @property
    def options(self) -> Settings:
        return self._renderer.options

    @options.setter
    def options(self, options: Settings) -> None:
        self._renderer.options = options

    def sync(self) -> Changes:
        now = self._world.now
        full = self.needs_full or not self._partial or now - self._last_full > FULL_SYNC_PERIOD
        changes = self.state.checkout()
        # The changes are out of the state now: should this fail, only a full sync can make up for it.
        self.needs_full = True
        if full:
            self._tables.ensure(self._renderer.ensured_chains, self._renderer.jumps)
            self._tables.ensure_counters(self.options.counters)
        existing: list[str] = []
        large = self.state.endpoint_count() > iptables.LARGE_CLUSTER_ENDPOINTS
        if not large or now - self._last_sweep > self._sync_period:
            existing = self._tables.chains("nat")
            self._last_sweep = now
        self._tables.restore(self._renderer.sync(self.state, None if full else changes.services, existing))
        self.needs_full = False
        if full:
            self._last_full = now
            self.full_syncs += 1
        else:
            self.partial_syncs += 1
        return changes

    def set_canaries(self) -> None:
        self._tables.set_canaries()

    def canary_lives(self) -> bool:
        return self._tables.canary_lives()

    def rule_counts(self) -> Mapping[str, int]:
        return self._renderer.rule_counts()

    def stop(self) -> None:
        return None


class NftablesFamily:
    """By nftables: a table of its own, changed in transactions."""

    def __init__(self, world: World, state: State, options: Settings, ruleset: Ruleset) -> None:
        self.state = state
        self.needs_full = True
        self.full_syncs = 0
        self.partial_syncs = 0
        self._world = world
        self._ruleset = ruleset
        self._renderer = nftables.Renderer(options)
        self._last_full = world.now

    @property
    def options(self) -> Settings:
        return self._renderer.options

    @options.setter
    def options(self, options: Settings) -> None:
        self._renderer.options = options

    def sync(self) -> Changes:
        now = self._world.now
        full = self.needs_full or now - self._last_full > FULL_SYNC_PERIOD
        changes = self.state.checkout()
        self.needs_full = True
        if full:
            table = self._ruleset.tables.get(("ip6" if self.options.ipv6 else "ip", "kube-proxy"))
            there = (list(table.chains), list(table.sets)) if table is not None else ((), ())
            text = self._renderer.install(self.state, *there)
        else:
            text = self._renderer.partial(self.state, changes.services, now)
        self._ruleset.apply(text)
        self.needs_full = False
        if full:
            self._last_full = now
            self.full_syncs += 1
        else:
            self.partial_syncs += 1
        return changes

    def set_canaries(self) -> None:
        """It has none: nobody flushes another's table by accident."""

    def canary_lives(self) -> bool:
        return True

    def rule_counts(self) -> Mapping[str, int]:
        return {}

    def stop(self) -> None:
        return None
