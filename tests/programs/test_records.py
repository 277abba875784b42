"""CoreDNS's kubernetes plugin, against what the real one answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubesim.dns import objects, records
from kubesim.dns.answers import Answer, Question, Record, absolute

# One recorded SOA has another TTL than the plugin's own (its upstream test never compared it).
UNCOMPARED_TTL = {"ServeNamespaceDNS/1"}


def world(recorded: dict[str, Any]) -> objects.Objects:
    known = objects.Objects(serial=1499347823)
    names = {"testns", "podns", "svcns", "kube-system", "unexposedns"}
    for name in sorted(names):
        known.namespace("ADDED", {"metadata": {"name": name}})
    for each in recorded.get("services", []):
        known.service("ADDED", each)
    for each in recorded.get("endpointSlices", []):
        known.slice("ADDED", each)
    for each in recorded.get("pods", []):
        metadata = {"name": each["name"], "namespace": each["namespace"]}
        known.pod("ADDED", {"metadata": metadata, "status": {"podIP": each["podIP"]}})
    return known


def options(config: dict[str, Any]) -> records.Options:
    return records.Options(
        zones=tuple(config["zones"]),
        pods=config.get("pods", "disabled"),
        namespaces=tuple(config.get("namespaces") or ()),
        ignore_empty_service=config.get("ignoreEmptyService", False),
        zonal=config.get("zonal", False),
    )


def lines(section: tuple[Record, ...]) -> list[str]:
    return sorted(str(each) for each in section)


def normal(line: str, *, any_ttl: bool = False) -> str:
    """The name absolute, and an SOA without what upstream's `test.SortAndCheck` does not compare: serial and minimum."""
    name, ttl, _, kind, data = line.split(None, 4)
    if kind == "SOA":
        ns, mbox, _serial, *times, _minimum = data.split()
        ttl = "any" if any_ttl else ttl
        data = " ".join([ns, mbox, *times])
    return f"{absolute(name)} {ttl} IN {kind} {data}"


def ask(case: dict[str, Any], recorded: dict[str, Any]) -> Answer:
    config = case["config"]
    asked = records.Records(world(recorded), options(config), tuple(config.get("localIPs", ())))
    question = Question(absolute(case["qname"]), case["qtype"])
    answer = asked.answer(question, synced=not config.get("notSynced"))
    if answer.chase:
        # The server would ask its upstream; the recording holds what that says, less the alias that led there.
        said = [line for line in case["upstream"]["answer"] if "CNAME" not in line]
        there = tuple(Record(*line.replace(" IN ", " ").split(None, 3)) for line in said)  # type: ignore[arg-type]
        answer = Answer(answer=(*answer.answer, *there))
    return answer


def differences(case: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    answer = ask(case, recorded)
    loose = case["id"] in UNCOMPARED_TTL
    found = []
    if answer.rcode != case["rcode"]:
        found.append(f"rcode {answer.rcode}, should be {case['rcode']}")
    sections = {"answer": answer.answer, "ns": answer.authority, "extra": answer.additional}
    for name, section in sections.items():
        got = sorted(normal(line, any_ttl=loose) for line in lines(section))
        expected = sorted(normal(line, any_ttl=loose) for line in case[name])
        if got != expected:
            found.append(f"{name}:\n  got      {got}\n  expected {expected}")
    return found


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden/dns/coredns.json").read_text())


def test_the_recorded_answers(golden: dict[str, Any], record_property: Any) -> None:
    wrong = {}
    for case in golden["cases"]:
        found = differences(case, golden["worlds"][case["world"]])
        if found:
            wrong[f"{case['id']} {case['qname']} {case['qtype']}"] = found
    right = len(golden["cases"]) - len(wrong)
    record_property("coredns", f"{right}/{len(golden['cases'])}")
    assert not wrong, "\n".join(f"{key}: " + "\n".join(found) for key, found in wrong.items())


def test_names_are_taken_apart_as_upstream_does(golden: dict[str, Any]) -> None:
    tables = golden["extra_tables"]
    checked = 0
    for name, expected, multicluster, zonal, zone in tables["parse_request"]:
        if multicluster:
            continue  # ServiceImports are no part of the cluster
        got = records.parse(name.lstrip("."), "inter.webs.tests.", zonal)
        port = f"{got.port}.{got.protocol}.{got.endpoint}..{got.service}.{got.namespace}.{got.kind}"
        if zonal and zone == "":
            # "us-west-2a._zone" is a port and a protocol where no mode is named
            assert (got.port, got.protocol) == ("us-west-2a", "zone")
        else:
            assert (port, got.zone) == (expected, zone), name
        checked += 1
    assert checked >= 9


def test_an_endpoint_is_called_by_its_hostname_or_its_address(golden: dict[str, Any]) -> None:
    for ip, hostname, expected, pod, mode in golden["extra_tables"]["endpoint_hostname"]:
        assert objects.Address(ip, hostname, pod).label(mode) == expected


def test_a_deleted_service_is_gone_with_its_reverse_name() -> None:
    known = objects.Objects()
    known.namespace("ADDED", {"metadata": {"name": "default"}})
    service = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    asked = records.Records(known, records.Options(zones=("cluster.local.", "in-addr.arpa.")))
    known.service("ADDED", service)
    assert lines(asked.answer(Question("7.0.96.10.in-addr.arpa.", "PTR")).answer) == [
        "7.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local."
    ]
    known.service("DELETED", service)
    assert asked.answer(Question("7.0.96.10.in-addr.arpa.", "PTR")).rcode == "NXDOMAIN"
    assert asked.answer(Question("web.default.svc.cluster.local.")).rcode == "NXDOMAIN"


def test_an_endpoint_that_is_not_ready_has_no_name() -> None:
    known = objects.Objects()
    known.namespace("ADDED", {"metadata": {"name": "default"}})
    known.service("ADDED", {"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "None"}})
    endpoints = [
        {"addresses": ["10.244.1.2"], "conditions": {"ready": True}},
        {"addresses": ["10.244.1.3"], "conditions": {"ready": False, "serving": True, "terminating": True}},
    ]
    labels = {"kubernetes.io/service-name": "web"}
    slice_ = {"metadata": {"name": "web-1", "namespace": "default", "labels": labels}, "endpoints": endpoints}
    known.slice("ADDED", slice_)
    asked = records.Records(known, records.Options(ttl=30))
    assert lines(asked.answer(Question("web.default.svc.cluster.local.")).answer) == [
        "web.default.svc.cluster.local. 30 IN A 10.244.1.2"
    ]
    # No port is declared: there are addresses, but no SRV.
    assert asked.answer(Question("web.default.svc.cluster.local.", "SRV")).answer == ()
