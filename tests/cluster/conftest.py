"""Whole clusters."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster


@pytest.fixture(params=["kind", "vagrant", "kubeadm", "minikube", "gke", "aks"])
def any_cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each preset that has nodes."""
    return Cluster(request.param)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("kind")
