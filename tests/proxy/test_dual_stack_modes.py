"""A Service of both families, in each mode: whoever asks by IPv6 is answered by IPv6, and no family is in the other's way."""

from __future__ import annotations

import pytest
from proxy_lab import Lab

from kubesim import net

PORT = {"name": "", "port": 8080, "protocol": "TCP"}
NODE6, WEB6, CLIENT6, GATEWAY6 = "fd00:1::2", "fd00:244:1::2", "fd00:244:1::9", "fd00:ffff::1"


def six(lab: Lab, host: net.Host, name: str, ip: str) -> None:
    host.add_address("eth0", f"{ip}/128")
    host.routes.add(f"{GATEWAY6}/128", "eth0", scope="link")
    host.routes.add("::/0", "eth0", GATEWAY6)
    lab.host.routes.add(f"{ip}/128", f"veth-{name}", scope="link")


@pytest.fixture(params=["iptables", "nftables", "ipvs"])
def both(request: pytest.FixtureRequest) -> Lab:
    lab = Lab()
    lab.host.add_address("eth0", f"{NODE6}/64")
    lab.host.routes.add("::/0", "eth0", "fd00:1::1")
    lab.host.sysctls["net.ipv6.conf.all.forwarding"] = 1
    six(lab, lab.web, "web-1", WEB6)
    six(lab, lab.client, "client", CLIENT6)
    listener = lab.web.listen("tcp", "", 8080)

    async def program() -> None:
        while True:
            connection = await listener.accept()
            await connection.send(f"{lab.web.name} saw {connection.peer[0]}".encode())
            connection.close()

    lab.world.spawn(program(), "server").retrieved = True
    lab.apply("10.244.1.2", clusterIPs=["10.96.0.7", "fd00:96::7"], ipFamilies=["IPv4", "IPv6"], type="NodePort")
    service = lab.objects.get("services", "web", "default")
    service["spec"]["ports"][0]["nodePort"] = 30080
    slice6 = {
        "metadata": {"name": "web-6", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv6",
        "ports": [PORT],
        "endpoints": [{"addresses": [WEB6], "nodeName": "node1", "conditions": {"ready": True}}],
    }
    lab.objects.apply("endpointslices.discovery.k8s.io", slice6)
    node = lab.objects.get("nodes", "node1")
    addresses = [*node["status"]["addresses"], {"type": "InternalIP", "address": NODE6}]
    lab.objects.apply("nodes", {**node, "status": {"addresses": addresses}})
    lab.start(mode=request.param, cluster_cidr="10.244.0.0/16,fd00:244::/32")
    return lab


ROWS = [
    ("IPv4's ClusterIP from a pod", "client", "10.96.0.7", 80, "web-1 saw 10.244.1.9"),
    ("IPv6's ClusterIP from a pod", "client", "fd00:96::7", 80, f"web-1 saw {CLIENT6}"),
    ("IPv6's ClusterIP from the node", "node1", "fd00:96::7", 80, f"web-1 saw {NODE6}"),
    ("IPv6, a pod that meets itself", "web-1", "fd00:96::7", 80, f"web-1 saw {NODE6}"),
    ("IPv4's NodePort from a pod", "client", "192.168.0.2", 30080, "web-1 saw 192.168.0.2"),
    ("IPv6's NodePort from a pod", "client", NODE6, 30080, f"web-1 saw {NODE6}"),
]


def test_each_family_is_answered_by_itself(both: Lab) -> None:
    found = {name: both.get(ip, port, both.network.hosts[source]) for name, source, ip, port, _ in ROWS}
    assert found == {row[0]: row[4] for row in ROWS}


def test_without_endpoints_of_one_family_the_other_goes_on(both: Lab) -> None:
    both.objects.delete("endpointslices.discovery.k8s.io", "web-6", "default")
    both.world.advance(3)
    assert both.get("fd00:96::7", 80) == "Connection refused"
    assert both.get("10.96.0.7", 80) == "web-1 saw 10.244.1.9"
