"""Matches that remember, count or draw: conntrack, state, statistic, recent, limit, nfacct."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kubesim import errors
from kubesim.net import address, extension
from kubesim.net.extension import Match, Option, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk

    Test = Callable[[Flight, Walk], bool]
    Words = Callable[[Flight, Walk], str]

# In the order in which they are printed (iptables, libxt_conntrack.c: print_state).
_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")


def _states(what: str) -> Callable[[str], str]:
    def parse(word: str) -> str:
        names = word.upper().split(",")
        for name in names:
            if name not in (_STATES if what == "ctstate" else _STATES[:5]):
                raise UsageError(f'Bad {what} "{name}"')
        return ",".join(sorted(set(names), key=_STATES.index))

    return parse


def _state_tests(wanted: str, inverted: bool) -> tuple[Test, Words]:
    names = frozenset(wanted.split(","))
    source, destination = "SNAT" in names, "DNAT" in names

    def test(flight: Flight, _walk: Walk) -> bool:
        found = (flight.state or "INVALID") in names
        entry = flight.entry
        if not found and entry is not None:
            found = (source and entry.source_nat) or (destination and entry.destination_nat)
        return found != inverted

    def words(flight: Flight, _walk: Walk) -> str:
        state = flight.state or "INVALID"
        return f"its connection is {state}" + ("" if inverted else f", not {wanted.replace(',', ' or ')}")

    return test, words


class State(Match):
    name = "state"
    options: ClassVar = {"state": Option(_states("state"))}

    def tests(self) -> Iterable[tuple[Test, Words]]:
        inverted, wanted = self.given["state"]
        return [_state_tests(wanted, inverted)]

    def describe(self, numeric: bool) -> str:
        inverted, wanted = self.given["state"]
        return f"{'! ' if inverted else ''}state {wanted}"

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError("You must specify `--state'")


def _protocol_number(word: str) -> str:
    number = extension.PROTOCOL_NUMBERS.get(word.lower())
    if number is None and not word.isdigit():
        raise UsageError(f'unknown protocol "{word}" specified')
    return str(number if number is not None else int(word))


def _ct_address(word: str) -> str:
    try:
        prefix = address.prefix(word)
    except ValueError:
        raise UsageError(f"host/network `{word}' not found") from None
    return address.text(prefix.base, prefix.bits) if prefix.length == prefix.bits else str(prefix)


_CT_ADDRESSES = ("ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst")
_CT_PORTS = ("ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport")


class Conntrack(Match):
    name = "conntrack"
    options: ClassVar = {
        "ctstate": Option(_states("ctstate")),
        "ctproto": Option(_protocol_number),
        **{name: Option(_ct_address) for name in _CT_ADDRESSES},
        **{name: Option(extension.port_range) for name in _CT_PORTS},
        "ctstatus": Option(lambda word: word.upper()),
        "ctdir": Option(extension.choice("ctdir", ("ORIGINAL", "REPLY")), invertible=False),
    }

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        if name in ("ctstatus", "ctexpire"):
            raise errors.NotSimulated(f"iptables option --{name}")
        super().take(name, values, inverted)

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError("conntrack: At least one option is required")

    def tests(self) -> Iterable[tuple[Test, Words]]:
        for name, (inverted, value) in self.given.items():
            if name == "ctstate":
                yield _state_tests(value, inverted)
            elif name == "ctdir":
                yield (
                    _direction_test(value == "REPLY"),
                    _saying(f"it does not go in the connection's {value} direction"),
                )
            else:
                yield _tuple_test(name, value, inverted), _saying(f"its connection's {name[2:]} is not {value}")

    def describe(self, numeric: bool) -> str:
        return " ".join(f"{'! ' if given.inverted else ''}{name} {given.value}" for name, given in self._sorted())

    def _sorted(self) -> list[tuple[str, extension.Given]]:
        return [(name, self.given[name]) for name in self.options if name in self.given]


def _saying(words: str) -> Words:
    return lambda _f, _w: words


def _direction_test(reply: bool) -> Test:
    return lambda f, _w: f.entry is not None and f.reply == reply


def _tuple_test(name: str, value: str, inverted: bool) -> Test:
    if name == "ctproto":
        names = {known for known, number in extension.PROTOCOL_NUMBERS.items() if str(number) == value}
        return lambda f, _w: f.entry is not None and (f.entry.original.protocol in names) != inverted
    side = "src" if "src" in name else "dst"
    original = "orig" in name
    if name in _CT_PORTS:
        low, high = extension.bounds(value)
        port = "sport" if side == "src" else "dport"

        def port_test(flight: Flight, _walk: Walk) -> bool:
            entry = flight.entry
            return (
                entry is not None
                and (low <= getattr(entry.original if original else entry.reply, port) <= high) != inverted
            )

        return port_test
    prefix = address.prefix(value)

    def address_test(flight: Flight, _walk: Walk) -> bool:
        entry = flight.entry
        return (
            entry is not None
            and prefix.contains(getattr(entry.original if original else entry.reply, side)) != inverted
        )

    return address_test


_SCALE = 0x80000000


def _probability(word: str) -> str:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError('statistic: bad value for option "--probability", or out of range (0-1.0)')
    # The kernel keeps 31 bits of it; iptables-save prints what it kept (libxt_statistic.c: lround(0x80000000 * prob)).
    return f"{int(value * _SCALE + 0.5) / _SCALE:.11f}"


def _whole(option: str) -> Callable[[str], str]:
    def parse(word: str) -> str:
        try:
            return str(extension.number(word))
        except ValueError:
            raise UsageError(f'bad value for option "--{option}", or out of range (0-4294967295).\n') from None

    return parse


class Statistic(Match):
    """`--mode random`: 31 random bits below the probability.  `--mode nth`: every n-th packet that asks."""

    name = "statistic"
    options: ClassVar = {
        "mode": Option(extension.choice("mode", ("RANDOM", "NTH")), invertible=False),
        "probability": Option(_probability),
        "every": Option(_whole("every")),
        "packet": Option(_whole("packet"), invertible=False),
    }

    def __init__(self, ipv6: bool) -> None:
        super().__init__(ipv6)
        self._count: int | None = None

    @property
    def stateful(self) -> bool:  # type: ignore[override]  # only nth counts
        return "every" in self.given

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        super().take(name, values, inverted)
        if name == "mode":
            self.given["mode"] = extension.Given(False, self.given["mode"].value.lower())

    def check(self, rule: Rule) -> None:
        needed = {"random": "probability", "nth": "every"}.get(self.given["mode"].value if "mode" in self.given else "")
        if needed is None:
            raise UsageError('statistic: option "--mode" must be specified\n')
        if needed not in self.given:
            raise UsageError(f"You need to specify --{needed}")
        if needed == "every" and "packet" not in self.given:
            self.given["packet"] = extension.Given(False, "0")

    def tests(self) -> Iterable[tuple[Test, Words]]:
        if "every" in self.given:
            inverted, every = self.given["every"][0], int(self.given["every"].value)

            def nth(_flight: Flight, walk: Walk) -> bool:
                # libxt_statistic.c, statistic_check: `--packet 0` takes the first packet.
                first = every - 1 - int(self.given["packet"].value)
                count = first if self._count is None else self._count
                following = 0 if count >= every - 1 else count + 1
                if walk.live:
                    self._count = following
                # Turns go by: the branch view shows each with its share.
                mine = walk.chance.turn((1 / every, 1 - 1 / every), 0 if following == 0 else 1) == 0
                return mine != inverted

            return [(nth, lambda _f, _w: f"it was not the turn of this rule (every {every})")]
        inverted, text = self.given["probability"]
        probability = float(text)
        if inverted:
            probability = 1 - probability
        weights = (probability, 1 - probability)

        def random(_flight: Flight, walk: Walk) -> bool:
            chosen = walk.chance.choose(weights)
            walk.drawn = weights[chosen]
            return chosen == 0

        return [
            (random, lambda _f, _w: f"the draw went elsewhere (this rule takes {probability:.3g} of what comes here)")
        ]

    def describe(self, numeric: bool) -> str:
        if "every" in self.given:
            packet = self.given["packet"].value
            words = (
                f"statistic mode nth {'! ' if self.given['every'].inverted else ''}every {self.given['every'].value}"
            )
            return words + (f" packet {packet}" if packet != "0" else "")
        inverted, probability = self.given["probability"]
        return f"statistic mode random {'! ' if inverted else ''}probability {probability}"


# Linux, xt_recent: ip_list_tot and ip_pkt_list_tot.
_RECENT_ADDRESSES, _RECENT_STAMPS = 100, 20
_RECENT_MODES = {"set": "SET", "rcheck": "CHECK", "update": "UPDATE", "remove": "REMOVE"}


class Recent(Match):
    """Lists of addresses seen lately, by name, one per host (Linux, net/netfilter/xt_recent.c)."""

    name = "recent"
    options: ClassVar = {
        **{mode: Option(None, 0) for mode in _RECENT_MODES},
        "seconds": Option(_whole("seconds"), invertible=False),
        "reap": Option(None, 0, invertible=False),
        "hitcount": Option(_whole("hitcount"), invertible=False),
        "name": Option(str, invertible=False),
        "mask": Option(str, invertible=False),
        "rsource": Option(None, 0, invertible=False),
        "rdest": Option(None, 0, invertible=False),
    }

    def check(self, rule: Rule) -> None:
        modes = [mode for mode in _RECENT_MODES if mode in self.given]
        if len(modes) != 1:
            raise UsageError("recent: you must specify one of `--set', `--rcheck' `--update' or `--remove'")
        if "reap" in self.given and "seconds" not in self.given:
            raise UsageError('recent: option "--reap" also requires "--seconds".')
        self.given.setdefault("name", extension.Given(False, "DEFAULT"))
        every_bit = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" if self.ipv6 else "255.255.255.255"
        if self.given.setdefault("mask", extension.Given(False, every_bit)).value != every_bit:
            raise errors.NotSimulated("iptables option --mask of the recent match")
        if "rdest" not in self.given:
            self.given.setdefault("rsource", extension.Given(False, ""))

    @property
    def _mode(self) -> str:
        return next(mode for mode in _RECENT_MODES if mode in self.given)

    def tests(self) -> Iterable[tuple[Test, Words]]:
        mode = self._mode
        inverted = self.given[mode].inverted
        name = self.given["name"].value
        seconds = int(self.given["seconds"].value) if "seconds" in self.given else 0
        hitcount = int(self.given["hitcount"].value) if "hitcount" in self.given else 0
        side = "dst" if "rdest" in self.given else "src"

        def test(flight: Flight, walk: Walk) -> bool:
            lists = walk.host.rules(flight.dst).recent
            now = walk.host.world.now
            seen = lists.get(name, {})
            ip = getattr(flight, side)
            stamps = seen.get(ip)
            found = False
            if mode == "set":
                found = True
            elif stamps is not None:
                fresh = [stamp for stamp in stamps if not seconds or stamp >= now - seconds]
                found = mode == "remove" or (bool(fresh) and len(fresh) >= hitcount)
            if walk.live:
                if mode == "set" or (mode == "update" and found):
                    seen = lists.setdefault(name, {})
                    # Least recently used goes first; Python's dicts keep the order of insertion.
                    seen[ip] = [*seen.pop(ip, []), now][-_RECENT_STAMPS:]
                    if len(seen) > _RECENT_ADDRESSES:
                        del seen[next(iter(seen))]
                elif mode == "remove" and stamps is not None:
                    del seen[ip]
            return found != inverted

        def words(flight: Flight, _walk: Walk) -> str:
            return f"{getattr(flight, side)} has not come this way" + (f" in the last {seconds} s" if seconds else "")

        return [(test, words)]

    def describe(self, numeric: bool) -> str:
        mode = self._mode
        words = [f"{'! ' if self.given[mode].inverted else ''}recent: {_RECENT_MODES[mode]}"]
        if "seconds" in self.given:
            words.append(f"seconds: {self.given['seconds'].value}")
        if "reap" in self.given:
            words.append("reap")
        if "hitcount" in self.given:
            words.append(f"hit_count: {self.given['hitcount'].value}")
        words.append(f"name: {self.given['name'].value}")
        words.append(f"side: {'dest' if 'rdest' in self.given else 'source'}")
        words.append(f"mask: {self.given['mask'].value}")
        return " ".join(words)


_LIMIT_SCALE = 10000
_LIMIT_UNITS = (("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1))


def _rate(word: str) -> str:
    count, slash, unit = word.partition("/")
    seconds = next((size for name, size in _LIMIT_UNITS if _unit_is(unit or "sec", name)), 0)
    if not count.isdigit() or not int(count) or (slash and not seconds):
        raise UsageError(f"limit: bad rate `{word}'\n")
    period = _LIMIT_SCALE * seconds // int(count)
    if not period:
        raise UsageError(f'Rate too fast "{word}"\n')
    # libxt_limit.c: print_rate shows the largest unit that is exact enough.
    chosen = _LIMIT_UNITS[0]
    for unit_and_size in _LIMIT_UNITS[1:]:
        size = unit_and_size[1] * _LIMIT_SCALE
        if period > size or size // period < size % period:
            break
        chosen = unit_and_size
    return f"{chosen[1] * _LIMIT_SCALE // period}/{chosen[0]}"


def _unit_is(word: str, name: str) -> bool:
    full = {"sec": "second", "min": "minute"}.get(name, name)
    return bool(word) and full.startswith(word.lower())


class Limit(Match):
    """A bucket of tokens, `--limit-burst` deep, filled at `--limit`."""

    name = "limit"
    stateful = True
    options: ClassVar = {
        "limit": Option(_rate, invertible=False),
        "limit-burst": Option(_whole("limit-burst"), invertible=False),
    }

    def __init__(self, ipv6: bool) -> None:
        super().__init__(ipv6)
        self._tokens: float | None = None
        self._filled = 0.0

    def check(self, rule: Rule) -> None:
        self.given.setdefault("limit", extension.Given(False, "3/hour"))

    def save(self) -> list[str]:
        words = ["--limit", self.given["limit"].value]
        return words if self._burst == 5 else [*words, "--limit-burst", str(self._burst)]

    @property
    def _burst(self) -> int:
        return int(self.given["limit-burst"].value) if "limit-burst" in self.given else 5

    def tests(self) -> Iterable[tuple[Test, Words]]:
        count, _, unit = self.given["limit"].value.partition("/")
        rate = int(count) / dict(_LIMIT_UNITS)[unit]

        def test(_flight: Flight, walk: Walk) -> bool:
            now = walk.host.world.now
            tokens = (
                float(self._burst)
                if self._tokens is None
                else min(self._burst, self._tokens + (now - self._filled) * rate)
            )
            found = tokens >= 1
            if walk.live:
                self._filled = now
                self._tokens = tokens - 1 if found else tokens
            return found

        return [(test, lambda _f, _w: f"more than {self.given['limit'].value} came")]

    def describe(self, numeric: bool) -> str:
        return f"limit: avg {self.given['limit'].value} burst {self._burst}"


class Nfacct(Match):
    """A named counter; it matches always."""

    name = "nfacct"
    options: ClassVar = {"nfacct-name": Option(str, invertible=False)}

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError("nfacct: option `--nfacct-name' must be specified")

    def save(self) -> list[str]:
        # libxt_nfacct.c prints two blanks.
        return ["--nfacct-name", "", self.given["nfacct-name"].value]

    def tests(self) -> Iterable[tuple[Test, Words]]:
        name = self.given["nfacct-name"].value

        def count(flight: Flight, walk: Walk) -> bool:
            if walk.live:
                counters = walk.host.rules(flight.dst).nfacct
                packets, octets = counters.get(name, (0, 0))
                counters[name] = (packets + 1, octets + flight.length)
            return True

        return [(count, lambda _f, _w: "")]

    def describe(self, numeric: bool) -> str:
        return f"nfacct-name  {self.given['nfacct-name'].value}"


MATCHES: dict[str, type[Match]] = {each.name: each for each in (State, Conntrack, Statistic, Recent, Limit, Nfacct)}
