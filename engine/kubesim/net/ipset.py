"""ipsets: named sets of addresses, networks and ports that rules ask, and the `-m set` that asks them.

A rule that names a set costs the same however many members the set has, and members come and go without a rule being
touched: that is why Calico and kube-proxy's ipvs mode use them.  Sets belong to a host's network namespace.

Sources: ipset(8), Linux net/netfilter/ipset, iptables-extensions(8).  Left out, and said: time-outs, counters, `nomatch`
and the types that are not in `TYPES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kubesim import errors
from kubesim.errors import LearnerError
from kubesim.net import address
from kubesim.net.extension import Match, Option, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kubesim.net.matches import Test, Words
    from kubesim.net.packet import Flight
    from kubesim.net.walk import Walk

# Each type's parts, in the order of a member's words and of `--match-set NAME src,dst`.
TYPES = {
    "hash:ip": ("ip",),
    "hash:net": ("net",),
    "hash:ip,port": ("ip", "port"),
    "hash:net,port": ("net", "port"),
    "hash:ip,port,ip": ("ip", "port", "ip"),
    "hash:ip,port,net": ("ip", "port", "net"),
    "bitmap:port": ("port",),
    "list:set": ("set",),
}
# What `ipset list` calls the revision, by a 5.x kernel.
_REVISIONS = {"hash:ip": 4, "hash:net": 6, "bitmap:port": 3, "list:set": 3}
_REVISION = 5
# Bytes of an empty set and of a member on a 64-bit kernel; what `ipset list` reports is about this.
_EMPTY_BYTES, _MEMBER_BYTES = 344, 64
MAX_NAME = 31

Member = tuple[str, ...]


class SetError(LearnerError):
    """What ipset prints after its name and version."""


class IpSet:
    """One set.  Members are tuples of canonical words: "10.0.0.1", "10.0.0.0/16", "tcp:80"; a bitmap's ports are bare."""

    def __init__(self, name: str, kind: str, options: dict[str, str]) -> None:
        self.name = name
        self.kind = kind
        self.parts = TYPES[kind]
        self.options = options
        self.references = 0
        self.members: dict[Member, None] = {}
        # How many members have a network of that many bits: what a packet's address is to be tried with.
        self._lengths: dict[int, int] = {}

    @property
    def ipv6(self) -> bool:
        return self.options.get("family") == "inet6"

    def member(self, text: str) -> Member:
        """A member from its words.  Raises `SetError`."""
        words = text.split(",")
        if len(words) != len(self.parts):
            raise SetError(f"Syntax error: cannot parse {text}: elem of type {self.kind} expected")
        return tuple(self._part(part, word) for part, word in zip(self.parts, words, strict=True))

    def _part(self, part: str, word: str) -> str:
        if part in ("ip", "net"):
            try:
                prefix = address.prefix(word)
            except ValueError:
                raise SetError(f"Syntax error: cannot parse {word}: resolving to IPv4 address failed") from None
            if (prefix.bits == 128) != self.ipv6:
                raise SetError(f"Syntax error: cannot parse {word}: {'IPv6' if self.ipv6 else 'IPv4'} address expected")
            if prefix.length == prefix.bits:
                return address.text(prefix.base, prefix.bits)
            if part == "ip":
                raise errors.NotSimulated(f"ipset member {word!r}: a range of addresses in {self.kind}")
            return str(prefix)
        if part == "set":
            return word
        protocol, colon, port = word.rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            raise SetError(f"Syntax error: '{port}' is invalid as number")
        if self.kind == "bitmap:port":
            return port
        return f"{protocol.lower() if colon else 'tcp'}:{port}"

    def put(self, member: Member) -> bool:
        """Add it; False when it was there."""
        if member in self.members:
            return False
        self.members[member] = None
        self._count(member, 1)
        return True

    def drop(self, member: Member) -> bool:
        """Take it out; False when it was not there."""
        if member not in self.members:
            return False
        del self.members[member]
        self._count(member, -1)
        return True

    def _count(self, member: Member, step: int) -> None:
        if "net" in self.parts:
            _, slash, length = member[self.parts.index("net")].partition("/")
            bits = int(length) if slash else 128 if self.ipv6 else 32
            self._lengths[bits] = self._lengths.get(bits, 0) + step

    def clear(self) -> None:
        self.members.clear()
        self._lengths.clear()

    def holds(self, flight: Flight, sides: Sequence[str], sets: IpSets) -> bool:
        """Whether the packet is in it, looked at from these sides ("src" or "dst" for each part)."""
        if self.kind == "list:set":
            return any(sets.get(name).holds(flight, sides, sets) for (name,) in self.members)
        if not self.members or (self.kind != "bitmap:port" and (":" in flight.src) != self.ipv6):
            return False
        key: list[str] = []
        for part, side in zip(self.parts, sides, strict=False):
            if part == "port":
                port = flight.sport if side == "src" else flight.dport
                key.append(str(port) if self.kind == "bitmap:port" else f"{flight.protocol}:{port}")
            else:
                key.append(flight.src if side == "src" else flight.dst)
        if "net" not in self.parts:
            return tuple(key) in self.members
        at = self.parts.index("net")
        ip, bits = key[at], 128 if self.ipv6 else 32
        for length, count in self._lengths.items():
            if count:
                key[at] = ip if length == bits else str(address.prefix(f"{ip}/{length}"))
                if tuple(key) in self.members:
                    return True
        return False

    # -- text -----------------------------------------------------------------------------------------------

    @property
    def header(self) -> str:
        if self.kind == "bitmap:port":
            return f"range {self.options.get('range', '0-65535')}"
        if self.kind == "list:set":
            return f"size {self.options.get('size', '8')}"
        return " ".join(f"{name} {self.options[name]}" for name in ("family", "hashsize", "maxelem"))

    def lines(self) -> list[str]:
        """`ipset list NAME`."""
        return [
            f"Name: {self.name}",
            f"Type: {self.kind}",
            f"Revision: {_REVISIONS.get(self.kind, _REVISION)}",
            f"Header: {self.header}",
            f"Size in memory: {_EMPTY_BYTES + _MEMBER_BYTES * len(self.members)}",
            f"References: {self.references}",
            f"Number of entries: {len(self.members)}",
            "Members:",
            *(",".join(member) for member in self.members),
        ]

    def save(self) -> list[str]:
        """`ipset save NAME`."""
        return [
            f"create {self.name} {self.kind} {self.header}",
            *(f"add {self.name} {','.join(member)}" for member in self.members),
        ]


class IpSets:
    """The sets of one host.  Every method is a command of ipset(8) and raises `SetError` in its words."""

    def __init__(self) -> None:
        self._sets: dict[str, IpSet] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._sets

    def get(self, name: str) -> IpSet:
        found = self._sets.get(name)
        if found is None:
            raise SetError("The set with the given name does not exist")
        return found

    def create(self, name: str, kind: str, options: Sequence[str] = (), *, exist: bool = False) -> None:
        """`options` are words: "family", "inet6", "maxelem", "1048576", ..."""
        if len(name) > MAX_NAME:
            raise SetError(f"Syntax error: setname '{name}' is longer than {MAX_NAME} characters")
        if kind not in TYPES:
            raise errors.NotSimulated(f"ipset type {kind!r}")
        given = {"family": "inet", "hashsize": "1024", "maxelem": "65536"}
        words = list(options)
        while words:
            word = words.pop(0)
            if word not in ("family", "hashsize", "maxelem", "range", "size", "bucketsize", "initval") or not words:
                raise errors.NotSimulated(f"ipset create option {word!r}")
            given[word] = words.pop(0)
        if name in self._sets:
            if exist and self._sets[name].kind == kind:
                return
            raise SetError("Set cannot be created: set with the same name already exists")
        self._sets[name] = IpSet(name, kind, given)

    def add(self, name: str, text: str, *, exist: bool = False) -> None:
        found = self.get(name)
        member = found.member(text)
        if found.kind == "list:set":
            self.get(member[0])
        if not found.put(member) and not exist:
            raise SetError("Element cannot be added to the set: it's already added")

    def delete(self, name: str, text: str, *, exist: bool = False) -> None:
        found = self.get(name)
        if not found.drop(found.member(text)) and not exist:
            raise SetError("Element cannot be deleted from the set: it's not added")

    def test(self, name: str, text: str) -> bool:
        found = self.get(name)
        return found.member(text) in found.members

    def flush(self, name: str = "") -> None:
        for each in [self.get(name)] if name else list(self._sets.values()):
            each.clear()

    def destroy(self, name: str = "") -> None:
        """One set, or all; none that a rule still asks."""
        going = [self.get(name)] if name else list(self._sets.values())
        if any(each.references for each in going):
            raise SetError("Set cannot be destroyed: it is in use by a kernel component")
        for each in going:
            del self._sets[each.name]

    def swap(self, one: str, other: str) -> None:
        """The two change names: rules that ask the one find the other's members."""
        first, second = self.get(one), self.get(other)
        if first.kind != second.kind:
            raise SetError("The sets cannot be swapped: their type does not match")
        first.name, second.name = other, one
        first.references, second.references = second.references, first.references
        self._sets[one], self._sets[other] = second, first

    def restore(self, text: str) -> None:
        """`ipset restore`: lines of create, add, del, flush, destroy and swap, one after the other."""
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#") or words[0] == "COMMIT":
                continue
            try:
                self._command(words)
            except SetError as error:
                raise SetError(f"Error in line {number}: {error.message}") from None

    def _command(self, words: list[str]) -> None:
        exist = "-exist" in words or "-!" in words
        verb, *rest = [word for word in words if word not in ("-exist", "-!")]
        if verb == "create":
            self.create(rest[0], rest[1], rest[2:], exist=exist)
        elif verb in ("add", "del") and len(rest) == 2:
            (self.add if verb == "add" else self.delete)(rest[0], rest[1], exist=exist)
        elif verb in ("flush", "destroy") and len(rest) < 2:
            (self.flush if verb == "flush" else self.destroy)(*rest)
        elif verb == "swap" and len(rest) == 2:
            self.swap(rest[0], rest[1])
        else:
            raise errors.NotSimulated(f"ipset command {' '.join(words)!r}")

    def names(self) -> list[str]:
        return list(self._sets)

    def list(self, name: str = "") -> str:
        """`ipset list`: the sets in the order in which they were made."""
        found = [self.get(name)] if name else self._sets.values()
        return "\n".join("".join(f"{line}\n" for line in each.lines()) for each in found)

    def save(self, name: str = "") -> str:
        found = [self.get(name)] if name else self._sets.values()
        return "".join(f"{line}\n" for each in found for line in each.save())


def _sides(word: str) -> str:
    sides = word.split(",")
    if len(sides) > 3 or any(side not in ("src", "dst") for side in sides):
        raise UsageError("You must spefify (the comma separated list of) 'src' or 'dst'.")
    return word


def _match_set(words: str) -> str:
    name, _, sides = words.partition(" ")
    return f"{name} {_sides(sides)}"


class Set(Match):
    """`-m set --match-set NAME SIDES`.  The set has to be there when the rule is made (`name_of`)."""

    name = "set"
    options: ClassVar = {"match-set": Option(_match_set, 2)}

    @property
    def asked(self) -> str:
        """The set's name."""
        return self.given["match-set"].value.partition(" ")[0]

    def check(self, rule: object) -> None:
        if not self.given:
            raise UsageError("You must specify `--match-set' with proper arguments")

    def tests(self) -> Iterable[tuple[Test, Words]]:
        inverted, value = self.given["match-set"]
        name, _, sides = value.partition(" ")
        wanted = tuple(sides.split(","))

        def test(flight: Flight, walk: Walk) -> bool:
            sets = walk.host.ipsets
            return (name in sets and sets.get(name).holds(flight, wanted, sets)) != inverted

        def words(flight: Flight, walk: Walk) -> str:
            said = [
                f"{'source' if side == 'src' else 'destination'} {flight.src if side == 'src' else flight.dst}"
                if not at
                else str(flight.sport if side == "src" else flight.dport)
                for at, side in enumerate(wanted)
            ]
            return f"the {' '.join(said)} is {'' if inverted else 'not '}in the set {walk.host.legend.named(name)}"

        return [(test, words)]

    def describe(self, numeric: bool) -> str:
        inverted, value = self.given["match-set"]
        return f"{'! ' if inverted else ''}match-set {value}"


MATCHES: dict[str, type[Match]] = {"set": Set}
