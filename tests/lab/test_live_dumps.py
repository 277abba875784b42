"""What nodes say of themselves, read, and walked over."""

from __future__ import annotations

import pytest

from kubelab.live import dumps, topology
from kubelab.live.dumps import Socket
from kubesim.errors import LearnerError
from kubesim.net import Network
from kubesim.world import World

# As iproute2 6.1, procps and iptables 1.8.9 print it on a worker of kind v0.27 (kindest/node v1.32).
NODE = """\
### addresses
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
1: lo    inet6 ::1/128 scope host \\       valid_lft forever preferred_lft forever
2: veth2d8b9b9a    inet 10.244.1.1/32 scope global veth2d8b9b9a\\       valid_lft forever preferred_lft forever
12: eth0    inet 172.18.0.3/16 brd 172.18.255.255 scope global eth0\\       valid_lft forever preferred_lft forever
12: eth0    inet6 fc00:f853:ccd:e793::3/64 scope global nodad \\       valid_lft forever preferred_lft forever
### routes
default via 172.18.0.1 dev eth0
10.244.0.0/24 via 172.18.0.2 dev eth0
10.244.1.2 dev veth2d8b9b9a scope host
172.18.0.0/16 dev eth0 proto kernel scope link src 172.18.0.3
### sockets
udp   UNCONN 0      0         127.0.0.11:46173      0.0.0.0:*
tcp   LISTEN 0      4096       127.0.0.1:10248      0.0.0.0:*
tcp   LISTEN 0      4096               *:10250            *:*
tcp   LISTEN 0      4096            [::]:30080         [::]:*
### settings
net.ipv4.ip_forward 1
net.ipv4.conf.all.route_localnet 1
net.ipv4.conf.all.proxy_arp 0
### rules
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
### nft
"""
PODS = """\
### addresses cni-1b2c
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.244.1.2/24 brd 10.244.1.255 scope global eth0\\       valid_lft forever preferred_lft forever
### routes cni-1b2c
default via 10.244.1.1 dev eth0
10.244.1.0/24 via 10.244.1.1 dev eth0 src 10.244.1.2
10.244.1.1 dev eth0 scope link src 10.244.1.2
### sockets cni-1b2c
tcp   LISTEN 0      4096               *:8080             *:*
"""


IPVSADM = """\
-A -t 10.96.0.10:53 -s rr
-a -t 10.96.0.10:53 -r 10.244.0.2:53 -m -w 1
-a -t 10.96.0.10:53 -r 10.244.0.3:53 -m -w 1
-A -u 10.96.0.99:69 -s sh -p 10800
-A -t [fd00::1]:53 -s rr
"""
PROC = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A60000A:0035 rr
  -> 0AF40002:0035      Masq    1      0          0
  -> 0AF40003:0035      Masq    1      0          0
UDP  0A600063:0045 sh persistent 2700000 FFFFFFFF
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0035 rr
  -> [fd00:0000:0000:0000:0000:0000:0000:0002]:0035      Masq    1      0          0
"""
CLOCK = f"### clock\n5000.00 9000.00\njiffies: {2**32 + 4700 * 250}\n"


@pytest.mark.parametrize("said", [IPVSADM, PROC], ids=["ipvsadm", "/proc/net/ip_vs"])
def test_virtual_servers_are_read(said):
    assert dumps.node(f"### ipvs\n{said}{CLOCK}").ipvs == [
        dumps.Virtual("tcp", "10.96.0.10", 53, "rr", 0, [("10.244.0.2", 53, 1), ("10.244.0.3", 53, 1)]),
        dumps.Virtual("udp", "10.96.0.99", 69, "sh", 10800),
    ]


def test_a_nodes_dump_is_read():
    found = dumps.node(NODE)
    assert ("eth0", "172.18.0.3/16") in found.addresses
    assert found.routes[2] == "10.244.1.2 dev veth2d8b9b9a scope host"
    assert found.sockets == [
        Socket("udp", "127.0.0.11", 46173),
        Socket("tcp", "127.0.0.1", 10248),
        Socket("tcp", "::", 10250),
        Socket("tcp", "::", 30080),
    ]
    assert found.settings["net.ipv4.conf.all.route_localnet"] == 1
    assert found.rules.startswith("*nat\n")
    assert found.nft == ""
    assert found.recent == {}


@pytest.mark.parametrize("hertz", [100, 250, 1000])
def test_what_the_kernel_remembers_is_read_in_seconds(hertz):
    now = 2**32 + (4321 - 300) * hertz
    told = (
        f"### clock\n4321.00 8000.00\njiffies: {now}\n### recent\n"
        f"KUBE-SEP-A:src=10.244.1.3 ttl: 63 last_seen: {now - 2 * hertz} oldest_pkt: 2 {now - 7 * hertz}, {now - 2 * hertz}\n"
    )
    assert dumps.node(told).recent == {"KUBE-SEP-A": {"10.244.1.3": [7.0, 2.0]}}


def test_pods_are_known_by_their_addresses():
    assert list(dumps.pods(PODS)) == ["10.244.1.2"]
    assert dumps.pods(PODS)["10.244.1.2"].sockets == [Socket("tcp", "::", 8080)]


def network(pod_dumps=None, node=NODE):
    found = topology.Node(address="172.18.0.3", dump=dumps.node(node), pods=pod_dumps or dumps.pods(PODS))
    pod = topology.Pod(name="default/web", address="10.244.1.2", node="worker")
    return topology.build({"worker": found}, [pod], 1)


@pytest.mark.parametrize(
    ("source", "address", "port", "hosts", "verdict"),
    [
        ("worker", "10.244.1.2", 8080, ["worker", "default/web"], "DELIVERED"),
        ("outside", "10.244.1.2", 8080, ["outside", "internet"], "DROPPED"),
        ("outside", "172.18.0.3", 30080, ["outside", "worker"], "DELIVERED"),
        ("default/web", "172.18.0.3", 10250, ["default/web", "worker"], "DELIVERED"),
        ("default/web", "172.18.0.3", 1, ["default/web", "worker"], "REFUSED"),
        ("default/web", "172.18.0.1", 1, ["default/web", "worker", "outside"], "REFUSED"),
    ],
)
def test_packets_walk_over_what_was_said(source, address, port, hosts, verdict):
    from kubesim import tracing

    made = network()
    host = made.hosts[source]
    packet = tracing.first_packet(host, tracing.Target("tcp", address, port), address)
    trace = made.network.trace(host, packet)
    assert ([hop.host for hop in trace.hops], trace.verdict.name) == (hosts, verdict), str(trace)


def test_a_bridge_of_the_cni_joins_its_pods():
    """As flannel and minikube's bridge have it: one device, a connected route."""
    bridged = NODE.replace("10.244.1.1/32 scope global veth2d8b9b9a", "10.244.1.1/24 scope global cni0").replace(
        "2: veth2d8b9b9a", "2: cni0"
    )
    bridged = bridged.replace(
        "10.244.1.2 dev veth2d8b9b9a scope host", "10.244.1.0/24 dev cni0 proto kernel scope link src 10.244.1.1"
    )
    made = network(node=bridged)
    assert made.hosts["worker"].interfaces["cni0"].kind == "bridge"
    from kubesim import tracing

    host = made.hosts["worker"]
    trace = made.network.trace(
        host, tracing.first_packet(host, tracing.Target("tcp", "10.244.1.2", 8080), "10.244.1.2")
    )
    assert trace.verdict.name == "DELIVERED"


def test_what_a_node_does_not_say_is_not_guessed():
    with pytest.raises(LearnerError, match=r"does not say what pod default/web \(10.244.1.2\) listens on"):
        network({"10.244.9.9": dumps.Dump()})
    with pytest.raises(LearnerError, match="no rules of kube-proxy"):
        network(node=NODE.replace("KUBE-SERVICES", "OTHER"))


LISTING = """\
table ip kube-proxy {
	comment "rules for kube-proxy"

	set cluster-ips {
		type ipv4_addr
		comment "Active ClusterIPs"
		elements = { 10.96.0.1, 10.96.0.10 }
	}

	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
		elements = { 10.96.0.1 . tcp . 443 : goto service-2QRHZV4L-default/kubernetes/tcp/https }
	}

	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		jump services
	}

	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
	}

	chain service-2QRHZV4L-default/kubernetes/tcp/https {
		ip daddr 10.96.0.1 tcp dport 443 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
		numgen random mod 1 vmap { 0 : goto endpoint-5OJB2KTY-default/kubernetes/tcp/https__172.18.0.2/6443 }
	}

	chain endpoint-5OJB2KTY-default/kubernetes/tcp/https__172.18.0.2/6443 {
		meta l4proto tcp dnat to 172.18.0.2:6443
	}

	chain mark-for-masquerade {
		meta mark set meta mark | 0x00004000
	}
}
"""


def test_a_listed_table_is_loaded_as_it_stands():
    host = Network(World(1)).host("node")
    host.nft.apply(LISTING)
    (table,) = host.nft.tables.values()
    assert "service-ips" in str(host.nft)
    assert len(table.chain("services").rules) == 1
