"""Filter expressions, as far as people type them (pcap-filter(7)).

`and` and `or` bind equally, from left to right; `not` binds closer.  An identifier without qualifiers takes those of the one
before it ("port 80 or 443").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kubesim.net.packet import Packet

Filter = Callable[[Packet], bool]
Resolve = Callable[[str], Awaitable[list[str]]]

PROTOCOLS: dict[str, Filter] = {
    "tcp": lambda packet: packet.protocol == "tcp",
    "udp": lambda packet: packet.protocol == "udp",
    "sctp": lambda packet: packet.protocol == "sctp",
    "icmp": lambda packet: packet.protocol == "icmp",
    "icmp6": lambda packet: packet.protocol == "icmpv6",
    "ip": lambda packet: ":" not in packet.dst,
    "ip6": lambda packet: ":" in packet.dst,
}
SERVICES = {"ssh": 22, "domain": 53, "http": 80, "https": 443}
TOKEN = re.compile(r"\(|\)|!|&&|\|\||[^\s()!&|]+|[&|]")


class Wrong(Exception):
    """No filter expression."""


class Unknown(Exception):
    """It may be one; the message is the word that is not known here."""


@dataclass(frozen=True, slots=True)
class Qualifiers:
    protocol: str = ""
    direction: str = ""
    kind: str = "host"


async def parse(words: list[str], resolve: Resolve) -> Filter:
    """The test that an expression is; Wrong, Unknown.  `resolve` finds the addresses of a host's name."""
    if not words:
        return lambda packet: True
    parser = _Parser(TOKEN.findall(" ".join(words)), resolve)
    found = await parser.expression()
    if parser.tokens:
        raise Wrong
    return found


class _Parser:
    def __init__(self, tokens: list[str], resolve: Resolve) -> None:
        self.tokens = tokens
        self._resolve = resolve
        self._last = Qualifiers()

    def _take(self, *wanted: str) -> str:
        if self.tokens and self.tokens[0] in wanted:
            return self.tokens.pop(0)
        return ""

    async def expression(self) -> Filter:
        left = await self._term()
        while operator := self._take("and", "&&", "or", "||"):
            left = _joined(left, await self._term(), operator in ("and", "&&"))
        return left

    async def _term(self) -> Filter:
        if self._take("not", "!"):
            inner = await self._term()
            return lambda packet: not inner(packet)
        if self._take("("):
            inner = await self.expression()
            if not self._take(")"):
                raise Wrong
            return inner
        return await self._primitive()

    async def _primitive(self) -> Filter:
        protocol = self._take(*PROTOCOLS)
        direction = self._take("src", "dst")
        if direction and self.tokens[:1] in (["or"], ["and"]) and self.tokens[1:2] in (["src"], ["dst"]):
            raise Unknown(f"{direction} {self.tokens[0]} {self.tokens[1]}")
        kind = self._take("host", "net", "port", "portrange")
        if not self.tokens or self.tokens[0] in ("and", "&&", "or", "||", ")"):
            if protocol and not direction and not kind:
                return PROTOCOLS[protocol]
            raise Wrong
        word = self.tokens.pop(0)
        if not re.fullmatch(r"[\w.:/-]+", word) or word in ("gateway", "ether", "arp", "vlan", "proto", "less", "greater"):
            raise Unknown(word)
        if protocol or direction or kind:
            self._last = Qualifiers(protocol, direction, kind or "host")
        return await self._identifier(self._last, word)

    async def _identifier(self, how: Qualifiers, word: str) -> Filter:
        match how.kind:
            case "port" | "portrange":
                low, _, high = word.partition("-") if how.kind == "portrange" else (word, "", "")
                if "-" not in word and how.kind == "portrange":
                    raise Wrong
                ports = range(_port(low), _port(high or low) + 1)
                test = _either(how, lambda packet: packet.sport in ports, lambda packet: packet.dport in ports)
                return lambda packet: packet.protocol in ("tcp", "udp", "sctp") and _is(how, packet) and test(packet)
            case "net":
                try:
                    network = ipaddress.ip_network(word)
                except ValueError:
                    raise Wrong from None
                return _addressed(how, lambda address: ipaddress.ip_address(address) in network)
        try:
            addresses = [str(ipaddress.ip_address(word))]
        except ValueError:
            addresses = await self._resolve(word)
        return _addressed(how, lambda address: address in addresses)


def _joined(left: Filter, right: Filter, both: bool) -> Filter:
    if both:
        return lambda packet: left(packet) and right(packet)
    return lambda packet: left(packet) or right(packet)


def _is(how: Qualifiers, packet: Packet) -> bool:
    return not how.protocol or PROTOCOLS[how.protocol](packet)


def _either(how: Qualifiers, source: Filter, destination: Filter) -> Filter:
    if how.direction == "src":
        return source
    if how.direction == "dst":
        return destination
    return lambda packet: source(packet) or destination(packet)


def _addressed(how: Qualifiers, test: Callable[[str], bool]) -> Filter:
    either = _either(how, lambda packet: test(packet.src), lambda packet: test(packet.dst))
    return lambda packet: _is(how, packet) and either(packet)


def _port(text: str) -> int:
    number = int(text) if text.isdigit() else SERVICES.get(text, -1)
    if not 0 <= number <= 65535:
        raise Wrong
    return number
