"""A cluster comes up as kubeadm and kind bring one up."""

from __future__ import annotations

import json

import pytest

from kubesim.cluster import Cluster


def test_every_node_and_system_pod_is_ready(any_cluster: Cluster) -> None:
    nodes = any_cluster.shell("kubectl get nodes --no-headers").stdout.splitlines()
    assert len(nodes) == len(any_cluster.preset.nodes)
    assert all(line.split()[1] == "Ready" for line in nodes), nodes
    pods = any_cluster.shell("kubectl get pods -A --no-headers").stdout.splitlines()
    assert len(pods) >= len(any_cluster.preset.nodes) + 2  # a kube-proxy each, and two for DNS
    for line in pods:
        _, name, ready, status, restarts, *_ = line.split()
        assert (ready, status, restarts) == ("1/1", "Running", "0"), f"{name}: {line}"


def test_the_kubernetes_service_leads_to_the_api_server(any_cluster: Cluster) -> None:
    address = any_cluster.preset.api_address
    result = any_cluster.run_on_node(next(iter(any_cluster.nodes)), f"curl -sk https://{address}/version")
    assert json.loads(result.stdout)["gitVersion"] == any_cluster.preset.version, result.stdout + result.stderr


def test_addresses_come_from_the_preset_s_ranges_and_no_two_are_alike(any_cluster: Cluster) -> None:
    any_cluster.shell("kubectl create deployment web --image=nginx --replicas=6")
    any_cluster.settle()
    out = any_cluster.shell("kubectl get pods -o jsonpath='{.items[*].status.podIP}'").stdout.split()
    assert len(out) == len(set(out)) == 6
    prefix = any_cluster.preset.pod_cidr.split(".")[:2]
    assert all(address.split(".")[:2] == prefix for address in out), out


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(Exception, match=r"no preset 'nope'\nKnown presets: .*kind.*vagrant"):
        Cluster("nope")
