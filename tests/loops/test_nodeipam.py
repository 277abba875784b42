"""What kube-controller-manager writes on nodes that somebody registers."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster
from kubesim.controllers import nodeipam


def register(cluster: Cluster, name: str, **spec: object) -> dict[str, object]:
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
    cluster.api.client().create("nodes", {"metadata": {"name": name, "labels": labels}, "spec": spec})
    cluster.settle()
    return cluster.api.client().get("nodes", name)


def test_nodes_get_the_next_part_of_the_range() -> None:
    cluster = Cluster("bare")
    assert [register(cluster, name)["spec"]["podCIDR"] for name in "ab"] == ["10.244.0.0/24", "10.244.1.0/24"]
    cluster.api.client().delete("nodes", "a")
    cluster.settle()
    assert register(cluster, "c")["spec"]["podCIDRs"] == ["10.244.2.0/24"]


def test_a_part_that_a_node_brings_is_taken() -> None:
    cluster = Cluster("bare")
    register(cluster, "a", podCIDR="10.244.0.0/24", podCIDRs=["10.244.0.0/24"])
    assert register(cluster, "b")["spec"]["podCIDR"] == "10.244.1.0/24"


def test_two_families_give_two_parts() -> None:
    assert register(Cluster("bare-dual"), "a")["spec"]["podCIDRs"] == ["10.244.0.0/24", "fd00:10:244::/64"]


def test_old_labels_and_the_ttl() -> None:
    metadata = register(Cluster("bare"), "a")["metadata"]
    assert metadata["labels"]["beta.kubernetes.io/arch"] == "arm64"
    assert metadata["labels"]["beta.kubernetes.io/os"] == "linux"
    assert metadata["annotations"] == {"node.alpha.kubernetes.io/ttl": "0"}


@pytest.mark.parametrize(("cidr", "parts"), [("10.0.0.0/23", 2), ("10.0.0.0/24", 1), ("10.0.0.0/26", 1)])
def test_a_range_has_an_end(cidr: str, parts: int) -> None:
    import ipaddress

    found = nodeipam.Range(ipaddress.ip_network(cidr))
    assert [bool(found.take()) for _ in range(parts + 1)] == [True] * parts + [False]
