"""Reading a rule's text for display: where it jumps, what it says about itself.

Only for words and pictures.  What a rule *does* is decided by the walk (`kubesim.net`), which keeps the text as it was.
"""

from __future__ import annotations

import re

# Targets that are not chains (iptables-extensions(8)); a jump to anything else goes on in another chain.
TERMINAL = frozenset(
    {"ACCEPT", "DROP", "REJECT", "RETURN", "MARK", "DNAT", "SNAT", "MASQUERADE", "CT", "LOG", "NOTRACK"}
)

_JUMP = re.compile(r"(?:^|\s)-[jg] (\S+)|\b(?:jump|goto) (\S+)")
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))|\bcomment "([^"]*)"')
_PROBABILITY = re.compile(r"--probability ([\d.]+)")
_DNAT = re.compile(r"--to-destination (\S+)|\bdnat(?: ip6?)? to (\S+)")


def target(rule: str) -> str:
    """The target of `-j`/`-g` (or nft's jump/goto), "" where there is none."""
    return _first(_JUMP.search(rule))


def chain_target(rule: str) -> str:
    """The chain it jumps to, "" if its target is not a chain."""
    name = target(rule)
    return "" if name in TERMINAL else name


def comment(rule: str) -> str:
    return _first(_COMMENT.search(rule))


def destination(rule: str) -> str:
    """Where a DNAT rule sends the packet."""
    return _first(_DNAT.search(rule))


def wants(rule: str) -> str:
    """What a rule asks of destination, protocol and port: "destination 10.96.0.9, protocol tcp, port 80"."""
    asked = [
        ("destination", re.search(r"(?<!! )-d (\S+)", rule)),
        ("protocol", re.search(r"(?<!! )-p (\S+)", rule)),
        ("port", re.search(r"--dport (\S+)", rule)),
    ]
    return ", ".join(f"{name} {found.group(1).removesuffix('/32')}" for name, found in asked if found)


def is_draw(rule: str) -> bool:
    """Whether it rolls dice (`-m statistic`, or nft's numgen)."""
    return "-m statistic" in rule or "numgen random" in rule


def probability(rule: str) -> float | None:
    """What the rule itself says, e.g. 0.5 of `--probability 0.50000000000`."""
    found = _PROBABILITY.search(rule)
    return float(found.group(1)) if found else None


def chance(value: float) -> str:
    """A probability in words: "1 in 3", "certain", "37 %"."""
    if value >= 0.9999:
        return "certain"
    one_in = 1 / value if value else 0
    if one_in and abs(one_in - round(one_in)) < 0.01 * one_in:
        return f"1 in {round(one_in)}"
    return f"{value * 100:.0f} %"


def _first(found: re.Match[str] | None) -> str:
    return next((group for group in found.groups() if group), "") if found else ""
