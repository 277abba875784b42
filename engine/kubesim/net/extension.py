"""What matches and targets have in common: options as a table, and their saved order."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk

# /etc/protocols, as far as it matters here.
PROTOCOL_NUMBERS = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58,
    "icmpv6": 58, "ospf": 89, "sctp": 132, "udplite": 136,
}  # fmt: skip
PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items() if name != "icmpv6"}

# /etc/services, as far as learners type it.
SERVICE_PORTS = {
    "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "ntp": 123, "snmp": 161, "ldap": 389, "https": 443,
    "mysql": 3306, "postgresql": 5432, "http-alt": 8080,
}  # fmt: skip
SERVICE_NAMES = {number: name for name, number in SERVICE_PORTS.items()}


class UsageError(LearnerError):
    """A rule that iptables does not accept, in its words.  It exits with 2 and adds where to find help.

    `bare`: iptables prints the message without its own name before it.
    """

    def __init__(self, message: str, *, bare: bool = False) -> None:
        super().__init__(message)
        self.bare = bare


class InvalidRule(LearnerError):
    """A rule that iptables accepts and the kernel does not: "Invalid argument", or "Too many links" for a loop."""


class Option(NamedTuple):
    """An option: how its value becomes canonical (None: it takes none), how many words it takes, and another option's
    name if it is only another spelling."""

    parse: Callable[[str], str] | None = None
    arguments: int = 1
    alias: str = ""
    invertible: bool = True


class Given(NamedTuple):
    """An option as it was given, canonical."""

    inverted: bool
    value: str


class Extension:
    """A match or a target with its options.  `options` stand in the order in which they are saved."""

    name: ClassVar[str] = ""
    options: ClassVar[dict[str, Option]] = {}

    def __init__(self, ipv6: bool) -> None:
        self.ipv6 = ipv6
        self.given: dict[str, Given] = {}

    def resolve(self, word: str) -> str:
        """The option's name for what was typed: any beginning that fits one only (getopt_long); "" when none fits."""
        if word in self.options:
            return self.options[word].alias or word
        fitting = {option.alias or name for name, option in self.options.items() if name.startswith(word)}
        return fitting.pop() if len(fitting) == 1 else ""

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        """An option was given.  Raises `UsageError`."""
        option = self.options[name]
        if inverted and not option.invertible:
            raise UsageError(f'cannot negate option "--{name}"')
        if name in self.given:
            raise UsageError(f'{self.name}: option "--{name}" can be used only once.')
        self.given[name] = Given(inverted, option.parse(" ".join(values)) if option.parse is not None else "")

    def save(self) -> list[str]:
        """The words after its name, as iptables-save prints them."""
        words: list[str] = []
        for name in self.options:
            given = self.given.get(name)
            if given is not None:
                if given.inverted:
                    words.append("!")
                words.append(f"--{name}")
                if given.value:
                    words.append(given.value)
        return words

    def describe(self, numeric: bool) -> str:
        """What `iptables -L` shows of it."""
        raise NotImplementedError

    def check(self, rule: Rule) -> None:
        """Raise `UsageError` for what is missing, `InvalidRule` for what the kernel refuses."""


class Match(Extension):
    """A condition.  `stateful`: it remembers something, so every rule needs its own."""

    stateful: ClassVar[bool] = False

    def tests(self) -> Iterable[tuple[Callable[[Flight, Walk], bool], Callable[[Flight, Walk], str]]]:
        """What must hold, each with the words for when it does not."""
        raise NotImplementedError


# What a target makes of a packet.
CONTINUE, ACCEPT, DROP, RETURN = range(4)


class Target(Extension):
    """What is done with a packet that matched."""

    # The tables it is allowed in (empty: all), and the name that -L shows where it is another.
    tables: ClassVar[tuple[str, ...]] = ()
    listed: ClassVar[str] = ""

    def act(self, flight: Flight, walk: Walk) -> int:
        """Do it.  DROP has said why by `walk.end`."""
        raise NotImplementedError

    def words(self, flight: Flight) -> str:
        """What it does, for a trace."""
        raise NotImplementedError


def port(word: str) -> int:
    """A port by number or name.  Raises `UsageError`."""
    number = SERVICE_PORTS.get(word)
    if number is None and word.isascii() and word.isdigit() and int(word) < 65536:
        number = int(word)
    if number is None:
        raise UsageError(f"invalid port/service `{word}' specified")
    return number


def port_range(word: str) -> str:
    """ "80", "http", "80:90", ":90" or "80:" in saved form."""
    low, colon, high = word.partition(":")
    if not colon:
        return str(port(low))
    first, last = port(low) if low else 0, port(high) if high else 65535
    if first > last:
        raise UsageError("invalid portrange (min > max)")
    return str(first) if first == last else f"{first}:{last}"


def bounds(saved: str) -> tuple[int, int]:
    """The numbers of a saved port range."""
    low, _, high = saved.partition(":")
    return int(low), int(high or low)


_PLAIN = frozenset("_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def quoted(text: str) -> str:
    """A string as saved (iptables, xtables.c: xtables_save_string)."""
    if text and _PLAIN.issuperset(text):
        return text
    return '"' + "".join(f"\\{c}" if c in "\"\\'" else c for c in text) + '"'


def choice(what: str, allowed: tuple[str, ...]) -> Callable[[str], str]:
    """One of some words, in any case.  Raises `UsageError`."""

    def parse(word: str) -> str:
        if word.upper() not in allowed:
            raise UsageError(f'Bad {what} "{word}"')
        return word.upper()

    return parse


def number(word: str) -> int:
    """A number, decimal or hexadecimal.  Raises ValueError."""
    return int(word, 0) if not word.startswith("0") or word[:2].lower() == "0x" or word == "0" else int(word, 8)


def mark_and_mask(option: str, default: int = 0xFFFFFFFF) -> Callable[[str], tuple[int, int]]:
    """VALUE[/MASK] as two numbers.  Raises `UsageError`."""

    def parse(word: str) -> tuple[int, int]:
        value, slash, mask = word.partition("/")
        try:
            return number(value), number(mask) if slash else default
        except ValueError:
            raise UsageError(f'mark: bad value for option "--{option}", or out of range (0-4294967295).\n') from None

    return parse
