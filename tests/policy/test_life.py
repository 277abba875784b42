"""What changes, and when it counts: labels, policies, connections that are open, agents that die."""

from __future__ import annotations

import pytest
from policybench import POLICIES, Bench, pod
from test_rows import policy

from kubesim.cluster import Cluster
from kubesim.net import render
from kubesim.tracing import sample

DENY = policy("x", "{podSelector: {}, policyTypes: [Ingress]}")
PEER = (
    "{{podSelector: {{matchLabels: {{pod: a}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{pod: {}}}}}}}]}}]}}"
)


def drained(bench: Bench) -> Bench:
    bench.cluster.world.drain()
    return bench


def test_blocks_of_addresses(bench: Bench) -> None:
    a, b = bench.ip("y/a"), bench.ip("y/b")
    spec = f"{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: 0.0.0.0/0, except: [{b}/32]}}}}]}}]}}"
    bench.apply(policy("x", spec))
    assert [bench.connects(each, "x/a", 80) for each in ("y/a", "y/b")] == ["open", "silence"]
    bench.apply(policy("x", f"{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {b}/32}}}}]}}]}}", "and-b"))
    assert [bench.connects(each, "x/a", 80) for each in ("y/a", "y/b")] == ["open", "open"]
    bench.apply(
        policy("y", f"{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: {a}/32}}}}]}}]}}")
    )
    assert [bench.connects("y/c", each, 80) for each in ("y/a", "y/b")] == ["open", "silence"]


def test_another_node_is_an_address_like_any_other() -> None:
    bench = Bench("kind")
    bench.apply(DENY)
    own = bench.node_of("x/a")
    other = next(name for name in bench.cluster.nodes if name != own)
    assert [bench.connects(f"node:{each}", "x/a", 80) for each in (own, other)] == ["open", "silence"]
    block = f"{{cidr: {bench.ip('node:' + other)}/32}}"
    bench.apply(policy("x", f"{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {block}}}]}}]}}", "node"))
    assert bench.connects(f"node:{other}", "x/a", 80) == "open"


def test_from_the_next_connection_on(bench: Bench) -> None:
    """A policy is in force at once, and gone at once; what changes labels changes who is meant."""
    assert bench.connects("y/a", "x/a", 80) == "open"
    bench.apply(policy("x", PEER.format("b")))
    assert [bench.connects(each, "x/a", 80) for each in ("y/a", "x/b", "x/c")] == ["silence", "open", "silence"]
    bench.label("pods", "c", "x", {"pod": "b"})
    assert drained(bench).connects("x/c", "x/a", 80) == "open"
    bench.label("pods", "a", "x", {"pod": "z"})
    assert drained(bench).connects("y/a", "x/a", 80) == "open"
    bench.label("pods", "a", "x", {"pod": "a"})
    assert drained(bench).connects("y/a", "x/a", 80) == "silence"
    bench.client.delete(POLICIES, "policy", "x")
    assert drained(bench).connects("y/a", "x/a", 80) == "open"


def test_labels_of_namespaces_count_too(bench: Bench) -> None:
    bench.apply(policy("x", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}"))
    assert bench.connects("y/a", "x/a", 80) == "silence"
    bench.label("namespaces", "y", "", {"ns": "y", "team": "blue"})
    assert drained(bench).connects("y/a", "x/a", 80) == "open"


def test_a_policy_that_changes(bench: Bench) -> None:
    bench.apply(policy("x", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"))
    assert [bench.connects("y/a", "x/a", port) for port in (80, 81)] == ["open", "silence"]
    bench.client.patch(POLICIES, "policy", "x", {"spec": {"ingress": [{"ports": [{"port": 81, "protocol": "TCP"}]}]}})
    assert [drained(bench).connects("y/a", "x/a", port) for port in (80, 81)] == ["silence", "open"]


def test_an_open_connection_stays_open(bench: Bench) -> None:
    async def talk() -> bytes:
        connection = await bench.place("y/a").net.connect(bench.ip("x/a"), 80, timeout=1)
        bench.apply(DENY)
        await connection.send(b"GET /hostname HTTP/1.0\r\n\r\n")
        return await connection.recv()

    assert b"200 OK" in bench.cluster.run(talk())
    assert bench.connects("y/a", "x/a", 80) == "silence"


def test_a_pod_that_comes_later(bench: Bench) -> None:
    bench.apply(policy("x", PEER.format("late")))
    bench.client.create("pods", pod("late", "x"))
    bench.cluster.settle()
    assert [bench.connects("x/late", "x/a", 80), bench.connects("x/b", "x/a", 80)] == ["open", "silence"]
    bench.client.delete("pods", "late", "x")
    bench.cluster.settle()


def test_pods_on_the_hosts_network_are_not_meant(bench: Bench) -> None:
    """Neither selected nor found by selectors: theirs are the node's addresses."""
    obj = pod("host", "x", hostNetwork=True)
    for container, port in zip(obj["spec"]["containers"], (9080, 9081), strict=True):
        container["args"] = ["netexec", f"--http-port={port}", "--udp-port=-1"]
        container["ports"] = [{"containerPort": port}]
    bench.client.create("pods", obj)
    bench.cluster.settle()
    bench.apply(DENY)
    assert bench.connects("y/a", "x/host", 9080) == "open"
    bench.client.delete("pods", "host", "x")
    bench.cluster.settle()


def test_services_are_judged_by_the_pod_behind_them(bench: Bench) -> None:
    """Rules see the packet after its destination was translated: the Service's own address and port mean nothing."""
    bench.apply("""
        apiVersion: v1
        kind: Service
        metadata: {name: a, namespace: x}
        spec: {selector: {pod: a}, ports: [{port: 8000, targetPort: 80}]}
        """)
    bench.cluster.settle()
    bench.apply(policy("x", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"))
    shell = bench.cluster.terminal("pod/y/a")
    assert bench.cluster.shell("curl -s -m 2 http://a.x:8000/hostname", shell).stdout == "a"
    bench.client.delete(POLICIES, "policy", "x")
    bench.apply(policy("x", "{podSelector: {}, ingress: [{ports: [{port: 8000}]}]}"))
    assert bench.cluster.shell("curl -s -m 2 http://a.x:8000/hostname", shell).exit_code == 28
    bench.client.delete("services", "a", "x")


def test_default_deny_forgets_dns(bench: Bench) -> None:
    """Misconception 16: the port of the program is allowed, the name of its server is not."""
    egress = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}"
    bench.apply("""
        apiVersion: v1
        kind: Service
        metadata: {name: b, namespace: y}
        spec: {selector: {pod: b}, ports: [{port: 80}]}
        """)
    bench.cluster.settle()
    bench.apply(policy("x", egress))
    shell = bench.cluster.terminal("pod/x/a")
    assert bench.cluster.shell(f"curl -s -m 5 http://{bench.ip('y/b')}/hostname", shell).stdout == "b"
    assert bench.cluster.shell("curl -s -m 5 http://b.y/hostname", shell).exit_code == 28
    trace = bench.cluster.world.run(sample(bench.place("x/a"), f"udp://{dns(bench)}:53"))
    assert "no policy that selects x/a allows udp 53 to kube-system/coredns-" in render.explain(trace)
    assert "(selected by x/policy)" in render.explain(trace)
    bench.apply(
        policy("x", "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}", "dns")
    )
    assert bench.cluster.shell("curl -s -m 5 http://b.y/hostname", shell).stdout == "b"
    bench.client.delete("services", "b", "y")


def dns(bench: Bench) -> str:
    return str(bench.client.get("services", "kube-dns", "kube-system")["spec"]["clusterIP"])


def test_the_trace_says_it_in_words(bench: Bench) -> None:
    bench.apply(DENY)
    trace = bench.cluster.world.run(sample(bench.place("y/a"), f"http://{bench.ip('x/a')}"))
    said = "no policy that selects x/a allows tcp 80 from y/a (selected by x/policy)"
    assert trace.reason == said
    assert render.explain(trace).endswith(f", because {said}.")
    assert (
        bench.cluster.shell(f"curl -s -m 2 http://{bench.ip('x/a')}", bench.cluster.terminal("pod/y/a")).exit_code == 28
    )


@pytest.mark.parametrize(("preset", "seen"), [("kind", "open"), ("vagrant", "silence")])
def test_an_agent_that_is_gone(preset: str, seen: str) -> None:
    """kindnet's queue has `bypass`: with nobody to ask, everything passes.  Calico's rules stand without felix."""
    bench = Bench(preset)
    bench.apply(DENY)
    assert bench.connects("y/a", "x/a", 80) == "silence"
    daemonset = {"kind": "kindnet", "vagrant": "calico-node"}[preset]
    bench.client.delete("daemonsets.apps", daemonset, "kube-system")
    bench.cluster.settle()
    assert bench.connects("y/a", "x/a", 80) == seen


def test_kubectl_shows_what_a_policy_says() -> None:
    cluster = Cluster("kind")
    result = cluster.shell("""kubectl apply -f - <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: api}}
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
    ports: [{port: 5432}]
END
kubectl get netpol; kubectl describe netpol db | sed -n '/^Spec/,$p'""")
    assert result.stderr == ""
    assert (
        result.stdout
        == """\
networkpolicy.networking.k8s.io/db created
NAME   POD-SELECTOR   AGE
db     app=db         0s
Spec:
  PodSelector:     app=db
  Allowing ingress traffic:
    To Port: 5432/TCP
    From:
      PodSelector: app=api
    From:
      IPBlock:
        CIDR: 10.0.0.0/8
        Except: 10.1.0.0/16
  Not affecting egress traffic
  Policy Types: Ingress
"""
    )
