"""The chains that the kubelet keeps, and how kube-proxy gets on with them."""

from __future__ import annotations

import pytest
from proxy_lab import Lab

from kubesim.proxy import kubelet


@pytest.mark.parametrize("minor", [16, 22, 36])
@pytest.mark.parametrize("kubelet_first", [True, False])
def test_kubelet_and_kube_proxy_agree_whoever_comes_first(lab: Lab, minor: int, kubelet_first: bool) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    lab.objects.apply("endpoints", {"metadata": {"name": "web", "namespace": "default"}, "subsets": [SUBSET]})
    if kubelet_first:
        kubelet.sync(lab.host.netfilter, minor)
    lab.start(f"v1.{minor}.1")
    kubelet.sync(lab.host.netfilter, minor)
    once = lab.host.netfilter.save()
    kubelet.sync(lab.host.netfilter, minor)
    assert lab.host.netfilter.save() == once
    lines = once.splitlines()
    for line in ("-A INPUT -j KUBE-FIREWALL", "-A OUTPUT -j KUBE-FIREWALL"):
        assert lines.count(line) == 1
    assert sum(line.startswith("-A KUBE-POSTROUTING") for line in lines) == (1 if minor == 16 else 3)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"


SUBSET = {"addresses": [{"ip": "10.244.1.2"}], "ports": [{"port": 8080, "protocol": "TCP"}]}


def test_1_16_drops_what_has_no_local_endpoint(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    spec = {"type": "NodePort", "externalTrafficPolicy": "Local", "port": {"nodePort": 30080}}
    lab.apply(**spec)
    away = {"addresses": [{"ip": "10.244.9.9", "nodeName": "node9"}], "ports": SUBSET["ports"]}
    lab.objects.apply("endpoints", {"metadata": {"name": "web", "namespace": "default"}, "subsets": [away]})
    kubelet.sync(lab.host.netfilter, 16)
    lab.start("v1.16.1", cluster_cidr="10.99.0.0/16")
    assert lab.get("192.168.0.2", 30080, timeout=2.0) == "Connection timed out"
