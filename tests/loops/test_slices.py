"""How EndpointSlices change: few objects at a time; hand-made Endpoints are mirrored."""

from __future__ import annotations

from typing import Any

from looplab import Lab

from kubesim.controllers import endpoints, endpointslice

PORTS = [{"name": "http", "protocol": "TCP", "port": 80}]
NEW = {"metadata": {"labels": {}}, "addressType": "IPv4"}


def many(count: int) -> list[dict[str, Any]]:
    return [{"addresses": [f"10.0.{n // 250}.{n % 250}"], "conditions": {"ready": True}} for n in range(count)]


def settled(count: int) -> list[dict[str, Any]]:
    made = endpointslice.plan([], [(PORTS, many(count))], NEW).create
    return [{**each, "metadata": {"name": f"s{index}", "labels": {}}} for index, each in enumerate(made)]


def test_a_hundred_endpoints_a_slice() -> None:
    assert [len(each["endpoints"]) for each in settled(250)] == [100, 100, 50]


def test_one_more_endpoint_touches_the_one_slice_with_room() -> None:
    plan = endpointslice.plan(settled(250), [(PORTS, many(251))], NEW)
    assert [(each["metadata"]["name"], len(each["endpoints"])) for each in plan.update] == [("s2", 51)]
    assert not plan.create
    assert not plan.delete


def test_one_endpoint_replaced_touches_one_slice() -> None:
    wanted = many(251)
    del wanted[5]
    plan = endpointslice.plan(settled(250), [(PORTS, wanted)], NEW)
    assert [(each["metadata"]["name"], len(each["endpoints"])) for each in plan.update] == [("s0", 100)]


def test_nothing_left_leaves_one_empty_slice() -> None:
    plan = endpointslice.plan(settled(150), [], NEW)
    (placeholder,) = plan.update
    assert (placeholder["endpoints"], placeholder["ports"]) == (None, None)
    assert [each["metadata"]["name"] for each in plan.delete] == ["s1"]
    kept = endpointslice.plan([placeholder], [], NEW)
    assert (kept.create, kept.update, kept.delete) == ([], [], [])


def test_endpoints_are_cut_at_a_thousand_ready_ones_first() -> None:
    full = [
        {"addresses": [{"ip": str(n)} for n in range(900)], "notReadyAddresses": [{"ip": str(n)} for n in range(200)]}
    ]
    (cut,), truncated = endpoints.truncate(full)
    assert truncated
    assert (len(cut["addresses"]), len(cut["notReadyAddresses"])) == (900, 100)


def test_hand_made_endpoints_are_mirrored(kind: Lab) -> None:
    kind.apply("services", {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}})
    kind.apply(
        "endpoints",
        {"metadata": {"name": "db"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432}]}]},
    )
    kind.settle()
    (mirrored,) = (
        each for each in kind.api.list(endpointslice.RESOURCE, "default") if each["metadata"]["name"] != "kubernetes"
    )
    assert mirrored["metadata"]["labels"] == {
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        "kubernetes.io/service-name": "db",
    }
    assert mirrored["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    kind.api.delete("endpoints", "db", "default")
    kind.settle()
    assert [each["metadata"]["name"] for each in kind.api.list(endpointslice.RESOURCE, "default")] == ["kubernetes"]
