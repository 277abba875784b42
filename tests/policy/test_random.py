"""Random policies on random labels: what the packet meets on its way and what the oracle says are the same."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policybench import NAMESPACES, PODS, POLICIES, Bench

VALUES = ("a", "b", "c")
labels = st.dictionaries(st.sampled_from(("pod", "tier")), st.sampled_from(VALUES), max_size=2)
expressions = st.builds(
    lambda key, operator, values: {
        "key": key,
        "operator": operator,
        **({"values": values} if operator in ("In", "NotIn") else {}),
    },
    st.sampled_from(("pod", "tier", "ns")),
    st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")),
    st.lists(st.sampled_from((*VALUES, *NAMESPACES)), min_size=1, max_size=2, unique=True),
)
selectors = st.one_of(
    st.just({}),
    st.builds(lambda found: {"matchLabels": found}, labels),
    st.builds(lambda found: {"matchExpressions": [found]}, expressions),
)
namespaces = st.one_of(
    st.just({}), st.builds(lambda ns: {"matchLabels": {"ns": ns}}, st.sampled_from(NAMESPACES)), selectors
)
ports = st.one_of(
    st.builds(
        lambda port, protocol: {"port": port, "protocol": protocol},
        st.integers(79, 82),
        st.sampled_from(("TCP", "UDP")),
    ),
    st.builds(lambda name: {"port": name, "protocol": "TCP"}, st.sampled_from(("serve-80", "serve-81", "none"))),
    st.builds(lambda protocol: {"protocol": protocol}, st.sampled_from(("TCP", "UDP"))),
)
# Where in the pods' range a block begins and how long it is; the test knows the addresses.
blocks = st.tuples(
    st.integers(0, 8), st.sampled_from((24, 28, 30, 31, 32)), st.lists(st.integers(0, 8), max_size=2, unique=True)
)
peers = st.one_of(
    st.builds(lambda found: {"podSelector": found}, selectors),
    st.builds(lambda found: {"namespaceSelector": found}, namespaces),
    st.builds(lambda one, other: {"podSelector": one, "namespaceSelector": other}, selectors, namespaces),
    st.builds(lambda found: {"block": found}, blocks),
)
rules = st.tuples(st.lists(peers, max_size=2), st.lists(ports, max_size=3))
policies = st.fixed_dictionaries({
    "namespace": st.sampled_from(NAMESPACES[:2]),
    "podSelector": selectors,
    "types": st.sampled_from((None, ["Ingress"], ["Egress"], ["Ingress", "Egress"])),
    "ingress": st.lists(rules, max_size=2),
    "egress": st.lists(rules, max_size=2),
})  # fmt: skip
connections = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from((80, 81)), st.sampled_from(("tcp", "udp"))),
    min_size=6, max_size=12, unique=True,
)  # fmt: skip


def peer(drawn: dict[str, Any], ips: list[str]) -> dict[str, Any]:
    if "block" not in drawn:
        return drawn
    at, length, without = drawn["block"]
    block: dict[str, Any] = {"cidr": str(ipaddress.ip_network(f"{ips[at]}/{length}", strict=False))}
    # The API wants exceptions to lie within the block.
    around = ips[at].rpartition(".")[0]
    inside = [f"{ips[each]}/32" for each in without if length == 24 and ips[each].rpartition(".")[0] == around]
    return {"ipBlock": {**block, **({"except": inside} if inside else {})}}


def manifest(number: int, drawn: dict[str, Any], ips: list[str]) -> dict[str, Any]:
    spec: dict[str, Any] = {"podSelector": drawn["podSelector"]}
    if drawn["types"] is not None:
        spec["policyTypes"] = drawn["types"]
    for direction, key in (("ingress", "from"), ("egress", "to")):
        if drawn["types"] is None or direction.capitalize() in drawn["types"]:
            spec[direction] = [
                {**({key: [peer(each, ips) for each in found]} if found else {}), **({"ports": of} if of else {})}
                for found, of in drawn[direction]
            ]
    metadata = {"name": f"policy-{number}", "namespace": drawn["namespace"]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(drawn=st.lists(policies, max_size=4), pods=st.lists(labels, min_size=9, max_size=9), asked=connections)
def test_walks_agree_with_the_oracle(
    bench: Bench, drawn: list[dict[str, Any]], pods: list[dict[str, str]], asked: list[tuple[int, int, int, str]]
) -> None:
    bench.reset()
    names = [f"{namespace}/{name}" for namespace in NAMESPACES for name in PODS]
    ips = [bench.ip(name) for name in names]
    for name, given_labels in zip(names, pods, strict=True):
        namespace, _, which = name.partition("/")
        bench.label("pods", which, namespace, given_labels)
    for number, each in enumerate(drawn):
        obj = manifest(number, each, ips)
        bench.client.create(POLICIES, obj)
    bench.cluster.world.drain()
    for source, target, port, protocol in asked:
        if source == target:
            continue
        came = bench.walks(names[source], names[target], port, protocol)
        assert came is bench.oracle(names[source], names[target], port, protocol), (
            names[source],
            names[target],
            port,
            protocol,
        )
