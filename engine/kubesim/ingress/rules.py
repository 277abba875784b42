"""Traefik's rules: `Host("a.example") && (Path("/x") || !PathPrefix("/y"))` as text, as a tree, and asked about a request.

Sources: traefik `pkg/rules/parser.go`, `pkg/muxer/http/{mux,matcher}.go` (syntax v3).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl


class RuleError(ValueError):
    """A rule that cannot be read; the message goes to Traefik's log and to the router's `error`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What rules may ask about a request.  `host` is without its port; header names are lower-case."""

    method: str = "GET"
    host: str = ""
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=())
    client: str = ""


Predicate = Callable[[Facts], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<op>&&|\|\||!|\(|\)|,)|(?P<name>[A-Za-z]+)|`(?P<raw>[^`]*)`|"(?P<quoted>(?:[^"\\]|\\.)*)")"""
)


@lru_cache(maxsize=1024)
def parse(rule: str) -> Predicate:
    """The rule as a question.  Raises RuleError."""
    tokens = _tokens(rule)
    if not tokens:
        raise RuleError("empty rule")
    return _Parser(rule, tokens).rule()


def default_priority(rule: str) -> int:
    """The longer rule is asked first (muxer/http.GetRulePriority)."""
    return len(rule)


def quote(text: str) -> str:
    """A literal in a rule, as Go's %q writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tokens(rule: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, text = 0, rule.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise RuleError(f"error while parsing rule {rule}: illegal character at {at + 1}")
        kind = match.lastgroup or ""
        value = match[kind]
        found.append((kind, re.sub(r"\\(.)", r"\1", value) if kind == "quoted" else value))
        at = match.end()
    return found


class _Parser:
    """`||` binds weaker than `&&`, `!` strongest, as in Go."""

    def __init__(self, rule: str, tokens: list[tuple[str, str]]) -> None:
        self._rule = rule
        self._tokens = tokens
        self._at = 0

    def rule(self) -> Predicate:
        found = self._or()
        if self._at != len(self._tokens):
            raise self._unexpected()
        return found

    def _unexpected(self) -> RuleError:
        word = self._tokens[self._at][1] if self._at < len(self._tokens) else "the end"
        return RuleError(f"error while parsing rule {self._rule}: unexpected {word}")

    def _take(self, op: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("op", op):
            self._at += 1
            return True
        return False

    def _or(self) -> Predicate:
        found = self._and()
        while self._take("||"):
            found = _either(found, self._and())
        return found

    def _and(self) -> Predicate:
        found = self._not()
        while self._take("&&"):
            found = _both(found, self._not())
        return found

    def _not(self) -> Predicate:
        if self._take("!"):
            inner = self._not()
            return lambda facts: not inner(facts)
        if self._take("("):
            found = self._or()
            if not self._take(")"):
                raise self._unexpected()
            return found
        return self._matcher()

    def _matcher(self) -> Predicate:
        kind, name = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind != "name":
            raise self._unexpected()
        self._at += 1
        make = MATCHERS.get(name)
        if make is None:
            raise RuleError(f"error while parsing rule {self._rule}: unsupported function: {name}")
        if not self._take("("):
            raise self._unexpected()
        values: list[str] = []
        while not self._take(")"):
            if values and not self._take(","):
                raise self._unexpected()
            kind, value = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
            if kind not in ("raw", "quoted"):
                raise self._unexpected()
            values.append(value)
            self._at += 1
        low, high, build = make
        if not low <= len(values) <= high:
            raise RuleError(
                f"unexpected number of parameters; got {len(values)}, expected one of {list(range(low, high + 1))}"
            )
        return build(values)


def _either(left: Predicate, right: Predicate) -> Predicate:
    return lambda facts: left(facts) or right(facts)


def _both(left: Predicate, right: Predicate) -> Predicate:
    return lambda facts: left(facts) and right(facts)


# -- matchers -------------------------------------------------------------------------------------------------


def _host(values: list[str]) -> Predicate:
    name = values[0].lower().rstrip(".")
    if name.startswith("*."):
        return lambda facts: facts.host.lower().rstrip(".").partition(".")[2] == name[2:]
    return lambda facts: facts.host.lower().rstrip(".") == name


def _path(values: list[str]) -> Predicate:
    wanted = _rooted(values[0])
    return lambda facts: facts.path == wanted


def _path_prefix(values: list[str]) -> Predicate:
    wanted = _rooted(values[0])
    return lambda facts: facts.path.startswith(wanted)


def _rooted(path: str) -> str:
    if not path.startswith("/"):
        raise RuleError(f"path \"{path}\" does not start with a '/'")
    return path


def _regexp(value: str, ignore_case: bool = False) -> re.Pattern[str]:
    try:
        return re.compile(value, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise RuleError(f"error parsing regexp: {error}: `{value}`") from None


def _host_regexp(values: list[str]) -> Predicate:
    pattern = _regexp(values[0], ignore_case=True)
    return lambda facts: pattern.search(facts.host) is not None


def _path_regexp(values: list[str]) -> Predicate:
    pattern = _regexp(values[0])
    return lambda facts: pattern.search(facts.path) is not None


def _method(values: list[str]) -> Predicate:
    wanted = values[0].upper()
    return lambda facts: facts.method == wanted


def _header(values: list[str]) -> Predicate:
    name, value = values[0].lower(), values[1]
    return lambda facts: (name, value) in facts.headers


def _header_regexp(values: list[str]) -> Predicate:
    name, pattern = values[0].lower(), _regexp(values[1])
    return lambda facts: any(key == name and pattern.search(value) for key, value in facts.headers)


def _query(values: list[str]) -> Predicate:
    wanted = (values[0], values[1] if len(values) > 1 else "")
    return lambda facts: wanted in parse_qsl(facts.query, keep_blank_values=True)


def _query_regexp(values: list[str]) -> Predicate:
    if len(values) == 1:
        return _query(values)
    name, pattern = values[0], _regexp(values[1])
    return lambda facts: any(
        key == name and pattern.search(value) for key, value in parse_qsl(facts.query, keep_blank_values=True)
    )


def _client_ip(values: list[str]) -> Predicate:
    try:
        network = ipaddress.ip_network(values[0], strict=False)
    except ValueError:
        raise RuleError(f"invalid value for ClientIP matcher, {values[0]!r} is not a valid CIDR or IP") from None
    return lambda facts: bool(facts.client) and ipaddress.ip_address(facts.client) in network


# name -> (fewest parameters, most, how it is made)
MATCHERS: dict[str, tuple[int, int, Callable[[list[str]], Predicate]]] = {
    "Host": (1, 1, _host),
    "HostRegexp": (1, 1, _host_regexp),
    "Path": (1, 1, _path),
    "PathPrefix": (1, 1, _path_prefix),
    "PathRegexp": (1, 1, _path_regexp),
    "Method": (1, 1, _method),
    "Header": (2, 2, _header),
    "HeaderRegexp": (2, 2, _header_regexp),
    "Query": (1, 2, _query),
    "QueryRegexp": (1, 2, _query_regexp),
    "ClientIP": (1, 1, _client_ip),
}
