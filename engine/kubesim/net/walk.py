"""The walk: a packet's way from the socket that sent it to wherever it ends, and the answer's way back.

Theory of operation
-------------------
A packet is sent by a host's socket layer and goes from host to host until something ends it.  On each host it passes what
the Linux kernel would have it pass, in the kernel's order (net/ipv4/ip_output.c, ip_input.c, ip_forward.c):

    sent here:      route -> OUTPUT (raw, conntrack, mangle, nat, filter) -> route again if nat changed it -> POSTROUTING
    arriving:       PREROUTING (raw, conntrack, mangle, nat) -> route -> INPUT -> socket
                                                                  \\-> ttl -> FORWARD -> POSTROUTING -> next host
    taken by IPVS:  INPUT or OUTPUT, up to IPVS' place in them -> route -> OUTPUT (again) -> POSTROUTING -> next host

The hooks are a host's `Netfilter`; routing is its `Routes`; who takes a packet off a link is ARP's business
(`Segment.neighbour`).  A packet to the host itself leaves by `lo` and arrives there, with its conntrack entry still on
it, which is why nat sees a connection once.

Whatever answers - a socket (SYN-ACK, RST, echo reply), a REJECT rule, a router that knows no way - does so with a packet
of its own that walks back in the same manner.  Nothing is taken back by magic: if the answer's way is blocked, the sender
hears nothing.

A walk is *live* or *dry*.  Live walks move data, count, learn connections.  Dry walks (`Network.trace`) see the same
rules and tables but write to forks that are thrown away.  Either may be recorded; the recorder appends plain tuples, and
only `Outcome.trace` makes them the frozen, readable thing, so that traffic nobody asks about stays cheap.

Left out, and said: MTU and fragmentation, policy routing, rp_filter, multicast and broadcast, IPsec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kubesim import ids
from kubesim.net import address, link, trace
from kubesim.net.packet import Flight, Packet
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from kubesim.net.chance import Chance
    from kubesim.net.conntrack import Conntrack, Entry
    from kubesim.net.host import Host
    from kubesim.net.ipvs import Connections
    from kubesim.net.link import Interface
    from kubesim.net.netfilter import Hook
    from kubesim.net.network import Network
    from kubesim.net.route import Route

# Linux sends three ARP requests a second apart (mcast_solicit, retrans_time_ms), then gives up: EHOSTUNREACH.
ARP_SECONDS = 3.0


class Response(NamedTuple):
    """A packet that answers.  `entry` and `reply` are the conntrack entry it belongs to where the answerer knows it
    (REJECT, ICMP errors; Linux: nf_ct_attach), `delay` in seconds."""

    host: Host
    packet: Packet
    entry: Entry | None = None
    reply: bool = False
    delay: float = 0.0


class Outcome:
    """What became of a packet.  `error` is the errno that the sender's kernel hands to the sender itself (it never left
    the host), `delay` the seconds until it does; `reply` the answer's outcome, once there is one."""

    __slots__ = ("delay", "error", "final", "flow", "hops", "links", "probability", "reason", "reply", "verdict")

    def __init__(self, flow: Packet) -> None:
        self.flow = flow
        self.final = flow
        self.verdict = Verdict.INSUFFICIENT_INFO
        self.reason = ""
        self.error = ""
        self.delay = 0.0
        self.links = 0
        self.hops: list[tuple[str, str, list[tuple[Any, ...]]]] = []
        self.probability = 1.0
        self.reply: Outcome | None = None

    def trace(self) -> trace.Trace:
        """The readable record; without hops where the walk was not recorded."""
        return trace.Trace(
            flow=self.flow,
            final=self.final,
            hops=tuple(
                trace.Hop(host=host, kind=kind, steps=tuple(_step(*each) for each in steps))
                for host, kind, steps in self.hops
            ),
            verdict=self.verdict,
            reason=self.reason,
            probability=self.probability,
            reply=None if self.reply is None else self.reply.trace(),
        )


def _step(
    kind: Kind,
    why: str,
    table: str = "",
    chain: str = "",
    rule: object = "",
    matched: bool = True,
    before: Packet | None = None,
    after: Packet | None = None,
    probability: float = 1.0,
) -> trace.Step:
    return trace.Step(
        kind=kind,
        table=table,
        chain=chain,
        rule=str(rule),
        matched=matched,
        why=why,
        before=before,
        after=after,
        probability=probability,
    )


class Walk:
    """One packet under way.  Matches and targets of rules read `host`, `live`, `chance` and `steps`."""

    __slots__ = (
        "_balanced", "_forks", "_network", "asked", "chance", "depth", "drawn", "host", "live", "onward", "outcome", "response",
        "steps",
    )  # fmt: skip

    def __init__(
        self,
        network: Network,
        *,
        live: bool,
        chance: Chance,
        depth: int = 0,
        forks: dict[Host, Conntrack] | None = None,
        balanced: dict[Host, Connections] | None = None,
        asked: Packet | None = None,
    ) -> None:
        self._network = network
        self._forks: dict[Host, Conntrack] = {} if forks is None else forks
        self._balanced: dict[Host, Connections] = {} if balanced is None else balanced
        # Set by IPVS when it sends the packet on by itself: by that route.
        self.onward: Route | None = None
        self.chance = chance
        self.depth = depth
        # What this walk's packet answers, as it was sent.
        self.asked = asked
        # The probability of the last choice that a rule made.
        self.drawn = 1.0
        self.host: Host = None  # type: ignore[assignment]  # set by _enter before anything reads it
        self.live = live
        self.outcome: Outcome = None  # type: ignore[assignment]  # set by run
        self.response: Response | None = None
        self.steps: list[tuple[Any, ...]] | None = None

    def conntrack(self, host: Host) -> Conntrack:
        """The host's connection table; on a dry walk a fork of it."""
        if self.live:
            return host.conntrack
        found = self._forks.get(host)
        if found is None:
            found = self._forks[host] = host.conntrack.fork()
        return found

    def connections(self, host: Host) -> Connections:
        """The host's connections of IPVS; on a dry walk a fork of them."""
        if self.live:
            return host.ipvs.connections
        found = self._balanced.get(host)
        if found is None:
            found = self._balanced[host] = host.ipvs.connections.fork()
        return found

    def note(self, *step: Any) -> None:
        """Record a step: the arguments of `_step`."""
        if self.steps is not None:
            self.steps.append(step)

    def end(self, verdict: Verdict, reason: str) -> None:
        """Say how it ended."""
        self.outcome.verdict = verdict
        self.outcome.reason = reason

    # -- the way ----------------------------------------------------------------------------------------------

    def run(self, sender: Host, flight: Flight, *, record: bool) -> Outcome:
        """From the socket layer of `sender` to the end, and then the answer's way."""
        outcome = self.outcome = Outcome(flight.packet())
        if record:
            self.steps = []
        interface = self._originate(sender, flight, record)
        while interface is not None:
            interface = self._arrive(interface, flight)
        outcome.final = flight.packet()
        if self.response is not None and self.depth < 4:
            self._answer(self.response, record and self.depth == 0)
        outcome.probability = self.chance.probability
        return outcome

    def _answer(self, response: Response, record: bool) -> None:
        if response.delay and self.live:
            self._network.world.call_later(response.delay, self._answer, response._replace(delay=0.0), record)
            return
        flight = Flight(response.packet)
        if response.entry is not None:
            state = "RELATED" if response.packet.inner is not None else "ESTABLISHED"
            flight.entry, flight.reply, flight.state = response.entry, response.reply, state
        back = Walk(
            self._network,
            live=self.live,
            chance=self.chance,
            depth=self.depth + 1,
            forks=self._forks,
            balanced=self._balanced,
            asked=self.outcome.flow,
        )
        # The answer is there to be read before the sender's socket hears of it.
        outcome = back.run(response.host, flight, record=record)
        if self.depth == 0:
            self.outcome.reply = outcome

    def _enter(self, host: Host, record: bool) -> None:
        self.host = host
        if record:
            self.steps = []
            self.outcome.hops.append((host.name, host.kind, self.steps))

    def _originate(self, host: Host, flight: Flight, record: bool) -> Interface | None:
        self._enter(host, record)
        dst = flight.dst
        route = host.routes.lookup(dst)
        if route is None or route.kind in _LOCAL_ERRORS:
            kind = "" if route is None else route.kind
            self.note(Kind.SEND, f"{host.name} sends it")
            why = f"{host.name} has no route to {dst}" if route is None else f"{host.name} has a {kind} route for {dst}"
            self.note(Kind.ROUTE, why, "", "", route or "", False)
            self.end(Verdict.NO_ROUTE, why)
            self.outcome.error = _LOCAL_ERRORS[kind]
            return None
        if not flight.src:
            flight.src = route.source or host.source_for(route.device, route.via or dst)
            flight.touch()
            self.outcome.flow = flight.packet()
        if self.steps is not None:
            self.note(Kind.SEND, f"{host.name} sends it", "", "", "", True, flight.packet(), flight.packet())
            self._note_route(host, flight, route)
        flight.out_if = link.LOOPBACK if route.kind == "local" else route.device
        rules = host.rules(dst)
        for hook in rules.hooks("OUTPUT"):
            if not hook(flight, self):
                return self._sent_on(host, flight)
        if flight.dst != dst:
            # Linux, net/ipv4/netfilter.c: ip_route_me_harder.
            dst = flight.dst
            route = host.routes.lookup(dst)
            if route is None or route.kind in _LOCAL_ERRORS:
                self.note(Kind.ROUTE, f"{host.name} has no route to {dst}", "", "", route or "", False)
                self.end(
                    Verdict.NO_ROUTE, f"the rules changed the destination to {dst}, and {host.name} has no route there"
                )
                self.outcome.error = "ENETUNREACH"
                return None
            flight.out_if = link.LOOPBACK if route.kind == "local" else route.device
            if self.steps is not None:
                self._note_route(host, flight, route)
        device = flight.out_if
        if device != link.LOOPBACK and address.is_loopback(flight.src) and not host.setting(device, "route_localnet"):
            # Linux, net/ipv4/route.c: __mkroute_output.
            why = f"a packet from {flight.src} may not leave by {device}: route_localnet is off"
            self.note(Kind.ROUTE, why, "", "", "", False)
            self.end(Verdict.DROPPED, why)
            return None
        return self._leave(host, flight, route)

    def _arrive(self, interface: Interface, flight: Flight, bridged_to: Interface | None = None) -> Interface | None:
        host = interface.host
        loopback = interface.name == link.LOOPBACK
        if not loopback:
            self._enter(host, self.steps is not None)
            # Leaving a namespace scrubs what the last host hung on the packet (Linux: skb_scrub_packet).
            flight.entry = None
            flight.reply = False
            flight.state = ""
            flight.by_ipvs = False
            if flight.mark:
                flight.mark = 0
                flight.touch()
        flight.in_if = interface.name
        flight.out_if = ""
        if self.live:
            for tap in host.taps:
                tap(interface.name, "in", flight.packet())
        dst = flight.dst
        rules = host.rules(dst)
        for hook in rules.hooks("PREROUTING"):
            if not hook(flight, self):
                return None
        if bridged_to is not None and flight.dst == dst:
            return self._through_bridge(host, interface, flight, bridged_to)
        dst = flight.dst
        if (
            not loopback
            and (address.is_loopback(dst) or address.is_loopback(flight.src))
            and not host.setting(interface.name, "route_localnet")
        ):
            martian = dst if address.is_loopback(dst) else flight.src
            why = f"{martian} cannot come in by {interface.name}: a martian (route_localnet is off)"
            self.note(Kind.ROUTE, why, "", "", "", False)
            self.end(Verdict.DROPPED, why)
            return None
        if not loopback and host.routes.is_local(flight.src):
            # Linux, net/ipv4/fib_frontend.c: fib_validate_source, whatever rp_filter says (accept_local is 0).
            why = f"it claims to come from {flight.src}, which is {host.name}'s own address: a martian"
            self.note(Kind.ROUTE, why, "", "", "", False)
            self.end(Verdict.DROPPED, why)
            return None
        route = host.routes.lookup(dst)
        if route is not None and route.kind == "local":
            return self._deliver(host, flight, rules.hooks("INPUT"))
        return self._forward(host, flight, route)

    def _deliver(self, host: Host, flight: Flight, hooks: tuple[Hook, ...]) -> Interface | None:
        self.note(Kind.ROUTE, f"{flight.dst} is {host.name}'s own address")
        for hook in hooks:
            if not hook(flight, self):
                return self._sent_on(host, flight)
        delivery = host.stack.receive(flight.packet(), self)
        self.note(Kind.DELIVER, delivery.reason, "", "", "", delivery.verdict is Verdict.DELIVERED)
        self.end(delivery.verdict, delivery.reason)
        if delivery.response is not None:
            # An ICMP error belongs to the connection it is about, and goes back as its NAT went (nf_ct_attach).
            related = flight.entry if delivery.response.inner is not None else None
            self.response = Response(host, delivery.response, related, not flight.reply)
        return None

    def _sent_on(self, host: Host, flight: Flight) -> Interface | None:
        """A hook ended the packet's way here, or it was IPVS, which sends it on (ip_vs_nat_send_or_cont)."""
        route, self.onward = self.onward, None
        if route is None:
            return None
        if self.steps is not None:
            self._note_route(host, flight, route)
        flight.out_if = route.device
        for hook in host.rules(flight.dst).hooks("OUTPUT"):
            if not hook(flight, self):
                return None
        return self._leave(host, flight, route)

    def _forward(self, host: Host, flight: Flight, route: Route | None) -> Interface | None:
        dst = flight.dst
        if not host.forwards(":" in dst):
            why = f"{host.name} has not the address {dst}, and does not forward (ip_forward is 0)"
            self.note(Kind.ROUTE, why, "", "", "", False)
            self.end(Verdict.NO_ROUTE, why)
            return None
        if route is None or route.kind != "unicast":
            kind = "none" if route is None else route.kind
            why = f"{host.name} has no route to {dst}" if route is None else f"{host.name} has a {kind} route for {dst}"
            self.note(Kind.ROUTE, why, "", "", route or "", False)
            self.end(Verdict.NO_ROUTE if kind != "blackhole" else Verdict.DROPPED, why)
            if kind in _FORWARD_ERRORS:
                self.icmp_error(flight, _FORWARD_ERRORS[kind])
            return None
        if flight.ttl <= 1:
            self.note(Kind.ROUTE, "its time to live is used up", "", "", route, False)
            self.end(Verdict.TTL_EXCEEDED, f"its time to live was used up at {host.name}")
            self.icmp_error(flight, "time-exceeded")
            return None
        if route.nexthops:
            route = self._one_of(route, flight)
        if self.steps is not None:
            self._note_route(host, flight, route)
        flight.ttl -= 1
        flight.touch()
        flight.out_if = route.device
        for hook in host.rules(dst).hooks("FORWARD"):
            if not hook(flight, self):
                return None
        return self._leave(host, flight, route)

    def _one_of(self, route: Route, flight: Flight) -> Route:
        """The next hop of a flow (net/ipv4/route.c: fib_multipath_hash): what its ports will be is open to a dry walk."""
        count = len(route.nexthops)
        if self.live:
            flow = f"{flight.protocol} {flight.src} {flight.sport} {flight.dst} {flight.dport}"
            return route.towards(route.nexthops[ids.fnv32a(flow.encode()) % count])
        chosen = self.chance.choose([1 / count] * count)
        self.note(Kind.ROUTE, f"one of {count} next hops", "", "", route, True, None, None, 1 / count)
        return route.towards(route.nexthops[chosen])

    def _through_bridge(self, host: Host, bridge: Interface, flight: Flight, to: Interface) -> Interface | None:
        # br_netfilter: what one port of the bridge says to another passes FORWARD and POSTROUTING as if routed.
        flight.out_if = bridge.name
        for name in ("FORWARD", "POSTROUTING"):
            for hook in host.rules(flight.dst).hooks(name):
                if not hook(flight, self):
                    return None
        self.note(Kind.LINK, f"over the bridge {bridge.name} to {to.host.name}")
        self.outcome.links += 1
        return to

    def _leave(self, host: Host, flight: Flight, route: Route) -> Interface | None:
        for hook in host.rules(flight.dst).hooks("POSTROUTING"):
            if not hook(flight, self):
                return None
        if self.live:
            for tap in host.taps:
                tap(flight.out_if, "out", flight.packet())
        if route.kind == "local":
            return host.interfaces[link.LOOPBACK]
        interface = host.interfaces.get(route.device)
        segment = interface.segment if interface is not None and interface.up else None
        if route.kind != "unicast" or interface is None or segment is None:
            broadcast = segment is not None
            why = (
                f"broadcast to {flight.dst} is not simulated"
                if broadcast
                else f"{route.device} is connected to nothing"
            )
            self.note(Kind.LINK, why, "", "", "", False)
            self.end(Verdict.INSUFFICIENT_INFO if broadcast else Verdict.NO_ROUTE, why)
            return None
        nexthop = route.via or flight.dst
        neighbour = segment.neighbour(nexthop, interface)
        if neighbour is None:
            why = f"nobody on {route.device} of {host.name} answers ARP for {nexthop}"
            self.note(Kind.LINK, why, "", "", "", False)
            self.end(Verdict.NO_ROUTE, why)
            if len(self.outcome.hops) > 1 or flight.in_if:
                self.icmp_error(flight, "host-unreachable", ARP_SECONDS)
            else:
                self.outcome.error, self.outcome.delay = "EHOSTUNREACH", ARP_SECONDS
            return None
        bridge = segment.bridge
        ports = bridge is not None and bridge is not neighbour and bridge is not interface
        if bridge is not None and ports and bridge.host.sysctls["net.bridge.bridge-nf-call-iptables"]:
            return self._arrive(bridge, flight, neighbour)
        if self.steps is not None:
            self.note(Kind.LINK, f"{host.name} {interface.name} -> {neighbour.host.name} {neighbour.name}")
        self.outcome.links += 1
        return neighbour

    # -- answers and notes --------------------------------------------------------------------------------------

    def icmp_error(self, flight: Flight, message: str, delay: float = 0.0, source: str = "") -> None:
        """This host tells the sender.  Never about an ICMP error (RFC 1122, 3.2.2), never to nobody."""
        if flight.inner is not None or flight.src in ("", "0.0.0.0", "::"):
            return
        packet = Packet(
            protocol="icmpv6" if ":" in flight.src else "icmp",
            src=source,
            dst=flight.src,
            icmp=message,
            inner=flight.packet(),
        )
        self.response = Response(self.host, packet, flight.entry, not flight.reply, delay)

    def reject(self, flight: Flight, message: str) -> None:
        """A rule throws the packet away and tells its sender: by that ICMP message, or by a "tcp-reset"."""
        what = "a TCP reset" if message == "tcp-reset" else f"ICMP {message}"
        self.end(Verdict.REJECTED, f"a rule on {self.host.name} rejects it: the sender is told by {what}")
        if message != "tcp-reset":
            # In the name of the address that it was sent to where that is this host's own (Linux: icmp_send).
            self.icmp_error(flight, message, source=flight.dst if self.host.routes.is_local(flight.dst) else "")
        elif "R" not in flight.flags:
            packet = Packet(src=flight.dst, dst=flight.src, sport=flight.dport, dport=flight.sport, flags="RA")
            self.response = Response(self.host, packet, flight.entry, not flight.reply)

    def _note_route(self, host: Host, flight: Flight, route: Route) -> None:
        if route.kind == "local":
            why = f"{flight.dst} is {host.name}'s own address"
        elif route.via:
            why = f"to {flight.dst} by {route.device} via {route.via}"
        else:
            why = f"to {flight.dst} by {route.device}, directly"
        self.note(Kind.ROUTE, why, "", "", route if route.kind != "local" else "")


# What a sender's own kernel says (Linux: fib_props), and what a router tells the sender (ip_error).
_LOCAL_ERRORS = {"": "ENETUNREACH", "blackhole": "EINVAL", "unreachable": "EHOSTUNREACH", "prohibit": "EACCES"}
_FORWARD_ERRORS = {"none": "net-unreachable", "unreachable": "host-unreachable", "prohibit": "admin-prohibited"}


def live(network: Network, sender: Host, packet: Packet, *, record: bool = False) -> Outcome:
    """Send a packet for good: sockets take it, tables learn it, counters count it."""
    return Walk(network, live=True, chance=network.chance).run(sender, Flight(packet), record=record)


def dry(network: Network, sender: Host, packet: Packet, chance: Chance) -> Outcome:
    """Where it would go; see `Network.trace`."""
    return Walk(network, live=False, chance=chance).run(sender, Flight(packet), record=True)
