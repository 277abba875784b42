"""The userspace mode of old: kube-proxy itself between client and pod."""

from __future__ import annotations

import pytest
from proxy_lab import Lab


def apply(lab: Lab, *ips: str, **spec: object) -> None:
    lab.apply(**spec)
    subset = {"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": 8080, "protocol": "TCP"}]}
    lab.objects.apply("endpoints", {"metadata": {"name": "web", "namespace": "default"}, "subsets": [subset] if ips else []})


@pytest.fixture
def pair(lab: Lab) -> Lab:
    lab.serve(lab.web, 8080)
    lab.serve(lab.pod("web-2", "10.244.1.3"), 8080)
    for name in ("web-1", "web-2", "client"):
        # REDIRECT goes to an address of the interface that a packet came by.
        lab.host.add_address(f"veth-{name}", "10.244.1.1/32")
    return lab


def start(lab: Lab) -> None:
    lab.start("v1.16.2", mode="userspace", min_sync_period=0.0)


def test_endpoints_take_turns_and_see_the_node(pair: Lab) -> None:
    apply(pair, "10.244.1.2", "10.244.1.3")
    start(pair)
    said = [pair.get("10.96.0.7", 80) for _ in range(4)]
    assert [words.partition(" ")[0] for words in said] == ["web-1", "web-2", "web-1", "web-2"]
    assert all(words.endswith("saw 10.244.1.1") for words in said)


def test_an_endpoint_that_does_not_answer_is_passed_over(pair: Lab) -> None:
    apply(pair, "10.244.1.9", "10.244.1.3")
    start(pair)
    assert [pair.get("10.96.0.7", 80).partition(" ")[0] for _ in range(3)] == ["web-2"] * 3


def test_affinity_keeps_a_client_with_its_endpoint(pair: Lab) -> None:
    spec = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    apply(pair, "10.244.1.2", "10.244.1.3", **spec)
    start(pair)
    assert len({pair.get("10.96.0.7", 80) for _ in range(3)}) == 1
    pair.world.advance(61)
    assert pair.get("10.96.0.7", 80).startswith("web-2")


def test_node_ports_and_the_node_itself(pair: Lab) -> None:
    apply(pair, "10.244.1.2", type="NodePort", port={"nodePort": 30080})
    start(pair)
    assert pair.get("192.168.0.2", 30080).startswith("web-1")
    assert pair.get("10.96.0.7", 80, pair.host).startswith("web-1")
    assert pair.get("192.168.0.2", 30080, pair.host).startswith("web-1")


def test_rules_lead_to_kube_proxys_socket_and_go_with_the_service(pair: Lab) -> None:
    apply(pair, "10.244.1.2")
    start(pair)
    rules = [line for line in pair.host.netfilter.save("nat").splitlines() if "10.96.0.7" in line]
    [container, host] = rules
    port = container.rpartition(" ")[2]
    to = '-d 10.96.0.7/32 -p tcp -m comment --comment "default/web:" -m tcp --dport 80'
    assert container == f"-A KUBE-PORTALS-CONTAINER {to} -j REDIRECT --to-ports {port}"
    assert host == f"-A KUBE-PORTALS-HOST {to} -j DNAT --to-destination 192.168.0.2:{port}"
    pair.objects.delete("services", "web", "default")
    pair.world.settle()
    assert "10.96.0.7" not in pair.host.netfilter.save("nat")
    assert pair.get("192.168.0.2", int(port)) == "Connection refused"


def test_without_endpoints_the_connection_opens_and_ends(pair: Lab) -> None:
    apply(pair)
    start(pair)
    assert pair.get("10.96.0.7", 80) == ""
