"""Endpoints and EndpointSlices as a real kube-controller-manager settled on them (golden/endpoints/scenarios.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubesim.controllers import endpoints, endpointslice
from kubesim.controllers.serviceendpoints import HEADLESS, is_headless
from kubesim.machinery import selectors


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden/endpoints/scenarios.json").read_text())


def selected(scenario: dict[str, Any], service: dict[str, Any]) -> list[dict[str, Any]]:
    selector = selectors.from_map(service["spec"]["selector"])
    return [pod for pod in scenario["pods"] if selector.matches(pod["metadata"].get("labels") or {})]


def with_selector(scenario: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in scenario["services"] if each["spec"].get("selector")]


def test_endpoints_subsets(golden: dict[str, Any]) -> None:
    compared = 0
    for scenario in golden["scenarios"]:
        recorded = {each["metadata"]["name"]: each.get("subsets") or [] for each in scenario["endpoints"]}
        computed = {
            each["metadata"]["name"]: endpoints.subsets(each, selected(scenario, each))
            for each in with_selector(scenario)
        }
        # To the letter, with the order of subsets, addresses and ports.
        assert computed == recorded, scenario["id"]
        compared += len(computed)
    assert compared > 90


def test_slices(golden: dict[str, Any]) -> None:
    zones = {
        each["metadata"]["name"]: each["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for each in golden["meta"]["nodes"]
    }
    compared = 0
    for scenario in golden["scenarios"]:
        for service in with_selector(scenario):
            name = service["metadata"]["name"]
            labels = endpointslice.labels_for(
                service["metadata"].get("labels") or {}, name, endpointslice.MANAGER, is_headless(service)
            )
            new = {"metadata": {"labels": labels}, "addressType": "IPv4"}
            groups = endpointslice.desired(service, selected(scenario, service), "IPv4", zones.get)
            plan = endpointslice.plan([], groups, new)
            recorded = [
                each
                for each in scenario["endpointSlices"]
                if each["metadata"]["labels"][endpointslice.SERVICE_NAME] == name
            ]
            assert not plan.update
            assert comparable(plan.create) == comparable(recorded), (scenario["id"], name)
            compared += len(recorded)
    assert compared > 100


def comparable(slices: list[dict[str, Any]]) -> list[Any]:
    """Without names, endpoints in order of their addresses: slices promise no order."""
    found = [
        {
            "labels": each["metadata"]["labels"],
            "ports": each["ports"],
            "endpoints": sorted(
                each["endpoints"] or [],
                key=lambda one: one["addresses"],
            ),
        }
        for each in slices
    ]
    return sorted(found, key=lambda each: json.dumps(each, sort_keys=True))


def test_headless_label_is_not_inherited() -> None:
    labels = endpointslice.labels_for({HEADLESS: "", "app": "x"}, "web", endpointslice.MANAGER)
    assert labels == {
        "app": "x",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": "web",
    }
