"""Fixtures of the network's tests."""

from __future__ import annotations

import netlab
import pytest


@pytest.fixture
def lab() -> netlab.Lab:
    return netlab.build()
