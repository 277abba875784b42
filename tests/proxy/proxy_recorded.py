"""The recordings of the real kube-proxy, and how to compare with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubesim.proxy import iptables, state

Tables = dict[str, dict[str, list[str]]]
SERVICE_IN_COMMENT = re.compile(r'--comment "?([\w.-]+/[\w.-]+(?::[\w-]+)?)')


def cases(shared: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((shared / "golden" / "proxy" / name).read_text())["cases"]


def chains(text: str) -> Tables:
    """Rules by table and chain.  Upstream goes over its Services in the order of a Go map, so the lines of the chains
    that all Services share are ordered by the Service that their comment names, as upstream's own tests do."""
    tables: Tables = {}
    for line in text.splitlines():
        word = line.split(" ")
        if line.startswith("*"):
            table = tables.setdefault(line[1:], {})
        elif line.startswith(":"):
            table.setdefault(word[0][1:], [])
        elif line.startswith(("-A ", "-X ")):
            table.setdefault(word[1], []).append(line)
    for table in tables.values():
        for chain, rules in table.items():
            if not chain.startswith(iptables.SERVICE_CHAINS):
                rules.sort(key=_service)
    return tables


def _service(line: str) -> str:
    found = SERVICE_IN_COMMENT.search(line)
    return found[1] if found else "~"  # the rules of no Service keep their place at the end


def differences(ours: Tables, theirs: Tables) -> Iterator[str]:
    for table in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(table, {}), theirs.get(table, {})
        for chain in sorted(left.keys() | right.keys()):
            if left.get(chain) != right.get(chain):
                yield f"{table} {chain}\n  ours:   {left.get(chain)}\n  theirs: {right.get(chain)}"


def histories(found: list[dict[str, Any]], key: str = "id") -> list[list[dict[str, Any]]]:
    """The cases that are the successive syncs of one kube-proxy, together."""
    by_test: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        by_test.setdefault(each[key].split("#")[0], []).append(each)
    return list(by_test.values())


class Objects:
    """Feeds a State with what differs between one case's objects and the next one's."""

    def __init__(self, into: state.State) -> None:
        self._state = into
        self._known: dict[tuple[str, str, str], Any] = {}

    def become(self, case: dict[str, Any]) -> state.Changes:
        now = {
            (kind, each["metadata"]["namespace"], each["metadata"]["name"]): each
            for kind in ("services", "endpointSlices")
            for each in case[kind] or ()
        }
        for key in sorted(self._known.keys() | now.keys()):
            if self._known.get(key) != now.get(key):
                tell = self._state.service_changed if key[0] == "services" else self._state.slice_changed
                tell(now.get(key) or self._known[key], deleted=key not in now)
        self._known = now
        return self._state.checkout()
