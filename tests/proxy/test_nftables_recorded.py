"""The nftables rules, compared with the tables that the real kube-proxy 1.36 made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy_recorded import Objects, cases, histories

from kubesim.proxy import case, nftables, state


class Table:
    """As much of nft as it takes to know what is in the table after some transactions."""

    def __init__(self) -> None:
        self.what: dict[tuple[str, ...], Any] = {}

    def run(self, text: str) -> Table:
        for line in text.splitlines():
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            verb, kind, family, table, *rest = line.split(" ")
            name = rest[0] if rest else ""
            words = " ".join(rest[1:])
            if kind == "rule":
                self.what["chain", name][1].append(words)
            elif kind == "element":
                inside, verdict = words.strip("{} "), ""
                for mark in (" comment ", " : "):
                    if mark in inside:
                        inside, _, tail = inside.partition(mark)
                        verdict = mark + tail + verdict
                self._set(verb, ("element", name, inside), verdict)
            elif verb == "flush":
                self.what[kind, name][1].clear()
            elif kind == "chain":
                self._set(verb, (kind, name), (words, []))
            else:
                self._set(verb, (kind, family, table, name), words)
        return self

    def _set(self, verb: str, key: tuple[str, ...], value: Any) -> None:
        if verb == "delete":
            del self.what[key]
        elif key[0] == "element":
            assert key not in self.what, f"{key} is there already"
            self.what[key] = value
        else:
            self.what.setdefault(key, value)


def differences(ours: Table, theirs: Table) -> list[str]:
    keys = sorted(key for key in ours.what.keys() | theirs.what.keys() if ours.what.get(key) != theirs.what.get(key))
    return [f"{key}\n  ours:   {ours.what.get(key)}\n  theirs: {theirs.what.get(key)}" for key in keys]


def test_generated_clusters(shared: Path) -> None:
    found = cases(shared, "nftables-generated.json")
    wrong = {}
    for each in found:
        difference = differences(Table().run(case.rules(each)), Table().run(each["expected_rules"]))
        if difference:
            wrong[each["id"]] = difference
    print(f"nftables, generated: {100 * (1 - len(wrong) / len(found)):.1f} % of {len(found)} cases to the letter")
    assert not wrong


def test_upstreams_own_cases_full_and_by_transactions(shared: Path) -> None:
    found = cases(shared, "nftables-upstream.json")
    wrong = {}
    for history in histories(found):
        options = case.settings(history[0])
        known, renderer = state.State(options.family, options.node_name), nftables.Renderer(options)
        objects = Objects(known)
        ours = Table()
        if not history[0]["full_sync"]:
            ours.run(renderer.full(known))
        now = 0.0
        for each in history:
            changes = objects.become(each)
            if each["full_sync"]:
                ours = Table().run(renderer.full(known))
            else:
                ours.run(renderer.partial(known, changes.services, now))
            difference = differences(ours, Table().run(each["real_output"]["dump"]))
            if difference:
                wrong[each["id"]] = difference
            now += 2.0
    print(f"nftables, upstream's tests: {100 * (1 - len(wrong) / len(found)):.1f} % of {len(found)} syncs to the letter")
    assert not wrong
