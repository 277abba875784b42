"""Following a packet by what a person would type: a place and a target.

The name is resolved as the program on that machine would do it, with real DNS packets (their traces come along); then the
first packet of the connection walks, and its reply.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from kubesim.dns import resolver
from kubesim.errors import LearnerError
from kubesim.machine import Machine
from kubesim.net.host import Host
from kubesim.net.packet import Packet
from kubesim.net.trace import Trace

PORTS = {"http": 80, "https": 443, "tcp": 80, "udp": 53, "sctp": 80}
# What a trace's source port is: any of the ephemeral ones would do, so one that is easy to recognise.
SOURCE_PORT = 40000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a packet should go.  `port` is 0 for ICMP."""

    protocol: Literal["tcp", "udp", "sctp", "icmp"]
    host: str
    port: int


def parse(text: str) -> Target:
    """The target that a URL or HOST[:PORT] names.  LearnerError when it names none."""
    url = urlsplit(text if "://" in text else f"http://{text}")
    remedy = "Give what curl would be given: http://web, 10.96.0.1:443, udp://10.96.0.10:53, icmp://10.244.1.2."
    try:
        port = url.port
    except ValueError:
        raise LearnerError(f"{text!r} has no valid port", remedy) from None
    if not url.hostname:
        raise LearnerError(f"{text!r} names no host", remedy)
    if url.scheme in ("icmp", "ping"):
        return Target("icmp", url.hostname, 0)
    if url.scheme not in PORTS:
        raise LearnerError(f"{url.scheme!r} is not a protocol that can be traced", remedy)
    protocol: Literal["tcp", "udp", "sctp"] = (
        "udp" if url.scheme == "udp" else "sctp" if url.scheme == "sctp" else "tcp"
    )
    return Target(protocol, url.hostname, port or PORTS[url.scheme])


async def _first_packet(
    machine: Machine, target: Target
) -> tuple[Packet, tuple[Trace, ...], tuple[tuple[str, str], ...]]:
    """The packet, with the lookups that gave its destination."""
    lookups: tuple[Trace, ...] = ()
    resolved: tuple[tuple[str, str], ...] = ()
    try:
        address = str(ipaddress.ip_address(target.host))
    except ValueError:
        try:
            answer = await resolver.lookup(machine, target.host)
        except resolver.NotResolved as error:
            raise LearnerError(
                f"{machine.name} cannot resolve {target.host!r}: {error}", "Ask from there: nslookup " + target.host
            ) from None
        address = answer.addresses[0]
        lookups = answer.traces
        resolved = ((target.host, address),)
    return first_packet(machine.net, target, address), lookups, resolved


def first_packet(host: Host, target: Target, address: str) -> Packet:
    """What the host sends first to that address."""
    source = host.stack.source_address(address)
    if target.protocol == "icmp":
        return Packet(protocol="icmpv6" if ":" in address else "icmp", src=source, dst=address, icmp="echo-request")
    flags = "S" if target.protocol == "tcp" else ""
    return Packet(protocol=target.protocol, src=source, dst=address, sport=SOURCE_PORT, dport=target.port, flags=flags)


def _outcome(lookup: resolver.Lookup) -> str:
    """A lookup's end in a word or two."""
    return lookup.answer.rcode if lookup.answer is not None else f"{lookup.error} (server {lookup.server})"


async def sample(machine: Machine, target: str) -> Trace:
    """One trace, with one seeded choice wherever rules draw lots."""
    packet, lookups, resolved = await _first_packet(machine, parse(target))
    trace = machine.net.network.trace(machine.net, packet)
    return replace(trace, lookups=lookups, resolved=resolved)


async def branches(machine: Machine, target: str) -> list[Trace]:
    """Every way, each with its probability; they add up to one."""
    packet, lookups, resolved = await _first_packet(machine, parse(target))
    traces = machine.net.network.trace(machine.net, packet, "branches")
    return [replace(trace, lookups=lookups, resolved=resolved) for trace in traces]
