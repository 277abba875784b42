"""What stands before the nodes: a BIG-IP or a pair of them, round robin by DNS, and ports that a computer publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab import words
from kubelab.display import TraceView
from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.presets import preset as presets

PRESET = """\
extends: kind
boxes:
  - {name: bigip-1, address: 172.18.0.11}
  - {name: bigip-2, address: 172.18.0.12}
records: {shop.example.com: [172.18.0.100], direct.example.com: [172.18.0.2, 172.18.0.3]}
forwards: ["8080:kind-worker:30080", "9090:30999"]
"""
WEB = """\
kubectl create deployment web --image=registry.k8s.io/e2e-test-images/agnhost:2.53 --replicas=2 -- /agnhost netexec
kubectl create service nodeport web --tcp=80:8080 --node-port=30080
kubectl rollout status deployment web
"""
BOX = """\
ssh bigip-1 tmsh create ltm pool web members add { 172.18.0.3:30080 172.18.0.2:30080 } monitor tcp
ssh bigip-1 tmsh create ltm virtual web destination 172.18.0.100:80 pool web source-address-translation { type automap }
sleep 6
"""
ASK = "curl -s -o /dev/null --max-time 3 http://shop.example.com/; echo $?"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("presets") / "boxes.yaml"
    path.write_text(PRESET)
    return path


@pytest.fixture
def pair(file: Path) -> Cluster:
    cluster = Cluster(str(file))
    done = cluster.shell(WEB + BOX)
    assert done.exit_code == 0, done.stderr
    return cluster


def hosts(cluster: Cluster) -> set[tuple[str, ...]]:
    """The first two machines that packets for the shop come to: a box and a node."""
    traces = cluster.trace_branches("outside", "http://shop.example.com")
    return {tuple(hop.host for hop in trace.hops[1:3]) for trace in traces}


def test_a_virtual_server_leads_to_the_nodes_ports_in_turn(pair: Cluster) -> None:
    assert hosts(pair) == {("bigip-1", "kind-worker"), ("bigip-1", "kind-worker2")}
    trace = pair.trace("outside", "http://shop.example.com")
    rewritten = [
        (step.before.dst, step.after.dst) for hop in trace.hops for step in hop.steps if step.before and step.after
    ]
    # The box rewrites the virtual address to a node's port, and that node's rules to a pod.
    targets = [(before, after) for before, after in rewritten if before != after]
    assert targets[0][0] == "172.18.0.100"
    assert targets[0][1] in ("172.18.0.2", "172.18.0.3")
    assert targets[1][1].startswith("10.244.")
    members = [_member(pair) for _ in range(6)]
    assert members in (["172.18.0.3", "172.18.0.2"] * 3, ["172.18.0.2", "172.18.0.3"] * 3)


def _member(pair: Cluster) -> str:
    """The pool member that the next request goes to."""
    pair.run_outside(ASK)
    entries = pair.boxes["bigip-1"].machine.net.conntrack.entries()
    return [each.reply.src for each in entries if each.original.dst == "172.18.0.100"][-1]


def test_automap_hides_the_client_and_without_it_the_answer_goes_astray(pair: Cluster) -> None:
    trace = pair.trace("outside", "http://shop.example.com")
    seen = {packet.src for hop in trace.hops for step in hop.steps if (packet := step.after) is not None}
    assert "172.18.0.11" in seen
    assert pair.run_outside(ASK).stdout == "0\n"
    pair.shell("ssh bigip-1 tmsh modify ltm virtual web source-address-translation { type none }")
    # The node answers the client directly, from an address that the client has never called: no connection comes of it.
    assert pair.run_outside(ASK).stdout == "28\n"


@pytest.mark.parametrize(
    ("broken", "after", "code"),
    [
        ("ssh bigip-1 tmsh modify ltm pool web members delete { 172.18.0.3:30080 }", 0, "0\n"),
        (
            "ssh bigip-1 tmsh modify ltm pool web members modify { 172.18.0.2:30080 { session user-disabled } }",
            0,
            "0\n",
        ),
        ("ssh bigip-1 tmsh modify ltm pool web members replace-all-with { 172.18.0.2:30999 }", 20, "7\n"),
        ("kubectl delete service web", 20, "7\n"),
        ("ssh bigip-1 tmsh delete ltm virtual web", 0, "28\n"),
    ],
)
def test_what_the_client_sees(pair: Cluster, broken: str, after: int, code: str) -> None:
    done = pair.shell(broken)
    assert done.exit_code == 0, done.stderr
    pair.advance(after)
    assert pair.run_outside(ASK).stdout == code


def test_a_node_that_is_gone_leaves_the_pool(pair: Cluster) -> None:
    assert "Active members: 2 of 2" in pair.shell("ssh bigip-1 tmsh show ltm pool web").stdout
    pair.run_outside("docker stop kind-worker")
    pair.advance(25)
    assert "Active members: 1 of 2" in pair.shell("ssh bigip-1 tmsh show ltm pool web").stdout
    assert {way[1] for way in hosts(pair)} == {"kind-worker2"}
    pair.run_outside("docker start kind-worker")
    pair.advance(10)
    assert "Active members: 2 of 2" in pair.shell("ssh bigip-1 tmsh show ltm pool web").stdout


def test_the_other_box_takes_over_and_a_single_one_does_not(pair: Cluster) -> None:
    pair.run_outside("docker stop bigip-1")
    assert pair.run_outside(ASK).stdout == "28\n"
    pair.advance(5)
    assert pair.run_outside(ASK).stdout == "0\n"
    assert {way[0] for way in hosts(pair)} == {"bigip-2"}
    # The first comes back, and stands by: two boxes never have one address for long.
    pair.run_outside("docker start bigip-1")
    pair.advance(5)
    roles = pair.shell("ssh bigip-1 tmsh show sys failover; ssh bigip-2 tmsh show sys failover").stdout
    assert sorted(roles.splitlines()) == ["Failover active", "Failover standby"]
    assert pair.run_outside(ASK).stdout == "0\n"
    pair.run_outside("docker stop bigip-1 bigip-2")
    pair.advance(10)
    assert str(pair.trace("outside", "http://shop.example.com").verdict) != "DELIVERED"
    assert pair.run_outside(ASK).stdout == "28\n"


def test_names_with_several_addresses_take_turns(pair: Cluster) -> None:
    asked = [pair.run_outside("dig +short direct.example.com | head -1").stdout.strip() for _ in range(4)]
    assert asked in (["172.18.0.2", "172.18.0.3"] * 2, ["172.18.0.3", "172.18.0.2"] * 2)
    assert pair.run_outside("curl -s -o /dev/null -w '%{http_code}' http://direct.example.com:30080/").stdout == "200"


def test_without_automap_the_answer_passes_the_box_by(pair: Cluster) -> None:
    pair.shell("ssh bigip-1 tmsh modify ltm pool web members delete { 172.18.0.2:30080 }")
    with_it = pair.trace("outside", "http://shop.example.com").explain()
    assert "which bigip-1 turned into 172.18.0.3:30080 and kind-worker into 10.244." in with_it
    pair.shell("ssh bigip-1 tmsh modify ltm virtual web source-address-translation { type none }")
    without = pair.trace("outside", "http://shop.example.com")
    assert words.headline(without) == "∅ delivered, its answer lost"
    assert words.felt_as(without) == "curl hears nothing, and waits until its time-out (28)"
    shown = TraceView(without, "outside → the shop")
    assert "The client never called 172.18.0.3:30080" in str(shown)
    assert 'kw-verdict kw-bad"' in shown._repr_mimebundle_()["text/html"]
    assert pair.run_outside(ASK).stdout == "28\n"


def test_who_asks_for_both_families_gets_the_addresses_in_turn_all_the_same(pair: Cluster) -> None:
    pair.run_outside("docker stop kind-worker")
    ask = "curl -s -o /dev/null --max-time 20 -w '%{http_code} %{remote_ip} %{time_connect}\\n' http://direct.example.com:30080/"
    pair.advance(60)
    assert sorted(pair.run_outside(f"{ask}; {ask}").stdout.splitlines()) == [
        "200 172.18.0.2 0.000000",
        "200 172.18.0.2 3.000000",
    ]


def test_published_ports_relay_bytes(pair: Cluster) -> None:
    assert pair.run_outside("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/").stdout == "200"
    # The relay takes the connection, and only then finds that nobody listens on the node.
    assert pair.run_outside("curl -s http://127.0.0.1:9090/; echo $?").stdout == "56\n"
    assert pair.run_outside("curl -s http://127.0.0.1:7070/; echo $?").stdout == "7\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("create ltm pool web", "01020066:3: The requested Pool (/Common/web) already exists in partition Common."),
        ("modify ltm pool nope monitor tcp", "01020036:3: The requested Pool (/Common/nope) was not found."),
        (
            "delete ltm pool web",
            "01070265:3: The Pool (/Common/web) cannot be deleted because it is in use by a Virtual Server.",
        ),
        (
            "create ltm pool p members add { nonsense }",
            '01020036:3: "nonsense" is no address and port; write 172.18.0.3:30080',
        ),
        (
            "create ltm pool p monitor sip",
            "01070734:3: monitor sip is not simulated. Known: gateway_icmp, http, tcp, none.",
        ),
        ("create ltm rule x", "not simulated"),
    ],
)
def test_tmsh_says_what_is_wrong(pair: Cluster, command: str, says: str) -> None:
    done = pair.shell(f"ssh bigip-1 tmsh {command}")
    assert done.exit_code != 0
    assert says in done.stderr


def test_a_preset_extends_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: kind\nservice_cidr: 10.99.0.0/16\ndns_address: 10.99.0.10\n")
    loaded = presets.load(str(path))
    assert (loaded.version, loaded.service_cidr) == (presets.load("kind").version, "10.99.0.0/16")
    path = tmp_path / "other.yaml"
    path.write_text("extends: nope\n")
    with pytest.raises(LearnerError, match="extends: no preset 'nope'"):
        presets.load(str(path))
