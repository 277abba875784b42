"""kube-proxy at work on a node: what it writes when, and what packets then do."""

from __future__ import annotations

from proxy_lab import Lab, node, service

KUBE_SVC = "KUBE-SVC-LOLE4ISW44XBNF3G"  # default/web, tcp


def table(lab: Lab, name: str = "nat") -> str:
    return lab.host.netfilter.save(name)


def test_a_service_is_reached_as_soon_as_kube_proxy_has_seen_it(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    lab.start()
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"


def test_a_change_is_written_a_second_after_the_last_sync_at_the_soonest(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply()
    lab.start()
    assert lab.get("10.96.0.7", 80) == "Connection refused"
    before = lab.world.now
    lab.endpoints("10.244.1.2")
    lab.world.advance(0.5)
    assert KUBE_SVC not in table(lab)
    lab.world.settle()
    assert KUBE_SVC in table(lab)
    assert lab.world.now - before <= 1.0
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"


def test_only_what_changed_is_written_again(lab: Lab) -> None:
    lab.apply("10.244.1.2")
    proxy = lab.start()
    other = service(clusterIP="10.96.0.8")
    other["metadata"]["name"] = "other"
    own = f"-A {KUBE_SVC} -m comment --comment mine -j RETURN"
    lab.host.netfilter.restore(f"*nat\n{own}\nCOMMIT\n")
    lab.objects.apply("services", other)
    lab.world.settle()
    assert "10.96.0.8" in table(lab, "filter")
    assert own in table(lab)  # the chain of a Service that did not change is left alone
    assert [each.partial_syncs for each in proxy.families] == [1, 0]


def test_a_removed_service_takes_its_chains_along(lab: Lab) -> None:
    lab.apply("10.244.1.2")
    lab.start()
    assert KUBE_SVC in table(lab)
    lab.objects.delete("services", "web", "default")
    lab.world.settle()
    assert "KUBE-SVC-" not in table(lab)
    assert "KUBE-SEP-" not in table(lab)


def test_a_status_that_changes_no_rule_asks_for_no_sync(lab: Lab) -> None:
    lab.apply("10.244.1.2")
    proxy = lab.start()
    changed = service()
    changed["metadata"]["labels"] = {"app": "web"}
    lab.objects.apply("services", changed)
    lab.world.settle()
    assert [each.partial_syncs for each in proxy.families] == [0, 0]


def test_a_flushed_chain_stays_empty_until_the_next_sync(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    lab.start()
    lab.host.netfilter.restore("*nat\n-F KUBE-SERVICES\nCOMMIT\n")
    assert lab.get("10.96.0.7", 80) != "web-1 saw 10.244.1.9"
    lab.world.advance(120)
    assert lab.get("10.96.0.7", 80) != "web-1 saw 10.244.1.9"  # nobody has looked: the canary of mangle lives
    other = service(clusterIP="10.96.0.8")
    other["metadata"]["name"] = "other"
    lab.objects.apply("services", other)
    lab.world.settle()
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"


def test_everything_is_written_again_after_an_hour(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    lab.start()
    lab.host.netfilter.restore("*nat\n-F KUBE-SERVICES\nCOMMIT\n")
    lab.world.advance(3601)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"


def test_a_lost_canary_brings_a_full_sync_within_the_sync_period(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    proxy = lab.start()
    for name in ("nat", "filter", "mangle"):
        lab.host.netfilter.restore(f"*{name}\nCOMMIT\n", noflush=False)
    assert lab.get("10.96.0.7", 80) != "web-1 saw 10.244.1.9"
    lab.world.advance(31)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
    assert [each.full_syncs for each in proxy.families] == [2, 1]
    assert ":KUBE-PROXY-CANARY" in table(lab, "mangle")


def test_in_1_16_every_sync_is_full_and_comes_every_30_seconds(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.objects.apply("services", service())
    lab.objects.apply("endpoints", ENDPOINTS)
    lab.start("v1.16.2", min_sync_period=0.0)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
    lab.host.netfilter.restore("*nat\n-F KUBE-SERVICES\nCOMMIT\n")
    lab.world.advance(10)
    assert lab.get("10.96.0.7", 80) != "web-1 saw 10.244.1.9"
    lab.world.advance(20)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"


ENDPOINTS = {
    "metadata": {"name": "web", "namespace": "default"},
    "subsets": [{"addresses": [{"ip": "10.244.1.2"}], "ports": [{"port": 8080, "protocol": "TCP"}]}],
}


def test_the_jumps_stand_as_in_a_real_cluster(lab: Lab) -> None:
    lab.start()
    chains = [line for line in table(lab, "filter").splitlines() if line.startswith("-A INPUT")]
    assert chains == [
        "-A INPUT -j KUBE-FIREWALL",
        '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
        "-A INPUT -m conntrack --ctstate NEW -m comment --comment"
        ' "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    ]


def test_a_node_port_works_from_the_node_itself_at_127_0_0_1(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2", type="NodePort", port={"nodePort": 30080})
    lab.start()
    assert lab.get("127.0.0.1", 30080, lab.host).startswith("web-1 saw ")
    assert lab.get("192.168.0.2", 30080).startswith("web-1 saw ")


def test_a_zone_label_of_the_node_is_heeded_at_once(lab: Lab) -> None:
    lab.apply("10.244.1.2")
    proxy = lab.start()
    lab.objects.apply("nodes", node(**{"topology.kubernetes.io/zone": "a"}))
    lab.world.settle()
    assert [each.full_syncs for each in proxy.families] == [2, 2]
    assert proxy.families[0].options.topology_labels["topology.kubernetes.io/zone"] == "a"


def test_stale_udp_connections_are_forgotten(lab: Lab) -> None:
    lab.apply("10.244.1.2", port={"protocol": "UDP", "port": 53})
    lab.objects.apply("endpointslices.discovery.k8s.io", udp_slice("10.244.1.2"))
    lab.start()
    lab.client.udp().send_to(b"?", "10.96.0.7", 53)
    lab.world.drain()
    assert [entry.reply.src for entry in lab.host.conntrack.entries() if entry.original.dport == 53] == ["10.244.1.2"]
    lab.objects.apply("endpointslices.discovery.k8s.io", udp_slice("10.244.1.3"))
    lab.world.advance(1.5)
    assert not [entry for entry in lab.host.conntrack.entries() if entry.original.dport == 53]


def udp_slice(address: str) -> dict[str, object]:
    return {
        "metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8053, "protocol": "UDP"}],
        "endpoints": [{"addresses": [address], "nodeName": "node1"}],
    }


def test_after_stop_nothing_listens_and_the_rules_stay(lab: Lab) -> None:
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    proxy = lab.start()
    assert lab.http("127.0.0.1", 10256, "/healthz")[0] == 200
    proxy.stop()
    lab.world.drain()
    assert lab.get("127.0.0.1", 10256, lab.host) == "Connection refused"
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
