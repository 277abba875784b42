"""A host: a network namespace with interfaces, addresses, routes, rules, connections and sockets.

What programs use is here in one place: `listen`, `connect`, `udp`, `ping`.  How packets travel is in `walk`, what the
sockets do with them in `stack`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kubesim.net import address, conntrack, ipset, ipvs, legend, link, netfilter, nft, queue, route, sockets, stack
from kubesim.net.packet import Packet

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubesim.net.link import Interface, Segment
    from kubesim.net.network import Network

# The kernel's defaults for what the walk asks.  A builder of nodes sets ip_forward, proxy_arp and route_localnet.
SYSCTLS = {
    "net.bridge.bridge-nf-call-iptables": 0,
    "net.ipv4.conf.all.proxy_arp": 0,
    "net.ipv4.conf.all.route_localnet": 0,
    "net.ipv4.ip_default_ttl": 64,
    "net.ipv4.ip_forward": 0,
    "net.ipv4.tcp_syn_retries": 6,
    "net.ipv6.conf.all.forwarding": 0,
}


class Host:
    """See the module.

    `kind` is what the network's builder calls it ("node", "pod", "outside"); traces carry it.  `netfilter` is IPv4's
    rules, `netfilter6` IPv6's, `nft` what the nft command manages, `ipvs` the virtual servers,
    `ipsets` and `queues` what rules may ask and hand packets to,
    `legend` what their writers say of them.  `announced` are addresses that a program answers ARP for.  `taps` are called
    with (interface name, "in" or "out", packet) for all that passes, as tcpdump's are.
    """

    def __init__(self, network: Network, name: str, kind: str = "") -> None:
        self.network = network
        self.world = network.world
        self.name = name
        self.kind = kind
        self.up = True
        self.interfaces: dict[str, Interface] = {}
        self.routes = route.Routes()
        self.sysctls: dict[str, int] = dict(SYSCTLS)
        self.conntrack = conntrack.Conntrack(self.world)
        self.ipsets = ipset.IpSets()
        self.queues = queue.Queues()
        self.legend = legend.Legend()
        self.netfilter = netfilter.Netfilter(self, ipv6=False)
        self.netfilter6 = netfilter.Netfilter(self, ipv6=True)
        self.nft = nft.Ruleset(self)
        self.ipvs = ipvs.Ipvs(self)
        self.stack = stack.Stack(self)
        self.announced: set[str] = set()
        self.taps: list[Callable[[str, str, Packet], None]] = []
        # What LOG rules wrote: (virtual time, line).
        self.kernel_log: deque[tuple[float, str]] = deque(maxlen=1000)
        loopback = self.add_interface(link.LOOPBACK, kind="loopback", mtu=65536)
        loopback.addresses.append(link.Address("127.0.0.1", 8, "host"))
        loopback.addresses.append(link.Address("::1", 128, "host"))
        self.routes.add_local("127.0.0.1", link.LOOPBACK)
        self.routes.add_local("::1", link.LOOPBACK)

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    # -- interfaces and addresses -----------------------------------------------------------------------------

    def add_interface(self, name: str, kind: str = "dummy", mtu: int = 1500) -> Interface:
        """A new interface, connected to nothing yet.  ValueError when the name is taken."""
        if name in self.interfaces:
            raise ValueError(f"{self.name} has an interface {name!r} already")
        index = max((each.index for each in self.interfaces.values()), default=0) + 1
        interface = self.interfaces[name] = link.Interface(self, name, index, kind, mtu)
        return interface

    def bridge(self, name: str) -> Segment:
        """A bridge device of that name on this host; plug others in with `attach`."""
        return link.Segment(name, self.add_interface(name, kind="bridge"))

    def remove_interface(self, name: str) -> None:
        """`ip link del`: its routes and addresses go too, and a veth's other end."""
        interface = self.interfaces.pop(name, None)
        if interface is None:
            return
        peer = interface.peer if interface.segment is None or interface.segment.bridge is None else None
        for each in list(interface.addresses):
            self.remove_address(name, str(each), interface)
        self.routes.remove_device(name)
        if interface.segment is not None:
            interface.segment.leave(interface)
        if peer is not None:
            peer.host.remove_interface(peer.name)

    def add_address(self, interface: str, prefix: str) -> None:
        """`ip addr add PREFIX dev INTERFACE`: "10.0.0.1/24".  The subnet becomes a connected route."""
        ip, _, length = prefix.partition("/")
        ip = address.canonical(ip)
        bits = 128 if ":" in ip else 32
        subnet = address.prefix(f"{ip}/{length or bits}")
        self.interfaces[interface].addresses.append(link.Address(ip, subnet.length))
        self.routes.add_local(ip, interface)
        if subnet.length < bits:
            self.routes.add(str(subnet), interface, source="" if bits == 128 else ip, scope="link", protocol="kernel")
        if subnet.length < 31:
            broadcast = subnet.base | ~subnet.mask & 0xFFFFFFFF
            self.routes.add_local(address.text(broadcast), interface, "broadcast")
        self.forget_neighbours()

    def remove_address(self, interface: str, prefix: str, device: Interface | None = None) -> None:
        """`ip addr del`.  KeyError or ValueError when it is not there."""
        device = device or self.interfaces[interface]
        ip, _, length = prefix.partition("/")
        found = link.Address(ip, int(length))
        device.addresses[:] = [each for each in device.addresses if each[:2] != found[:2]]
        # The same address may stand on other interfaces (a gateway's on the link to each pod): it stays the host's own.
        other = next(
            (name for name, each in self.interfaces.items() if any(one.ip == ip for one in each.addresses)), ""
        )
        if other:
            self.routes.add_local(ip, other)
        else:
            self.routes.remove_local(ip)
        subnet = address.prefix(prefix)
        if subnet.length < subnet.bits:
            self.routes.remove(str(subnet), interface)
        if subnet.length < 31:
            self.routes.remove_local(address.text(subnet.base | ~subnet.mask & 0xFFFFFFFF))
        self.forget_neighbours()

    def announce(self, ip: str) -> None:
        """Answer ARP for an address that is on none of the host's interfaces (as a program with a packet socket does)."""
        self.announced.add(ip)
        self.forget_neighbours()

    def withdraw(self, ip: str) -> None:
        """Answer for it no more."""
        self.announced.discard(ip)
        self.forget_neighbours()

    def forget_neighbours(self) -> None:
        """Who answers ARP on its links may be another now: an address came or went, or a setting changed."""
        for each in self.interfaces.values():
            if each.segment is not None:
                each.segment.forget()

    def addresses(self, *, ipv6: bool = False, apart_from: str = "") -> list[str]:
        """The host's own addresses, loopback left out, in the order of its interfaces; one interface's may be left out."""
        return [
            each.ip
            for interface in self.interfaces.values()
            if interface.name not in (link.LOOPBACK, apart_from)
            for each in interface.addresses
            if (":" in each.ip) == ipv6
        ]

    # -- what the walk asks -----------------------------------------------------------------------------------

    def setting(self, interface: str, name: str) -> bool:
        """An on-off setting under net.ipv4.conf: for all interfaces, or for this one (IN_DEV_ORCONF)."""
        return bool(
            self.sysctls.get(f"net.ipv4.conf.all.{name}") or self.sysctls.get(f"net.ipv4.conf.{interface}.{name}")
        )

    def forwards(self, ipv6: bool) -> bool:
        return bool(self.sysctls["net.ipv6.conf.all.forwarding" if ipv6 else "net.ipv4.ip_forward"])

    def answers_arp(self, interface: Interface, ip: str) -> bool:
        """Whether it answers ARP on that interface for an address of its own: on whatever interface it has it, or with
        arp_ignore only for what this one has (Linux, net/ipv4/arp.c: arp_ignore)."""
        if ip in self.announced:
            return True
        if address.is_loopback(ip) or not self.routes.is_local(ip):
            return False
        return not self.setting(interface.name, "arp_ignore") or any(each.ip == ip for each in interface.addresses)

    def proxies_arp(self, interface: Interface, ip: str) -> bool:
        """Whether it answers ARP on that interface for somebody else's address: proxy_arp is on, and its own way there
        leaves by another interface (Linux, net/ipv4/arp.c: arp_fwd_proxy)."""
        if not self.setting(interface.name, "proxy_arp"):
            return False
        found = self.routes.lookup(ip)
        return found is not None and found.kind == "unicast" and found.device != interface.name

    def source_for(self, device: str, nexthop: str = "") -> str:
        """The address that this host speaks from on an interface (Linux, net/ipv4/devinet.c: inet_select_addr):
        the one in the next hop's subnet, else the first there, else the first of any interface.  Those of scope host are
        for the host alone: what is masqueraded on lo gets another interface's.  "" when there is none."""
        ipv6 = ":" in nexthop
        first = ""
        interface = self.interfaces.get(device)
        if interface is not None:
            for each in interface.addresses:
                if (":" in each.ip) != ipv6 or each.scope == "host":
                    continue
                if nexthop and address.prefix(str(each)).contains(nexthop):
                    return each.ip
                first = first or each.ip
        return first or next(iter(self.addresses(ipv6=ipv6)), "")

    def rules(self, destination: str) -> netfilter.Netfilter:
        """The rules of that address's family."""
        return self.netfilter6 if ":" in destination else self.netfilter

    # -- what programs use ------------------------------------------------------------------------------------

    def listen(self, protocol: str, ip: str, port: int) -> sockets.Listener:
        """Listen on TCP.  `ip` "0.0.0.0" is every IPv4 address, "::" or "" every address of both families.

        Raises `errors.AddressInUse`, `errors.AddressNotAvailable`.
        """
        return sockets.Listener(self.stack, protocol, ip, port)

    async def connect(
        self, ip: str, port: int, *, source: str | None = None, timeout: float | None = None, blocking: bool = False
    ) -> sockets.Connection:
        """A TCP connection.  Raises `errors.Refused` or `errors.Unreachable` as soon as that is known, `errors.TimedOut`
        after `timeout` seconds, or after TCP's own 127 (six SYN retries).  `blocking`: the program waits in connect(2)
        and not in poll(2), which makes a difference for ICMP errors (`Connection.icmp`)."""
        return await sockets.Connection.open(
            self.stack, address.canonical(ip), port, source or "", timeout, blocking=blocking
        )

    def udp(self, ip: str = "", port: int = 0) -> sockets.UdpSocket:
        """A UDP socket, bound to the address and port if given, else to a free port at the first use."""
        return sockets.UdpSocket(self.stack, ip, port)

    async def ping(self, ip: str, *, ttl: int = 64, timeout: float = 1.0, identifier: int = 0) -> sockets.Echo:
        """One ICMP echo request, and what came of it."""
        return await sockets.ping(self.stack, address.canonical(ip), ttl, timeout, identifier)

    def shutdown(self) -> None:
        """The namespace goes: programs are dead, their sockets closed (peers see the end), links cut."""
        if not self.up:
            return
        self.stack.close()
        self.up = False
        for name in list(self.interfaces):
            self.remove_interface(name)
        self.network.forget(self)
