"""The clusters that policies are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from policybench import Bench

_benches: dict[str, Bench] = {}


@pytest.fixture(params=["kind", "vagrant"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One for each way of enforcing: kindnet's queue on three nodes, Calico's chains on one.  Without policies."""
    name: str = request.param
    found = _benches.get(name)
    if found is None:
        found = _benches[name] = Bench(name)
    found.reset()
    yield found
    found.reset()
