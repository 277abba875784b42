"""What a notebook is given to show: text for a terminal, HTML for a page, and nothing that a command printed as markup."""

from __future__ import annotations

import lab_traces as traces
import pytest

from kubelab import checks, display, magics
from kubelab.spec import Task
from kubesim.errors import LearnerError

TASK = Task(name="t", title="The <task>", points=2, kind="state")


def html(view):
    return view._repr_mimebundle_()["text/html"]


def test_output_keeps_columns_and_says_the_exit_code():
    out = display.Output("NAME   READY\nweb    1/1\n", "curl: (7) Failed\n", 7)
    assert str(out) == "NAME   READY\nweb    1/1\ncurl: (7) Failed\n[exit code 7]"
    assert 'NAME   READY\nweb    1/1\n<span class="kw-err">curl: (7) Failed\n</span></pre>' in html(out)
    assert "exit code 7" in html(out)


def test_output_is_never_markup():
    assert "<script" not in html(display.Output("<script>1</script>", "<b>", 0))


def test_a_rule_in_the_output_wraps_at_its_matches():
    shown = html(display.Output('*nat\n-A X -m comment --comment "a <b>" -j KUBE-SVC-A\n', "", 0))
    assert "-j <b>KUBE-SVC-A</b>" in shown
    assert "a &lt;b&gt;" in shown


def test_no_output_is_said():
    assert "(no output)" in html(display.Output("", "", 0))


def test_a_trace_shows_itself_and_its_picture():
    view = display.TraceView(traces.delivered(), "pod/client → http://web")
    assert 'type="radio"' in html(view)
    assert view.verdict == "DELIVERED"
    assert view.explain() in str(view)
    assert "<svg" in html(view.picture())


def test_all_ways_are_listed_with_their_chances():
    lines = str(display.WaysView([traces.delivered(), traces.rejected()])).splitlines()
    assert lines[0].split(maxsplit=3)[:3] == ["1", "in", "3"]
    assert "rejected by a rule" in lines[1]


def test_a_result_says_sign_points_reason_and_carries_the_packet():
    finding = checks.Finding(passed=False, message="no", explanation="why <not>", trace=traces.rejected())
    result = checks.Result(
        task="t",
        title="The <task>",
        points=1,
        max=2,
        message="no",
        explanation="why <not>",
        trace=finding.trace,
        findings=(finding,),
    )
    view = display.CheckView(result)
    assert (view.points, view.max, view.passed) == (1, 2, False)
    shown = html(view)
    assert "✗ The &lt;task&gt;" in shown
    assert "1 of 2 points" in shown
    assert "why &lt;not&gt;" in shown
    assert 'type="radio"' in shown


def test_shell_cells_name_their_node():
    assert magics.node("") == ""
    assert magics.node("--on kind-worker") == "kind-worker"
    with pytest.raises(LearnerError, match="%%shell --on NODE"):
        magics.node("--in kind-worker")
