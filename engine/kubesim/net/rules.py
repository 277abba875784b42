"""A rule: its text as people type it, as data, and as `iptables-save` prints it.

What is restored and what is saved differ in form: addresses get their mask, matches stand in the order in which they were
named but each prints its options in an order of its own, defaults are spelt out.  `parse` reads any form, `str(rule)` is
the saved one.  Matches are in `matches` and `matches_state`, targets in `targets`; each file is a table by name.

Rules carry no state and no counters (matches that remember something are an exception, see `Match.stateful`), so that a
rule which stands on ten nodes is parsed once.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from kubesim import errors
from kubesim.net import address, ipset, matches, matches_ipvs, matches_state, queue, targets
from kubesim.net.extension import PROTOCOL_NAMES, PROTOCOL_NUMBERS, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubesim.net.extension import Match, Target
    from kubesim.net.packet import Flight
    from kubesim.net.walk import Walk

MATCHES: dict[str, type[Match]] = {**matches.MATCHES, **matches_state.MATCHES, **ipset.MATCHES, **matches_ipvs.MATCHES}
TARGETS: dict[str, type[Target]] = {**targets.TARGETS, **queue.TARGETS}
VERDICTS = ("ACCEPT", "DROP", "RETURN")

# Extensions that iptables has and this engine has not (iptables-extensions(8)): said by name.
_REAL_MATCHES = frozenset({
        "ah", "bpf", "cgroup", "cluster", "connbytes", "connlabel", "connlimit", "connmark", "cpu", "dccp", "devgroup", "dscp",
        "dst", "ecn", "esp", "eui64", "frag", "hashlimit", "hbh", "helper", "hl", "icmp6", "ipv6header", "length", "mac",
        "mh", "osf", "owner", "policy", "quota", "rateest", "realm", "rpfilter", "rt", "socket", "srh", "string", "tcpmss",
        "time", "tos", "ttl", "u32", "udplite",
})  # fmt: skip
UNKNOWN_TARGETS = frozenset({
        "AUDIT", "CHECKSUM", "CLASSIFY", "CLUSTERIP", "CONNSECMARK", "DNPT", "DSCP", "ECN", "HL", "HMARK", "IDLETIMER", "LED",
        "NETMAP", "NFLOG", "QUEUE", "RATEEST", "SECMARK", "SET", "SNPT", "SYNPROXY", "TCPMSS", "TCPOPTSTRIP", "TEE",
        "TOS", "TPROXY", "TRACE", "TTL", "ULOG",
})  # fmt: skip


class Network(NamedTuple):
    """An address match: `-s` or `-d`."""

    inverted: bool
    prefix: address.Prefix

    def __str__(self) -> str:
        return str(self.prefix)


class Side(NamedTuple):
    """An interface or protocol match: `-i`, `-o`, `-p`."""

    inverted: bool
    value: str


class Rule:
    """One rule.  `str` is its saved text, without `-A CHAIN`.  Compare by that text."""

    __slots__ = (
        "_checks", "_keys", "_tests", "_text", "destination", "goto", "in_if", "matches", "out_if", "protocol", "source",
        "target", "target_name",
    )  # fmt: skip

    def __init__(self) -> None:
        self.source: Network | None = None
        self.destination: Network | None = None
        self.in_if: Side | None = None
        self.out_if: Side | None = None
        self.protocol: Side | None = None
        self.matches: list[Match] = []
        # "" for a rule that only counts; a verdict; a chain; or a target's name, with `target` its options.
        self.target_name = ""
        self.target: Target | None = None
        self.goto = False
        self._text: str | None = None
        self._checks: tuple[Callable[[Flight, Walk], bool], ...] | None = None
        self._keys: tuple[str, tuple[str, int] | None] | None = None
        self._tests: list[tuple[Callable[[Flight, Walk], bool], Callable[[Flight, Walk], str]]] | None = None

    def __str__(self) -> str:
        if self._text is None:
            self._text = " ".join(self._words())
        return self._text

    def _words(self) -> list[str]:
        words: list[str] = []
        for option, value in (
            ("-s", self.source),
            ("-d", self.destination),
            ("-i", self.in_if),
            ("-o", self.out_if),
            ("-p", self.protocol),
        ):
            if value is not None:
                if value.inverted:
                    words.append("!")
                words += [option, str(value) if isinstance(value, Network) else value.value]
        for match in self.matches:
            words += ["-m", match.name]
            words += match.save()
        if self.target_name:
            words += ["-g" if self.goto else "-j", self.target_name]
        if self.target is not None:
            words += self.target.save()
        return words

    @property
    def stateful(self) -> bool:
        return any(match.stateful for match in self.matches)

    @property
    def comment(self) -> str:
        return next((match.given["comment"].value for match in self.matches if match.name == "comment"), "")

    @property
    def tests(self) -> list[tuple[Callable[[Flight, Walk], bool], Callable[[Flight, Walk], str]]]:
        """What must hold for the rule to apply, cheapest first as the kernel has it, each with the words for when it
        does not."""
        if self._tests is None:
            self._tests = list(self._header_tests())
            for match in self.matches:
                self._tests.extend(match.tests())
        return self._tests

    @property
    def checks(self) -> tuple[Callable[[Flight, Walk], bool], ...]:
        """`tests` without the words."""
        if self._checks is None:
            self._checks = tuple(test for test, _words in self.tests)
        return self._checks

    @property
    def keys(self) -> tuple[str, tuple[str, int] | None]:
        """What an index may file it under: the one destination it is for, or "", and the one (protocol, port), or None."""
        if self._keys is None:
            destination = ""
            if self.destination is not None and not self.destination.inverted:
                prefix = self.destination.prefix
                if prefix.length == prefix.bits:
                    destination = address.text(prefix.base, prefix.bits)
            port = None
            for match in self.matches:
                given = match.given.get("dport") if isinstance(match, matches.Ports) else None
                if given is not None and not given.inverted and ":" not in given.value:
                    port = (match.name, int(given.value))
            self._keys = (destination, port)
        return self._keys

    @property
    def sets(self) -> list[str]:
        """The ipsets that it asks, by name."""
        return [match.asked for match in self.matches if isinstance(match, ipset.Set)]

    @property
    def uses_conntrack(self) -> bool:
        """Whether the host must track connections for it."""
        return self.target_name in ("CONNMARK", "CT", "NOTRACK") or any(
            match.name in ("conntrack", "state") for match in self.matches
        )

    def _header_tests(self) -> list[tuple[Callable[[Flight, Walk], bool], Callable[[Flight, Walk], str]]]:
        found: list[tuple[Callable[[Flight, Walk], bool], Callable[[Flight, Walk], str]]] = []
        if self.source is not None:
            inverted, prefix = self.source
            found.append(
                (_address_test("src", prefix, inverted), lambda f, _w: _differs("source", f.src, str(prefix), inverted))
            )
        if self.destination is not None:
            unwanted, other = self.destination
            test = _address_test("dst", other, unwanted)
            found.append((test, lambda f, _w: _differs("destination", f.dst, str(other), unwanted)))
        if self.in_if is not None:
            entry = self.in_if
            found.append(
                (_interface_test("in_if", entry), lambda f, _w: _interface_words("came in by", f.in_if, entry))
            )
        if self.out_if is not None:
            leave = self.out_if
            found.append(
                (_interface_test("out_if", leave), lambda f, _w: _interface_words("leaves by", f.out_if, leave))
            )
        if self.protocol is not None and self.protocol.value != "all":
            negated, protocol = self.protocol
            name = "icmpv6" if protocol == "ipv6-icmp" else protocol
            found.append((
                (lambda f, _w: f.protocol != name) if negated else (lambda f, _w: f.protocol == name),
                lambda f, _w: f"the protocol is {f.protocol}" + ("" if negated else f", not {protocol}"),
            ))  # fmt: skip
        return found


def _short(prefix: str) -> str:
    return prefix.removesuffix("/32").removesuffix("/128")


def _differs(side: str, value: str, wanted: str, inverted: bool) -> str:
    wanted = _short(wanted)
    if "/" in wanted:
        return f"the {side} {value} is {'in' if inverted else 'not in'} {wanted}"
    return f"the {side} is {value}" + ("" if inverted else f", not {wanted}")


def _address_test(side: str, prefix: address.Prefix, inverted: bool) -> Callable[[Flight, Walk], bool]:
    base, mask = prefix.base, prefix.mask
    number = address.number
    if prefix.length == prefix.bits:
        exact = address.text(base, prefix.bits)
        if side == "src":
            return (lambda f, _w: f.src != exact) if inverted else (lambda f, _w: f.src == exact)
        return (lambda f, _w: f.dst != exact) if inverted else (lambda f, _w: f.dst == exact)
    if side == "src":
        return (
            (lambda f, _w: number(f.src) & mask != base) if inverted else (lambda f, _w: number(f.src) & mask == base)
        )
    return (lambda f, _w: number(f.dst) & mask != base) if inverted else (lambda f, _w: number(f.dst) & mask == base)


def _interface_test(side: str, wanted: Side) -> Callable[[Flight, Walk], bool]:
    inverted, name = wanted
    if name.endswith("+"):
        stem = name[:-1]
        return lambda f, _w: getattr(f, side).startswith(stem) != inverted
    return lambda f, _w: (getattr(f, side) == name) != inverted


def _interface_words(verb: str, name: str, wanted: Side) -> str:
    return f"it {verb} {name or 'no interface'}" + ("" if wanted.inverted else f", not {wanted.value}")


# -- reading -----------------------------------------------------------------------------------------------------

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')


def split(line: str) -> list[str]:
    """The words of a line of iptables-restore: quotes keep blanks together, a backslash inside them keeps the next
    character (iptables, xshared.c: add_param_to_argv)."""
    if '"' not in line:
        return line.split()
    words = []
    for match in _WORD.finditer(line):
        quoted, plain = match.groups()
        words.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
    return words


_INVERTIBLE = {
    "-s": "source", "--source": "source", "--src": "source",
    "-d": "destination", "--destination": "destination", "--dst": "destination",
    "-i": "in_if", "--in-interface": "in_if",
    "-o": "out_if", "--out-interface": "out_if",
    "-p": "protocol", "--protocol": "protocol", "--proto": "protocol",
}  # fmt: skip

_shared: dict[tuple[bool, str], Rule] = {}


def parse_line(text: str, *, ipv6: bool) -> Rule:
    """A rule from the text after `-A CHAIN`; the same text gives the same object as long as it holds no state."""
    key = (ipv6, text)
    found = _shared.get(key)
    if found is None:
        found = parse(split(text), ipv6=ipv6)
        if not found.stateful:
            if len(_shared) > 200_000:
                _shared.clear()
            _shared[key] = found
    return found


def parse(words: Sequence[str], *, ipv6: bool = False) -> Rule:
    """A rule from words as on iptables' command line.

    Raises `UsageError` in iptables' words, and `errors.NotSimulated` for an extension that exists but not here.
    """
    return _Parser(words, ipv6).parse()


class _Parser:
    def __init__(self, words: Sequence[str], ipv6: bool) -> None:
        self._words = words
        self._at = 0
        self._ipv6 = ipv6
        self._rule = Rule()

    def _next(self, option: str) -> str:
        if self._at >= len(self._words):
            raise UsageError(f'option "{option}" requires an argument')
        self._at += 1
        return self._words[self._at - 1]

    def parse(self) -> Rule:
        rule = self._rule
        inverted = False
        while self._at < len(self._words):
            word = self._next("")
            if word == "!":
                if inverted:
                    raise UsageError("Multiple consecutive ! not allowed\n")
                inverted = True
                continue
            if word.startswith("--") and "=" in word:
                word, _, rest = word.partition("=")
                self._words = [*self._words[: self._at], rest, *self._words[self._at :]]
            if word in _INVERTIBLE:
                value = self._next(word)
                if value == "!":
                    # The old place of the exclamation mark, after the option.
                    inverted, value = True, self._next(word)
                self._header(_INVERTIBLE[word], value, inverted)
            elif word in ("-m", "--match"):
                self._match(self._next(word))
            elif word in ("-j", "--jump", "-g", "--goto"):
                self._target(self._next(word), goto=word in ("-g", "--goto"))
            elif word in ("-4", "--ipv4", "-6", "--ipv6", "-w", "--wait"):
                pass
            elif word in ("-c", "--set-counters"):
                self._next(word), self._next(word)
            elif word.startswith("-"):
                self._option(word, inverted)
            else:
                raise UsageError(f"Bad argument `{word}'", bare=True)
            inverted = False
        self._check()
        return rule

    def _header(self, name: str, value: str, inverted: bool) -> None:
        if getattr(self._rule, name) is not None:
            raise UsageError(f'multiple "{_LETTERS[name]}" options not allowed')
        if name in ("source", "destination"):
            try:
                prefix = address.prefix(value)
            except ValueError:
                host, slash, mask = value.partition("/")
                if slash and address.is_address(host):
                    raise UsageError(f"invalid mask `{mask}' specified") from None
                raise UsageError(f"host/network `{value}' not found") from None
            if (prefix.bits == 128) != self._ipv6:
                raise UsageError(f"host/network `{value}' not found")
            if prefix.length or inverted:
                setattr(self._rule, name, Network(inverted, prefix))
        elif name == "protocol":
            setattr(self._rule, name, Side(inverted, protocol_name(value)))
        elif value not in ("", "+"):
            setattr(self._rule, name, Side(inverted, value))

    def _match(self, name: str) -> None:
        made = MATCHES.get(name)
        if made is None:
            if name in _REAL_MATCHES:
                raise errors.NotSimulated(f"iptables match {name!r} (-m {name})")
            raise UsageError(f"Couldn't load match `{name}':No such file or directory\n")
        self._rule.matches.append(made(self._ipv6))

    def _target(self, name: str, goto: bool) -> None:
        if self._rule.target_name:
            raise UsageError("multiple -j flags detected" if not goto else "multiple -g flags detected")
        self._rule.target_name = name
        self._rule.goto = goto
        made = TARGETS.get(name) if not goto else None
        if made is not None:
            self._rule.target = made(self._ipv6)
        elif name in UNKNOWN_TARGETS:
            raise errors.NotSimulated(f"iptables target {name!r} (-j {name})")

    def _option(self, word: str, inverted: bool) -> None:
        extensions: list[Match | Target] = list(reversed(self._rule.matches))
        if self._rule.target is not None:
            extensions.insert(0, self._rule.target)
        for extension in extensions:
            if self._taken_by(extension, word, inverted):
                return
        # `-p tcp --dport 80` loads the protocol's own match on seeing its option.
        protocol = self._rule.protocol
        implied = (
            None if protocol is None else MATCHES.get("icmp6" if protocol.value == "ipv6-icmp" else protocol.value)
        )
        if implied is not None and not any(match.name == implied.name for match in self._rule.matches):
            made = implied(self._ipv6)
            if self._taken_by(made, word, inverted):
                self._rule.matches.append(made)
                return
        raise UsageError(f'unknown option "{word}"')

    def _taken_by(self, extension: Match | Target, word: str, inverted: bool) -> bool:
        name = extension.resolve(word.removeprefix("--"))
        if not name:
            return False
        values = [self._next(word) for _ in range(extension.options[name].arguments)]
        extension.take(name, values, inverted)
        return True

    def _check(self) -> None:
        rule = self._rule
        for match in rule.matches:
            match.check(rule)
        if rule.target is not None:
            rule.target.check(rule)


_LETTERS = {"source": "-s", "destination": "-d", "in_if": "-i", "out_if": "-o", "protocol": "-p"}


@functools.lru_cache(maxsize=256)
def protocol_name(word: str) -> str:
    """A protocol as `iptables-save` prints it: by name where it has one."""
    lower = word.lower()
    if lower in ("all", "0"):
        return "all"
    if lower in PROTOCOL_NUMBERS:
        return lower if lower != "icmpv6" else "ipv6-icmp"
    if lower.isdigit() and int(lower) < 256:
        return PROTOCOL_NAMES.get(int(lower), lower)
    raise UsageError(f'unknown protocol "{word}" specified')


def retargeted(rule: Rule, chain: str) -> Rule:
    """The same rule, jumping to a chain that was renamed."""
    made = Rule()
    for name in ("source", "destination", "in_if", "out_if", "protocol", "matches", "goto"):
        setattr(made, name, getattr(rule, name))
    made.target_name = chain
    return made
