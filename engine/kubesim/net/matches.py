"""Matches that look at the packet alone: ports, flags, types, marks, interfaces' facts, comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kubesim import errors
from kubesim.net import address, extension
from kubesim.net.extension import SERVICE_NAMES, Given, InvalidRule, Match, Option, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk

    Test = Callable[[Flight, Walk], bool]
    Words = Callable[[Flight, Walk], str]


def _port_test(side: str, given: Given) -> tuple[Test, Words]:
    low, high = extension.bounds(given.value)
    inverted = given.inverted
    what = "destination" if side == "dport" else "source"
    wanted = "" if inverted else f", not {given.value}"

    def words(flight: Flight, _walk: Walk) -> str:
        return f"the {what} port is {getattr(flight, side)}{wanted}"

    if low == high and not inverted:
        if side == "dport":
            return (lambda f, _w: f.dport == low), words
        return (lambda f, _w: f.sport == low), words
    return (lambda f, _w: (low <= getattr(f, side) <= high) != inverted), words


def _list_ports(given: dict[str, Given], numeric: bool) -> list[str]:
    words = []
    for name, short in (("sport", "spt"), ("dport", "dpt")):
        if name in given:
            inverted, value = given[name]
            not_sign = "!" if inverted else ""
            words.append(f"{short}{'s' if ':' in value else ''}:{not_sign}{value if numeric else _named(value)}")
    return words


def _named(ports: str) -> str:
    """A saved range of ports with the names that /etc/services has."""
    return ":".join(SERVICE_NAMES.get(int(each), each) for each in ports.split(":"))


class Ports(Match):
    """Source and destination ports of one protocol."""

    options: ClassVar = {
        "sport": Option(extension.port_range),
        "dport": Option(extension.port_range),
        "source-port": Option(alias="sport"),
        "destination-port": Option(alias="dport"),
    }

    def tests(self) -> Iterable[tuple[Test, Words]]:
        return [_port_test(name, self.given[name]) for name in ("sport", "dport") if name in self.given]

    def describe(self, numeric: bool) -> str:
        return " ".join([self.name, *_list_ports(self.given, numeric)]) if self.given else self.name

    def check(self, rule: Rule) -> None:
        if rule.protocol is None or rule.protocol.inverted or rule.protocol.value != self.name:
            raise InvalidRule("Invalid argument")


_FLAG_BITS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}
_LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}


def _flag_names(word: str) -> str:
    names = word.upper().split(",")
    if names == ["ALL"]:
        names = list(_FLAG_BITS)
    if names == ["NONE"]:
        return "NONE"
    for name in names:
        if name not in _FLAG_BITS:
            raise UsageError(f"Unknown TCP flag `{name}'")
    return ",".join(sorted(names, key=lambda name: _FLAG_BITS[name]))


def _flag_number(names: str) -> int:
    return sum(_FLAG_BITS[name] for name in names.split(",") if name != "NONE")


def _tcp_flags(words: str) -> str:
    return " ".join(_flag_names(word) for word in words.split())


class Tcp(Ports):
    name = "tcp"
    options: ClassVar = {**Ports.options, "tcp-flags": Option(_tcp_flags, 2), "syn": Option(None, 0)}

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        if name == "syn":
            name, values = "tcp-flags", ["SYN,RST,ACK,FIN", "SYN"]
        super().take(name, values, inverted)

    def tests(self) -> Iterable[tuple[Test, Words]]:
        found = list(super().tests())
        given = self.given.get("tcp-flags")
        if given is not None:
            mask, wanted = (_flag_number(names) for names in given.value.split())

            def test(flight: Flight, _walk: Walk) -> bool:
                return (sum(_LETTERS[letter] for letter in flight.flags) & mask == wanted) != given.inverted

            found.append((test, lambda f, _w: f"its TCP flags are {f.flags}, not {given.value}"))
        return found

    def describe(self, numeric: bool) -> str:
        words = super().describe(numeric)
        given = self.given.get("tcp-flags")
        if given is not None:
            mask, wanted = (_flag_number(names) for names in given.value.split())
            shown = f"0x{mask:02X}/0x{wanted:02X}" if numeric else given.value.replace(" ", "/")
            words += f" flags:{'!' if given.inverted else ''}{shown}"
        return words


class Udp(Ports):
    name = "udp"


class Sctp(Ports):
    name = "sctp"


def _port_list(word: str) -> str:
    ports = [extension.port_range(each) for each in word.split(",")]
    if sum(2 if ":" in each else 1 for each in ports) > 15:
        raise UsageError("too many ports specified")
    return ",".join(ports)


class Multiport(Match):
    name = "multiport"
    options: ClassVar = {
        "sports": Option(_port_list),
        "dports": Option(_port_list),
        "ports": Option(_port_list),
        "source-ports": Option(alias="sports"),
        "destination-ports": Option(alias="dports"),
    }

    def check(self, rule: Rule) -> None:
        if rule.protocol is None or rule.protocol.inverted or rule.protocol.value not in ("tcp", "udp", "sctp"):
            raise UsageError("multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")

    def tests(self) -> Iterable[tuple[Test, Words]]:
        for name, given in self.given.items():
            ranges = [extension.bounds(each) for each in given.value.split(",")]
            sides = {"sports": ("sport",), "dports": ("dport",), "ports": ("sport", "dport")}[name]

            def test(
                flight: Flight,
                _walk: Walk,
                ranges: list[tuple[int, int]] = ranges,
                sides: tuple[str, ...] = sides,
                inverted: bool = given.inverted,
            ) -> bool:
                return any(low <= getattr(flight, side) <= high for side in sides for low, high in ranges) != inverted

            def words(flight: Flight, _walk: Walk, given: Given = given, sides: tuple[str, ...] = sides) -> str:
                port = " and ".join(str(getattr(flight, side)) for side in sides)
                return f"port {port} is {'one' if given.inverted else 'none'} of {given.value}"

            yield test, words

    def describe(self, numeric: bool) -> str:
        words = ["multiport"]
        for name, given in self.given.items():
            shown = given.value if numeric else ",".join(_named(each) for each in given.value.split(","))
            words.append(f"{name} {'! ' if given.inverted else ''}{shown}")
        return " ".join(words)


# ICMP type (and code) by the names that iptables takes, and as this engine's packets carry them.
_ICMP_TYPES = {
    "any": "any", "echo-reply": "0", "destination-unreachable": "3", "network-unreachable": "3/0", "host-unreachable": "3/1",
    "protocol-unreachable": "3/2", "port-unreachable": "3/3", "fragmentation-needed": "3/4", "network-prohibited": "3/9",
    "host-prohibited": "3/10", "communication-prohibited": "3/13", "redirect": "5", "echo-request": "8", "ping": "8", "pong": "0",
    "time-exceeded": "11", "ttl-exceeded": "11",
}  # fmt: skip
_MESSAGES = {
    "echo-reply": "0/0", "net-unreachable": "3/0", "host-unreachable": "3/1", "proto-unreachable": "3/2",
    "port-unreachable": "3/3", "net-prohibited": "3/9", "host-prohibited": "3/10", "admin-prohibited": "3/13",
    "echo-request": "8/0", "time-exceeded": "11/0",
}  # fmt: skip


def _icmp_type(word: str) -> str:
    if word in _ICMP_TYPES:
        return _ICMP_TYPES[word]
    number, slash, code = word.partition("/")
    if not number.isdigit() or (slash and not code.isdigit()) or int(number) > 255:
        raise UsageError(f"Invalid ICMP type `{word}'\n")
    return word


class Icmp(Match):
    name = "icmp"
    options: ClassVar = {"icmp-type": Option(_icmp_type)}

    def tests(self) -> Iterable[tuple[Test, Words]]:
        given = self.given.get("icmp-type")
        if given is None or given.value == "any":
            return
        wanted = given.value if "/" in given.value else given.value + "/"

        def test(flight: Flight, _walk: Walk) -> bool:
            return _MESSAGES.get(flight.icmp, "").startswith(wanted) != given.inverted

        yield test, lambda f, _w: f"it is ICMP {f.icmp}, not type {given.value}"

    def describe(self, numeric: bool) -> str:
        given = self.given.get("icmp-type", Given(False, "255"))
        not_sign = "!" if given.inverted else ""
        if not numeric:
            name = next((name for name, value in _ICMP_TYPES.items() if value == given.value), "")
            if name:
                return f"icmp {not_sign}{name}"
        number, slash, code = given.value.partition("/")
        return f"icmptype {not_sign}{number}" + (f" code {code}" if slash else "")


_ADDRESS_TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT",
    "XRESOLVE",
)  # fmt: skip


def _address_types(word: str) -> str:
    names = word.upper().split(",")
    for name in names:
        if name not in _ADDRESS_TYPES:
            raise UsageError(f"addrtype: bad type `{name}'")
    return ",".join(sorted(names, key=_ADDRESS_TYPES.index))


class Addrtype(Match):
    name = "addrtype"
    options: ClassVar = {
        "src-type": Option(_address_types),
        "dst-type": Option(_address_types),
        "limit-iface-in": Option(None, 0, invertible=False),
        "limit-iface-out": Option(None, 0, invertible=False),
    }

    def check(self, rule: Rule) -> None:
        if "src-type" not in self.given and "dst-type" not in self.given:
            raise UsageError("addrtype: you must specify --src-type or --dst-type")

    def tests(self) -> Iterable[tuple[Test, Words]]:
        device = "in_if" if "limit-iface-in" in self.given else "out_if" if "limit-iface-out" in self.given else ""
        for option, side, what in (("src-type", "src", "source"), ("dst-type", "dst", "destination")):
            given = self.given.get(option)
            if given is None:
                continue
            wanted = given.value.split(",")
            if wanted == ["LOCAL"] and not device and not given.inverted:
                if side == "src":
                    test: Test = lambda f, w: w.host.routes.is_local(f.src)  # noqa: E731
                else:
                    test = lambda f, w: w.host.routes.is_local(f.dst)  # noqa: E731
            else:

                def test(
                    flight: Flight, walk: Walk, side: str = side, given: Given = given, wanted: list[str] = wanted
                ) -> bool:
                    kind = walk.host.routes.address_type(getattr(flight, side))
                    if device and kind == "LOCAL":
                        interface = walk.host.interfaces.get(getattr(flight, device))
                        if interface is None or all(each.ip != getattr(flight, side) for each in interface.addresses):
                            kind = "UNICAST"
                    return (kind in wanted) != given.inverted

            def words(flight: Flight, walk: Walk, side: str = side, what: str = what, given: Given = given) -> str:
                ip = getattr(flight, side)
                if given.value == "LOCAL":
                    return (
                        f"the {what} {ip} is {'' if given.inverted else 'not '}one of {walk.host.name}'s own addresses"
                    )
                return f"the {what} {ip} is {walk.host.routes.address_type(ip)}"

            yield test, words

    def describe(self, numeric: bool) -> str:
        words = ["ADDRTYPE match"]
        for name, given in self.given.items():
            if name.startswith("limit-iface"):
                words.append(name.replace("iface-", ""))
            else:
                words.append(f"{name} {'!' if given.inverted else ''}{given.value}")
        return " ".join(words)


def _mark(word: str) -> str:
    value, mask = extension.mark_and_mask("mark")(word)
    return f"0x{value:x}" if mask == 0xFFFFFFFF else f"0x{value:x}/0x{mask:x}"


class Mark(Match):
    name = "mark"
    options: ClassVar = {"mark": Option(_mark)}

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError('mark: option "--mark" must be specified\n')

    def tests(self) -> Iterable[tuple[Test, Words]]:
        inverted, text = self.given["mark"]
        value, mask = extension.mark_and_mask("mark")(text)

        def words(flight: Flight, _walk: Walk) -> str:
            has = f"it carries the mark 0x{flight.mark:x}" if flight.mark else "it carries no mark"
            return has if inverted else f"{has}, not {text}"

        if inverted:
            return [((lambda f, _w: f.mark & mask != value), words)]
        return [((lambda f, _w: f.mark & mask == value), words)]

    def describe(self, numeric: bool) -> str:
        inverted, text = self.given["mark"]
        return f"mark match {'! ' if inverted else ''}{text}"


class Comment(Match):
    name = "comment"
    options: ClassVar = {"comment": Option(lambda word: word, invertible=False)}

    def save(self) -> list[str]:
        return ["--comment", extension.quoted(self.given["comment"].value)]

    def tests(self) -> Iterable[tuple[Test, Words]]:
        return ()

    def describe(self, numeric: bool) -> str:
        return f"/* {self.given['comment'].value} */"

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError('comment: option "--comment" must be specified\n')


def _address_range(word: str) -> str:
    low, dash, high = word.partition("-")
    for each in (low, high if dash else low):
        if not address.is_address(each):
            raise UsageError(f'iprange: Bad value for "--src-range" option: "{word}"\n')
    return word if dash else f"{low}-{low}"


class Iprange(Match):
    name = "iprange"
    options: ClassVar = {"src-range": Option(_address_range), "dst-range": Option(_address_range)}

    def tests(self) -> Iterable[tuple[Test, Words]]:
        for option, side in (("src-range", "src"), ("dst-range", "dst")):
            given = self.given.get(option)
            if given is None:
                continue
            low, high = (address.number(each) for each in given.value.split("-"))

            yield _range_test(side, low, high, given)

    def describe(self, numeric: bool) -> str:
        return " ".join(
            f"{'source' if name == 'src-range' else 'destination'} IP range {'! ' if given.inverted else ''}{given.value}"
            for name, given in self.given.items()
        )


def _range_test(side: str, low: int, high: int, given: Given) -> tuple[Test, Words]:
    return (
        lambda f, _w: (low <= address.number(getattr(f, side)) <= high) != given.inverted,
        lambda f, _w: f"{getattr(f, side)} is {'in' if given.inverted else 'not in'} {given.value}",
    )


class Pkttype(Match):
    name = "pkttype"
    options: ClassVar = {"pkt-type": Option(lambda word: word.lower())}

    def tests(self) -> Iterable[tuple[Test, Words]]:
        inverted, wanted = self.given["pkt-type"]
        # Every packet of this engine was sent to one host.
        return [(lambda _f, _w: (wanted == "unicast") != inverted, lambda _f, _w: f"it is unicast, not {wanted}")]

    def describe(self, numeric: bool) -> str:
        inverted, wanted = self.given["pkt-type"]
        return f"PKTTYPE {'!= ' if inverted else '= '}{wanted}"


class Physdev(Match):
    """The port of a bridge that a packet came by or leaves by.  Which port it was is not simulated."""

    name = "physdev"
    # In the order in which they are saved (libxt_physdev.c).
    options: ClassVar = {
        "physdev-is-in": Option(None, 0),
        "physdev-in": Option(str),
        "physdev-is-out": Option(None, 0),
        "physdev-out": Option(str),
        "physdev-is-bridged": Option(None, 0),
    }

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        if name not in ("physdev-is-in", "physdev-is-bridged"):
            raise errors.NotSimulated(f"iptables option --{name}")
        super().take(name, values, inverted)

    def tests(self) -> Iterable[tuple[Test, Words]]:
        def by_port(flight: Flight, walk: Walk) -> bool:
            interface = walk.host.interfaces.get(flight.in_if)
            seen = walk.host.sysctls["net.bridge.bridge-nf-call-iptables"]  # else br_netfilter notes no port
            return bool(seen) and interface is not None and interface.kind == "bridge"

        def bridged(flight: Flight, walk: Walk) -> bool:
            interface = walk.host.interfaces.get(flight.in_if)
            return interface is not None and interface.kind == "bridge" and flight.in_if == flight.out_if

        for name, test, plain, negated in (
            ("physdev-is-in", by_port, "it came by no port of a bridge", "it came by a port of a bridge"),
            ("physdev-is-bridged", bridged, "it is routed, not bridged", "it is bridged"),
        ):
            given = self.given.get(name)
            if given is not None:
                inverted, words = given.inverted, negated if given.inverted else plain
                yield (
                    lambda f, w, test=test, inverted=inverted: test(f, w) != inverted,  # type: ignore[misc]
                    lambda f, _w, words=words: words,  # type: ignore[misc]
                )

    def describe(self, numeric: bool) -> str:
        return " ".join(["PHYSDEV match", *self.save()])


MATCHES: dict[str, type[Match]] = {
    each.name: each for each in (Tcp, Udp, Sctp, Multiport, Icmp, Addrtype, Mark, Comment, Iprange, Pkttype, Physdev)
}
