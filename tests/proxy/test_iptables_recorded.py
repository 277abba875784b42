"""Today's iptables rules, compared chain by chain with what the real kube-proxy 1.36 wrote."""

from __future__ import annotations

from pathlib import Path

from proxy_recorded import Objects, cases, chains, differences, histories

from kubesim.proxy import case, iptables, state


def test_generated_clusters(shared: Path) -> None:
    found = cases(shared, "iptables-generated.json")
    wrong = {}
    for each in found:
        difference = list(differences(chains(case.rules(each)), chains(each["expected_rules"])))
        if difference:
            wrong[each["id"]] = difference
    print(f"iptables, generated: {100 * (1 - len(wrong) / len(found)):.1f} % of {len(found)} cases to the letter")
    assert not wrong


def test_upstreams_own_cases_full_and_partial(shared: Path) -> None:
    found = cases(shared, "iptables-upstream.json")
    wrong = {}
    for history in histories(found):
        options = case.settings(history[0])
        known, renderer = state.State(options.family, options.node_name), iptables.Renderer(options)
        objects, existing = Objects(known), ()
        for each in history:
            changes = objects.become(each)
            text = renderer.sync(known, None if each["full_sync"] else changes.services, existing)
            theirs = each["expected_rules"] or each["real_output"]["restore_input"]
            difference = list(differences(chains(text), chains(theirs)))
            if difference:
                wrong[each["id"]] = difference
            existing = tuple(chains(each["real_output"]["save_after"])["nat"])
    print(f"iptables, upstream's tests: {100 * (1 - len(wrong) / len(found)):.1f} % of {len(found)} syncs to the letter")
    assert not wrong
