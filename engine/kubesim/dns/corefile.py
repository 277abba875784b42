"""A Corefile as data: server blocks, their zones and ports, the plugins in them with arguments and inner blocks.

The grammar is the Caddyfile's (github.com/coredns/caddy, caddyfile/parse.go): words by blanks, quotes, `{`...`}`, `#` to the
line's end.  Errors are CoreDNS's own words; CoreDNS prints them and exits with code 1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from kubesim.dns.answers import absolute

# plugin.cfg of CoreDNS 1.13: the order in which a query passes the plugins, whatever the Corefile's order is.
ORDER = (
    "root", "metadata", "geoip", "cancel", "tls", "quic", "timeouts", "multisocket", "reload", "nsid", "bufsize", "bind",
    "debug", "trace", "ready", "health", "pprof", "prometheus", "errors", "log", "dnstap", "local", "dns64", "acl", "any",
    "chaos", "loadbalance", "tsig", "cache", "rewrite", "header", "dnssec", "autopath", "minimal", "template", "transfer",
    "hosts", "route53", "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary", "etcd", "loop",
    "forward", "grpc", "erratic", "whoami", "on", "sign", "view", "nomad", "import",
)  # fmt: skip


class CorefileError(Exception):
    """The Corefile is not accepted, in CoreDNS's words."""


@dataclass(slots=True)
class Directive:
    """A plugin, or a property in its block: `name args... { properties }`."""

    name: str
    args: list[str]
    line: int
    block: list[Directive] = field(default_factory=list)


@dataclass(slots=True)
class Block:
    """A server block: `zones` absolute, all served on `port`."""

    zones: tuple[str, ...]
    port: int
    plugins: list[Directive]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int


def parse(text: str, path: str = "/etc/coredns/Corefile") -> list[Block]:
    """The server blocks in order.  `CorefileError`."""
    tokens = list(_tokens(text))
    blocks: list[Block] = []
    at = 0
    while at < len(tokens):
        keys: list[str] = []
        while at < len(tokens) and tokens[at].text != "{":
            if keys and not keys[-1].endswith(",") and tokens[at].line != tokens[at - 1].line:
                break
            keys.append(tokens[at].text)
            at += 1
        if at == len(tokens) or tokens[at].text != "{":
            # A block without braces runs to the end of the file; CoreDNS takes it so for a single one.
            body, at = _body(tokens, at, path, len(tokens))
        else:
            body, at = _body(tokens, at + 1, path, None)
        blocks += _blocks([key.rstrip(",") for key in keys], body, path)
    return blocks


def _tokens(text: str) -> Iterator[_Token]:
    for number, line in enumerate(text.splitlines(), 1):
        at = 0
        while at < len(line):
            if line[at].isspace():
                at += 1
            elif line[at] == "#":
                break
            elif line[at] == '"':
                end = line.find('"', at + 1)
                end = len(line) if end < 0 else end
                yield _Token(line[at + 1 : end], number)
                at = end + 1
            else:
                end = at
                while end < len(line) and not line[end].isspace():
                    end += 1
                yield _Token(line[at:end], number)
                at = end


def _body(tokens: list[_Token], at: int, path: str, end: int | None) -> tuple[list[Directive], int]:
    """The directives up to the closing brace."""
    found: list[Directive] = []
    while True:
        if at == len(tokens):
            if end is None:
                line = tokens[-1].line if tokens else 1
                raise CorefileError(f"{path}:{line} - Error during parsing: Unexpected EOF")
            return found, at
        if tokens[at].text == "}" and end is None:
            return found, at + 1
        directive = Directive(tokens[at].text, [], tokens[at].line)
        at += 1
        while at < len(tokens) and tokens[at].line == directive.line and tokens[at].text not in ("{", "}"):
            directive.args.append(tokens[at].text)
            at += 1
        if at < len(tokens) and tokens[at].line == directive.line and tokens[at].text == "{":
            directive.block, at = _body(tokens, at + 1, path, None)
        found.append(directive)


def _blocks(keys: list[str], body: list[Directive], path: str) -> list[Block]:
    for each in body:
        if each.name not in ORDER:
            raise CorefileError(f"{path}:{each.line} - Error during parsing: Unknown directive '{each.name}'")
    by_port: dict[int, list[str]] = {}
    for key in keys:
        zones, port = _key(key)
        by_port.setdefault(port, []).extend(zones)
    return [Block(tuple(zones), port, body) for port, zones in by_port.items()]


def _key(key: str) -> tuple[list[str], int]:
    """(zones, port) of "dns://cluster.local:1053"; addresses with a mask become their reverse zones."""
    scheme, separator, rest = key.partition("://")
    if separator and scheme != "dns":
        raise CorefileError(f"not simulated: the transport {scheme!r} in a Corefile")
    rest = rest if separator else key
    name, _, port = rest.rpartition(":") if rest.rpartition(":")[2].isdigit() else (rest, "", "53")
    return zones(name or "."), int(port)


def zones(name: str) -> list[str]:
    """A zone as a Corefile writes it: a name, or a network whose reverse zones are meant (`plugin.Host.NormalizeExact`)."""
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        return [absolute(name.lower())]
    step = 8 if network.version == 4 else 4
    length = -(-network.prefixlen // step) * step
    found = []
    for each in network.subnets(new_prefix=length):
        parts = f"{each.network_address.reverse_pointer}.".split(".")
        keep = length // step
        # The pointer's host part is cut off: 10.0.0.0/16 is 0.10.in-addr.arpa.
        total = 4 if network.version == 4 else 32
        found.append(".".join(parts[total - keep :]))
    return found
