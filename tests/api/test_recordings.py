"""How far the answers agree with a real kube-apiserver 1.36's, by its recordings.

The levels are those that were reached; what differs is known, and listed with its reason below.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import replaying
import upstreamstorage


@pytest.fixture(scope="module")
def coverage(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_page", root / "tools/coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def api(shared: Path) -> Any:
    return replaying.api(shared)


@pytest.fixture(scope="module")
def services(shared: Path) -> dict[str, Any]:
    ranges = {"single-stack": "10.96.0.0/12", "dual-stack": "10.96.0.0/12,fd00:10:96::/112"}
    return {name: replaying.services(shared, name, service_cidr) for name, service_cidr in ranges.items()}


@pytest.fixture(scope="module")
def endpoints(shared: Path) -> Any:
    return replaying.endpoints(shared)


@pytest.fixture(scope="module")
def storage(shared: Path) -> tuple[int, list[Any]]:
    return upstreamstorage.differences(shared)


def report(coverage: ModuleType, result: Any) -> str:
    rows = [f"{folder:28} {good:4} of {every:4}" for folder, (good, every) in sorted(coverage.levels(result).items())]
    worst = [
        f"{name}{path}: expected {str(want)[:160]}, got {str(got)[:160]}"
        for name, differences in result.cases
        if name not in coverage.KNOWN
        for path, want, got in differences[:2]
    ]
    return "\n".join([*rows, *worst[:40]])


def percent(result: Any) -> float:
    return 100 * sum(not differences for _, differences in result.cases) / len(result.cases)


@pytest.mark.parametrize("name", ["single-stack", "dual-stack"])
def test_services(coverage: ModuleType, services: dict[str, Any], name: str) -> None:
    print(f"services, {name}: {percent(services[name]):.2f} %")
    assert percent(services[name]) == 100, report(coverage, services[name])


def test_requests_in_their_order(coverage: ModuleType, api: Any) -> None:
    print(f"api: {percent(api):.2f} %\n{report(coverage, api)}")
    differing = {name for name, differences in api.cases if differences}
    assert differing <= set(coverage.KNOWN), report(coverage, api)


def test_endpoints_and_slices(coverage: ModuleType, endpoints: Any) -> None:
    print(f"endpoints: {percent(endpoints):.2f} %")
    assert percent(endpoints) == 100, report(coverage, endpoints)


def test_the_storage_of_services(coverage: ModuleType, storage: tuple[int, list[Any]]) -> None:
    count, differing = storage
    assert len({name for name, *_ in differing}) <= 0.05 * count, differing[:20]
    assert {name.split("/")[0].split(" ")[0] for name, *_ in differing} <= set(coverage.STORAGE)


def test_the_page_of_them_is_fresh(
    coverage: ModuleType, api: Any, services: dict[str, Any], endpoints: Any, storage: tuple[int, list[Any]]
) -> None:
    made = coverage.page(api, services, endpoints, storage)
    assert "not explained" not in made
    assert coverage.PAGE.read_text(encoding="utf-8") == made, "run tools/coverage.py"
