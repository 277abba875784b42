"""A page with one stepper on it, made from a packet that an embedded cluster followed."""

from __future__ import annotations

from functools import cache

from kubelab.stepper import html
from kubesim.cluster import Cluster


@cache
def stepper_page() -> str:
    cluster = Cluster("kind", 1)
    trace = cluster.trace("node/kind-worker", "http://10.96.0.1:443")
    return f"<!doctype html><title>A packet</title><body>{html.render(trace)}</body>"
