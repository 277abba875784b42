"""Address translation: choosing a connection's new tuple, and rewriting its packets (Linux, nf_nat_core.c)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from kubesim.net.conntrack import Tuple
from kubesim.net.packet import endpoint
from kubesim.net.trace import Kind

if TYPE_CHECKING:
    from kubesim.net.conntrack import Conntrack, Entry
    from kubesim.net.packet import Flight, Packet
    from kubesim.net.walk import Walk


class Range(NamedTuple):
    """What a rule allows: an address and, if `low`, ports from low to high.  `random` wants a port drawn from all."""

    address: str
    low: int = 0
    high: int = 0
    random: bool = False


def bind(table: Conntrack, entry: Entry, wanted: Range | None, walk: Walk, *, source: bool) -> bool:
    """Decide the connection's translation in one direction (nf_nat_setup_info); None: no rule wants any, which still
    moves the source port when another connection's answers would be mistaken for this one's.

    False when no port is free: the packet is dropped.
    """
    current = entry.reply.mirrored()
    chosen = _unique(table, current, wanted, walk, source)
    if chosen is None:
        return False
    if chosen != current:
        entry.reply = chosen.mirrored()
        if source:
            entry.source_nat = True
        else:
            entry.destination_nat = True
    if source:
        entry.source_decided = True
    else:
        entry.destination_decided = True
    return True


def _unique(table: Conntrack, current: Tuple, wanted: Range | None, walk: Walk, source: bool) -> Tuple | None:
    # nf_nat_l4proto_unique_tuple, and get_unique_tuple before it.
    if wanted is not None and wanted.address:
        current = current._replace(src=wanted.address) if source else current._replace(dst=wanted.address)
    echo = current.protocol in ("icmp", "icmpv6")
    port = current.sport if source else current.dport
    low, high, draw = 0, 0, False
    if wanted is not None and not (echo and not source):
        low, high, draw = wanted.low, wanted.high, wanted.random
    if not draw and (not low or low <= port <= high) and not table.used(current.mirrored()):
        return current
    if low and low == high:
        candidate = _with_port(current, low, source, echo)
        # Many clients may be sent to one port; only a source must be told apart.
        return candidate if not source or not table.used(candidate.mirrored()) else None
    if not low:
        if not source:
            return current
        if echo:
            low, high = 0, 65535
        elif port < 512:
            low, high = 1, 511
        elif port < 1024:
            low, high = 600, 1023
        else:
            low, high = 1024, 65535
    first = walk.chance.number(low, high)
    size = high - low + 1
    for offset in range(size):
        candidate = _with_port(current, low + (first - low + offset) % size, source, echo)
        if not table.used(candidate.mirrored()):
            return candidate
    return None


def _with_port(current: Tuple, port: int, source: bool, echo: bool) -> Tuple:
    if echo:
        return current._replace(sport=port, dport=port)
    return current._replace(sport=port) if source else current._replace(dport=port)


def rewrite(flight: Flight, walk: Walk, *, source: bool) -> None:
    """Make the packet look as its connection's translation says, on one side (nf_nat_packet)."""
    entry = flight.entry
    assert entry is not None
    # What is a source rewrite for the original direction is a destination rewrite for the answers.
    if not (entry.source_nat if source != flight.reply else entry.destination_nat):
        return
    other = entry.original if flight.reply else entry.reply
    if flight.inner is not None:
        _rewrite_error(flight, walk, other, source)
        return
    before = flight.packet() if walk.steps is not None else None
    if source:
        flight.src, flight.sport = other.dst, other.dport
    else:
        flight.dst = other.src
        if flight.icmp:
            flight.sport = other.sport
        else:
            flight.dport = other.sport
    flight.touch()
    if before is not None:
        _note(flight, walk, before, source)


def _rewrite_error(flight: Flight, walk: Walk, other: Tuple, source: bool) -> None:
    # nf_nat_icmp_reply_translation: the quoted header travels the other way, so its other side changes with it.
    before = flight.packet()
    inner = flight.inner
    assert inner is not None
    if source:
        flight.src = other.dst
        flight.inner = dataclasses.replace(inner, dst=other.dst, dport=inner.dport if inner.icmp else other.dport)
    else:
        flight.dst = other.src
        flight.inner = dataclasses.replace(inner, src=other.src, sport=other.sport)
    flight.touch()
    if walk.steps is not None:
        _note(flight, walk, before, source)


def _note(flight: Flight, walk: Walk, before: Packet, source: bool) -> None:
    after = flight.packet()
    if source:
        old, new, side = endpoint(before.src, before.sport), endpoint(after.src, after.sport), "source"
    else:
        old, new, side = endpoint(before.dst, before.dport), endpoint(after.dst, after.dport), "destination"
    if after.icmp:
        old, new = (before.src, after.src) if source else (before.dst, after.dst)
    memory = ", as the connection table remembers" if flight.reply else ""
    walk.note(Kind.NAT, f"{side} {old} becomes {new}{memory}", "nat", "", "", True, before, after)
