"""The form in which people write nftables files, and in which `nft list ruleset` prints them, as single commands.

    table ip demo {                          add table ip demo
            set admins {
                    type ipv4_addr           add set ip demo admins { type ipv4_addr ; }
                    elements = { 10.0.0.1 }  add element ip demo admins { 10.0.0.1 }
            }
            chain input {
                    type filter hook input priority filter; policy drop;
                                             add chain ip demo input { type filter hook ... ; policy drop ; }
                    ip saddr @admins accept  add rule ip demo input ip saddr @admins accept
            }
    }

Chains and sets come first and rules last, since a rule may name a chain that stands further down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubesim import errors

WORD = re.compile(r'"[^"]*"|[{},;]|[^\s{},;"]+')
_TOKEN = re.compile(r'"[^"]*"|\\\n|[{},;\n]|#[^\n]*|[^\s{},;"]+')
_BREAKS = ("\n", ";")
_BLOCK = re.compile(r"^\s*(?:add\s+)?table\b[^{\n]*\{", re.M)

Command = tuple[list[str], str]


def commands(text: str) -> Iterator[Command]:
    """Each command's words, with the text that it is known by."""
    if _BLOCK.search(text) is None and not _spills(text):
        for line in text.splitlines():
            words = WORD.findall(line)
            if words and not line.lstrip().startswith("#"):
                yield words, line
        return
    for words in _statements(_tokens(text)):
        plain = words[1:] if words[0] == "add" else words
        if plain[0] == "table" and "{" in plain and _body(words):
            yield from _table(plain)
        elif plain[0] in ("define", "include", "undefine", "redefine"):
            raise errors.NotSimulated(f"nft {plain[0]}")
        else:
            # Inside of braces a line break is a blank.
            kept = [word for word in words if word != "\n"]
            yield kept, " ".join(kept)


def _spills(text: str) -> bool:
    """Whether some braces hold more than a line."""
    return any(line.count("{") != line.count("}") for line in text.splitlines() if "{" in line)


def _tokens(text: str) -> list[str]:
    return [each for each in _TOKEN.findall(text) if not each.startswith(("#", "\\"))]


def _statements(words: list[str]) -> Iterator[list[str]]:
    """Parts between line breaks and semicolons that are not in braces."""
    found: list[str] = []
    depth = 0
    for word in words:
        depth += (word == "{") - (word == "}")
        if word in _BREAKS and not depth:
            if found:
                yield found
            found = []
        else:
            found.append(word)
    if found:
        yield found


def _body(words: list[str]) -> list[str]:
    """What stands in the first braces."""
    start = words.index("{") + 1
    depth = 1
    for at in range(start, len(words)):
        depth += (words[at] == "{") - (words[at] == "}")
        if not depth:
            return words[start:at]
    raise errors.LearnerError("Error: syntax error, unexpected end of file")


def _table(words: list[str]) -> Iterator[Command]:
    head = words[1 : words.index("{")]
    family, name = head if len(head) == 2 else ("ip", head[0])
    where = [family, name]
    comment: list[str] = []
    made: list[list[str]] = []
    elements: list[list[str]] = []
    rules: list[list[str]] = []
    for part in _statements(_body(words)):
        what = part[0]
        if what == "comment":
            comment = ["{", *part, ";", "}"]
        elif what == "chain":
            options, own = _chain(_body(part))
            made.append(["add", "chain", *where, part[1], *options])
            rules += [["add", "rule", *where, part[1], *each] for each in own]
        elif what in ("set", "map"):
            options, members = _set(_body(part))
            made.append(["add", what, *where, part[1], "{", *options, "}"])
            if members:
                elements.append(["add", "element", *where, part[1], *members])
        else:
            raise errors.NotSimulated(f"nft {what} in a table")
    for each in [["add", "table", *where, *comment], *made, *elements, *rules]:
        yield each, " ".join(each)


def _chain(body: list[str]) -> tuple[list[str], list[list[str]]]:
    """What makes the chain (in braces, if anything does), and its rules."""
    options: list[str] = []
    rules = []
    for part in _statements(body):
        if part[0] in ("type", "policy", "comment"):
            options += [*part, ";"]
        else:
            rules.append([word for word in part if word != "\n"])
    return ["{", *options, "}"] if options else [], rules


def _set(body: list[str]) -> tuple[list[str], list[str]]:
    """What makes the set, and its members in their braces."""
    options: list[str] = []
    members: list[str] = []
    for part in _statements(body):
        if part[0].startswith("elements"):
            members = ["{", *(word for word in _body(part) if word != "\n"), "}"]
        else:
            options += [*part, ";"]
    return options, members
