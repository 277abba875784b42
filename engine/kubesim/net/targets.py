"""Targets: what a matching rule does.  The verdicts ACCEPT, DROP and RETURN, and jumps, are `netfilter`'s own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kubesim import errors, ids
from kubesim.net import address, extension, nat
from kubesim.net.extension import ACCEPT, CONTINUE, DROP, Given, Option, Target, UsageError
from kubesim.net.trace import Verdict

if TYPE_CHECKING:
    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk


def _translation(word: str) -> str:
    """ADDRESS[-ADDRESS][:PORT[-PORT]], IPv6 in brackets when ports follow."""
    addresses, ports = _parts(word)
    low, dash, high = addresses.partition("-")
    for each in (low, high) if dash else (low,) if low else ():
        if not address.is_address(each):
            raise UsageError(f'Bad IP address "{each}"')
    _range(ports, word)
    return word


def _parts(word: str) -> tuple[str, str]:
    if word.startswith("["):
        inside, _, ports = word[1:].partition("]")
        return inside, ports.removeprefix(":")
    if word.count(":") > 1:
        return word, ""
    addresses, _, ports = word.partition(":")
    return addresses, ports


def _range(ports: str, word: str) -> tuple[int, int]:
    if not ports:
        return 0, 0
    low, dash, high = ports.partition("-")
    if not low.isdigit() or (dash and not high.isdigit()) or not 0 < int(low) < 65536 or (dash and int(high) > 65535):
        raise UsageError(f"Port range `{ports}' invalid" if dash else f"Port `{ports}' not valid")
    return int(low), int(high or low)


def _ports_only(word: str) -> str:
    _range(word, word)
    return word


class _Nat(Target):
    """DNAT, SNAT and their short forms.  `source` says which side they rewrite."""

    tables: ClassVar = ("nat",)
    source: ClassVar = False
    to: ClassVar = ""

    def check(self, rule: Rule) -> None:
        if self.to and self.to not in self.given:
            raise UsageError(f'{self.name}: option "--{self.to}" must be specified\n')
        if self._ports() != (0, 0) and (
            rule.protocol is None or rule.protocol.inverted or rule.protocol.value not in ("tcp", "udp", "sctp")
        ):
            raise UsageError("Need TCP, UDP, SCTP or DCCP with port specification")

    def _ports(self) -> tuple[int, int]:
        if self.to:
            return _range(_parts(self.given[self.to].value)[1], "") if self.to in self.given else (0, 0)
        return _range(self.given["to-ports"].value, "") if "to-ports" in self.given else (0, 0)

    def _address(self, flight: Flight, walk: Walk) -> str:
        addresses = _parts(self.given[self.to].value)[0]
        low, dash, high = addresses.partition("-")
        if not dash or not low:
            return low
        # nf_nat_core.c: find_best_ips_proto spreads by a hash of the sender (and, unless --persistent, of whom it sends to).
        first, last = address.number(low), address.number(high)
        key = flight.src if "persistent" in self.given else flight.src + flight.dst
        return address.text(first + ids.fnv32a(key.encode()) % (last - first + 1), 128 if ":" in low else 32)

    def act(self, flight: Flight, walk: Walk) -> int:
        entry = flight.entry
        if entry is None:
            return ACCEPT
        low, high = self._ports()
        random = "random" in self.given or "random-fully" in self.given
        wanted = nat.Range(self._address(flight, walk), low, high, random)
        if not wanted.address and not self.to:
            walk.end(
                Verdict.DROPPED, f"{self.name} found no address on {flight.in_if or flight.out_if} to translate it to"
            )
            return DROP
        if not nat.bind(walk.conntrack(walk.host), entry, wanted, walk, source=self.source):
            walk.end(Verdict.DROPPED, f"no port is free on {wanted.address} to translate it to")
            return DROP
        return ACCEPT

    def words(self, flight: Flight) -> str:
        side = "source" if self.source else "destination"
        return f"its {side} is to become {self.given[self.to].value}"

    def _flags(self) -> str:
        return "".join(f" {name}" for name in ("random", "random-fully", "persistent") if name in self.given)


_FLAGS = {
    "random": Option(None, 0, invertible=False),
    "random-fully": Option(None, 0, invertible=False),
    "persistent": Option(None, 0, invertible=False),
}


class Dnat(_Nat):
    name = "DNAT"
    to = "to-destination"
    options: ClassVar = {"to-destination": Option(_translation, invertible=False), **_FLAGS}

    def describe(self, numeric: bool) -> str:
        return f"to:{self.given[self.to].value}{self._flags()}"


class Snat(_Nat):
    name = "SNAT"
    to = "to-source"
    source = True
    options: ClassVar = {"to-source": Option(_translation, invertible=False), **_FLAGS}

    def describe(self, numeric: bool) -> str:
        return f"to:{self.given[self.to].value}{self._flags()}"


class Masquerade(_Nat):
    """SNAT to the address that the host speaks from on the outgoing interface."""

    name = "MASQUERADE"
    source = True
    options: ClassVar = {"to-ports": Option(_ports_only, invertible=False), **_FLAGS}

    def _address(self, flight: Flight, walk: Walk) -> str:
        route = walk.host.routes.lookup(flight.dst)
        nexthop = route.via if route is not None and route.via else flight.dst
        return walk.host.source_for(flight.out_if, nexthop)

    def words(self, flight: Flight) -> str:
        return f"its source is to become this host's address on {flight.out_if}"

    def describe(self, numeric: bool) -> str:
        ports = f"masq ports: {self.given['to-ports'].value}" if "to-ports" in self.given else ""
        return f"{ports}{self._flags()}".strip()


class Redirect(_Nat):
    """DNAT to this host itself: to loopback for what it sent itself, else to the incoming interface's address."""

    name = "REDIRECT"
    options: ClassVar = {"to-ports": Option(_ports_only, invertible=False), "random": _FLAGS["random"]}

    def _address(self, flight: Flight, walk: Walk) -> str:
        if not flight.in_if:
            return "::1" if ":" in flight.dst else "127.0.0.1"
        # nf_nat_redirect.c: the first address of the interface; without one the packet is dropped.
        own = walk.host.interfaces[flight.in_if].addresses
        return next((each.ip for each in own if (":" in each.ip) == self.ipv6), "")

    def words(self, flight: Flight) -> str:
        return "it is redirected to this host itself"

    def describe(self, numeric: bool) -> str:
        return (
            f"redir ports {self.given['to-ports'].value}{self._flags()}"
            if "to-ports" in self.given
            else self._flags().strip()
        )


def _xmark(option: str, word: str) -> tuple[int, int]:
    value, mask = extension.mark_and_mask(option)(word)
    if option == "set-xmark":
        return value, mask
    if option == "set-mark":
        return value, mask | value
    if option == "or-mark":
        return value, value
    if option == "and-mark":
        return 0, ~value & 0xFFFFFFFF
    return value, 0


def _mark_text(option: str) -> Option:
    def parse(word: str) -> str:
        value, mask = _xmark(option, word)
        return f"0x{value:x}/0x{mask:x}"

    return Option(parse, invertible=False)


_MARK_FORMS = ("set-mark", "and-mark", "or-mark", "xor-mark")


class Mark(Target):
    """Sets bits of the packet's mark: (mark & ~MASK) ^ VALUE."""

    name = "MARK"
    options: ClassVar = {"set-xmark": _mark_text("set-xmark"), **{form: _mark_text(form) for form in _MARK_FORMS}}

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        super().take(name, values, inverted)
        self.given = {"set-xmark": self.given[name]}

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError("MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required")

    def _numbers(self) -> tuple[int, int]:
        return extension.mark_and_mask("set-xmark")(self.given["set-xmark"].value)

    def act(self, flight: Flight, walk: Walk) -> int:
        value, mask = self._numbers()
        flight.mark = flight.mark & ~mask ^ value
        flight.touch()
        return CONTINUE

    def words(self, flight: Flight) -> str:
        value, mask = self._numbers()
        if not value:
            return f"the mark 0x{mask:x} is taken off it"
        return f"the mark 0x{value:x} is {'put on' if mask else 'flipped on'} it"

    def describe(self, numeric: bool) -> str:
        value, mask = self._numbers()
        if value == 0:
            return f"MARK and 0x{~mask & 0xFFFFFFFF:x}"
        if value == mask:
            return f"MARK or 0x{value:x}"
        if mask == 0:
            return f"MARK xor 0x{value:x}"
        return f"MARK set 0x{value:x}" if mask == 0xFFFFFFFF else f"MARK xset 0x{value:x}/0x{mask:x}"


class Connmark(Target):
    """The connection's mark: set it, save the packet's there, or restore it from there."""

    name = "CONNMARK"
    options: ClassVar = {
        "set-xmark": _mark_text("set-xmark"),
        "set-mark": _mark_text("set-mark"),
        "save-mark": Option(None, 0, invertible=False),
        "restore-mark": Option(None, 0, invertible=False),
        "nfmask": Option(str, invertible=False),
        "ctmask": Option(str, invertible=False),
    }

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        super().take(name, values, inverted)
        if name == "set-mark":
            self.given = {"set-xmark": self.given[name]}

    def check(self, rule: Rule) -> None:
        if "set-xmark" not in self.given:
            for mask in ("nfmask", "ctmask"):
                self.given.setdefault(mask, Given(False, "0xffffffff"))

    def _mask(self, name: str) -> int:
        return extension.number(self.given[name].value)

    def act(self, flight: Flight, walk: Walk) -> int:
        entry = flight.entry
        if entry is None:
            return CONTINUE
        if "set-xmark" in self.given:
            value, mask = extension.mark_and_mask("set-xmark")(self.given["set-xmark"].value)
            entry.mark = entry.mark & ~mask ^ value
        elif "save-mark" in self.given:
            entry.mark = entry.mark & ~self._mask("ctmask") ^ (flight.mark & self._mask("nfmask"))
        else:
            flight.mark = flight.mark & ~self._mask("nfmask") ^ (entry.mark & self._mask("ctmask"))
            flight.touch()
        return CONTINUE

    def words(self, flight: Flight) -> str:
        return "the connection's mark and its own are made the same"

    def describe(self, numeric: bool) -> str:
        if "set-xmark" in self.given:
            value, mask = extension.mark_and_mask("set-xmark")(self.given["set-xmark"].value)
            return f"CONNMARK set 0x{value:x}" if mask == 0xFFFFFFFF else f"CONNMARK xset 0x{value:x}/0x{mask:x}"
        return "CONNMARK save" if "save-mark" in self.given else "CONNMARK restore"


# iptables' names of what REJECT answers with, and the ICMP message in this engine's words.
_REJECTS = {
    "icmp-net-unreachable": "net-unreachable", "icmp-host-unreachable": "host-unreachable",
    "icmp-proto-unreachable": "proto-unreachable", "icmp-port-unreachable": "port-unreachable",
    "icmp-net-prohibited": "net-prohibited", "icmp-host-prohibited": "host-prohibited",
    "icmp-admin-prohibited": "admin-prohibited", "tcp-reset": "tcp-reset",
}  # fmt: skip
_REJECTS6 = {
    "icmp6-no-route": "net-unreachable", "icmp6-adm-prohibited": "admin-prohibited", "icmp6-addr-unreachable": "host-unreachable",
    "icmp6-port-unreachable": "port-unreachable", "tcp-reset": "tcp-reset",
}  # fmt: skip
_REJECT_ALIASES = {
    "net-unreach": "icmp-net-unreachable", "host-unreach": "icmp-host-unreachable", "proto-unreach": "icmp-proto-unreachable",
    "port-unreach": "icmp-port-unreachable", "net-prohib": "icmp-net-prohibited", "host-prohib": "icmp-host-prohibited",
    "admin-prohib": "icmp-admin-prohibited", "tcp-rst": "tcp-reset",
}  # fmt: skip
_REJECT_ALIASES6 = {
    "no-route": "icmp6-no-route", "adm-prohibited": "icmp6-adm-prohibited", "addr-unreach": "icmp6-addr-unreachable",
    "port-unreach": "icmp6-port-unreachable", "tcp-rst": "tcp-reset",
}  # fmt: skip


class Reject(Target):
    """DROP, and tell the sender: an ICMP error or a TCP reset."""

    name = "REJECT"
    tables: ClassVar = ("filter",)
    options: ClassVar = {"reject-with": Option(str, invertible=False)}

    def check(self, rule: Rule) -> None:
        known, aliases = (_REJECTS6, _REJECT_ALIASES6) if self.ipv6 else (_REJECTS, _REJECT_ALIASES)
        given = self.given.get("reject-with")
        value = given.value if given is not None else f"icmp{'6' if self.ipv6 else ''}-port-unreachable"
        value = aliases.get(value, value)
        if value not in known:
            raise UsageError(f'unknown reject type "{value}"')
        if value == "tcp-reset" and (rule.protocol is None or rule.protocol.inverted or rule.protocol.value != "tcp"):
            raise extension.InvalidRule("Invalid argument")
        self.given["reject-with"] = Given(False, value)

    @property
    def _message(self) -> str:
        return (_REJECTS6 if self.ipv6 else _REJECTS)[self.given["reject-with"].value]

    def act(self, flight: Flight, walk: Walk) -> int:
        walk.reject(flight, self._message)
        return DROP

    def words(self, flight: Flight) -> str:
        return f"rejected, and the sender told ({self.given['reject-with'].value})"

    def describe(self, numeric: bool) -> str:
        return f"reject-with {self.given['reject-with'].value}"


# As -L without -n names them (iptables, libxt_LOG.c).
_LEVELS = ("emerg", "alert", "crit", "error", "warn", "notice", "info", "debug")


def _level(word: str) -> str:
    names = {**{name: index for index, name in enumerate(_LEVELS)}, "err": 3, "panic": 0, "warning": 4}
    number = names.get(word.lower(), int(word) if word.isdigit() else -1)
    if not 0 <= number < 8:
        raise UsageError(f'log-level "{word}" unknown')
    return str(number)


class Log(Target):
    """A line in the kernel's log; the packet goes on."""

    name = "LOG"
    options: ClassVar = {"log-prefix": Option(str, invertible=False), "log-level": Option(_level, invertible=False)}

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        if name.startswith("log-") and name not in self.options:
            raise errors.NotSimulated(f"iptables option --{name}")
        super().take(name, values, inverted)

    @property
    def _prefix(self) -> str:
        return self.given["log-prefix"].value[:29] if "log-prefix" in self.given else ""

    @property
    def _number(self) -> str:
        return self.given["log-level"].value if "log-level" in self.given else "4"

    def save(self) -> list[str]:
        words = ["--log-prefix", extension.quoted(self._prefix)] if self._prefix else []
        return words if self._number == "4" else [*words, "--log-level", self._number]

    def act(self, flight: Flight, walk: Walk) -> int:
        if walk.live:
            protocol = flight.protocol.upper()
            line = (
                f"{self._prefix}IN={flight.in_if} OUT={flight.out_if} SRC={flight.src} DST={flight.dst} LEN={flight.length} "
                f"TOS=0x00 PREC=0x00 TTL={flight.ttl} ID=0 DF PROTO={protocol}"
            )
            if protocol in ("TCP", "UDP"):
                line += f" SPT={flight.sport} DPT={flight.dport}"
            flags = {"S": "SYN", "A": "ACK", "F": "FIN", "R": "RST", "P": "PSH"}
            line += "".join(f" {flags[letter]}" for letter in flight.flags) + (
                f" MARK=0x{flight.mark:x}" if flight.mark else ""
            )
            walk.host.kernel_log.append((walk.host.world.now, line))
        return CONTINUE

    def words(self, flight: Flight) -> str:
        return "a line in the kernel's log"

    def describe(self, numeric: bool) -> str:
        level = f"flags 0 level {self._number}" if numeric else f"level {_LEVELS[int(self._number)]}"
        return f"LOG {level}" + (f' prefix "{self._prefix}"' if self._prefix else "")


class Ct(Target):
    """CT --notrack: conntrack is not to look at it."""

    name = "CT"
    tables: ClassVar = ("raw",)
    options: ClassVar = {"notrack": Option(None, 0, invertible=False)}

    def act(self, flight: Flight, walk: Walk) -> int:
        if flight.entry is None:
            flight.state = "UNTRACKED"
        return CONTINUE

    def check(self, rule: Rule) -> None:
        if not self.given and self.name == "CT":
            raise errors.NotSimulated("iptables target 'CT' without --notrack")

    def words(self, flight: Flight) -> str:
        return "its connection is not to be tracked"

    def describe(self, numeric: bool) -> str:
        return "CT notrack"


class Notrack(Ct):
    name = "NOTRACK"
    listed = "CT"
    options: ClassVar = {}

    def describe(self, numeric: bool) -> str:
        return "NOTRACK"


TARGETS: dict[str, type[Target]] = {
    each.name: each for each in (Dnat, Snat, Masquerade, Redirect, Mark, Connmark, Reject, Log, Ct, Notrack)
}
