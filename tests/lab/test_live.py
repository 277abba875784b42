"""A lab on a live cluster: which may be touched, how it is reached, what is left behind."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import live_standin
import pytest

import kubelab
from kubelab import lab as lab_module
from kubelab import parity, progress
from kubelab.live import commands, contexts, port
from kubelab.live.commands import Shell
from kubesim.errors import LearnerError
from kubesim.net.trace import Verdict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a live cluster is reached through bash")


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory, patch):
    """A server that stands in for a live cluster; its Cluster."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here: a live cluster needs it")
    patch.setattr(port, "QUIET", 0.15)
    patch.setattr(port, "POLL", 0.05)
    with live_standin.cluster(tmp_path_factory.mktemp("live"), patch) as found:
        yield found


@pytest.fixture(scope="module")
def lab(served):
    found = kubelab.open("02-clusterip", cluster="kubesim-kind")
    yield found
    found.close()


def namespaces(cluster):
    return [
        each["metadata"]["name"]
        for each in cluster.store.list("namespaces")
        if each["status"].get("phase") != "Terminating"
    ]


# -- which cluster ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["kind-kind", "kind-kubewalk", "minikube", "k3d-dev", "docker-desktop", "rancher-desktop", "colima"]
)
def test_a_context_of_ones_own_computer_is_a_test_cluster(name):
    assert contexts.TEST_CLUSTERS.match(name)


@pytest.mark.parametrize(
    "name",
    [
        "gke_project_zone_cluster",
        "arn:aws:eks:eu-west-1:1:cluster/prod",
        "prod",
        "kubernetes-admin@kubernetes",
        "my-kind-prod",
    ],
)
def test_any_other_is_refused_unless_told(monkeypatch, name):
    monkeypatch.setattr(contexts, "names", lambda: [name])
    with pytest.raises(LearnerError, match=r"does not look like a test cluster(.|\n)*any_cluster=True"):
        contexts.choose(name)
    assert contexts.choose(name, any_cluster=True) == name


def test_a_context_that_is_not_there_names_those_that_are(monkeypatch):
    monkeypatch.setattr(contexts, "names", lambda: ["kind-kind"])
    with pytest.raises(LearnerError, match=r"no context 'kind-knid'(.|\n)*Contexts: kind-kind"):
        contexts.choose("kind-knid")


@pytest.mark.parametrize("missing", ["docker", "kind"])
def test_what_is_missing_is_named_with_where_it_comes_from(monkeypatch, missing):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    with pytest.raises(
        LearnerError, match=rf"needs {missing}(.|\n)*Install (.|\n)*https://(.|\n)*the embedded cluster"
    ):
        kubelab.open("02", cluster="kind")


def test_docker_that_sleeps_is_said(monkeypatch):
    monkeypatch.setattr(commands, "need", lambda name: "/bin/false")
    with pytest.raises(LearnerError, match="Docker does not answer"):
        contexts.choose("kind")


def test_a_kind_cluster_is_made_if_it_is_not_there(served, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert contexts.choose("kind:mine") == "kind-mine"
    log = Path(os.environ["STANDIN_LOG"])
    text = log.read_text()
    assert text.startswith("mine\n")
    assert text.count("role: worker") == 2
    assert contexts.names() == ["kind-mine"]
    log.write_text("mine\n")
    assert contexts.choose("kind:mine") == "kind-mine"
    assert log.read_text() == "mine\n"


# -- the shell that stays -----------------------------------------------------------------------------------


@pytest.fixture
def bash():
    shell = Shell(["bash", "--norc", "--noprofile"], {"PATH": "/usr/bin:/bin"})
    yield shell
    shell.close()


def test_what_a_script_sets_lasts(bash):
    assert bash.run("x=1; cd /tmp; f() { echo f $x; }").exit_code == 0
    done = bash.run("f; pwd; false")
    assert (done.stdout, done.exit_code) == ("f 1\n/tmp\n", 1)


def test_a_script_that_does_not_parse_is_no_end(bash):
    assert bash.run("for i in").exit_code != 0
    assert bash.run("echo $((1 + 1))").stdout == "2\n"


def test_output_without_a_line_break_stays_so_and_is_told_as_it_comes(bash):
    told = []
    done = bash.run("printf a; sleep 0.05; printf b >&2; sleep 0.05; printf c", lambda *each: told.append(each))
    assert (done.stdout, done.stderr) == ("ac", "b")
    assert told == [("out", "a"), ("err", "b"), ("out", "c")]


def test_who_reads_gets_nothing_and_does_not_eat_the_next_script(bash):
    assert bash.run("cat; read x; echo end").stdout == "end\n"
    assert bash.run("echo 'quotes \"and\" $dollars'").stdout == 'quotes "and" $dollars\n'


def test_exit_ends_the_shell_and_the_next_run_has_another(bash):
    assert bash.run("x=1; exit 3").exit_code == 3
    assert bash.run("echo ${x:-gone}").stdout == "gone\n"


# -- a lab --------------------------------------------------------------------------------------------------


def test_a_lab_lives_in_a_namespace_of_its_own(lab, served):
    assert lab.namespace == "kubewalk-02-clusterip"
    assert str(lab.port.title) == f"live cluster kubesim-kind, 3 nodes, Kubernetes {served.preset.version}"
    assert "client" in lab.shell("kubectl get pods -o name").stdout
    assert lab.core.read_namespaced_pod("client", lab.namespace).status.phase == "Running"
    assert served.store.list("pods", "default") == []


def test_a_node_is_entered_and_keeps_its_shell(lab):
    lab.shell("x=1; cd /tmp", on="kind-worker")
    assert lab.shell("echo $x $(hostname); pwd", on="kind-worker").stdout == "1 kind-worker\n/tmp\n"
    assert "KUBE-SERVICES" in lab.port.node_rules("kind-worker")
    with pytest.raises(LearnerError, match="kind-worker2"):
        lab.shell("true", on="nope")


def test_a_packet_is_followed_over_the_nodes_own_rules(lab, served):
    lab.shell("kubectl expose deployment shop --port=80 --target-port=8080")
    ways = lab.ways("pod/client", "http://shop")
    assert [each.verdict for each in ways] == [Verdict.DELIVERED] * 2
    assert sum(each.probability for each in ways) == pytest.approx(1)
    trace = lab.trace("pod/client", "http://shop").trace
    real = served.trace("pod/kubewalk-02-clusterip/client", "http://shop")
    assert [(hop.host, hop.kind) for hop in trace.hops][:2] == [(hop.host, hop.kind) for hop in real.hops][:2]
    assert trace.hops[-1].host.startswith("kubewalk-02-clusterip/shop-")
    assert trace.resolved == real.resolved
    lab.shell("kubectl scale deployment shop --replicas=0")
    refused = lab.trace("pod/client", "http://shop")
    assert refused.verdict is Verdict.REJECTED
    assert "has no endpoints" in refused.explain()


@pytest.mark.parametrize(
    ("source", "target", "verdict"),
    [
        ("node/kind-worker", "https://10.96.0.1", Verdict.DELIVERED),
        ("outside", "https://172.18.0.4:6443", Verdict.DELIVERED),
        ("outside", "http://172.18.0.3:9", Verdict.REFUSED),
        ("pod/client", "icmp://10.96.0.1", Verdict.DROPPED),
        ("pod/client", "http://93.184.215.14", Verdict.INSUFFICIENT_INFO),
        ("pod/kube-system/{dns}", "udp://10.96.0.10:53", Verdict.DELIVERED),
    ],
)
def test_packets_end_as_they_would(lab, source, target, verdict):
    dns = lab.core.list_namespaced_pod("kube-system", label_selector="k8s-app=kube-dns").items[0].metadata.name
    assert lab.trace(source.format(dns=dns), target).verdict is verdict


def test_a_policy_is_asked_where_kindnets_agent_would_be(lab):
    lab.shell(
        "kubectl delete service shop --ignore-not-found; kubectl expose deployment shop --port=80 --target-port=8080"
    )
    lab.shell("kubectl scale deployment shop --replicas=1; kubectl rollout status deployment shop")
    lab.shell(
        """kubectl apply -f - <<'E'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shut}
spec: {podSelector: {matchLabels: {app: shop}}, policyTypes: [Ingress]}
E"""
    )
    shut = lab.trace("pod/client", "http://shop")
    assert shut.verdict is Verdict.DROPPED
    assert "kubewalk-02-clusterip/shut" in shut.reason
    lab.shell("kubectl delete networkpolicy shut")
    assert lab.trace("pod/client", "http://shop").verdict is Verdict.DELIVERED


def test_a_client_with_affinity_is_remembered(lab):
    lab.shell("kubectl scale deployment shop --replicas=2; kubectl rollout status deployment shop")
    lab.shell("kubectl expose deployment shop --name=sticky --port=80 --target-port=8080 --session-affinity=ClientIP")
    assert len(lab.ways("pod/client", "http://sticky")) == 2
    said = lab.shell("kubectl exec client -- curl -sS http://sticky").stdout
    (way,) = lab.ways("pod/client", "http://sticky")
    assert way.hops[-1].host.endswith(said.split()[-1])


def test_a_name_or_place_that_is_not_there_is_the_learners(lab):
    with pytest.raises(LearnerError, match="cannot resolve 'nope'"):
        lab.trace("pod/client", "http://nope")
    with pytest.raises(LearnerError, match="no pod 'nope'"):
        lab.trace("pod/nope", "http://10.96.0.1")
    with pytest.raises(LearnerError, match="no place 'node/nope'"):
        lab.trace("node/nope", "http://10.96.0.1")


def test_the_map_and_the_timeline_are_drawn_from_the_same_api(lab):
    lab.shell("kubectl scale deployment web --replicas=2; kubectl rollout status deployment web")
    assert "Pod client (app=client)" in str(lab.map())
    rows = lab.timeline().rows
    assert ("you", ".spec.replicas 1 → 2") in [(row.who, row.what) for row in rows]
    assert {"deployment-controller", "replicaset-controller", "default-scheduler"} <= {row.who for row in rows}


def test_a_rollout_that_is_stuck_is_not_waited_for(lab):
    """Its new pod cannot start, so it has one more than it wants for good: a check must not wait for minutes."""
    lab.shell("kubectl set image deployment/web '*=no-such-image:1'")
    end = time.monotonic() + 20
    while lab.port._state()[1] and time.monotonic() < end:
        time.sleep(0.1)
    status = lab.apps.read_namespaced_deployment("web", lab.namespace).status
    lab.shell("kubectl rollout undo deployment web; kubectl rollout status deployment web")
    assert status.replicas > status.ready_replicas
    assert time.monotonic() < end


def test_an_experiment_has_a_namespace_of_its_own_that_goes(lab, served):
    lab.answer("zero", "refused")
    assert lab.check("zero").passed
    assert lab.apps.read_namespaced_deployment("web", lab.namespace).spec.replicas != 0
    end = time.monotonic() + 10
    while "kubewalk-02-clusterip-2" in namespaces(served) and time.monotonic() < end:
        time.sleep(0.05)
    assert [each for each in namespaces(served) if each.startswith("kubewalk")] == ["kubewalk-02-clusterip"]


def test_nothing_is_left_behind_and_nothing_else_is_touched(served):
    before = namespaces(served)
    one = kubelab.open("02", cluster="kubesim-kind")
    other = one.fresh()
    assert other.namespace not in (one.namespace, *before)
    other.close()
    one.reset()
    one.close()
    assert namespaces(served) == before


def test_old_sessions_namespaces_are_cleaned_by_their_label(served, lab):
    lab.core.create_namespace({"metadata": {"name": "kubewalk-mine"}})
    made = lab.fresh()
    assert set(port.clean("kubesim-kind")) >= {made.namespace}
    assert "kubewalk-mine" in namespaces(served)
    lab.reset()


def test_manifests_that_reach_elsewhere_are_refused(lab):
    text = "kind: Namespace\nmetadata: {name: own}\n---\nkind: Pod\nmetadata: {name: a, namespace: %s}\n"
    assert lab_module._namespaces(lab.spec, text % "own", lab.port) == ["own"]
    assert lab_module._namespaces(lab.spec, text % lab.namespace, lab.port) == ["own"]
    with pytest.raises(LearnerError, match="into namespace kube-system, not its own"):
        lab_module._namespaces(lab.spec, text % "kube-system", lab.port)


def test_what_a_lab_needs_of_the_cluster_is_installed_once(served):
    from kubelab import folders, spec

    ingress = spec.load(folders.find("13"))
    with pytest.raises(LearnerError, match="changes the cluster itself"):
        lab_module.live(ingress, "kubesim-kind")
    assert ingress.preset == "kind+traefik"
    one = lab_module.live(ingress, "kubesim-kind", any_cluster=True)()
    assert one.run_outside("kubectl -n traefik get deployment traefik").stdout.split()[5:7] == ["traefik", "1/1"]
    made = one.run_outside("kubectl -n traefik get deployment traefik -o jsonpath='{.metadata.generation}'").stdout
    one.close()
    other = lab_module.live(ingress, "kubesim-kind", any_cluster=True)()
    assert (
        other.run_outside("kubectl -n traefik get deployment traefik -o jsonpath='{.metadata.generation}'").stdout
        == made
    )
    other.close()


def test_the_learners_kubeconfig_is_never_written(served, lab, tmp_path):
    before = Path(os.environ["KUBECONFIG"]).read_bytes()
    lab.shell("kubectl config set-context --current --namespace=elsewhere")
    assert Path(os.environ["KUBECONFIG"]).read_bytes() == before
    lab.reset()
    assert "client" in lab.shell("kubectl get pods").stdout


# -- parity -------------------------------------------------------------------------------------------------


def test_what_chance_and_clocks_decide_is_made_alike():
    one = parity.alike("web-9f4fc4cdc-x7c8q  1/1  Running  0  27s  10.244.1.3  kind-worker\n", "default")
    other = parity.alike("web-9f4fc4cdc-6w7nj   1/1   Running 0 2m3s 10.244.2.4 kind-worker2\n", "kubewalk-02")
    assert one == other == ("web-POD 1/1 Running 0 AGE IP NODE",)
    assert parity.alike("0/1", "default") != parity.alike("1/1", "default")
    # What a rollout loses is chance; that requests were answered is not.
    assert parity.alike("      3 000 28\n     13 000 7\n     43 200 0\n", "default") == ("N 200 0",)


def test_a_difference_shows_what_only_one_side_said():
    def seen(code, *lines):
        return iter([parity.Seen(what="cell 1", code=code, lines=lines)])

    ((_what, found),) = parity.compare(seen("0", "a", "b"), seen("7", "a", "c"))
    assert str(found) == (
        "  cell 1\n    embedded: ended with 0\n    embedded: b\n    live:     ended with 7\n    live:     c"
    )
    assert [found for _what, found in parity.compare(seen("0", "a"), seen("0", "a"))] == [None]
    unknown = iter([parity.Seen(what="cell 1", code="0", lines=("b",), beyond=True)])
    assert [found.known for _what, found in parity.compare(seen("0", "a"), unknown)] == [True]


@pytest.mark.slow
def test_lab_02_is_the_same_on_both(served, monkeypatch):
    """Its cells, its key and one wrong state; `kubelab parity` compares all of all labs."""
    from kubelab import folders, spec, states

    known = states.states
    monkeypatch.setattr(
        states, "states", lambda of: [each for each in known(of) if each.name in ("solution", "wrong-port")]
    )
    of = spec.load(folders.find("02"))
    live = lab_module.live(of, "kubesim-kind")
    for run in (parity.in_states, parity.in_cells):
        sides = (run(of, lambda: kubelab.Lab(of)), run(of, lambda: kubelab.Lab(of, make=live)))
        assert [str(found) for _what, found in parity.compare(*sides) if found is not None] == []


# -- progress -----------------------------------------------------------------------------------------------


def test_what_is_quick_shows_no_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.bar("Opening") as step:
        step("a namespace")
    assert capsys.readouterr().err == ""


def test_what_takes_longer_says_what_it_does_and_goes(monkeypatch, capsys):
    monkeypatch.setattr(progress, "UNNOTICED", 0)
    monkeypatch.setattr(progress, "APART", 0)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.bar("Opening", 2) as step:
        step("a namespace")
        step("its pods")
    said = capsys.readouterr().err
    assert "\rOpening: a namespace (1 of 2)" in said
    assert said.endswith("\r")


def test_the_bar_in_a_page_can_be_heard():
    page = progress.html("Opening", "its pods", 2, 4)
    assert 'role="status"' in page
    assert '<progress value="2" max="4" aria-label="Opening">' in page
