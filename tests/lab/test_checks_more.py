"""The vocabulary of checks on a cluster: each holds where it should, and says what happened where it does not."""

from __future__ import annotations

import pytest

import kubelab
from kubelab import checks
from kubelab.checks import answers
from kubelab.spec import Task, load
from kubesim.errors import LearnerError

TASK = Task(name="t", title="The task", points=4, kind="state", success="Well done.")

SETUP = """
kubectl expose deployment shop --port=80 --target-port=8080
kubectl create service clusterip shop-headless --clusterip=None
kubectl patch service shop-headless -p '{"spec":{"selector":{"app":"shop"}}}'
kubectl create service externalname elsewhere --external-name=example.com
kubectl create service nodeport door --tcp=80:8080 --node-port=30080
kubectl patch service door -p '{"spec":{"selector":{"app":"web"}}}'
kubectl run stuck --image=nginx --overrides='{"spec":{"nodeSelector":{"disk":"none"}}}'
"""


@pytest.fixture(scope="module")
def lab():
    lab = kubelab.open("02-clusterip")
    lab.shell(SETUP)
    return lab


CLIENT = "pod/client"

# name, the check, whether it holds, what the message or the explanation says
ROWS = [
    ("silence", checks.times_out(CLIENT, "http://shop:8080"), True, "nobody has that address"),
    ("no silence", checks.times_out(CLIENT, "http://shop"), False, "the request was answered"),
    ("the pod's own address", checks.comes_from(CLIENT, "http://shop", CLIENT), True, "No rule on the way touched"),
    ("an address", checks.comes_from(CLIENT, "http://shop", "10.9.9.9"), False, "should see the address of 10.9.9.9; it sees"),
    ("not a node's", checks.comes_from(CLIENT, "http://shop", "node"), False, "should see the address of a node (10.244.1.1"),
    ("masqueraded", checks.comes_from("outside", "http://172.18.0.2:30080", "node"), True, "rewrote the source"),
    ("not the caller's", checks.comes_from("outside", "http://172.18.0.2:30080", "outside"), False, "it sees 1"),
    ("nobody sees", checks.comes_from(CLIENT, "http://shop:8080", CLIENT), False, "does not take the packet"),
    ("no such pod", checks.comes_from(CLIENT, "http://shop", "pod/nope"), False, "pod “nope”, and there is none"),
    ("a Service's name", checks.resolves_to(CLIENT, "shop", service="shop"), True, "the cluster IP of Service shop"),
    ("a full name", checks.resolves_to(CLIENT, "kubernetes.default", addresses=["10.96.0.1"]), True, "10.96.0.1"),
    ("a headless name", checks.resolves_to(CLIENT, "shop-headless", pods="app=shop"), True, "the ready pods with app=shop"),
    ("not its pods", checks.resolves_to(CLIENT, "shop", pods="app=shop"), False, "the ready pods with app=shop: 10.244."),
    ("no such name", checks.resolves_to(CLIENT, "shoq", service="shop"), False, "cannot resolve shoq"),
    ("unknown, as wanted", checks.unresolved(CLIENT, "shoq"), True, "does not know shoq"),
    ("known, unwanted", checks.unresolved(CLIENT, "shop"), False, "can resolve shop: 10.96."),
    ("a rule", checks.rules("kind-worker", has=[r"-A KUBE-SERVICES .*default/shop cluster IP"]), True, "as they should be"),
    ("no rule", checks.rules("kind-worker", has=["default/nope"]), False, "No rule of kind-worker matches “default/nope”"),
    ("a rule too many", checks.rules("kind-worker", lacks=["default/shop cluster IP"]), False, "has the rule: -A KUBE-SERVICES"),
    ("of all rules", checks.rules("kind-worker", holds=lambda lines: len(lines) > 10), True, "as they should be"),
    ("an event", checks.event("Pod", "stuck", "FailedScheduling", says="nodes are available"), True, "0/3 nodes"),
    ("other words", checks.event("Pod", "stuck", "FailedScheduling", says="no disk"), False, "that says so"),
    ("another event", checks.event("Pod", "client", "Unhealthy"), False, "Created, Pulled, Pulling, Scheduled, Started"),
    ("of a node", checks.state("Node", "kind-worker", {"metadata": {"name": "kind-worker"}}), True, "as it should be"),
    ("elsewhere", checks.state("Service", "kube-system/kube-dns", {"spec": {"clusterIP": "10.96.0.10"}}), True, "as it should"),
    ("nowhere", checks.state("Service", "kube-system/nope", {}), False, "no Service “nope” in namespace kube-system"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "holds", "says"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_check_on_the_cluster(lab, check, holds, says):
    result = checks.mark(TASK, [check], lab)
    (finding,) = result.findings
    assert (finding.passed, result.points) == (holds, 4 if holds else 0)
    assert says in f"{finding.message} {finding.explanation}"


def test_resolves_to_wants_one_key():
    with pytest.raises(ValueError, match="one of addresses, pods, service"):
        checks.resolves_to(CLIENT, "shop", service="shop", pods="app=shop")


def test_a_learners_alias_is_not_asked(lab):
    """What was typed into the lab's terminal (a function named kubectl) has no say in the checks."""
    lab.shell("kubectl() { return 0; }; alias kubectl=true")
    finding = checks.mark(TASK, [checks.reaches(CLIENT, "http://nobody")], lab)
    lab.shell("unset -f kubectl; unalias kubectl")
    assert "could not be resolved" in finding.message


# -- numbers and words --------------------------------------------------------------------------------------

SAME = [
    ("refused", "refused", None, "", True),
    (" Refused ", "refused", None, "", True),
    ("timeout", "refused", None, "", False),
    ("0.33", "0.333", 0.01, "", True),
    ("0,33", "0.333", 0.01, "", True),
    ("0.3", "0.333", 0.01, "", False),
    ("30 s", "30", 0.0, "s", True),
    ("30s", "30", 0.0, "s", True),
    ("30 ms", "30", 0.0, "s", False),
    ("1.1", "1", 0.1, "", True),
    ("about 3", "3", 0.5, "", False),
    ("-1", "1", 0.5, "", False),
]


@pytest.mark.parametrize(("given", "key", "tolerance", "unit", "same"), SAME)
def test_answers_are_compared(given, key, tolerance, unit, same):
    assert answers.same(given, key, tolerance, unit) is same


class Answered:
    port = None

    def __init__(self, given):
        self.answers = {"t": given}

    def fresh(self):
        return None


PREDICTS = checks.predicts(
    "t",
    lambda port: checks.Outcome(answer="3", because="Three pods.", also=("three",)),
    wrong={"2": "One is not ready, and still counted?"},
    credit={"2": 0.5},
    failure="Count again.",
)


@pytest.mark.parametrize(
    ("given", "earned", "says"),
    [
        ("3", 1.0, "You saw it coming."),
        ("three", 1.0, "You saw it coming."),
        ("2", 0.5, "One is not ready"),
        ("7", 0.0, "Count again."),
    ],
)
def test_one_of_several_answers_and_part_of_the_credit(given, earned, says):
    finding = PREDICTS(Answered(given))
    assert (finding.earned, finding.passed) == (earned, earned == 1.0)
    assert says in finding.message
    assert finding.explanation == "Three pods."


def test_a_number_that_is_none_is_said_so():
    check = checks.predicts("t", lambda port: checks.Outcome(answer="3", because=""), tolerance=0.5, unit="s")
    assert check(Answered("soon")).message == "“soon” is not a number of s."


# -- around other checks ------------------------------------------------------------------------------------


class Clock:
    """A port whose checks hold until its clock says 20."""

    now = 0.0

    def settle(self):
        pass

    def wait(self, seconds):
        self.now += seconds

    def apart(self):
        return self


class Subject:
    def __init__(self):
        self.port, self.answers = Clock(), {}

    def fresh(self):
        raise AssertionError


def until(moment):
    return lambda subject: checks.Finding(passed=subject.port.now < moment, message=f"at {subject.port.now:g}")


def test_what_does_not_last_is_not_done():
    result = checks.mark(TASK, [checks.stable_for(30, until(20))], Subject())
    assert (result.points, result.message) == (0, "It held at first, and 20 s later no more: at 20")
    assert checks.mark(TASK, [checks.stable_for(30, until(31))], Subject()).points == 4


def test_what_fails_at_once_is_not_waited_for():
    subject = Subject()
    assert checks.mark(TASK, [checks.stable_for(30, until(0))], subject).message == "at 0"
    assert subject.port.now == 0


def test_a_service_that_loses_its_pods_later_is_not_stable(lab):
    other = kubelab.open("02-clusterip")
    other.shell("kubectl expose deployment shop --port=80 --target-port=8080")
    other.shell("(sleep 10; kubectl scale deployment shop --replicas=0) &")
    check = checks.reaches(CLIENT, "http://shop")
    assert checks.mark(TASK, [checks.stable_for(60, check)], other).points == 0


def test_hidden_checks_are_the_graders_and_keep_their_words():
    seen, secret = until(1), checks.hidden(checks.required(until(0)))
    assert checks.mark(TASK, [seen, secret], Subject()).points == 4
    result = checks.mark(TASK, [seen, secret], Subject(), hidden=True)
    assert (result.points, result.message) == (0, "A further check, which is not shown, did not hold.")
    assert result.explanation == ""
    assert checks.mark(TASK, [until(1), checks.hidden(until(1))], Subject(), hidden=True).message == "Well done."


TASKS = """
title: t
minutes: 1
summary: s
teaches: []
clears: []
tasks:
  - {name: first, title: The first, points: 1, kind: state}
  - {name: words, title: Words, points: 1, kind: text}
  - {name: second, title: The second, points: 2, kind: state, needs: [NEEDED]}
"""


def spec_of(tmp_path, needed):
    folder = tmp_path / "01-x"
    folder.mkdir()
    (folder / "lab.yaml").write_text(TASKS.replace("NEEDED", needed))
    return load(folder)


def test_a_task_waits_for_the_one_that_it_needs(tmp_path):
    spec, results = spec_of(tmp_path, "first"), {}
    subject = Subject()
    first = [lambda subject: checks.Finding(passed=subject.answers.get("done", False), message="no")]
    by_task = {"first": first, "second": [until(1)]}
    held_up = checks.mark_task(spec, "second", by_task, subject, results)
    assert (held_up.points, held_up.message) == (0, "This one builds on “The first”: do that first.")
    subject.answers["done"] = True
    assert checks.mark_task(spec, "second", by_task, subject, results).points == 2
    subject.answers["done"] = False
    assert checks.mark_task(spec, "second", by_task, subject, results).points == 2


@pytest.mark.parametrize("needed", ["nope", "second", "words"])
def test_a_task_needs_an_earlier_one_that_is_checked(tmp_path, needed):
    with pytest.raises(LearnerError, match=f"task second needs '{needed}'"):
        spec_of(tmp_path, needed)
