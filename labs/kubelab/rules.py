"""Reading a rule's text for display: where it jumps, what it says about itself.

Only for words and pictures.  What a rule *does* is decided by the walk (`kubesim.net`), which keeps the text as it was.
"""

from __future__ import annotations

import re

# Targets that are not chains (iptables-extensions(8)); a jump to anything else goes on in another chain.
TERMINAL = frozenset(
    {"ACCEPT", "DROP", "REJECT", "RETURN", "MARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "CT", "LOG", "NOTRACK"}
)
# Those that change an address or a port.
REWRITING = frozenset({"DNAT", "SNAT", "MASQUERADE", "REDIRECT"})

_JUMP = re.compile(r"(?:^|\s)-[jg] (\S+)|\b(?:jump|goto) (\S+)")
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))|\bcomment "([^"]*)"')
_PROBABILITY = re.compile(r"--probability ([\d.]+)")
_DNAT = re.compile(r"--to-destination (\S+)|\bdnat(?: ip6?)? to (\S+)")
# nft's rules as the walk shows them: "ip kube-proxy services: ip daddr ...", and those of their statements that are targets
# in iptables.
_NFT = re.compile(r"(?:ip6?|inet|arp|bridge) \S+ \S+: (.*)")
_NFT_TARGET = re.compile(r"\b(dnat|snat|masquerade|redirect|reject|drop)\b")
_QUOTED = re.compile(r'"[^"]*"')
# "@service-ips has 10.96.0.9 . tcp . 80: on to service-...", what the walk says of a verdict map.
_MAP = re.compile(r"@(\S+) has (.+): on to (\S+)")


def target(rule: str) -> str:
    """The target of `-j`/`-g`, or nft's jump, goto or statement in iptables' words ("DNAT"); "" where there is none."""
    jump = _first(_JUMP.search(rule))
    return jump or _first(_NFT_TARGET.search(nft(rule))).upper()


def nft(rule: str) -> str:
    """What an nft rule says, without its place and what is quoted in it; "" for one of iptables."""
    found = _NFT.fullmatch(rule)
    return _QUOTED.sub("", found.group(1)) if found else ""


def looked_up(why: str) -> tuple[str, str, str] | None:
    """The map, the key and the chain that it gave, of what the walk says about a verdict map; None if it was none."""
    found = _MAP.fullmatch(why)
    return (found.group(1), found.group(2), found.group(3)) if found else None


def leads_to(rule: str, why: str) -> str:
    """The chain where it goes on, by the rule itself or by a look-up in a map; "" if it goes nowhere."""
    found = looked_up(why)
    return found[2] if found else chain_target(rule)


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
    """What a rule asks for: "destination 10.96.0.9, protocol tcp, port 80", or, in nft's own words, "ct state new"."""
    if nft(rule):
        return _JUMP.split(nft(rule))[0].strip()
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
