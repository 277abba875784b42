"""How far the answers agree with a real kube-apiserver 1.36's, by its recordings.

The levels are those that were reached; what differs is known, and listed with its reason below.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import replaying

# Recordings that differ, and why.
KNOWN = {
    "01-discovery/022-openapi-v3-index": "the hashes are of our own documents",
    "01-discovery/028-openapi-v3-core": "descriptions are our own",
    "01-discovery/029-openapi-v3-apps": "descriptions are our own",
    "01-discovery/030-openapi-v3-networking": "descriptions are our own",
    "01-discovery/031-openapi-v3-discovery": "descriptions are our own",
    "07-errors/334-pod-immutable": "the message ends with a diff of Go's internal structs",
}


def levels(result: Any) -> dict[str, tuple[int, int]]:
    """folder -> (agreeing, all)."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, differences in result.cases:
        folder = name.rsplit("/", 1)[0]
        found[folder][0] += not differences
        found[folder][1] += 1
    return {folder: (good, every) for folder, (good, every) in found.items()}


def report(result: Any) -> str:
    rows = [f"{folder:28} {good:4} of {every:4}" for folder, (good, every) in sorted(levels(result).items())]
    worst = [
        f"{name}{path}: expected {str(want)[:160]}, got {str(got)[:160]}"
        for name, differences in result.cases
        if name not in KNOWN
        for path, want, got in differences[:2]
    ]
    return "\n".join([*rows, *worst[:40]])


def percent(result: Any) -> float:
    return 100 * sum(not differences for _, differences in result.cases) / len(result.cases)


def test_services_of_one_family(shared: Path) -> None:
    result = replaying.services(shared, "single-stack")
    print(f"services, single-stack: {percent(result):.2f} %")
    assert percent(result) == 100, report(result)


def test_services_of_two_families(shared: Path) -> None:
    result = replaying.services(shared, "dual-stack", "10.96.0.0/12,fd00:10:96::/112")
    print(f"services, dual-stack: {percent(result):.2f} %")
    assert percent(result) == 100, report(result)


def test_requests_in_their_order(shared: Path) -> None:
    result = replaying.api(shared)
    print(f"api: {percent(result):.2f} %\n{report(result)}")
    assert percent(result) >= 98, report(result)
    reached = levels(result)
    for folder in ("04-deployment", "05-services", "08-watch"):
        good, every = reached[folder]
        assert good == every, report(result)


def test_endpoints_and_slices(shared: Path) -> None:
    result = replaying.endpoints(shared)
    print(f"endpoints: {percent(result):.2f} %")
    assert percent(result) >= 98, report(result)
