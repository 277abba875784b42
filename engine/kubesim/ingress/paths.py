"""The paths of an Ingress as its specification reads them (networking.k8s.io/v1, HTTPIngressPath).

For controllers that keep to it.  Traefik does not: it compares strings, unless strictPrefixMatching is on (`routing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Object = dict[str, Any]
Target = TypeVar("Target")


def matches(path_type: str, pattern: str, path: str) -> bool:
    """Whether a request's path is meant.  Prefix goes element by element: /aaa/bb is no prefix of /aaa/bbb."""
    if path_type == "Exact":
        return path == pattern
    wanted = [part for part in pattern.split("/") if part]
    there = [part for part in path.split("/") if part]
    return there[: len(wanted)] == wanted


def host_matches(pattern: str, host: str) -> bool:
    """An exact name, none at all, or `*.` for one label."""
    if not pattern:
        return True
    pattern, host = pattern.lower(), host.lower().rstrip(".")
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:] and not host.startswith(".")
    return host == pattern


def best(found: Iterable[Target], rank: Callable[[Target], tuple[bool, int, bool]]) -> Target | None:
    """The strongest of those that match: an exact host before a wildcard, then the longest path, then Exact before Prefix."""
    return max(found, key=rank, default=None)
