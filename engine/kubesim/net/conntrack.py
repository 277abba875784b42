"""Connection tracking: what a host remembers of the connections that pass it.

Theory of operation
-------------------
A connection is an `Entry` with two tuples: the original direction's, as the first packet came, and the reply's, as the
answer will come.  Without NAT they mirror each other.  NAT changes only the reply tuple (Linux, nf_nat_core.c): "answers
will come from the pod, to me".  Rewriting a packet then is no decision any more: a packet of one direction is made to
look like the mirror of the other direction's tuple.  So the rules are asked once per connection, and the answers find
their way back by themselves.

An entry is in the table under both tuples once its first packet got through the whole host (`confirm`); a packet that a
rule dropped leaves nothing behind.  Entries time out in virtual time, by the protocol's state; TCP's states follow the
kernel's table (nf_conntrack_proto_tcp.c), which `_TCP` holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kubesim.net.packet import Flight
    from kubesim.world import World


class Tuple(NamedTuple):
    """One direction of a connection.  An ICMP echo has its identifier for both ports."""

    protocol: str
    src: str
    sport: int
    dst: str
    dport: int

    def mirrored(self) -> Tuple:
        """What an answer to this looks like."""
        return Tuple(self.protocol, self.dst, self.dport, self.src, self.sport)


class Entry:
    """A connection.  `source_nat` and `destination_nat` say that it is rewritten; `*_decided` that the rules were asked;
    `mark` is its connmark, `labels` its connlabels as bits, `expires` a virtual time."""

    __slots__ = (
        "assured", "confirmed", "destination_decided", "destination_nat", "expires", "labels", "mark", "original", "reply",
        "seen_reply", "source_decided", "source_nat", "started", "state",
    )  # fmt: skip

    def __init__(self, original: Tuple, now: float) -> None:
        self.original = original
        self.reply = original.mirrored()
        self.state = ""
        self.started = now
        self.expires = now
        self.mark = 0
        self.labels = 0
        self.assured = False
        self.confirmed = False
        self.seen_reply = False
        self.source_nat = False
        self.source_decided = False
        self.destination_nat = False
        self.destination_decided = False

    def copy(self) -> Entry:
        made = Entry.__new__(Entry)
        for name in Entry.__slots__:
            setattr(made, name, getattr(self, name))
        return made


# Linux, nf_conntrack_proto_tcp.c: tcp_conntracks.  For each direction and kind of segment, the next state by the present
# one; IGNORE leaves the state, INVALID makes the packet INVALID.
_STATES = (
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
)
_SHORT = {
    "SS": "SYN_SENT", "SR": "SYN_RECV", "ES": "ESTABLISHED", "FW": "FIN_WAIT", "CW": "CLOSE_WAIT", "LA": "LAST_ACK",
    "TW": "TIME_WAIT", "CL": "CLOSE", "S2": "SYN_SENT2", "IG": "", "IV": "INVALID",
}  # fmt: skip
_ROWS = {
    #                  NO SS SR ES FW CW LA TW CL S2
    (False, "syn"):    "SS SS IG IG IG IG IG SS SS S2",
    (False, "synack"): "IV IV SR IV IV IV IV IV IV SR",
    (False, "fin"):    "IV IV FW FW LA LA LA TW CL IV",
    (False, "ack"):    "ES IV ES ES CW CW TW TW CL IV",
    (False, "rst"):    "IV CL CL CL CL CL CL CL CL CL",
    (True, "syn"):     "IV S2 IV IV IV IV IV SS IV S2",
    (True, "synack"):  "IV SR IG IG IG IG IG IG IG SR",
    (True, "fin"):     "IV IV FW FW LA LA LA TW CL IV",
    (True, "ack"):     "IV IG SR ES CW CW TW TW CL IG",
    (True, "rst"):     "IV CL CL CL CL CL CL CL CL CL",
}  # fmt: skip
_TCP = {
    (reply, segment, state): _SHORT[word]
    for (reply, segment), row in _ROWS.items()
    for state, word in zip(_STATES, row.split(), strict=True)
}
_SEGMENTS = {"S": "syn", "SA": "synack", "A": "ack", "PA": "ack", "FA": "fin", "F": "fin", "R": "rst", "RA": "rst"}

# Seconds (nf_conntrack_proto_*.c); the sysctls net.netfilter.nf_conntrack_*_timeout_* begin with these.
_TCP_SECONDS = {
    "SYN_SENT": 120, "SYN_RECV": 60, "ESTABLISHED": 432000, "FIN_WAIT": 120, "CLOSE_WAIT": 60, "LAST_ACK": 30,
    "TIME_WAIT": 120, "CLOSE": 10, "SYN_SENT2": 120,
}  # fmt: skip
_UDP_SECONDS, _UDP_STREAM_SECONDS = 30, 120
_ICMP_SECONDS = 30
_GENERIC_SECONDS = 600
# A UDP flow that is answered and still busy after so long is a stream.
_UDP_STREAM_AFTER = 2.0

_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}


class Conntrack:
    """A host's table.  A fork reads through to its parent and keeps what it changes to itself."""

    def __init__(self, world: World, parent: Conntrack | None = None) -> None:
        self._world = world
        self._parent = parent
        self._entries: dict[Tuple, Entry] = {}
        self._sweep = 1024

    def fork(self) -> Conntrack:
        return Conntrack(self._world, self)

    def __len__(self) -> int:
        return len(self.entries())

    def entries(self) -> list[Entry]:
        """All that have not timed out, oldest first."""
        now = self._world.now
        return [entry for key, entry in self._entries.items() if entry.original == key and entry.expires > now]

    def find(self, key: Tuple) -> Entry | None:
        """The entry with that tuple in either direction."""
        found = self._entries.get(key)
        if found is None:
            if self._parent is None:
                return None
            found = self._parent.find(key)
            if found is None:
                return None
            found = found.copy()
            self._insert(found)
        if found.expires <= self._world.now:
            self.delete(found)
            return None
        return found

    def used(self, key: Tuple) -> bool:
        """Whether answers with that tuple would be taken for another connection's."""
        return self.find(key) is not None

    def _insert(self, entry: Entry) -> None:
        self._entries[entry.original] = entry
        self._entries[entry.reply] = entry

    def delete(self, entry: Entry) -> None:
        """`conntrack -D`: forget it."""
        for key in (entry.original, entry.reply):
            if self._entries.get(key) is entry:
                del self._entries[key]

    def flush(self) -> int:
        """`conntrack -F`.  Returns how many there were."""
        count = len(self)
        self._entries.clear()
        return count

    # -- a packet passes ----------------------------------------------------------------------------------------

    def track(self, flight: Flight) -> None:
        """Find or begin the packet's connection: sets its `entry`, `reply` and `state` (nf_conntrack_in)."""
        if flight.inner is not None:
            self._track_error(flight)
            return
        key = Tuple(flight.protocol, flight.src, flight.sport, flight.dst, flight.dport)
        if flight.icmp:
            key = key._replace(dport=flight.sport)
        entry = self.find(key)
        if (
            entry is not None
            and flight.flags == "S"
            and entry.state in ("TIME_WAIT", "CLOSE")
            and entry.original == key
        ):
            # The same four numbers again: a new connection.
            self.delete(entry)
            entry = None
        if entry is None:
            if flight.icmp == "echo-reply":
                flight.state = "INVALID"
                return
            entry = Entry(key, self._world.now)
        reply = entry.original != key
        if not self._advance(entry, flight, reply):
            flight.state = "INVALID"
            return
        flight.entry = entry
        flight.reply = reply
        if reply:
            entry.seen_reply = True
            flight.state = "ESTABLISHED"
        else:
            flight.state = "ESTABLISHED" if entry.seen_reply else "NEW"

    def _track_error(self, flight: Flight) -> None:
        inner = flight.inner
        assert inner is not None
        key = Tuple(
            inner.protocol, inner.src, inner.sport, inner.dst, inner.sport if inner.icmp else inner.dport
        ).mirrored()
        entry = self.find(key)
        if entry is None:
            flight.state = "INVALID"
            return
        flight.entry = entry
        flight.reply = entry.original != key
        flight.state = "RELATED"

    def _advance(self, entry: Entry, flight: Flight, reply: bool) -> bool:
        now = self._world.now
        protocol = flight.protocol
        if protocol == "tcp":
            following = _TCP[reply, _SEGMENTS.get(flight.flags, "ack"), entry.state or "NONE"]
            if following == "INVALID":
                return False
            if following:
                if following == "ESTABLISHED" and entry.state == "SYN_RECV":
                    entry.assured = True
                entry.state = following
            entry.expires = now + _TCP_SECONDS[entry.state]
        elif protocol == "udp":
            stream = entry.seen_reply and now - entry.started > _UDP_STREAM_AFTER
            entry.assured = entry.assured or stream
            entry.expires = now + (_UDP_STREAM_SECONDS if stream else _UDP_SECONDS)
        elif flight.icmp:
            entry.expires = now + _ICMP_SECONDS
        else:
            entry.expires = now + _GENERIC_SECONDS
        return True

    def confirm(self, flight: Flight) -> None:
        """The packet got through: from now on its connection is known (nf_conntrack_confirm)."""
        entry = flight.entry
        if entry is None or entry.confirmed or flight.reply:
            return
        entry.confirmed = True
        self._insert(entry)
        if len(self._entries) > self._sweep:
            now = self._world.now
            self._entries = {key: each for key, each in self._entries.items() if each.expires > now}
            self._sweep = max(1024, 2 * len(self._entries))

    # -- text ---------------------------------------------------------------------------------------------------

    def text(self, *, protocol: str = "", extended: bool = False) -> str:
        """`conntrack -L` (libnetfilter_conntrack, src/conntrack/snprintf_default.c); `extended` is `-o extended`."""
        lines = [
            self.line(entry, extended=extended) for entry in self.entries() if protocol in ("", entry.original.protocol)
        ]
        return "".join(f"{line}\n" for line in lines)

    def line(self, entry: Entry, *, extended: bool = False) -> str:
        """One entry of it."""
        original, reply = entry.original, entry.reply
        words = [f"{original.protocol:<8} {_NUMBERS[original.protocol]} {int(entry.expires - self._world.now)}"]
        if extended:
            ipv6 = ":" in original.src
            words.insert(0, "ipv6     10" if ipv6 else "ipv4     2")
        if entry.state:
            words.append(entry.state)
        words.append(_sides(original, request=True))
        if not entry.seen_reply:
            words.append("[UNREPLIED]")
        words.append(_sides(reply, request=False))
        if entry.assured:
            words.append("[ASSURED]")
        words += [f"mark={entry.mark}", "use=1"]
        return " ".join(words)


def _sides(side: Tuple, *, request: bool) -> str:
    if side.protocol == "icmp":
        return f"src={side.src} dst={side.dst} type={8 if request else 0} code=0 id={side.sport}"
    if side.protocol == "icmpv6":
        return f"src={side.src} dst={side.dst} type={128 if request else 129} code=0 id={side.sport}"
    return f"src={side.src} dst={side.dst} sport={side.sport} dport={side.dport}"
