"""kube-proxy's modes side by side: for each kind of Service and each way to it, which pods may answer and whom they see.

A row asks the walk for every way that the first packet can take, so it knows the whole set of pods, and then really connects
once.  Where modes differ, a row has an outcome for each mode and the reason, with upstream's word for it.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from kubesim.cluster import Cluster
from kubesim.net import NetError, Packet
from kubesim.net.host import Host
from kubesim.net.trace import Trace, Verdict

MODES = ("iptables", "nftables", "ipvs")
LB, LB_OPEN, EXTERNAL = "203.0.113.10", "203.0.113.11", "203.0.113.20"

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {LABELS}}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 3600
  containers:
  - name: netexec
    image: registry.k8s.io/e2e-test-images/agnhost:2.53
    args: [netexec, --http-port=8080, --udp-port=8081, --sctp-port=9090, --delay-shutdown=3000]
---
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: SPEC
---
"""
HTTP = "{port: 80, targetPort: 8080}"
SERVICES = {
    "web": "{type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}",
    "sticky": f"{{selector: {{app: web}}, sessionAffinity: ClientIP, ports: [{HTTP}],"
    " sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}}",
    "outer-local": "{type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 31999, selector: {one: yes},"
    " ports: [{port: 80, targetPort: 8080, nodePort: 30081}]}",
    "inner-local": f"{{internalTrafficPolicy: Local, selector: {{one: yes}}, ports: [{HTTP}]}}",
    "ranges": "{type: LoadBalancer, loadBalancerSourceRanges: [172.18.0.1/32], selector: {app: web},"
    " ports: [{port: 80, targetPort: 8080, nodePort: 30082}]}",
    "balanced": "{type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30083}]}",
    "external": f"{{selector: {{app: web}}, externalIPs: [{EXTERNAL}], ports: [{HTTP}]}}",
    "headless": f"{{clusterIP: None, selector: {{app: web}}, ports: [{HTTP}]}}",
    "empty": "{type: NodePort, selector: {app: nobody}, ports: [{port: 80, targetPort: 8080, nodePort: 30084}]}",
    "going": f"{{selector: {{app: going}}, ports: [{HTTP}]}}",
    "datagrams": "{type: NodePort, selector: {app: web}, ports: [{port: 81, targetPort: 8081, protocol: UDP, nodePort: 30085}]}",
    "streams": "{selector: {app: web}, ports: [{port: 90, targetPort: 9090, protocol: SCTP}]}",
}
SETUP = "\n".join(
    [
        "kubectl apply -f - <<'END'",
        PODS.replace("NAME", "web-1").replace("LABELS", 'app: web, one: "yes"').replace("NODE", "kind-worker"),
        PODS.replace("NAME", "web-2").replace("LABELS", "app: web").replace("NODE", "kind-worker2"),
        PODS.replace("NAME", "client").replace("LABELS", "app: client").replace("NODE", "kind-worker"),
        PODS.replace("NAME", "far").replace("LABELS", "app: client").replace("NODE", "kind-worker2"),
        PODS.replace("NAME", "going").replace("LABELS", "app: going").replace("NODE", "kind-worker2"),
        *(
            SERVICE.replace("NAME", name).replace("SPEC", spec.replace("one: yes", 'one: "yes"'))
            for name, spec in SERVICES.items()
        ),
        "END",
        "kubectl wait --for=condition=Ready pod --all",
        "kubectl delete pod going --wait=false",
        *(
            f"kubectl patch service {name} --subresource=status --type=merge"
            f' -p \'{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{ip}"}}]}}}}}}\''
            for name, ip in (("ranges", LB), ("balanced", LB_OPEN))
        ),
        "sleep 3",
    ]
)
CHANGE = """
kubectl -n kube-system get configmap kube-proxy -o yaml | sed 's/mode: .*/mode: MODE/' | kubectl apply -f - 2>/dev/null
kubectl -n kube-system rollout restart daemonset kube-proxy
kubectl -n kube-system rollout status daemonset kube-proxy
"""


def change(cluster: Cluster, mode: str) -> None:
    """Another mode, as its administrator does it."""
    result = cluster.shell(CHANGE.replace("MODE", mode))
    assert result.exit_code == 0, result


def made(mode: str) -> Cluster:
    cluster = Cluster("kind", seed=1)
    result = cluster.shell(SETUP)
    assert result.exit_code == 0, result
    if mode == "ipvs":
        # From iptables straight to ipvs leaves rules behind (see below); by way of nftables nothing is left.
        change(cluster, "nftables")
    if mode != "iptables":
        change(cluster, mode)
    # The outside's way to addresses that are no host's: by a node, as a router would be told (BGP) or told by hand.
    for range_ in ("203.0.113.0/24", f"{resolve(cluster, 'web:80')[0]}/32"):
        cluster.outside.net.routes.add(range_, "eth0", "172.18.0.3")
    return cluster


@pytest.fixture(scope="module", params=MODES)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return made(request.param)


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    return request.node.callspec.params["cluster"]


# -- how a row is asked ----------------------------------------------------------------------------------------------


def host(cluster: Cluster, name: str) -> Host:
    return (
        cluster.outside.net
        if name == "outside"
        else cluster.network.hosts.get(name) or cluster.network.hosts[f"default/{name}"]
    )


def resolve(cluster: Cluster, target: str) -> tuple[str, int]:
    """ "web" is that Service's ClusterIP, "kind-worker" that node's address, "web-1" that pod's."""
    name, _, port = target.partition(":")
    if name in cluster.nodes:
        name = cluster.nodes[name].net.addresses()[0]
    elif name in SERVICES:
        name = cluster.store.get("services", "default", name)["spec"]["clusterIP"]
    return name, int(port)


def who(cluster: Cluster, ip: str) -> str:
    """Whose address it is; a node's are those of its own links too."""
    if ip.startswith("127."):
        return "localhost"
    owner = next(
        (each for each in cluster.network.hosts.values() if ip in each.addresses(apart_from="kube-ipvs0")), None
    )
    return ip if owner is None else "outside" if owner is cluster.outside.net else owner.name.removeprefix("default/")


def outcome(cluster: Cluster, trace: Trace) -> str:
    """One way in words."""
    end, reply = trace.hops[-1].host.removeprefix("default/"), trace.reply
    if trace.verdict is Verdict.DELIVERED:
        seen = f"{end} sees {who(cluster, trace.final.src)}"
        # A program's datagram in answer is no part of the walk.
        lost = trace.flow.protocol == "tcp" and (reply is None or reply.verdict is not Verdict.DELIVERED)
        return f"{seen}, answer lost" if lost else seen
    if trace.verdict in (Verdict.REFUSED, Verdict.REJECTED):
        return "refused" if reply is not None and reply.verdict is Verdict.DELIVERED else "silence"
    return "silence" if trace.verdict is Verdict.DROPPED else "no route"


def ways(cluster: Cluster, source: str, target: str, protocol: str = "tcp") -> set[str]:
    ip, port = resolve(cluster, target)
    packet = Packet(protocol=protocol, dst=ip, dport=port, sport=40000, flags="S" if protocol == "tcp" else "")  # type: ignore[arg-type]
    return {outcome(cluster, trace) for trace in cluster.network.trace(host(cluster, source), packet, "branches")}


def connects(cluster: Cluster, source: str, target: str) -> bool:
    """Whether a real connection comes about."""
    ip, port = resolve(cluster, target)

    async def ask() -> bool:
        try:
            connection = await host(cluster, source).connect(ip, port, timeout=5)
        except NetError:
            return False
        connection.close()
        return True

    return cluster.world.run(ask())


class Row(NamedTuple):
    """`expected` for each mode, or one for all.  `why` says where modes differ, and who says so."""

    name: str
    source: str
    target: str
    expected: set[str] | dict[str, set[str]]
    protocol: str = "tcp"
    why: str = ""


def both(seen: str) -> set[str]:
    return {f"web-1 sees {seen}", f"web-2 sees {seen}"}


REFUSED, SILENCE = {"refused"}, {"silence"}
ROWS = [
    # -- ClusterIP
    Row("ClusterIP from a pod", "client", "web:80", both("client")),
    Row("ClusterIP from a node", "kind-worker", "web:80", both("kind-worker")),
    Row("ClusterIP from a node without endpoints", "kind-control-plane", "web:80", both("kind-control-plane")),
    # Sent back to itself it is masqueraded, or it would answer itself behind the node's back.
    Row("hairpin: a pod of the Service itself", "web-1", "web:80", {"web-1 sees kind-worker", "web-2 sees web-1"}),
    Row("hairpin on the other node", "web-2", "web:80", {"web-1 sees web-2", "web-2 sees kind-worker2"}),
    Row("a ClusterIP from outside, routed to a node", "outside", "web:80", both("kind-worker")),
    Row("a headless Service's pods are asked without kube-proxy", "client", "web-2:8080", {"web-2 sees client"}),
    # An endpoint on a node's own network; kind's agent masquerades pods that ask beyond the pods' range.
    Row(
        "kubernetes, from the API server's own node",
        "kind-control-plane",
        "10.96.0.1:443",
        {"kind-control-plane sees kind-control-plane"},
    ),
    Row("kubernetes, from another node", "kind-worker", "10.96.0.1:443", {"kind-control-plane sees kind-worker"}),
    Row("kubernetes, from a pod", "client", "10.96.0.1:443", {"kind-control-plane sees kind-worker"}),
    # -- NodePort
    Row("NodePort from outside", "outside", "kind-worker:30080", both("kind-worker")),
    Row("NodePort of a node without endpoints", "outside", "kind-control-plane:30080", both("kind-control-plane")),
    Row("NodePort from a pod", "client", "kind-worker2:30080", both("kind-worker2")),
    Row("NodePort from the node itself", "kind-worker", "kind-worker:30080", both("kind-worker")),
    Row(
        "localhost NodePort",
        "kind-worker",
        "127.0.0.1:30080",
        {"iptables": both("kind-worker"), "nftables": REFUSED, "ipvs": REFUSED},
        why="KEP-3866: nftables takes node ports on the primary address, never on loopback; ipvs makes no virtual server there"
        " (ipvs/proxier.go: isValidForSet leaves loopback out)",
    ),
    # -- externalTrafficPolicy: Local
    Row("external Local, a node with a local pod", "outside", "kind-worker:30081", {"web-1 sees outside"}),
    Row(
        "external Local, a node without",
        "outside",
        "kind-worker2:30081",
        {"iptables": SILENCE, "nftables": SILENCE, "ipvs": {"web-1 sees outside, answer lost"}},
        why="ipvs takes all endpoints where none is local, and the answer comes from the pod's own address (pull request 97081)",
    ),
    Row(
        "external Local, the pods' own way in by a node without",
        "far",
        "kind-worker2:30081",
        {"web-1 sees far"},
        why="pods count as inside: KUBE-EXT's rule for pods and ipvs' 97081 lead to the same",
    ),
    Row("external Local does not bind the ClusterIP", "far", "outer-local:80", {"web-1 sees far"}),
    # -- internalTrafficPolicy: Local
    Row("internal Local with a local pod", "client", "inner-local:80", {"web-1 sees client"}),
    Row(
        "internal Local without",
        "far",
        "inner-local:80",
        {"iptables": SILENCE, "nftables": SILENCE, "ipvs": REFUSED},
        why="ipvs: a virtual server without real servers answers by ICMP (Linux, ip_vs_leave); the others have a DROP rule",
    ),
    # -- LoadBalancer, externalIPs
    Row("LoadBalancer's ingress IP from outside", "outside", f"{LB_OPEN}:80", both("kind-worker")),
    Row("LoadBalancer's ingress IP from a pod", "client", f"{LB_OPEN}:80", both("kind-worker")),
    Row("source ranges let their own in", "outside", f"{LB}:80", both("kind-worker")),
    Row("source ranges keep others out", "client", f"{LB}:80", SILENCE),
    Row("source ranges keep the nodes out", "kind-worker2", f"{LB}:80", SILENCE),
    Row("source ranges do not hold on the node port", "outside", "kind-worker:30082", both("kind-worker")),
    Row("external IP from outside", "outside", f"{EXTERNAL}:80", both("kind-worker")),
    Row("external IP from a pod", "client", f"{EXTERNAL}:80", both("kind-worker")),
    Row("external IP from a node", "kind-worker2", f"{EXTERNAL}:80", both("kind-worker2")),
    # -- nobody there
    Row("no endpoints, from a pod", "client", "empty:80", REFUSED),
    Row("no endpoints, from a node", "kind-worker", "empty:80", REFUSED),
    Row("no endpoints, NodePort from outside", "outside", "kind-worker:30084", REFUSED),
    Row(
        "a port that the Service has not",
        "client",
        "sticky:81",
        {"iptables": SILENCE, "nftables": REFUSED, "ipvs": REFUSED},
        why="iptables has no rule, and the packet leaves the cluster for good; nftables rejects what of its ClusterIPs nobody"
        " wants (KEP-3866); in ipvs the address is the node's own, and KUBE-IPVS-FILTER rejects it (issue 72236)",
    ),
    Row("a node port that is nobody's", "outside", "kind-worker:30099", REFUSED),
    # -- terminating
    Row("only terminating endpoints, which still serve (KEP-1669)", "client", "going:80", {"going sees client"}),
    # -- other protocols
    Row("UDP ClusterIP", "client", "datagrams:81", both("client"), "udp"),
    Row("UDP NodePort from outside", "outside", "kind-worker:30085", both("kind-worker"), "udp"),
    Row("SCTP ClusterIP", "client", "streams:90", both("client"), "sctp"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_where_it_leads(cluster: Cluster, mode: str, row: Row) -> None:
    expected = row.expected[mode] if isinstance(row.expected, dict) else row.expected
    assert row.why or not isinstance(row.expected, dict)
    ip, port = resolve(cluster, row.target) if row.target[:4] != "web-" else (pod_ip(cluster, row.target), 8080)
    found = ways(cluster, row.source, f"{ip}:{port}", row.protocol)
    assert found == expected, f"{row.name} ({mode})\n{told(cluster, row, ip, port)}"
    if row.protocol == "tcp":
        alive = any("sees" in each and "lost" not in each for each in expected)
        assert connects(cluster, row.source, f"{ip}:{port}") == alive


def pod_ip(cluster: Cluster, target: str) -> str:
    return cluster.store.get("pods", "default", target.partition(":")[0])["status"]["podIP"]


def told(cluster: Cluster, row: Row, ip: str, port: int) -> str:
    flags = "S" if row.protocol == "tcp" else ""
    packet = Packet(protocol=row.protocol, dst=ip, dport=port, sport=40000, flags=flags)  # type: ignore[arg-type]
    return str(cluster.network.trace(host(cluster, row.source), packet))


# -- session affinity -------------------------------------------------------------------------------------------------


def lands(cluster: Cluster, source: str, target: str) -> str:
    """The pod that a real connection comes to."""
    ip, port = resolve(cluster, target)

    async def ask() -> str:
        connection = await host(cluster, source).connect(ip, port, timeout=5)
        connection.close()
        return connection.trace.hops[-1].host.removeprefix("default/")

    return cluster.world.run(ask())


def test_session_affinity_ends_after_its_time(cluster: Cluster, mode: str) -> None:
    for _ in range(12):
        # Until the dice (or the turns) have brought it to the other pod than before: only then has it ended.
        first = lands(cluster, "client", "sticky:80")
        assert {lands(cluster, "client", "sticky:80") for _ in range(6)} == {first}
        cluster.advance(50)
        assert lands(cluster, "client", "sticky:80") == first  # which begins the 60 seconds anew
        cluster.advance(50)
        assert lands(cluster, "client", "sticky:80") == first
        # ipvs remembers a client for as long as its connections are remembered: 120 s in TIME_WAIT, looked at each 60 s
        # (Linux, ip_vs_conn_expire: a template that still controls connections is kept).
        cluster.advance(300 if mode == "ipvs" else 61)
        if mode == "ipvs":
            lands(cluster, "kind-worker2", "sticky:80")  # somebody takes the turn that would be its own again
        if lands(cluster, "client", "sticky:80") != first:
            return
    raise AssertionError("the client came to the same pod each time")


def test_ipvs_keeps_affinity_while_connections_are_remembered() -> None:
    cluster = made("ipvs")
    first = lands(cluster, "client", "sticky:80")
    lands(cluster, "kind-worker2", "sticky:80")
    cluster.advance(90)
    assert lands(cluster, "client", "sticky:80") == first  # in the other modes 60 s would have been all


# -- what stands on it ----------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_and_a_page_comes(cluster: Cluster) -> None:
    result = cluster.shell(
        "for i in 1 2 3 4 5 6 7 8; do kubectl exec client -- curl -s http://web/hostname; echo; done"
    )
    assert set(result.stdout.split()) == {"web-1", "web-2"}


def test_a_network_policy_holds_behind_the_service(cluster: Cluster) -> None:
    policy = """
kubectl apply -f - <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-far}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]
END
sleep 3
"""
    assert cluster.shell(policy).exit_code == 0
    assert ways(cluster, "client", "web:80") == SILENCE
    assert cluster.shell("kubectl delete networkpolicy only-far; sleep 3").exit_code == 0
    assert ways(cluster, "client", "web:80") == both("client")


# -- what a load balancer asks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("node", "status", "count"), [("kind-worker", 200, 1), ("kind-worker2", 503, 0)])
def test_the_health_check_node_port_answers(cluster: Cluster, node: str, status: int, count: int) -> None:
    ip = cluster.nodes[node].net.addresses()[0]
    result = cluster.run_outside(f"curl -s -w '%{{http_code}}' http://{ip}:31999")
    assert result.stdout.endswith(f'"localEndpoints": {count},\n\t"serviceProxyHealthy": true\n}}{status}')


def test_ping_on_a_cluster_ip(cluster: Cluster, mode: str) -> None:
    """iptables: nobody has the address.  nftables rejects what comes to the range of ClusterIPs.  ipvs: the address is the
    node's own, but KUBE-IPVS-FILTER rejects all that is new and no port of the Service (since 1.27)."""
    ip, _ = resolve(cluster, "sticky:0")
    packet = Packet(protocol="icmp", dst=ip, sport=7, icmp="echo-request")
    (trace,) = cluster.network.trace(host(cluster, "client"), packet, "branches")
    expected = {"iptables": Verdict.DROPPED, "nftables": Verdict.REJECTED, "ipvs": Verdict.REJECTED}[mode]
    assert trace.verdict is expected, str(trace)


# -- from one mode to another ---------------------------------------------------------------------------------------


def rules(cluster: Cluster, node: str) -> str:
    return cluster.run_on_node(
        node, "iptables-save; ip6tables-save; nft list ruleset; ipvsadm -S -n; ip -br link; ipset list -n"
    ).stdout


# What only one mode's kube-proxy makes.
MARKS = {"iptables": "KUBE-SVC-", "nftables": "service-ips", "ipvs": "kube-ipvs0"}


def test_a_running_cluster_changes_its_mode() -> None:
    cluster = made("iptables")
    order = ["iptables", "nftables", "ipvs", "nftables", "iptables"]
    for mode in order:
        change(cluster, mode)
        found = rules(cluster, "kind-worker")
        assert {name for name, mark in MARKS.items() if mark in found} == {mode}
        assert "Using" in cluster.shell("kubectl -n kube-system logs daemonset/kube-proxy").stdout
        for row in ROWS[:4]:
            assert ways(cluster, row.source, row.target) == row.expected, f"{row.name} after the change to {mode}"
            assert connects(cluster, row.source, row.target)


CLEANUP = """
kubectl apply -f - <<'END'
apiVersion: v1
kind: Pod
metadata: {name: cleanup, namespace: kube-system}
spec:
  nodeName: kind-worker2
  hostNetwork: true
  restartPolicy: Never
  containers:
  - name: kube-proxy
    image: registry.k8s.io/kube-proxy:v1.36.2
    command: [kube-proxy, --cleanup]
    securityContext: {privileged: true}
END
kubectl -n kube-system wait --for=jsonpath={.status.phase}=Succeeded pod/cleanup
kubectl -n kube-system delete pod -l k8s-app=kube-proxy --field-selector spec.nodeName=kind-worker2
sleep 5
"""


def test_from_iptables_to_ipvs_old_rules_stay_until_they_are_cleaned_up() -> None:
    """The two share chains, so neither clears up after the other (server_linux.go, platformCleanup)."""
    cluster = made("iptables")
    change(cluster, "ipvs")
    assert "has no local endpoints" in rules(cluster, "kind-worker2")
    # An old DROP of the filter table stands before IPVS in the packet's way.
    assert ways(cluster, "outside", "kind-worker2:30081") == SILENCE
    result = cluster.shell(CLEANUP)
    assert result.exit_code == 0, result
    assert "has no local endpoints" not in rules(cluster, "kind-worker2")
    assert ways(cluster, "outside", "kind-worker2:30081") == {"web-1 sees outside, answer lost"}
