"""Who may speak to whom, as rows: policies, and connections with what becomes of them.

A connection is "FROM > TO:PORT[/udp]".  Each row is tried on both enforcers with real connections, and asked of the oracle.
The cases are those of Kubernetes' own network policy tests, in words of our own.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from policybench import Bench


class Row(NamedTuple):
    name: str
    policies: str
    allowed: str
    denied: str
    # The Kubernetes minor version that first knew what it uses.
    since: int = 0


def policy(namespace: str, spec: str, name: str = "policy") -> str:
    return (
        f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {spec}\n---\n"
    )


ROWS = [
    Row(
        "no policy: everybody reaches everybody",
        "",
        "x/a > x/b:80, x/a > y/a:81, z/c > x/a:80/udp",
        "",
    ),
    Row(
        "default deny for ingress isolates every pod of a namespace, and no other",
        policy("x", "{podSelector: {}, policyTypes: [Ingress]}"),
        "x/a > y/a:80, y/a > z/b:80, x/a > z/a:80/udp",
        "x/b > x/a:80, y/a > x/a:80, z/c > x/c:81, y/b > x/b:80/udp",
    ),
    Row(
        "without policyTypes a policy is about ingress only",
        policy("x", "{podSelector: {}}"),
        "x/a > y/a:80",
        "y/a > x/a:80",
    ),
    Row(
        "without policyTypes, but with egress rules, it is about both",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, egress: [{ports: [{port: 80}]}]}"),
        "x/a > y/a:80",
        "x/a > y/a:81, y/a > x/a:80",
    ),
    Row(
        "egress in policyTypes alone leaves ingress open",
        policy("x", "{podSelector: {}, policyTypes: [Egress]}"),
        "y/a > x/a:80, y/a > x/a:80/udp",
        "x/a > y/a:80, x/a > x/b:80, x/c > z/c:80/udp",
    ),
    Row(
        "default deny for both",
        policy("x", "{podSelector: {}, policyTypes: [Ingress, Egress]}"),
        "y/a > z/a:80",
        "x/a > y/a:80, y/a > x/a:80, x/a > x/b:80",
    ),
    Row(
        "an empty rule lets everybody in, by any port",
        policy("x", "{podSelector: {}, ingress: [{}]}"),
        "y/a > x/a:80, z/a > x/b:81, x/a > x/b:80/udp",
        "",
    ),
    Row(
        "an empty rule lets everything out",
        policy("x", "{podSelector: {}, policyTypes: [Egress], egress: [{}]}"),
        "x/a > y/a:80, x/b > z/a:81",
        "",
    ),
    Row(
        "a list of rules that is empty allows nothing",
        policy("x", "{podSelector: {}, ingress: []}"),
        "x/a > y/a:80",
        "y/a > x/a:80",
    ),
    Row(
        "it isolates the pods that it selects, not their neighbours",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: []}"),
        "y/a > x/b:80, x/a > x/b:80",
        "y/a > x/a:80, x/b > x/a:80",
    ),
    Row(
        "a podSelector alone means pods of the policy's own namespace",
        policy(
            "x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}"
        ),
        "x/b > x/a:80, x/b > x/a:81",
        "x/c > x/a:80, y/b > x/a:80",
    ),
    Row(
        "a namespaceSelector alone means all pods of those namespaces",
        policy("x", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]}"),
        "y/a > x/a:80, y/c > x/b:81",
        "z/a > x/a:80, x/b > x/a:80",
    ),
    Row(
        "an empty podSelector as a peer is the whole own namespace",
        policy("x", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}"),
        "x/b > x/a:80",
        "y/a > x/a:80",
    ),
    Row(
        "an empty namespaceSelector is all namespaces",
        policy("x", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}"),
        "x/b > x/a:80, y/a > x/a:80, z/a > x/a:80",
        "",
    ),
    Row(
        "both selectors in one peer: both have to hold",
        policy(
            "x",
            "{podSelector: {}, ingress: [{from: "
            "[{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: b}}}]}]}",
        ),
        "y/b > x/a:80",
        "y/a > x/a:80, x/b > x/a:80, z/b > x/a:80",
    ),
    Row(
        "both selectors in two peers (one hyphen more): either is enough",
        policy(
            "x",
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}, "
            "{podSelector: {matchLabels: {pod: b}}}]}]}",
        ),
        "y/a > x/a:80, y/b > x/a:80, x/b > x/a:80",
        "x/c > x/a:80, z/b > x/a:80",
    ),
    Row(
        "matchExpressions for pods",
        policy(
            "x",
            "{podSelector: {matchExpressions: [{key: pod, operator: In, values: [a]}]}, "
            "ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [b]}]}}]}]}",
        ),
        "x/c > x/a:80, y/a > x/b:80",
        "x/b > x/a:80, y/a > x/a:80",
    ),
    Row(
        "matchExpressions for namespaces: everybody but one",
        policy(
            "x",
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: "
            "{matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]}]}",
        ),
        "y/a > x/a:80, z/a > x/a:80",
        "x/b > x/a:80",
    ),
    Row(
        "Exists and DoesNotExist",
        policy(
            "x",
            "{podSelector: {matchExpressions: [{key: pod, operator: Exists}]}, "
            "ingress: [{from: [{podSelector: {matchExpressions: [{key: role, operator: DoesNotExist}]}}]}]}",
        ),
        "x/b > x/a:80",
        "y/b > x/a:80",
    ),
    Row(
        "a port: others of the same pod stay shut, for everybody",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 81}]}]}"),
        "y/a > x/a:81, x/b > x/a:81",
        "y/a > x/a:80, x/b > x/a:80, y/a > x/a:80/udp",
    ),
    Row(
        "a port is of TCP unless it says another protocol",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80, protocol: UDP}]}]}"),
        "y/a > x/a:80/udp",
        "y/a > x/a:80",
    ),
    Row(
        "a protocol without a port is all its ports",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{protocol: TCP}]}]}"),
        "y/a > x/a:80, y/a > x/a:81",
        "y/a > x/a:80/udp",
    ),
    Row(
        "SCTP is not TCP",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}"),
        "",
        "y/a > x/a:80, y/a > x/a:80/udp",
    ),
    Row(
        "several ports and peers of one rule: any of the one with any of the other",
        policy(
            "x",
            "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}, {port: 9000}, {port: 80, protocol: UDP}], "
            "from: [{namespaceSelector: {matchLabels: {ns: y}}}, {namespaceSelector: {matchLabels: {ns: z}}}]}]}",
        ),
        "y/a > x/a:80, z/a > x/a:80, z/a > x/a:80/udp",
        "x/b > x/a:80, y/a > x/a:81",
    ),
    Row(
        "rules are alternatives, each whole in itself",
        policy(
            "x",
            "{podSelector: {matchLabels: {pod: a}}, ingress: ["
            "{ports: [{port: 80}], from: [{namespaceSelector: {matchLabels: {ns: y}}}]}, "
            "{ports: [{port: 81}], from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}",
        ),
        "y/a > x/a:80, z/a > x/a:81",
        "y/a > x/a:81, z/a > x/a:80",
    ),
    Row(
        "a named port is the container's",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: serve-81}]}]}"),
        "y/a > x/a:81",
        "y/a > x/a:80",
    ),
    Row(
        "a named port for egress is the receiver's",
        policy("x", "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: serve-80}]}]}"),
        "x/a > y/a:80",
        "x/a > y/a:81",
    ),
    Row(
        "a named port and a number, and only to some",
        policy(
            "x",
            "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: serve-80}, {port: 82}], "
            "to: [{namespaceSelector: {matchLabels: {ns: y}}}]}]}",
        ),
        "x/a > y/a:80",
        "x/a > y/a:81, x/a > z/a:80",
    ),
    Row(
        "a name that no container port has is no port",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: nobody}]}]}"),
        "",
        "y/a > x/a:80, y/a > x/a:81",
    ),
    Row(
        "endPort: a range, both ends in it",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 79, endPort: 80}]}]}"),
        "y/a > x/a:80",
        "y/a > x/a:81",
        since=21,
    ),
    Row(
        "policies add up: what one allows, none takes away",
        policy("x", "{podSelector: {}, ingress: []}", "deny")
        + policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}]}]}", "one")
        + policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 81}]}]}", "other"),
        "y/a > x/a:80, y/a > x/a:81",
        "y/a > x/b:80, y/a > x/a:80/udp",
    ),
    Row(
        "a policy of another namespace selects nothing here",
        policy("y", "{podSelector: {matchLabels: {pod: a}}, ingress: []}"),
        "x/b > x/a:80",
        "x/b > y/a:80",
    ),
    Row(
        "egress to pods by label, and to namespaces",
        policy(
            "x",
            "{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], "
            "egress: [{to: [{podSelector: {matchLabels: {pod: b}}}, {namespaceSelector: {matchLabels: {ns: z}}}]}]}",
        ),
        "x/a > x/b:80, x/a > z/c:81, x/b > y/a:80",
        "x/a > x/c:80, x/a > y/b:80",
    ),
    Row(
        "a connection needs the leave of both ends: out alone is not in",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{}]}", "out")
        + policy("y", "{podSelector: {matchLabels: {pod: a}}, ingress: []}", "in"),
        "x/a > y/b:80",
        "x/a > y/a:80",
    ),
    Row(
        "answers need no leave: an isolated pod hears what it asked for",
        policy("x", "{podSelector: {matchLabels: {pod: a}}, ingress: []}"),
        "x/a > y/a:80, x/a > x/b:80",
        "y/a > x/a:80",
    ),
    Row(
        "a pod's own node is always let in; another node is not a pod",
        policy("x", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}"),
        "own node > x/a:80, y/a > x/a:80",
        "",
    ),
    Row(
        "default deny does not shut out kubelet's probes",
        policy("x", "{podSelector: {}, policyTypes: [Ingress, Egress]}"),
        "own node > x/a:80, own node > x/b:81",
        "",
    ),
]


def connections(text: str) -> list[tuple[str, str, int, str]]:
    found = []
    for each in filter(None, text.split(", ")):
        source, _, target = each.partition(" > ")
        where, _, port = target.partition(":")
        number, _, protocol = port.partition("/")
        found.append((source, where, int(number), protocol or "tcp"))
    return found


def outcome(bench: Bench, source: str, target: str, port: int, protocol: str) -> str:
    if source == "own node":
        source = f"node:{bench.node_of(target)}"
    if protocol == "udp":
        return "open" if bench.walks(source, target, port, "udp") else "silence"
    return bench.connects(source, target, port)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows(bench: Bench, row: Row) -> None:
    if bench.cluster.preset.minor < row.since:
        pytest.skip(f"Kubernetes knows it since 1.{row.since}")
    bench.apply(row.policies)
    asked = [(each, "open") for each in connections(row.allowed)] + [
        (each, "silence") for each in connections(row.denied)
    ]
    seen = {each: outcome(bench, *each) for each, _wanted in asked}
    assert seen == dict(asked)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_oracle_says_the_same(bench: Bench, row: Row) -> None:
    if bench.cluster.preset.minor < row.since:
        pytest.skip(f"Kubernetes knows it since 1.{row.since}")
    bench.apply(row.policies)
    state = bench.state
    for each, wanted in [(x, True) for x in connections(row.allowed)] + [(x, False) for x in connections(row.denied)]:
        source, target, port, protocol = each
        source = f"node:{bench.node_of(target)}" if source == "own node" else source
        assert bench.oracle(source, target, port, protocol) is wanted, (each, state.policies)
