"""What the tests of kube-proxy share."""

from __future__ import annotations

import pytest
from proxy_lab import Lab


@pytest.fixture
def lab() -> Lab:
    """A node with a pod that serves and a pod that asks; no kube-proxy yet."""
    return Lab()
