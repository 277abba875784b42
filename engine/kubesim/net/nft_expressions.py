"""What an nft rule says: conditions on a packet and what is done with it, from words.

The dialect is what kube-proxy writes and what a learner would type beside it; anything else fails by its words.  A rule is
a row of statements that a packet meets from left to right: it goes on to the next as long as conditions hold, until a
verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kubesim import errors
from kubesim.net import address, extension, nat, queue
from kubesim.net.extension import ACCEPT, DROP, RETURN
from kubesim.net.trace import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubesim.net.nft import NftTable
    from kubesim.net.packet import Flight
    from kubesim.net.walk import Walk


class Go(NamedTuple):
    """On to another chain: `jump` comes back, `goto` does not."""

    chain: str
    jump: bool


class Statement(NamedTuple):
    """`run` does it: None goes on to the next statement, False says that the rule does not apply, all else is a verdict.
    `words` says why it does not apply, or what it does."""

    run: Callable[[Flight, Walk], int | Go | queue.Question | bool | None]
    words: Callable[[Flight], str]


_FIELDS: dict[tuple[str, ...], Callable[[Flight], str]] = {
    ("ip", "saddr"): lambda f: f.src,
    ("ip6", "saddr"): lambda f: f.src,
    ("ip", "daddr"): lambda f: f.dst,
    ("ip6", "daddr"): lambda f: f.dst,
    ("ip", "protocol"): lambda f: f.protocol,
    ("meta", "l4proto"): lambda f: f.protocol,
    ("th", "dport"): lambda f: str(f.dport),
    ("th", "sport"): lambda f: str(f.sport),
    ("tcp", "dport"): lambda f: str(f.dport) if f.protocol == "tcp" else "",
    ("tcp", "sport"): lambda f: str(f.sport) if f.protocol == "tcp" else "",
    ("udp", "dport"): lambda f: str(f.dport) if f.protocol == "udp" else "",
    ("udp", "sport"): lambda f: str(f.sport) if f.protocol == "udp" else "",
    ("iifname",): lambda f: f.in_if,
    ("oifname",): lambda f: f.out_if,
    ("icmpv6", "type"): lambda f: f.icmp if f.protocol == "icmpv6" else "",
    ("meta", "iifname"): lambda f: f.in_if,
    ("meta", "oifname"): lambda f: f.out_if,
}
_NAMES = {
    "saddr": "the source",
    "daddr": "the destination",
    "dport": "the destination port",
    "sport": "the source port",
}
_PROTOCOLS = {str(number): name for name, number in extension.PROTOCOL_NUMBERS.items() if name != "ipv6-icmp"}


def value(word: str) -> str:
    """An element in the form in which keys are compared."""
    if address.is_address(word):
        return address.canonical(word)
    return word.strip('"')


class Rule:
    """A rule: its statements, and its text as nft lists it.  `handle` is its number in the table; a set or map written on
    the spot is an object with a number too."""

    def __init__(self, table: NftTable, words: list[str]) -> None:
        parser = _Parser(table, words)
        self.statements = parser.parse()
        for _ in range(parser.anonymous):
            table.next_handle()
        self.handle = table.next_handle()
        self._said = parser.said

    @property
    def text(self) -> str:
        """With what its counter has counted, if it has one."""
        return " ".join(map(str, self._said))

    @property
    def tracked(self) -> bool:
        """Whether it asks about the packet's connection."""
        return any(each == "ct" or str(each).startswith("ct ") for each in self._said)

    def __str__(self) -> str:
        return self.text


class Counter:
    """`counter`: how many packets and bytes came by."""

    def __init__(self, packets: int = 0, octets: int = 0) -> None:
        self.packets = packets
        self.bytes = octets

    def __str__(self) -> str:
        return f"counter packets {self.packets} bytes {self.bytes}"

    def count(self, flight: Flight, walk: Walk) -> None:
        if walk.live:
            self.packets += 1
            self.bytes += flight.length


class _Parser:
    def __init__(self, table: NftTable, words: list[str]) -> None:
        self._table = table
        self._words = words
        self._at = 0
        self.said: list[str | Counter] = []
        self.anonymous = 0

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def _next(self) -> str:
        self._at += 1
        return self._words[self._at - 1] if self._at <= len(self._words) else ""

    def _take(self, *words: str) -> bool:
        if tuple(self._words[self._at : self._at + len(words)]) == words:
            self._at += len(words)
            return True
        return False

    def parse(self) -> list[Statement]:
        found: list[Statement] = []
        while self._at < len(self._words):
            found += self._statement()
        return found

    def _statement(self) -> list[Statement]:
        word = self._peek()
        if word in ("accept", "drop", "return", "continue", "jump", "goto"):
            return [self._verdict()]
        if word == "comment":
            self._next()
            self.said += ["comment", f'"{self._next().strip(chr(34))}"']
            return []
        if word == "counter":
            self._next()
            numbers = {self._next(): int(self._next()) for _ in range(2) if self._peek() in ("packets", "bytes")}
            counter = Counter(numbers.get("packets", 0), numbers.get("bytes", 0))
            self.said.append(counter)
            return [Statement(counter.count, lambda _f: "counted")]
        if word == "meta" and self._peek(1) == "mark":
            self._next()
            word = "mark"
        elif word == "meta" and self._peek(1) == "skuid":
            self._next()
            word = "skuid"
        special = {
            "mark": self._mark, "ct": self._ct, "fib": self._fib, "numgen": self._numgen, "dnat": self._dnat, "snat": self._snat,
            "masquerade": self._masquerade, "redirect": self._redirect, "reject": self._reject, "update": self._update,
            "add": self._update, "queue": self._queue, "skuid": self._skuid,
        }.get(word)  # fmt: skip
        if special is not None:
            self._next()
            return [special()]
        return [self._lookup()]

    # -- verdicts -------------------------------------------------------------------------------------------

    def _verdict(self) -> Statement:
        result, said = verdict(self._next(), self._peek())
        if isinstance(result, Go):
            self._next()
        self.said.append(said)
        return Statement(lambda _f, _w: _dropped(result, _w), lambda _f: _verdict_words(result))

    # -- conditions -----------------------------------------------------------------------------------------

    def _lookup(self) -> Statement:
        keys: list[Callable[[Flight], str]] = []
        names: list[str] = []
        while True:
            first, second = self._peek(), self._peek(1)
            field = (first,) if (first,) in _FIELDS else (first, second)
            if field not in _FIELDS:
                raise errors.NotSimulated(f"nft expression {' '.join(self._words[self._at : self._at + 3])!r}")
            self._at += len(field)
            keys.append(_FIELDS[field])
            names.append(field[-1])
            self.said += field
            if not self._take("."):
                break
            self.said.append(".")

        def key(flight: Flight) -> tuple[str, ...]:
            return tuple(each(flight) for each in keys)

        def shown(flight: Flight) -> str:
            if len(names) == 1:
                return f"{_NAMES.get(names[0], f'its {names[0]}')} is {keys[0](flight)}"
            return f"it is {' . '.join(key(flight))}"

        if self._take("vmap"):
            self.said.append("vmap")
            return self._vmap(key, shown)
        inverted = self._take("!=")
        if not inverted:
            self._take("==")
        else:
            self.said.append("!=")
        holds, wanted = self._members()
        self.said.append(wanted)

        def test(flight: Flight, walk: Walk) -> int | Go | bool | None:
            return None if holds(key(flight), walk) != inverted else False

        def why(flight: Flight) -> str:
            if key(flight) == ("",) and field[0] in ("tcp", "udp", "icmpv6"):
                return f"it is {flight.protocol}, not {field[0]}"
            return f"{shown(flight)}, {'' if inverted else 'not '}{'in ' if wanted[0] in '@{' else ''}{wanted}"

        return Statement(test, why)

    def _members(self) -> tuple[Callable[[tuple[str, ...], Walk], bool], str]:
        """What a key is compared with: a value, a range of addresses, a set by name, or one on the spot."""
        word = self._next()
        if word.startswith("@"):
            named = self._table.set(word[1:])
            return (lambda key, walk: named.has(key, walk.host.world.now)), word
        if word != "{":
            return _one(word), word
        members: list[str] = []
        while (word := self._next()) != "}":
            if not word:
                raise extension.UsageError("syntax error, unexpected end of file")
            if word != ",":
                members.append(word)
        if all(address.is_address(each.partition("/")[0]) for each in members):
            members.sort(key=lambda each: address.prefix(each).base)  # the kernel lists ranges in order
        self.anonymous += len(members) > 1
        tests = [_one(each) for each in members]
        text = members[0] if len(members) == 1 else "{ " + ", ".join(members) + " }"
        return (lambda key, walk: any(test(key, walk) for test in tests)), text

    def _vmap(self, key: Callable[[Flight], tuple[str, ...]], shown: Callable[[Flight], str]) -> Statement:
        word = self._next()
        if not word.startswith("@"):
            raise errors.NotSimulated("nft anonymous verdict map on a packet's fields")
        named = self._table.set(word[1:])
        self.said.append(word)

        def look(flight: Flight, walk: Walk) -> int | Go | bool | None:
            found = named.elements.get(key(flight))
            if found is None or found.verdict is None:
                return False
            return _dropped(found.verdict, walk)

        def words(flight: Flight) -> str:
            found = named.elements.get(key(flight))
            if found is None or found.verdict is None:
                return f"{shown(flight)}, and {word} has no such element"
            return f"{word} has {' . '.join(key(flight))}: {_verdict_words(found.verdict)}"

        return Statement(look, words)

    def _mark(self) -> Statement:
        if self._take("set"):
            if self._peek() == "meta":
                self._next()
            self._next()  # "mark"
            operator, number = self._next(), extension.number(self._next())
            sign = _OPERATORS[operator]
            self.said.append(f"meta mark set meta mark {sign} 0x{number:08x}")

            def put(flight: Flight, _walk: Walk) -> None:
                flight.mark = {"|": flight.mark | number, "&": flight.mark & number, "^": flight.mark ^ number}[sign]
                flight.touch()

            does = {"|": "put on", "&": "masked on", "^": "flipped on"}[sign]
            return Statement(put, lambda _f: f"the mark 0x{number:x} is {does} it")
        mask = 0xFFFFFFFF
        if self._peek() in ("and", "&"):
            self._next()
            mask = extension.number(self._next())
        inverted = self._take("!=")
        if not inverted:
            self._take("==")
        wanted = extension.number(self._next())
        masked = "" if mask == 0xFFFFFFFF else f" & 0x{mask:08x}"
        self.said.append(
            f"meta mark{masked} {'!=' if inverted else '=='} 0x{wanted:08x}" if masked else f"meta mark 0x{wanted:08x}"
        )
        return Statement(
            lambda f, _w: None if (f.mark & mask == wanted) != inverted else False,
            lambda f: f"it carries the mark 0x{f.mark:x}" if f.mark else "it carries no mark",
        )

    def _skuid(self) -> Statement:
        """The user whose socket sent it.  Programs on a host are root's here; what only passes a host has no socket there."""
        user = self._next()
        self.said.append(f"meta skuid {user}")
        return Statement(
            lambda f, _w: None if not f.in_if and user == "0" else False,
            lambda f: (
                "it was not sent by a program of this host" if f.in_if else f"root's program sent it, not user {user}'s"
            ),
        )

    def _queue(self) -> Statement:
        bypass = self._take("flags", "bypass")
        self._take("to")
        asked = queue.Question(int(self._next()), bypass)
        self.said.append(f"queue {'flags bypass ' if bypass else ''}to {asked.number}")
        return Statement(lambda _f, _w: asked, lambda _f: asked.words)

    def _label(self) -> Statement:
        setting = self._take("set")
        number = int(self._next())
        self.said.append(f"ct label {'set ' if setting else ''}{number}")
        bit = 1 << number

        def put(flight: Flight, _walk: Walk) -> None:
            if flight.entry is not None:
                flight.entry.labels |= bit

        if setting:
            return Statement(put, lambda _f: f"its connection gets the label {number}")
        return Statement(
            lambda f, _w: None if f.entry is not None and f.entry.labels & bit else False,
            lambda _f: f"its connection has not the label {number}",
        )

    def _ct(self) -> Statement:
        if self._take("label"):
            return self._label()
        what, word = self._next(), self._next()
        while self._take(","):
            word += f",{self._next()}"
        self.said.append(f"ct {what} {word}")
        if what == "state":
            states = frozenset(word.upper().split(","))
            return Statement(
                lambda f, _w: None if (f.state or "INVALID") in states else False,
                lambda f: f"its connection is {f.state or 'INVALID'}, not {word}",
            )
        if what == "status" and word in ("dnat", "snat"):
            return Statement(
                lambda f, _w: (
                    None
                    if f.entry is not None and (f.entry.destination_nat if word == "dnat" else f.entry.source_nat)
                    else False
                ),
                lambda _f: f"its {'destination' if word == 'dnat' else 'source'} was not translated",
            )
        raise errors.NotSimulated(f"nft expression 'ct {what} {word}'")

    def _fib(self) -> Statement:
        side, kind, wanted = self._next(), self._next(), self._next()
        if side not in ("saddr", "daddr") or kind != "type":
            raise errors.NotSimulated(f"nft expression 'fib {side} {kind}'")
        self.said.append(f"fib {side} type {wanted}")
        field = _FIELDS["ip", side]
        return Statement(
            lambda f, w: None if w.host.routes.address_type(field(f)).lower() == wanted else False,
            lambda f: f"{_NAMES[side]} {field(f)} is not {wanted}",
        )

    # -- choices and translations ---------------------------------------------------------------------------

    def _draw(self) -> tuple[int, dict[str, list[str]]]:
        """`random mod N (map|vmap) { 0 : X, ... }` as N and the words for each number."""
        if not self._take("random", "mod"):
            raise errors.NotSimulated(f"nft expression 'numgen {self._peek()}'")
        count = int(self._next())
        kind = self._next()
        if kind not in ("map", "vmap") or self._next() != "{":
            raise extension.UsageError("syntax error, unexpected numgen")
        choices: dict[str, list[str]] = {}
        while self._peek() not in ("}", ""):
            number = self._next()
            self._take(":")
            words = choices.setdefault(number, [])
            while self._peek() not in ("}", ",", ""):
                words.append(self._next())
            self._take(",")
        self._next()
        self.anonymous += 1
        pairs = ", ".join(f"{number} : {' '.join(words)}" for number, words in choices.items())
        self.said.append(f"numgen random mod {count} {kind} {{ {pairs} }}")
        return count, choices

    def _numgen(self) -> Statement:
        count, choices = self._draw()
        verdicts = {number: verdict(words[0], words[-1])[0] for number, words in choices.items()}

        def draw(_flight: Flight, walk: Walk) -> int | Go | bool | None:
            chosen = verdicts.get(str(_chosen(walk, count)))
            return False if chosen is None else _dropped(chosen, walk)

        return Statement(draw, lambda _f: f"one of {count} is drawn")

    def _dnat(self) -> Statement:
        self.said.append("dnat")
        if self._peek() in ("ip", "ip6"):
            self.said.append(self._next())
        self._take("addr", ".", "port")
        self._take("to")
        self.said.append("to")
        if self._take("numgen"):
            count, choices = self._draw()
            targets = {number: (words[0], int(words[2]) if len(words) > 2 else 0) for number, words in choices.items()}
        else:
            word = self._next()
            self.said.append(word)
            count, targets = 1, {"0": _address_and_port(word)}

        def translate(flight: Flight, walk: Walk) -> int | Go | bool | None:
            ip, port = targets[str(_chosen(walk, count))]
            return _bind(flight, walk, nat.Range(address.canonical(ip), port, port), source=False)

        if count == 1:
            only = targets["0"]
            return Statement(translate, lambda _f: f"its destination is to become {only[0]}:{only[1]}")
        return Statement(translate, lambda _f: f"its destination is to become one of {count}, drawn at random")

    def _snat(self) -> Statement:
        self._take("to")
        word = self._next()
        self.said.append(f"snat to {word}")
        ip, port = _address_and_port(word)
        return Statement(
            lambda f, w: _bind(f, w, nat.Range(ip, port, port), source=True),
            lambda _f: f"its source is to become {word}",
        )

    def _masquerade(self) -> Statement:
        random = False
        self.said.append("masquerade")
        while self._peek() in ("fully-random", "random", "persistent"):
            random = True
            self.said.append(self._next())

        def masquerade(flight: Flight, walk: Walk) -> int | Go | bool | None:
            route = walk.host.routes.lookup(flight.dst)
            nexthop = route.via if route is not None and route.via else flight.dst
            return _bind(
                flight, walk, nat.Range(walk.host.source_for(flight.out_if, nexthop), random=random), source=True
            )

        return Statement(masquerade, lambda f: f"its source is to become this host's address on {f.out_if}")

    def _redirect(self) -> Statement:
        port = int(self._next().removeprefix(":")) if self._take("to") else 0
        self.said.append(f"redirect to :{port}" if port else "redirect")

        def redirect(flight: Flight, walk: Walk) -> int | Go | bool | None:
            loopback = "::1" if ":" in flight.dst else "127.0.0.1"
            ip = walk.host.source_for(flight.in_if, flight.src) if flight.in_if else loopback
            return _bind(flight, walk, nat.Range(ip, port, port), source=False)

        return Statement(redirect, lambda _f: "it is redirected to this host itself")

    def _reject(self) -> Statement:
        message = "port-unreachable"
        self.said.append("reject")
        if self._take("with"):
            kind = [self._next(), self._next()]
            if kind[0] != "tcp":
                self._take("type")
            message = kind[1] if kind[1] != "type" else self._next()
            self.said.append(f"with {kind[0]} {message}")
            message = "tcp-reset" if message == "reset" else message

        def reject(flight: Flight, walk: Walk) -> int:
            walk.reject(flight, message)
            return DROP

        return Statement(reject, lambda _f: "rejected, and the sender told")

    def _update(self) -> Statement:
        name = self._next()
        named = self._table.set(name.removeprefix("@"))
        if not self._take("{") or self._peek(1) not in ("saddr", "daddr"):
            raise errors.NotSimulated(f"nft expression 'update {name}'")
        words = (self._next(), self._next())
        field = _FIELDS[words]
        while self._next() not in ("}", ""):
            pass
        # A set that rules add to is bounded, and nft lists the bound.
        named.size = named.size or 65535
        self.said.append(f"update {name} {{ {' '.join(words)} }}")

        def update(flight: Flight, walk: Walk) -> None:
            if walk.live:
                named.remember((field(flight),), walk.host.world.now)

        return Statement(update, lambda f: f"{field(f)} is remembered in {name}")


_OPERATORS = {"or": "|", "|": "|", "and": "&", "&": "&", "xor": "^", "^": "^"}


def verdict(word: str, target: str = "") -> tuple[int | Go | None, str]:
    """A verdict from its words, and as nft lists it.  Raises `errors.NotSimulated`."""
    if word in ("jump", "goto"):
        return Go(target, word == "jump"), f"{word} {target}"
    known = {"accept": ACCEPT, "drop": DROP, "return": RETURN, "continue": None}
    if word not in known:
        raise errors.NotSimulated(f"nft verdict {word!r}")
    return known[word], word


def _verdict_words(result: int | Go | None) -> str:
    if isinstance(result, Go):
        return f"on to {result.chain}"
    return {ACCEPT: "accepted", DROP: "dropped", RETURN: "back to where it came from", None: "on to the next rule"}[
        result
    ]


def _dropped(result: int | Go | None, walk: Walk) -> int | Go | None:
    if result == DROP and not isinstance(result, Go):
        walk.end(Verdict.DROPPED, f"a rule of {walk.host.name} drops it")
    return result


def _chosen(walk: Walk, count: int) -> int:
    chosen = walk.chance.choose([1 / count] * count)
    walk.drawn = 1 / count
    return chosen


def _bind(flight: Flight, walk: Walk, wanted: nat.Range, *, source: bool) -> int:
    entry = flight.entry
    if entry is not None and not nat.bind(walk.conntrack(walk.host), entry, wanted, walk, source=source):
        walk.end(Verdict.DROPPED, f"no port is free on {wanted.address} to translate it to")
        return DROP
    return ACCEPT


def _address_and_port(word: str) -> tuple[str, int]:
    if word.startswith("["):
        ip, _, port = word[1:].partition("]")
        return ip, int(port.removeprefix(":") or 0)
    ip, colon, port = word.rpartition(":") if word.count(":") == 1 else (word, "", "")
    return (ip, int(port)) if colon else (word, 0)


def _one(word: str) -> Callable[[tuple[str, ...], Walk], bool]:
    """A test of a single key against a value, a range of addresses or of numbers, or an interface's beginning."""
    if "/" in word and address.is_address(word.partition("/")[0]):
        prefix = address.prefix(word)
        return lambda key, _w: prefix.contains(key[0])
    low, dash, high = word.partition("-")
    if dash and low.isdigit() and high.isdigit():
        return lambda key, _w: key[0].isdigit() and int(low) <= int(key[0]) <= int(high)
    wanted = value(word)
    wanted = _PROTOCOLS.get(wanted, wanted) if not wanted.isdigit() else wanted
    if wanted.endswith("*"):
        return lambda key, _w: key[0].startswith(wanted[:-1])
    return lambda key, _w: key[0] == wanted
