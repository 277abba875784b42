"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
