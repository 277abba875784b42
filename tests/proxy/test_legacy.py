"""The rules of kube-proxy 1.16 and 1.22, in the words of iptables-restore."""

from __future__ import annotations

from typing import Any

import pytest
from proxy_lab import Lab

from kubesim.proxy import legacy, state
from kubesim.proxy.settings import LocalDetector, Settings

ENDPOINTS = [{"addresses": [f"192.168.16.17{last}"], "nodeName": node} for last, node in ((1, "a"), (2, "b"), (3, "a"))]
SLICE = {
    "metadata": {"name": "deploy1-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "deploy1"}},
    "addressType": "IPv4",
    "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    "endpoints": ENDPOINTS,
}


def service(**spec: Any) -> dict[str, Any]:
    port = {"port": 80, "protocol": "TCP", **({"nodePort": 30001} if spec.get("type") else {})}
    return {
        "metadata": {"name": "deploy1", "namespace": "default"},
        "spec": {"clusterIP": "10.100.200.199", "ports": [port], **spec},
    }


def rules(minor: int, slices: list[dict[str, Any]], **spec: Any) -> list[str]:
    options = Settings(
        node_name="a", node_ip="10.0.2.15", random_fully=False, local_detector=LocalDetector("cidr", "192.168.0.0/16")
    )
    known = state.of_objects("IPv4", "a", [service(**spec)], slices)
    return legacy.renderer(options, minor).sync(known).splitlines()


def of(chain: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(f"-A {chain} ")]


def test_1_16_masquerades_before_the_jump_and_keeps_the_colon() -> None:
    lines = rules(16, [SLICE])
    to = '-m comment --comment "default/deploy1: cluster IP" -m tcp -p tcp -d 10.100.200.199/32 --dport 80'
    assert of("KUBE-SERVICES", lines)[:2] == [
        f"-A KUBE-SERVICES {to} ! -s 192.168.0.0/16 -j KUBE-MARK-MASQ",
        f"-A KUBE-SERVICES {to} -j KUBE-SVC-HFJG5QJDKA2NKYX2",
    ]
    assert of("KUBE-SVC-HFJG5QJDKA2NKYX2", lines) == [
        "-A KUBE-SVC-HFJG5QJDKA2NKYX2 -m statistic --mode random --probability 0.33333 -j KUBE-SEP-IVTV3JKMDAKRFCBH",
        "-A KUBE-SVC-HFJG5QJDKA2NKYX2 -m statistic --mode random --probability 0.50000 -j KUBE-SEP-PFJDNPXONEKPWG5A",
        "-A KUBE-SVC-HFJG5QJDKA2NKYX2 -j KUBE-SEP-SIUA6YONSJ3WPF22",
    ]
    assert of("KUBE-SEP-IVTV3JKMDAKRFCBH", lines) == [
        "-A KUBE-SEP-IVTV3JKMDAKRFCBH -s 192.168.16.171/32 -j KUBE-MARK-MASQ",
        "-A KUBE-SEP-IVTV3JKMDAKRFCBH -m tcp -p tcp -j DNAT --to-destination 192.168.16.171:80",
    ]


def test_1_22_masquerades_in_the_services_chain_and_comments_its_endpoints() -> None:
    lines = rules(22, [SLICE])
    assert of("KUBE-SERVICES", lines)[0].endswith("-d 10.100.200.199/32 --dport 80 -j KUBE-SVC-2YUN2YF37SWSREWK")
    assert of("KUBE-SVC-2YUN2YF37SWSREWK", lines) == [
        '-A KUBE-SVC-2YUN2YF37SWSREWK -m comment --comment "default/deploy1 cluster IP" -m tcp -p tcp'
        " -d 10.100.200.199/32 --dport 80 ! -s 192.168.0.0/16 -j KUBE-MARK-MASQ",
        "-A KUBE-SVC-2YUN2YF37SWSREWK -m comment --comment default/deploy1 -m statistic --mode random"
        " --probability 0.3333333333 -j KUBE-SEP-A3PHNYJNCL5TJDSV",
        "-A KUBE-SVC-2YUN2YF37SWSREWK -m comment --comment default/deploy1 -m statistic --mode random"
        " --probability 0.5000000000 -j KUBE-SEP-XOCEGCA3DL3OORWA",
        "-A KUBE-SVC-2YUN2YF37SWSREWK -m comment --comment default/deploy1 -j KUBE-SEP-7Z5DBU2RMFUPWFWC",
    ]


@pytest.mark.parametrize("minor", [16, 22])
def test_without_endpoints_the_addresses_are_refused(minor: int) -> None:
    lines = rules(minor, [], type="NodePort")
    name = "default/deploy1:" if minor == 16 else "default/deploy1"
    assert of("KUBE-SERVICES", lines)[0] == (
        f'-A KUBE-SERVICES -m comment --comment "{name} has no endpoints" -m tcp -p tcp'
        " -d 10.100.200.199/32 --dport 80 -j REJECT"
    )
    assert of("KUBE-EXTERNAL-SERVICES", lines) == [
        f'-A KUBE-EXTERNAL-SERVICES -m comment --comment "{name} has no endpoints" -m addrtype --dst-type LOCAL'
        " -m tcp -p tcp --dport 30001 -j REJECT"
    ]


@pytest.mark.parametrize("minor", [16, 22])
def test_the_local_policy_has_a_chain_that_marks_for_drop_where_no_endpoint_is(minor: int) -> None:
    there = {**SLICE, "endpoints": [ENDPOINTS[1]]}
    lines = rules(minor, [there], type="NodePort", externalTrafficPolicy="Local")
    name = "default/deploy1:" if minor == 16 else "default/deploy1"
    xlb = next(line.split()[1] for line in lines if line.startswith("-A KUBE-XLB-"))
    assert of("KUBE-NODEPORTS", lines) == [
        f"-A KUBE-NODEPORTS -m comment --comment {name} -m tcp -p tcp --dport 30001 -s 127.0.0.0/8 -j KUBE-MARK-MASQ",
        f"-A KUBE-NODEPORTS -m comment --comment {name} -m tcp -p tcp --dport 30001 -j {xlb}",
    ]
    assert of(xlb, lines)[-1] == f'-A {xlb} -m comment --comment "{name} has no local endpoints" -j KUBE-MARK-DROP'


def test_a_release_gets_the_nearest_form() -> None:
    assert any(line.startswith(":KUBE-EXT-") for line in rules(25, [SLICE], type="NodePort"))
    assert not any(line.startswith(":KUBE-EXT-") for line in rules(22, [SLICE], type="NodePort"))


def test_what_iptables_save_shows_of_1_16(lab: Lab) -> None:
    lab.objects.apply("services", service(clusterIP="10.100.200.199"))
    lab.objects.apply("endpoints", {"metadata": {"name": "deploy1", "namespace": "default"}, "subsets": [SUBSET]})
    lab.start("v1.16.1", cluster_cidr="192.168.0.0/16")
    lines = lab.host.netfilter.save().splitlines()
    to = '-d 10.100.200.199/32 -p tcp -m comment --comment "default/deploy1: cluster IP" -m tcp --dport 80'
    assert [line for line in lines if "10.100.200.199" in line] == [
        f"-A KUBE-SERVICES ! -s 192.168.0.0/16 {to} -j KUBE-MARK-MASQ",
        f"-A KUBE-SERVICES {to} -j KUBE-SVC-HFJG5QJDKA2NKYX2",
    ]
    assert [line for line in lines if line.startswith("-A KUBE-SVC-")] == [
        "-A KUBE-SVC-HFJG5QJDKA2NKYX2 -m statistic --mode random --probability 0.33332999982 -j KUBE-SEP-IVTV3JKMDAKRFCBH",
        "-A KUBE-SVC-HFJG5QJDKA2NKYX2 -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-PFJDNPXONEKPWG5A",
        "-A KUBE-SVC-HFJG5QJDKA2NKYX2 -j KUBE-SEP-SIUA6YONSJ3WPF22",
    ]
    assert [line for line in lines if "192.168.16.171" in line] == [
        "-A KUBE-SEP-IVTV3JKMDAKRFCBH -s 192.168.16.171/32 -j KUBE-MARK-MASQ",
        "-A KUBE-SEP-IVTV3JKMDAKRFCBH -p tcp -m tcp -j DNAT --to-destination 192.168.16.171:80",
    ]


SUBSET = {"addresses": [{"ip": f"192.168.16.17{last}"} for last in (1, 2, 3)], "ports": [{"port": 80, "protocol": "TCP"}]}
