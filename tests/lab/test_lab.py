"""A lab as a notebook holds it, on the embedded cluster."""

from __future__ import annotations

import pytest

import kubelab
from kubelab.terminal.widget import Terminal
from kubesim.errors import LearnerError


@pytest.fixture
def lab():
    return kubelab.open("02-clusterip")


def test_the_official_client_and_the_terminal_see_one_cluster(lab):
    lab.shell("kubectl create configmap here --from-literal=a=b")
    assert lab.core.read_namespaced_config_map("here", lab.namespace).data == {"a": "b"}
    assert lab.cluster.AppsV1Api().read_namespaced_deployment("web", lab.namespace).status.ready_replicas == 1
    with pytest.raises(AttributeError, match="end in Api"):
        lab.cluster.core


def test_what_a_shell_was_told_lasts_and_each_place_has_its_own(lab):
    lab.shell("x=1; cd /tmp")
    assert lab.shell("echo $x $PWD").stdout == "1 /tmp\n"
    node = lab.core.read_namespaced_pod("client", lab.namespace).spec.node_name
    assert lab.shell("echo ${x:-nothing} $(hostname)", on=node).stdout == f"nothing {node}\n"
    with pytest.raises(LearnerError, match="kind-worker2"):
        lab.shell("true", on="nope")


def test_a_reset_gives_the_same_cluster_again(lab):
    def pods():
        return [
            (each.metadata.name, each.status.pod_ip, each.metadata.uid)
            for each in lab.core.list_namespaced_pod("default").items
        ]

    before = pods()
    lab.shell("kubectl delete deployment web shop")
    assert pods() != before
    lab.reset()
    assert pods() == before


def test_the_same_lab_draws_the_same_lots(lab):
    script = "kubectl expose deployment shop --port=80 --target-port=8080"
    other = kubelab.open("02")
    for each in (lab, other):
        each.shell(script)
    first = [lab.trace("pod/client", "http://shop").hops[-1].host for _ in range(12)]
    assert first == [other.trace("pod/client", "http://shop").hops[-1].host for _ in range(12)]
    assert len(set(first)) == 2


def test_ways_add_up_to_certainty(lab):
    lab.shell("kubectl expose deployment shop --port=80 --target-port=8080")
    ways = lab.ways("pod/client", "http://shop")
    assert len(ways) == 2
    assert sum(each.probability for each in ways) == pytest.approx(1)


def test_hints_go_from_the_hop_to_the_field_and_stop_there(lab):
    hints = [lab.hint("repair") for _ in range(4)]
    assert hints[0].startswith("Hint 1 of 3: Follow the packet")
    assert "spec.selector" in hints[2]
    assert hints[3] == hints[2]
    assert repr(hints[0]) == hints[0]


def test_a_prediction_must_be_one_of_the_choices(lab):
    with pytest.raises(LearnerError, match=r"not one of the choices\n.*\n  'refused'"):
        lab.answer("zero", "maybe")
    with pytest.raises(LearnerError, match="not a prediction"):
        lab.answer("service", "refused")
    with pytest.raises(LearnerError, match=r"no task 'nope'\nTasks: service, repair, zero, ping"):
        lab.answer("nope", "refused")
    assert lab.answer("zero", "refused") == "Noted: refused. Now run it."


def test_the_experiment_behind_a_prediction_leaves_the_learners_cluster_alone(lab):
    lab.answer("zero", "timeout")
    assert not lab.check("zero").passed
    assert lab.apps.read_namespaced_deployment("web", lab.namespace).spec.replicas == 1


def test_progress_follows_the_checks(lab):
    assert "· not checked" in str(lab.progress())
    lab.shell("kubectl expose deployment shop --port=80 --target-port=8080")
    assert lab.grade("service") == 3.0
    assert lab.progress().points == 3
    assert "✓ done" in str(lab.progress())
    assert "✎ for the teacher" in str(lab.progress())
    with pytest.raises(LearnerError, match="your teacher"):
        lab.check("ping")


def test_a_folder_that_a_lab_has_not_is_said(lab):
    with pytest.raises(LearnerError, match="no folder 'nope'"):
        lab.apply("nope")


def test_the_map_follows_the_cluster(lab):
    lab.shell("kubectl expose deployment shop --port=80 --target-port=8080")
    assert "Service shop (app=shop): 10.244." in str(lab.map())
    lab.shell("kubectl scale deployment shop --replicas=0")
    assert "Service shop (app=shop): no endpoints." in str(lab.map())


def test_the_terminal_widget_asks_on_until_a_command_is_whole(lab):
    terminal = Terminal(lambda: lab.port, "outside")
    sent = []
    terminal.send = lambda message, buffers=None: sent.append(message)
    assert terminal._run("for i in 1 2; do") == {"more": True}
    assert terminal._run("for i in 1 2; do\necho $i; done")["done"]
    assert sent == [{"stream": "out", "text": "1\n"}, {"stream": "out", "text": "2\n"}]
    terminal._run("nonsense")
    assert sent[2]["stream"] == "err"
    assert "not found" in sent[2]["text"]
    assert terminal.prompt == terminal._run("true")["prompt"]


def test_what_a_command_prints_stands_in_the_order_of_its_coming(lab):
    done = lab.shell("echo one; echo two >&2; echo three; false")
    assert str(done) == "one\ntwo\nthree\n[exit code 1]"
    assert (done.stdout, done.stderr) == ("one\nthree\n", "two\n")
    page = done._repr_mimebundle_()["text/html"]
    assert '<pre>one\n<span class="kw-err">two\n</span>three</pre>' in page


def test_in_ipython_a_learners_error_has_no_traceback(lab):
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    shell.user_ns["lab"] = lab
    with capture_output() as out:
        shell.run_cell("lab.check('nope')")
    assert "this lab has no task 'nope'" in out.stdout
    assert "Tasks: service" in out.stdout
    assert "Traceback" not in out.stdout
    InteractiveShell.clear_instance()
