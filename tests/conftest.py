"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests go first (`--no-loadscope-reorder` keeps that order): one that begins last is waited for by all.  The
    browser's is the longest, and the kernel's mostly wait."""
    long = {item.path for item in items if item.get_closest_marker("browser") or item.get_closest_marker("slow")}
    first = {"browser": 0, "net": 1}
    items.sort(key=lambda item: (item.path not in long, first.get(item.path.parent.name, 2)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The recordings that fidelity is measured against; they stand beside the checkout, and are not part of it."""
    found = ROOT.parent / "shared"
    if not (found / "golden").is_dir():
        pytest.skip("../shared is absent: the recordings of the real thing are not there to compare with")
    return found
