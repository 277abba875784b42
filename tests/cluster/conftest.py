"""Whole clusters."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster


@pytest.fixture(params=["kind", "vagrant"])
def any_cluster(request: pytest.FixtureRequest) -> Cluster:
    """A cluster of three nodes, and of one."""
    return Cluster(request.param)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("kind")
