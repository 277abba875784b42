"""What kube-proxy says: its log, its health, its metrics."""

from __future__ import annotations

import pytest
from proxy_lab import Lab

from kubesim.errors import LearnerError, NotSimulated


def test_1_16_does_not_know_an_empty_mode(lab: Lab) -> None:
    lab.start("v1.16.2", mode="")
    assert lab.log[:3] == [
        'W0202 11:39:49.644676       1 server_others.go:329] Flag proxy-mode="" unknown, assuming iptables proxy',
        "I0202 11:39:49.644676       1 node.go:135] Successfully retrieved node IP: 192.168.0.2",
        "I0202 11:39:49.644676       1 server_others.go:149] Using iptables Proxier.",
    ]


def test_todays_lines_are_structured(lab: Lab) -> None:
    lab.start()
    assert lab.log[:3] == [
        'I0202 11:39:49.644676       1 server_linux.go:53] "Using iptables proxy"',
        'I0202 11:39:49.644676       1 server.go:715] "Successfully retrieved node IP(s)" IPs=["192.168.0.2"]',
        'I0202 11:39:49.644676       1 conntrack.go:60] "Setting nf_conntrack_max" nfConntrackMax=131072',
    ]


def test_an_unknown_mode_is_refused_today(lab: Lab) -> None:
    with pytest.raises(LearnerError, match='mode: Invalid value: "magic": must be iptables, ipvs, nftables or blank'):
        lab.start(mode="magic")


def test_the_ipvs_mode_of_old_releases_is_named(lab: Lab) -> None:
    with pytest.raises(NotSimulated, match=r"the ipvs mode of kube-proxy v1\.16\.7"):
        lab.start("v1.16.7", mode="ipvs")


def test_ipvs_says_that_it_is_deprecated_and_which_scheduler_it_takes(lab: Lab) -> None:
    lab.start(mode="ipvs")
    said = [line.partition("] ")[2] for line in lab.log]
    at = said.index('"Using ipvs Proxier"')
    deprecated = (
        "The ipvs proxier is now deprecated and may be removed in a future release. Please use 'nftables' instead."
    )
    assert said[at + 1 : at + 7] == [
        f'"{deprecated}"',
        '"IPVS scheduler not specified, use rr by default" ipFamily="IPv4"',
        '"IPVS scheduler not specified, use rr by default" ipFamily="IPv6"',
        '"Ipset name truncated" ipSetName="KUBE-6-LOAD-BALANCER-SOURCE-CIDR" truncatedName="KUBE-6-LOAD-BALANCER-SOURCE-CID"',
        '"Ipset name truncated" ipSetName="KUBE-6-NODE-PORT-LOCAL-SCTP-HASH" truncatedName="KUBE-6-NODE-PORT-LOCAL-SCTP-HAS"',
        '"Version info" version="v1.36.2"',
    ]
    assert next(line for line in lab.log if deprecated in line).startswith("E")


def test_an_ipvs_scheduler_that_there_is_not(lab: Lab) -> None:
    with pytest.raises(LearnerError, match="can't use the IPVS proxier: no such file or directory"):
        lab.start(mode="ipvs", scheduler="nonsense")
    with pytest.raises(NotSimulated, match="the IPVS scheduler 'mh'"):
        lab.start(mode="ipvs", scheduler="mh")


def test_healthz_says_when_rules_were_written(lab: Lab) -> None:
    lab.start()
    status, body = lab.http("192.168.0.2", 10256, "/healthz")
    assert status == 200
    assert body.startswith('{"lastUpdated": "2020-02-02 11:39:49.')
    assert body.endswith('"nodeEligible": true}')


def test_a_node_about_to_go_is_not_eligible_but_alive(lab: Lab) -> None:
    lab.start()
    going = lab.objects.get("nodes", "node1")
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    lab.objects.apply("nodes", {**going, "spec": {"taints": [taint]}})
    lab.world.drain()
    assert lab.http("192.168.0.2", 10256, "/healthz")[0] == 503
    assert lab.http("192.168.0.2", 10256, "/livez")[0] == 200


def test_a_health_check_node_port_counts_the_nodes_own_endpoints(lab: Lab) -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31111}
    lab.apply("10.244.1.2", **spec)
    lab.start()
    assert lab.http("192.168.0.2", 31111, "/") == (
        200,
        '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n'
        '\t"localEndpoints": 1,\n\t"serviceProxyHealthy": true\n}',
    )
    lab.endpoints()
    lab.world.settle()
    assert lab.http("192.168.0.2", 31111, "/")[0] == 503
    lab.objects.delete("services", "web", "default")
    lab.world.settle()
    assert lab.get("192.168.0.2", 31111, lab.host) == "Connection refused"


def test_metrics_are_for_the_node_alone(lab: Lab) -> None:
    lab.apply("10.244.1.2")
    lab.start()
    assert lab.http("127.0.0.1", 10249, "/proxyMode") == (200, "iptables")
    status, body = lab.http("127.0.0.1", 10249, "/metrics")
    assert status == 200
    assert 'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1\n' in body
    assert lab.get("192.168.0.2", 10249, lab.host) == "Connection refused"


def test_until_1_22_a_node_port_was_held_by_a_socket(lab: Lab) -> None:
    spec = {"type": "NodePort", "port": {"nodePort": 30080}}
    lab.apply("10.244.1.2", **spec)
    taken = lab.host.listen("tcp", "0.0.0.0", 30080)
    lab.start("v1.22.4")
    assert any('"can\'t open port, skipping it" err="listen tcp :30080: bind: ' in line for line in lab.log)
    taken.close()
