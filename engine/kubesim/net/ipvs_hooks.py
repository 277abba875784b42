"""Where IPVS meets packets: what it does at LOCAL_IN, LOCAL_OUT and FORWARD.

Theory of operation
-------------------
IPVS balances what the host would keep: a packet to a virtual address gets into its hands only where that address is the
host's own, and that is why kube-proxy binds every Service's address to a dummy interface.  At LOCAL_IN it stands behind the
filter and before nat's source hook, at LOCAL_OUT behind nat's destination hook and before the filter (ip_vs_core.c,
ip_vs_ops4).  There it finds the connection or begins one, writes the real server in for the destination, and, where that is
another host, sends the packet on by itself: through OUTPUT and POSTROUTING, never through FORWARD.  POSTROUTING is where
kube-proxy has it masqueraded.  Answers are found at FORWARD (or LOCAL_IN, where the client is the host itself) and get the
virtual address back for their source.

With net.ipv4.vs.conntrack the connection's entry learns the real server as the one who will answer (ip_vs_nfct.c); without it
IPVS takes its packets out of tracking, and no rule of nat sees them again.

What a rule says before is seen by IPVS, what IPVS does is seen by rules behind it; each packet passes its hands once on a
host (ipvs_property).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kubesim.net import address, ipvs_schedulers
from kubesim.net.conntrack import Tuple
from kubesim.net.ipvs import Flow
from kubesim.net.packet import endpoint
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from kubesim.net.ipvs import Connection, RealServer, Service
    from kubesim.net.netfilter import Hook
    from kubesim.net.packet import Flight, Packet
    from kubesim.net.walk import Walk

_PROTOCOLS = ("tcp", "udp", "sctp")


def hooks(name: str) -> list[tuple[int, Hook]]:
    """What it does at that hook, with priorities (ip_vs_ops4: NF_IP_PRI_NAT_SRC - 2 and - 1, NF_IP_PRI_NAT_DST + 1 and + 2)."""
    return _HOOKS.get(name, [])


def _incoming(flight: Flight, walk: Walk) -> bool:
    return _request(flight, walk, "LOCAL_IN")


def _outgoing(flight: Flight, walk: Walk) -> bool:
    return _request(flight, walk, "LOCAL_OUT")


def _request(flight: Flight, walk: Walk, at: str) -> bool:
    """A client's packet (ip_vs_in_hook): False when it is thrown away, or sent on from here."""
    host = walk.host
    if flight.by_ipvs:
        return True
    if flight.inner is not None:
        return _client_error(flight, walk, at)
    if flight.protocol not in _PROTOCOLS:
        return True
    table = walk.connections(host)
    flow = Flow(flight.protocol, flight.src, flight.sport, flight.dst, flight.dport)
    connection = table.request(flow)
    begins = flight.protocol != "tcp" or ("S" in flight.flags and "R" not in flight.flags)
    if connection is not None and (
        connection.server.gone
        or (flight.flags == "S" and connection.state == "TIME_WAIT" and connection.template is None)
    ):
        # Its real server is no more (expire_nodest_conn), or the client uses the same port again (conn_reuse_mode).
        table.delete(connection)
        connection = None
    known = connection is not None
    if connection is None:
        service = host.ipvs.get(flow.protocol, flow.virtual, flow.virtual_port)
        if service is None or not begins:
            _pass(flight, walk, at, service)
            return True
        connection = _schedule(flight, walk, at, service, flow)
        if connection is None:
            return False
    table.passes(connection, flight.flags, answer=False)
    if walk.live:
        connection.service.counters.count(flight.length, answer=False)
        connection.server.counters.count(flight.length, answer=False)
    if known and walk.steps is not None:
        _note(flight, walk, at, connection, "it knows the connection")
    return _send_on(flight, walk, at, connection.server)


def _pass(flight: Flight, walk: Walk, at: str, service: Service | None) -> None:
    if walk.steps is None or not walk.host.routes.is_local(flight.dst):
        return
    what = f"{flight.protocol} {endpoint(flight.dst, flight.dport)}"
    if service is None:
        why = f"no virtual server is for {what}"
    else:
        why = f"there is a virtual server for {what}, but this packet begins no connection and belongs to none"
    walk.note(Kind.IPVS, why, "ipvs", at, "", False)


def _schedule(flight: Flight, walk: Walk, at: str, service: Service, flow: Flow) -> Connection | None:
    """Give a new connection to a real server (ip_vs_schedule, ip_vs_sched_persist); None when there is none: the client is
    told so by an ICMP message, for a reset would need a socket (ip_vs_leave)."""
    table = walk.connections(walk.host)
    template = None
    server: RealServer | None = None
    probability = 1.0
    why = ""
    if service.persistence:
        template = table.request(flow._replace(client_port=0))
        if template is not None and _stale(template.server, walk):
            table.delete(template)
            template = None
        if template is not None:
            server = template.server
            why = f"{flow.client} was sent there before, and is for {service.persistence} s (persistent)"
    if server is None:
        server, memory = ipvs_schedulers.SCHEDULERS[service.scheduler](service, flow.client, flow.virtual)
        shares = ipvs_schedulers.shares(service)
        if server is not None and shares is not None:
            chosen = walk.chance.turn(shares, service.real_servers.index(server))
            server, probability = service.real_servers[chosen], shares[chosen]
        if walk.live:
            service.memory = memory
        why = _choice(service)
    if server is None:
        without = " that takes connections" if service.real_servers else ""
        what = f"the virtual server {service.where} has no real server{without}"
        walk.note(Kind.IPVS, what, "ipvs", at, service.save()[0])
        walk.end(Verdict.REJECTED, f"{what} on {walk.host.name}: the sender is told by ICMP port-unreachable")
        walk.icmp_error(flight, "port-unreachable", source=flight.dst)
        return None
    if service.persistence:
        if template is None:
            template = table.begin(flow._replace(client_port=0), service, server)
        table.rearm(template, service.persistence)
    made = table.begin(flow, service, server, template)
    if walk.steps is not None:
        _note(flight, walk, at, made, why, probability)
    return made


def _stale(server: RealServer, walk: Walk) -> bool:
    # ip_vs_check_template.
    resting = server.weight <= 0 and walk.host.sysctls.get("net.ipv4.vs.expire_quiescent_template")
    return server.gone or bool(resting)


def _choice(service: Service) -> str:
    """Why this one, and among how many."""
    usable = sum(each.weight > 0 for each in service.real_servers)
    resting = [str(each) for each in service.real_servers if each.weight <= 0]
    words = f"{ipvs_schedulers.WORDS[service.scheduler]}, one of {usable}" if usable > 1 else "its only real server"
    return words + (f"; {', '.join(resting)} takes no new connections (weight 0)" if resting else "")


def _note(flight: Flight, walk: Walk, at: str, connection: Connection, why: str, probability: float = 1.0) -> None:
    """The step of a rewrite that is about to be made."""
    before = flight.packet()
    server = connection.server
    after = dataclasses.replace(before, dst=server.address, dport=server.port)
    service = connection.service
    said = f"the virtual server {service.where} gives it to {server}: {why}"
    walk.note(Kind.IPVS, said, "ipvs", at, service.save()[0], True, before, after, probability)


def _send_on(flight: Flight, walk: Walk, at: str, server: RealServer) -> bool:
    """Write the real server in for the destination, and see how to get there (ip_vs_nat_xmit)."""
    flight.dst, flight.dport = server.address, server.port
    flight.by_ipvs = True
    _track(flight, walk, server)
    flight.touch()
    return _routed(flight, walk, at)


def _routed(flight: Flight, walk: Walk, at: str) -> bool:
    host, dst = walk.host, flight.dst
    route = host.routes.lookup(dst)
    if route is not None and route.kind == "local":
        if at == "LOCAL_IN" and address.is_loopback(dst):
            why = f"IPVS sends nothing that came from elsewhere to {dst}"
            walk.note(Kind.ROUTE, why, "", "", "", False)
            walk.end(Verdict.DROPPED, why)
            return False
        return True
    if route is None or route.kind != "unicast":
        why = f"{host.name} has no route to the real server {dst}"
        walk.note(Kind.ROUTE, why, "", "", route or "", False)
        walk.end(Verdict.NO_ROUTE, why)
        walk.icmp_error(flight, "host-unreachable")
        return False
    if at == "LOCAL_IN":
        if flight.ttl <= 1:
            walk.note(Kind.ROUTE, "its time to live is used up", "", "", route, False)
            walk.end(Verdict.TTL_EXCEEDED, f"its time to live was used up at {host.name}")
            walk.icmp_error(flight, "time-exceeded")
            return False
        flight.ttl -= 1
        flight.touch()
    walk.onward = route
    return False


def _track(flight: Flight, walk: Walk, server: RealServer) -> None:
    """ip_vs_update_conntrack: who will answer is the real server; the connection stays one to the virtual address."""
    if not walk.host.sysctls.get("net.ipv4.vs.conntrack"):
        flight.entry, flight.reply, flight.state = None, False, "UNTRACKED"
        return
    entry = flight.entry
    if entry is None or entry.confirmed or flight.inner is not None:
        return
    entry.reply = Tuple(entry.reply.protocol, server.address, server.port, entry.reply.dst, entry.reply.dport)


def _client_error(flight: Flight, walk: Walk, at: str) -> bool:
    """A client's ICMP error about an answer: it is the real server's business (ip_vs_in_icmp)."""
    inner = flight.inner
    assert inner is not None
    flow = Flow(inner.protocol, inner.dst, inner.dport, inner.src, inner.sport)
    connection = walk.connections(walk.host).request(flow)
    if connection is None or connection.is_template:
        return True
    before = flight.packet()
    server = connection.server
    flight.dst = server.address
    flight.inner = dataclasses.replace(inner, src=server.address, sport=server.port)
    flight.by_ipvs = True
    flight.touch()
    if walk.steps is not None:
        why = f"it is about a connection that the virtual server {connection.service.where} gave to {server}"
        walk.note(Kind.IPVS, why, "ipvs", at, connection.service.save()[0], True, before, flight.packet())
    return _routed(flight, walk, at)


def _answer(flight: Flight, walk: Walk, at: str) -> bool:
    """A real server's packet: it is from the virtual address again (ip_vs_out_hook)."""
    if flight.by_ipvs:
        return True
    inner = flight.inner
    if inner is not None:
        flow = Flow(inner.protocol, inner.dst, inner.dport, inner.src, inner.sport)
    elif flight.protocol in _PROTOCOLS:
        flow = Flow(flight.protocol, flight.src, flight.sport, flight.dst, flight.dport)
    else:
        return True
    table = walk.connections(walk.host)
    connection = table.answer(flow)
    if connection is None:
        return True
    before = flight.packet()
    service, server = connection.service, connection.server
    flight.src = service.address
    if inner is not None:
        flight.inner = dataclasses.replace(inner, dst=service.address, dport=service.port)
    else:
        flight.sport = service.port
        table.passes(connection, flight.flags, answer=True)
        if walk.live:
            service.counters.count(flight.length, answer=True)
            server.counters.count(flight.length, answer=True)
    flight.by_ipvs = True
    if not walk.host.sysctls.get("net.ipv4.vs.conntrack"):
        flight.entry, flight.reply, flight.state = None, False, "UNTRACKED"
    flight.touch()
    if walk.steps is not None:
        _note_answer(flight, walk, at, before, service)
    return True


def _note_answer(flight: Flight, walk: Walk, at: str, before: Packet, service: Service) -> None:
    after = flight.packet()
    if after.inner is not None:
        why = f"an error about a connection of the virtual server {service.where}: it is told in its name"
    else:
        old, new = endpoint(before.src, before.sport), endpoint(after.src, after.sport)
        why = f"source {old} becomes {new}, the virtual server that its connection was made to"
    walk.note(Kind.IPVS, why, "ipvs", at, service.save()[0], True, before, after)


def _answer_in(flight: Flight, walk: Walk) -> bool:
    return _answer(flight, walk, "LOCAL_IN")


def _answer_out(flight: Flight, walk: Walk) -> bool:
    return _answer(flight, walk, "LOCAL_OUT")


def _answer_through(flight: Flight, walk: Walk) -> bool:
    return _answer(flight, walk, "FORWARD")


_HOOKS: dict[str, list[tuple[int, Hook]]] = {
    "INPUT": [(98, _answer_in), (99, _incoming)],
    "OUTPUT": [(-99, _answer_out), (-98, _outgoing)],
    "FORWARD": [(100, _answer_through)],
}
