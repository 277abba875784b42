"""Fresh clusters for the loops' tests."""

from __future__ import annotations

import pytest
from looplab import Lab


@pytest.fixture
def kind() -> Lab:
    return Lab("kind")


@pytest.fixture
def vagrant() -> Lab:
    return Lab("vagrant")
