"""The ipvs mode at work on a node: virtual servers, sets and the dummy interface are made to match, change by change.

Theory of operation
-------------------
Each port of a Service has its `ipvs.Part`; all parts together are what the node should have.  A change replaces the parts of
the Services that changed, and only what these hold is looked at in the kernel.  Every `syncPeriod` all is looked at, so that
a virtual server that somebody took away comes back, and one that somebody made goes (upstream looks at everything at each
sync: the outcome is the same, but for up to that time).

A real server that goes is not taken away under its connections: its weight becomes 0, so that it gets no new ones, and
once a minute it is seen whether the old ones are over.  UDP's go at once (graceful_termination.go).

Upstream: pkg/proxy/ipvs/proxier.go (syncProxyRules, syncService, syncEndpoint, cleanLegacyService).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kubesim.proxy import addresses, ipvs
from kubesim.proxy.family import Family
from kubesim.proxy.ipvs import Key, Part, VirtualServer
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.model import PortName, ServiceName
from kubesim.proxy.settings import Settings
from kubesim.proxy.state import State
from kubesim.world import Timer, World

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.ipvs import Service

# rsCheckDeleteInterval.
LEAVING_SECONDS = 60.0
SYSCTLS = {
    "net.ipv4.vs.conntrack": 1,
    "net.ipv4.vs.expire_nodest_conn": 1,
    "net.ipv4.vs.expire_quiescent_template": 1,
    "net.ipv4.ip_forward": 1,
}
STRICT_ARP = {"net.ipv4.conf.all.arp_ignore": 1, "net.ipv4.conf.all.arp_announce": 2}
# The protocols whose connections have an end that is seen.
_GRACEFUL = ("tcp",)

Leaving = tuple[Key, str, int]


class IpvsFamily(Family):
    """By IPVS.  `excluded` are ranges whose virtual servers are somebody else's (ipvs.excludeCIDRs)."""

    def __init__(
        self,
        world: World,
        host: Host,
        state: State,
        options: Settings,
        tables: Iptables,
        sync_period: float,
        *,
        excluded: Iterable[str] = (),
        strict_arp: bool = False,
    ) -> None:
        super().__init__(world, state, options, full_period=float("inf"))
        self._sync_period = sync_period
        self._looked = world.now
        self._host = host
        self._tables = tables
        self._excluded = addresses.ranges_of_family(options.family, excluded)
        self._parts: dict[ServiceName, dict[PortName, Part]] = {}
        self._out_filter: dict[PortName, list[str]] = {}
        # How many parts want a set's member, or an address.
        self._members: dict[str, Counter[str]] = {name: Counter() for name in ipvs.SETS}
        self._bound: Counter[str] = Counter()
        # The addresses that the dummy interface had when it was last looked at.
        self._placed: set[str] = set()
        self._servers: dict[Key, VirtualServer] = {}
        # Real servers that wait for the end of their connections.
        self._leaving: dict[Leaving, None] = {}
        self._timer: Timer | None = None
        host.sysctls.update(SYSCTLS)
        if strict_arp:
            host.sysctls.update(STRICT_ARP)
            host.forget_neighbours()

    # -- syncing ----------------------------------------------------------------------------------------------

    def write(self, changed: frozenset[ServiceName] | None) -> None:
        touched = self._replace_parts(changed)
        self._make_ready()
        if changed is None or self.world.now - self._looked >= self._sync_period:
            touched = self._everything()
            self._looked = self.world.now
        for key in sorted(touched.servers):
            self._server(key)
        for name in sorted(touched.sets):
            self._set(name, touched.sets[name])
        filled = {name for name, members in self._members.items() if members}
        dropped = [line for name in sorted(self._out_filter) for line in self._out_filter[name]]
        self._tables.restore(ipvs.restore(filled, dropped, self.options))
        self._bind(touched.bound)

    def _replace_parts(self, changed: frozenset[ServiceName] | None) -> Part:
        """Make the parts new; all that the old and the new ones hold."""
        touched = Part()
        wanted = {name.service for name in self.state.services} if changed is None else changed
        for service in sorted(wanted if changed is not None else {*wanted, *self._parts}):
            for name, part in self._parts.pop(service, {}).items():
                self._count(part, -1)
                self._out_filter.pop(name, None)
                for key in part.servers:
                    self._servers.pop(key, None)
                _add(touched, part)
        for service in sorted(wanted):
            for port in self.state.ports_of(service):
                part = ipvs.part(port, self.state.endpoints.get(port.name, ()), self.options)
                self._parts.setdefault(service, {})[port.name] = part
                self._count(part, 1)
                if part.out_filter:
                    self._out_filter[port.name] = part.out_filter
                self._servers.update(part.servers)
                _add(touched, part)
        return touched

    def _count(self, part: Part, step: int) -> None:
        counters = [(self._members[name], entries) for name, entries in part.sets.items()]
        for counter, entries in [*counters, (self._bound, part.bound)]:
            for entry in entries:
                counter[entry] += step
                if not counter[entry]:
                    del counter[entry]

    def _everything(self) -> Part:
        """What is wanted, and what is there."""
        host, ipv6 = self._host, self.options.ipv6
        there = Part(servers=dict(self._servers), bound={*self._bound})
        for service in host.ipvs.services:
            if (":" in service.address) == ipv6 and not any(
                addresses.contains(cidr, service.address) for cidr in self._excluded
            ):
                key = (service.address, service.port, service.protocol)
                there.servers.setdefault(key, VirtualServer(address=key[0], port=key[1], protocol=key[2], scheduler=""))
        self._placed = {each.ip for each in host.interfaces[ipvs.DUMMY].addresses if (":" in each.ip) == ipv6}
        there.bound |= self._placed
        for name, members in self._members.items():
            found = host.ipsets.get(ipvs.set_name(name, ipv6))
            there.sets[name] = {*members, *(",".join(member) for member in found.members)}
        return there

    def _make_ready(self) -> None:
        """The dummy interface, the sets and the chains have to be there before anything is put into them."""
        host, options = self._host, self.options
        if ipvs.DUMMY not in host.interfaces:
            host.add_interface(ipvs.DUMMY).up = False
        for name, (kind, _comment) in ipvs.SETS.items():
            family = [] if kind == "bitmap:port" else ["family", "inet6" if options.ipv6 else "inet"]
            host.ipsets.create(ipvs.set_name(name, options.ipv6), kind, family, exist=True)
        chains = [*(("nat", chain) for chain in ipvs.NAT_CHAINS), *(("filter", chain) for chain in ipvs.FILTER_CHAINS)]
        self._tables.ensure(chains, ipvs.JUMPS)

    def _set(self, name: str, entries: Iterable[str]) -> None:
        real = ipvs.set_name(name, self.options.ipv6)
        for entry in sorted(entries):
            act = self._host.ipsets.add if self._members[name][entry] else self._host.ipsets.delete
            act(real, entry, exist=True)

    def _bind(self, touched: Iterable[str]) -> None:
        for address in sorted(touched):
            prefix = f"{address}/{128 if self.options.ipv6 else 32}"
            if address in self._bound and address not in self._placed:
                self._host.add_address(ipvs.DUMMY, prefix)
                self._placed.add(address)
            elif address in self._placed and address not in self._bound:
                self._host.remove_address(ipvs.DUMMY, prefix)
                self._placed.discard(address)

    def _server(self, key: Key) -> None:
        """One virtual server and its real servers."""
        table, wanted = self._host.ipvs, self._servers.get(key)
        address, port, protocol = key
        found = table.get(protocol, address, port)
        if wanted is None:
            if found is not None:
                table.delete(protocol, address, port)
            return
        if found is None:
            found = table.add(protocol, address, port, wanted.scheduler, wanted.timeout)
        elif (found.scheduler, found.persistence) != (wanted.scheduler, wanted.timeout):
            table.edit(protocol, address, port, wanted.scheduler, wanted.timeout)
        endpoints = {(each.address, each.port): None for each in sorted(wanted.real_servers, key=str)}
        for ip, number in endpoints:
            there = found.find(ip, number)
            if self._leaving.pop((key, ip, number), 0) is None and there is not None:
                # It came back while it was waiting: taken away and added again (MoveRSOutofGracefulDeleteList).
                table.delete_server(found, ip, number)
                there = None
            if there is None:
                table.add_server(found, ip, number)
            elif not self.full_syncs and there.weight != 1:
                table.edit_server(found, ip, number, 1)
        for each in list(found.real_servers):
            if (each.address, each.port) not in endpoints:
                self._leave(key, found, each.address, each.port)

    # -- leaving ----------------------------------------------------------------------------------------------

    def _leave(self, key: Key, service: Service, ip: str, port: int) -> bool:
        """Take a real server away, or, while it has connections, let it rest; whether it is gone."""
        found = service.find(ip, port)
        if found is None:
            return True
        self._host.ipvs.connections.entries()  # those whose time is up count no more
        if key[2] in _GRACEFUL and found.active + found.inactive:
            self._host.ipvs.edit_server(service, ip, port, 0)
            self._leaving[key, ip, port] = None
            if self._timer is None:
                self._timer = self.world.call_later(LEAVING_SECONDS, self._look_at_leaving, background=True)
            return False
        self._host.ipvs.delete_server(service, ip, port)
        return True

    def _look_at_leaving(self) -> None:
        self._timer = None
        for key, ip, port in list(self._leaving):
            service = self._host.ipvs.get(key[2], key[0], key[1])
            if service is None or self._leave(key, service, ip, port):
                self._leaving.pop((key, ip, port), None)
        if self._leaving and self._timer is None:
            self._timer = self.world.call_later(LEAVING_SECONDS, self._look_at_leaving, background=True)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _add(into: Part, part: Part) -> None:
    into.servers.update(part.servers)
    into.bound |= part.bound
    for name, entries in part.sets.items():
        into.sets.setdefault(name, set()).update(entries)
