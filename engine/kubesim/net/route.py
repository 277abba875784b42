"""Routing tables: longest prefix wins, then the lowest metric (Linux, net/ipv4/fib_trie.c).

A route may have several next hops: a flow's addresses and ports choose one of them, the same for all its packets
(net.ipv4.fib_multipath_hash_policy = 1).

Left out, and said: policy routing (`ip rule`), and reverse-path filtering (rp_filter), which drops packets whose way back
would leave by another interface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubesim.net import address


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    `destination` is "default" or a prefix; `via` the next hop ("" for on-link), `nexthops` several instead; `source` the
    address that a local sender takes (prefsrc); `scope` "global", "link" or "host"; `kind` "unicast", "local",
    "broadcast", "blackhole", "unreachable" or "prohibit"; `protocol` who made it ("kernel", "boot", "static", "bird",
    "dhcp" ...).
    """

    destination: str
    device: str = ""
    via: str = ""
    source: str = ""
    scope: str = "global"
    kind: str = "unicast"
    metric: int = 0
    protocol: str = "boot"
    onlink: bool = False
    nexthops: tuple[str, ...] = ()

    def towards(self, via: str) -> Route:
        """The same by way of one of its next hops."""
        return replace(self, via=via, nexthops=())

    def __str__(self) -> str:
        """As `ip route` prints it (iproute2, ip/iproute.c: print_route)."""
        words = [] if self.kind == "unicast" else [self.kind]
        words.append(self.destination.removesuffix("/32" if ":" not in self.destination else "/128"))
        if self.via:
            words += ["via", self.via]
        if self.device and not self.nexthops:
            words += ["dev", self.device]
        if self.protocol != "boot":
            words += ["proto", self.protocol]
        if self.scope != "global":
            words += ["scope", self.scope]
        if self.source:
            words += ["src", self.source]
        if self.metric:
            words += ["metric", str(self.metric)]
        if self.onlink:
            words.append("onlink")
        hops = [f"\n\tnexthop via {each} dev {self.device} weight 1" for each in self.nexthops]
        return " ".join(words) + " ".join(hops)


def _parse(destination: str, ipv6: bool) -> address.Prefix:
    if destination == "default":
        destination = "::/0" if ipv6 else "0.0.0.0/0"
    return address.prefix(destination)


class Routes:
    """A host's main and local tables, both families.

    Lookups are remembered until a route or an address changes.
    """

    def __init__(self) -> None:
        # bits -> prefix length -> base -> routes, best first
        self._main: dict[int, dict[int, dict[int, list[Route]]]] = {32: {}, 128: {}}
        self._lengths: dict[int, list[int]] = {32: [], 128: []}
        self._local: dict[str, Route] = {}
        self._found: dict[str, Route | None] = {}

    # -- changing -------------------------------------------------------------------------------------------

    def add(
        self,
        destination: str,
        device: str = "",
        via: str = "",
        *,
        source: str = "",
        scope: str = "",
        kind: str = "unicast",
        metric: int = 0,
        protocol: str = "boot",
        onlink: bool = False,
        nexthops: tuple[str, ...] = (),
    ) -> Route:
        """`ip route add`; the same destination, metric and kind again is `ip route replace`."""
        prefix = _parse(destination, ":" in via)
        if destination != "default":
            destination = str(prefix)
            if prefix.length == 0:
                destination = "default"
        if not scope:
            scope = "global" if via or kind != "unicast" else "link"
        route = Route(
            destination=destination,
            device=device,
            via=via,
            source=source,
            scope=scope,
            kind=kind,
            metric=metric,
            protocol=protocol,
            onlink=onlink,
            nexthops=nexthops,
        )
        routes = self._main[prefix.bits].setdefault(prefix.length, {}).setdefault(prefix.base, [])
        routes[:] = [each for each in routes if each.metric != metric]
        routes.append(route)
        routes.sort(key=lambda each: each.metric)
        self._changed()
        return route

    def remove(self, destination: str, device: str = "", via: str = "") -> bool:
        """`ip route del`: the first that fits; False when none does ("RTNETLINK answers: No such process")."""
        prefix = _parse(destination, ":" in via)
        bases = self._main[prefix.bits].get(prefix.length, {})
        for route in bases.get(prefix.base, []):
            if (not device or route.device == device) and (not via or route.via == via):
                bases[prefix.base].remove(route)
                self._changed()
                return True
        return False

    def remove_device(self, device: str) -> None:
        """The interface is gone, and its routes with it."""
        for lengths in self._main.values():
            for bases in lengths.values():
                for routes in bases.values():
                    routes[:] = [each for each in routes if each.device != device]
        self._changed()

    def add_local(self, ip: str, device: str, kind: str = "local") -> None:
        """An address of the host itself ("local"), or a subnet's broadcast address."""
        self._local[ip] = Route(
            destination=ip,
            device=device,
            kind=kind,
            scope="host" if kind == "local" else "link",
            protocol="kernel",
            source=ip,
        )
        self._changed()

    def remove_local(self, ip: str) -> None:
        self._local.pop(ip, None)
        self._changed()

    def _changed(self) -> None:
        self._found.clear()
        for bits, lengths in self._main.items():
            self._lengths[bits] = sorted((n for n, bases in lengths.items() if any(bases.values())), reverse=True)

    # -- asking ---------------------------------------------------------------------------------------------

    def lookup(self, destination: str) -> Route | None:
        """Where a packet to that address goes; None: no route."""
        try:
            return self._found[destination]
        except KeyError:
            if len(self._found) > 8192:
                self._found.clear()
            found = self._found[destination] = self._lookup(destination)
            return found

    def _lookup(self, destination: str) -> Route | None:
        local = self._local.get(destination)
        if local is not None:
            return local
        value = address.number(destination)
        if ":" not in destination and value >> 24 == 127:
            return replace(_LOOPBACK, destination=destination)
        bits = 128 if ":" in destination else 32
        table = self._main[bits]
        for length in self._lengths[bits]:
            routes = table[length].get(value >> (bits - length) << (bits - length))
            if routes:
                return routes[0]
        return None

    def is_local(self, ip: str) -> bool:
        """Whether the address is one of the host's own (`-m addrtype --dst-type LOCAL`)."""
        route = self.lookup(ip)
        return route is not None and route.kind == "local"

    def address_type(self, ip: str) -> str:
        """The kind of address in addrtype's words (Linux: inet_dev_addr_type)."""
        if ip in ("0.0.0.0", "::"):
            return "UNSPEC"
        value = address.number(ip)
        if ip == "255.255.255.255":
            return "BROADCAST"
        if (value >> 28 == 0xE) if ":" not in ip else (value >> 120 == 0xFF):
            return "MULTICAST"
        route = self.lookup(ip)
        # A default route makes an address no less UNICAST, and so does having no route at all (fib_table_lookup
        # fails: RTN_UNICAST).
        return route.kind.upper() if route is not None else "UNICAST"

    def all(self, *, ipv6: bool = False) -> list[Route]:
        """The main table in the order in which the kernel lists it: by address, longer prefixes first."""
        bits = 128 if ipv6 else 32
        rows = [
            (base, -length, route.metric, route)
            for length, bases in self._main[bits].items()
            for base, routes in bases.items()
            for route in routes
        ]
        return [row[3] for row in sorted(rows, key=lambda row: row[:3])]

    def __str__(self) -> str:
        """`ip route`."""
        return "".join(f"{route} \n" for route in self.all())


_LOOPBACK = Route(
    destination="127.0.0.0/8", device="lo", kind="local", scope="host", protocol="kernel", source="127.0.0.1"
)
