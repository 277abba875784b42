"""The vocabulary of checks: what is looked at, how points are shared, what a learner is told."""

from __future__ import annotations

import lab_traces as traces

from kubelab import checks
from kubelab.checks import behaviour, marking
from kubelab.checks.state import mismatches
from kubelab.spec import Task
from kubesim.errors import LearnerError

TASK = Task(name="t", title="The task", points=4, kind="state", success="Well done.")


class Port:
    """A port that answers from what the test says."""

    namespace = "default"
    title = "stub"

    def __init__(self, exit_code=0, stderr="", ways=()):
        self.exit_code, self.stderr, self.ways, self.ran = exit_code, stderr, list(ways), []

    def run_outside(self, command):
        self.ran.append(command)
        return self

    def trace(self, source, target):
        return self.ways[0]

    def traces(self, source, target):
        return self.ways

    def settle(self):
        pass

    def apart(self):
        return self


class Subject:
    def __init__(self, port=None, **answers):
        self.port, self.answers = port or Port(), answers

    def fresh(self):
        return Port()


def found(passed, **more):
    return lambda subject: checks.Finding(passed=passed, message="yes" if passed else "no", **more)


def test_points_are_shared_by_weight():
    result = checks.mark(TASK, [found(True, weight=3), found(False, weight=1)], Subject())
    assert (result.points, result.max, result.passed, result.message) == (3, 4, False, "no")


def test_all_passed_is_full_marks_and_the_tasks_own_word():
    result = checks.mark(TASK, [found(True), found(True), found(True)], Subject())
    assert (result.points, result.passed, result.message) == (4, True, "Well done.")


def test_without_what_is_required_nothing_is_earned():
    result = checks.mark(TASK, [found(True), checks.required(found(False))], Subject())
    assert result.points == 0
    assert checks.mark(TASK, [found(True), checks.required(found(True))], Subject()).points == 4


def test_a_learners_error_is_that_checks_failure_and_ours_is_raised():
    def broken(subject):
        raise LearnerError("the pod is gone", "make one")

    result = checks.mark(TASK, [broken], Subject())
    assert (result.points, result.message, result.explanation) == (0, "the pod is gone", "make one")


def test_a_mismatch_names_field_expected_and_actual():
    actual = {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "targetPort": 80}], "selector": {"app": "wbe"}}}
    assert [str(each) for each in mismatches({"spec": {"selector": {"app": "web"}}}, actual)] == [
        ".spec.selector.app is “wbe”, expected “web”"
    ]
    assert [str(each) for each in mismatches({"spec": {"ports": [{"targetPort": 8080}]}}, actual)] == [
        ".spec.ports[0].targetPort is 80, expected 8080"
    ]
    assert [str(each) for each in mismatches({"spec": {"externalName": "x"}}, actual)] == [
        ".spec.externalName is not there, expected “x”"
    ]
    assert list(mismatches({"spec": {"ports": [{"port": 80}]}}, actual)) == []


def test_an_item_of_a_list_may_stand_anywhere():
    actual = {"ports": [{"port": 443}, {"port": 80}]}
    assert list(mismatches({"ports": [{"port": 80}]}, actual)) == []
    assert [each.path for each in mismatches({"ports": [{"port": 81}]}, actual)] == [".ports[0]"]


def test_reaches_is_explained_by_the_packet():
    finding = checks.reaches("pod/client", "http://web")(Subject(Port(0, ways=[traces.delivered()])))
    assert finding.passed
    assert "which kind-worker turned into 10.244.2.7:8080" in finding.explanation


def test_refused_quotes_the_rule_that_rejected():
    port = Port(7, "curl: (7) Failed to connect", [traces.rejected()])
    finding = checks.reaches("pod/client", "http://web")(Subject(port))
    assert not finding.passed
    assert "connection was refused" in finding.message
    assert "default/web has no endpoints" in finding.explanation
    assert finding.trace is not None
    assert checks.refused("pod/client", "http://web")(Subject(port)).passed


def test_a_client_that_is_gone_is_said_so():
    port = Port(1, 'Error from server (NotFound): pods "client" not found\n')
    result = checks.mark(TASK, [checks.reaches("pod/client", "http://web")], Subject(port))
    assert 'pods "client" not found' in result.message


def test_the_request_is_quoted_for_the_shell():
    port = Port(0, ways=[traces.delivered()])
    behaviour.request(Subject(port), "pod/other/the client", "http://web/?a=1&b=2")
    assert port.ran == [
        "kubectl -n other exec 'the client' -- curl -sS -o /dev/null -m 5 'http://web/?a=1&b=2'",
    ]


def test_spreads_counts_where_packets_are_taken():
    one, lost = traces.delivered(), traces.refused()
    assert checks.spreads("pod/client", "http://web", over=1)(Subject(Port(ways=[one]))).passed
    finding = checks.spreads("pod/client", "http://web", over=2)(Subject(Port(ways=[one, lost])))
    assert not finding.passed
    assert finding.explanation.startswith("33 % of connections are lost. ")


def test_a_prediction_is_held_against_the_experiment():
    check = checks.predicts(
        "t",
        lambda port: checks.Outcome(answer="refused", because="Somebody says no."),
        wrong={"timeout": "Not silent."},
    )
    assert check(Subject(t="refused")).passed
    wrong = check(Subject(t="timeout"))
    assert (wrong.passed, wrong.message, wrong.explanation) == (False, "Not silent.", "Somebody says no.")


def test_no_prediction_runs_no_experiment():
    def never(port):
        raise AssertionError

    finding = checks.predicts("t", never)(Subject())
    assert not finding.passed
    assert "No prediction" in finding.message


def test_a_result_reads_in_a_terminal():
    result = checks.mark(TASK, [found(False, explanation="because")], Subject())
    assert str(result) == "✗ The task: 0 of 4 points\n  no\n  because"
    assert marking.Result is checks.Result
