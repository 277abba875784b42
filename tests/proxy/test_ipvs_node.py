"""kube-proxy in ipvs mode on a node: what a change writes, what a learner's hand breaks, and what leaves with grace."""

from __future__ import annotations

from proxy_lab import Lab, endpoint_slice

WEB = ("tcp", "10.96.0.7", 80)


def servers(lab: Lab, key: tuple[str, str, int] = WEB) -> dict[str, int]:
    """The real servers of a virtual server with their weights."""
    service = lab.host.ipvs.get(*key)
    return {} if service is None else {str(each): each.weight for each in service.real_servers}


def rules(lab: Lab) -> list[str]:
    return [line for line in lab.host.netfilter.save().splitlines() if line.startswith("-A")]


def started(lab: Lab, **changes):
    lab.serve(lab.web, 8080)
    lab.apply("10.244.1.2")
    return lab.start(mode="ipvs", **changes)


def test_a_service_is_an_address_a_virtual_server_and_members_of_sets(lab: Lab) -> None:
    started(lab)
    assert servers(lab) == {"10.244.1.2:8080": 1}
    assert [str(each) for each in lab.host.interfaces["kube-ipvs0"].addresses] == ["10.96.0.7/32"]
    assert lab.host.ipsets.save("KUBE-CLUSTER-IP").endswith("add KUBE-CLUSTER-IP 10.96.0.7,tcp:80\n")
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
    assert lab.get("10.96.0.7", 80, lab.web) == "web-1 saw 192.168.0.2"


def test_a_change_is_written_and_the_last_endpoint_leaves_a_server_without_any(lab: Lab) -> None:
    proxy = started(lab)
    lab.endpoints("10.244.1.2", "10.244.2.2")
    lab.world.advance(2)
    assert servers(lab) == {"10.244.1.2:8080": 1, "10.244.2.2:8080": 1}
    lab.endpoints()
    lab.world.advance(2)
    assert servers(lab) == {}
    assert lab.get("10.96.0.7", 80) == "Connection refused"
    assert (proxy.families[0].full_syncs, proxy.families[0].partial_syncs) == (1, 2)
    lab.objects.delete("services", "web", "default")
    lab.world.advance(2)
    assert lab.host.ipvs.get(*WEB) is None
    assert not lab.host.interfaces["kube-ipvs0"].addresses
    assert "10.96.0.7" not in lab.host.ipsets.save()


def test_rules_do_not_grow_with_services(lab: Lab) -> None:
    started(lab)
    before = rules(lab)
    for number in range(20):
        name = f"more-{number}"
        spec = {"clusterIP": f"10.96.1.{number}", "ports": [{"port": 80}]}
        lab.objects.apply("services", {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    lab.world.advance(2)
    assert len(lab.host.ipvs.services) == 21
    assert rules(lab) == before


def test_what_a_hand_took_away_comes_back_within_the_sync_period(lab: Lab) -> None:
    started(lab)
    lab.host.ipvs.clear()
    lab.host.ipvs.add("tcp", "192.168.0.2", 8888)
    lab.host.ipsets.flush("KUBE-CLUSTER-IP")
    assert lab.get("10.96.0.7", 80, timeout=1) == "Connection refused"  # by KUBE-IPVS-FILTER
    lab.world.advance(31)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
    # Virtual servers of others go, unless their range is excluded.
    assert lab.host.ipvs.get("tcp", "192.168.0.2", 8888) is None


def test_excluded_ranges_are_somebody_elses(lab: Lab) -> None:
    lab.host.ipvs.add("tcp", "192.168.0.2", 8888)
    started(lab, exclude_cidrs=("192.168.0.0/24",))
    lab.world.advance(31)
    assert lab.host.ipvs.get("tcp", "192.168.0.2", 8888) is not None


def test_a_real_server_with_connections_rests_before_it_goes(lab: Lab) -> None:
    started(lab)
    listener = lab.web.listen("tcp", "", 9999)
    port = {"name": "", "port": 9999, "protocol": "TCP"}
    lab.objects.apply("endpointslices.discovery.k8s.io", {**endpoint_slice("10.244.1.2"), "ports": [port]})
    lab.world.advance(2)
    assert servers(lab) == {"10.244.1.2:9999": 1}

    async def story() -> None:
        client = await lab.client.connect("10.96.0.7", 80)
        server = await listener.accept()
        lab.endpoints("10.244.2.2")
        await lab.world.sleep(2)
        assert servers(lab) == {"10.244.1.2:9999": 0, "10.244.2.2:8080": 1}
        # What was there goes on.
        await client.send(b"still here")
        assert await server.recv() == b"still here"
        client.close()
        server.close()

    lab.world.run(story())
    lab.world.advance(240)
    assert servers(lab) == {"10.244.2.2:8080": 1}


def test_one_that_comes_back_takes_connections_again(lab: Lab) -> None:
    started(lab)
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
    lab.endpoints()
    lab.world.advance(2)
    assert servers(lab) == {"10.244.1.2:8080": 0}
    lab.endpoints("10.244.1.2")
    lab.world.advance(2)
    assert servers(lab) == {"10.244.1.2:8080": 1}


def test_the_kernels_settings(lab: Lab) -> None:
    started(lab, strict_arp=True, ipvs_timeouts=(60.0, 0.0, 0.0), scheduler="lc")
    wanted = {
        "net.ipv4.vs.conntrack": 1,
        "net.ipv4.vs.expire_nodest_conn": 1,
        "net.ipv4.vs.expire_quiescent_template": 1,
        "net.ipv4.conf.all.arp_ignore": 1,
        "net.ipv4.conf.all.arp_announce": 2,
        "net.ipv4.conf.all.route_localnet": 0,
    }
    assert {name: lab.host.sysctls[name] for name in wanted} == wanted
    assert lab.host.ipvs.connections.timeouts["ESTABLISHED"] == 60
    assert lab.host.ipvs.get(*WEB).scheduler == "lc"


def test_strict_arp_leaves_virtual_addresses_to_others_on_the_link(lab: Lab) -> None:
    lan = lab.host.interfaces["eth0"].segment
    other = lab.network.host("other", "outside")
    asker = lan.attach(other)
    other.add_address("eth0", "192.168.0.77/24")
    lab.apply("10.244.1.2", externalIPs=["192.168.0.50"])
    lab.start(mode="ipvs")
    assert lan.neighbour("192.168.0.50", asker) is lab.host.interfaces["eth0"]
    lab.host.sysctls["net.ipv4.conf.all.arp_ignore"] = 1
    lab.host.forget_neighbours()
    assert lan.neighbour("192.168.0.50", asker) is None
    assert lan.neighbour("192.168.0.2", asker) is lab.host.interfaces["eth0"]


def test_cleanup_takes_all_away(lab: Lab) -> None:
    started(lab)
    proxy = lab.start(mode="nftables")
    assert not lab.host.ipvs.services
    assert "kube-ipvs0" not in lab.host.interfaces
    assert "KUBE-IPVS-FILTER" not in lab.host.netfilter.save()
    assert "KUBE-CLUSTER-IP" not in lab.host.ipsets
    # Upstream's forgets the sets of IPv6, whose names differ.
    assert "KUBE-6-CLUSTER-IP" in lab.host.ipsets
    assert lab.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
    assert proxy.mode == "nftables"
