"""Each student has names and numbers of their own: the same in their notebook, in the grader, each time."""

from __future__ import annotations

import gradelab
import pytest

import kubelab
from kubegrade import batch, proof, sandbox, similar, submissions
from kubegrade.jobs import Bounds
from kubelab import folders, spec, variants

PORTS = {"morning": ["80", "7001", "7013", "7100", "7242", "7777"]}


def test_the_first_value_without_a_student_and_ones_own_with_one():
    assert variants.draw("05-ports", PORTS) == {"morning": "80"}
    drawn = {
        who: variants.draw("05-ports", PORTS, who)["morning"] for who in ("ada", "bob", "eve", "joe", "kim", "lea")
    }
    # Written down once: a student's number must not change with a version of Python or of this program.
    assert drawn == {"ada": "7777", "bob": "7001", "eve": "7777", "joe": "80", "kim": "7242", "lea": "7001"}


def test_only_the_labs_own_keys_are_filled_in():
    text = "port: ${port}, ${PATH}, $port, ${other}"
    assert variants.fill(text, {"port": "81"}) == "port: 81, ${PATH}, $port, ${other}"
    assert variants.fill_all({"a": ["${port}", 1], "b": {"c": "${port}"}}, {"port": "81"}) == {
        "a": ["81", 1],
        "b": {"c": "81"},
    }


def test_a_notebook_is_in_its_students_variant(monkeypatch):
    monkeypatch.setenv("KUBEWALK_STUDENT", "ada")
    lab = kubelab.open("05-ports")
    told = spec.load(folders.find("05-ports"), "ada").variant
    assert lab.variant == told
    assert f"port {told['morning']} for the morning" in lab.spec.task("greet").asks
    lab.shell(
        f"kubectl create service clusterip greet --tcp={told['morning']}:1234 --tcp={told['afternoon']}:4321\n"
        "kubectl set selector service greet app=greetings"
    )
    assert lab.check("greet").points == 3


def test_the_key_earns_full_marks_in_drawn_variants():
    of = spec.load(folders.find("05-ports"))
    drawn = list(proof.keys(of, 2))
    assert len({tuple(each.variant.values()) for each, _ in drawn}) == 2
    for each, state in drawn:
        wrong = {verdict.task: verdict.wrong for verdict in proof.prove(each, state)}
        assert wrong == dict.fromkeys(("three", "paper", "greet", "talk", "shy"), "")
    assert list(proof.keys(spec.load(folders.find("02-clusterip")), 2)) == []


@pytest.mark.slow
def test_a_class_is_marked_each_by_their_own(tmp_path):
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")
    root = gradelab.make_course(tmp_path)
    lab = root / "labs" / gradelab.LAB
    (lab / "lab.yaml").write_text(gradelab.LAB_YAML + "variants: {port: [80, 81, 82, 83, 84, 85, 86, 87, 88, 89]}\n")
    (lab / "checks.py").write_text(
        gradelab.CHECKS + "\ndef own(subject):\n"
        "    return checks.reaches('pod/client', f'http://web:{subject.variant[\"port\"]}')(subject)\n\n"
        "CHECKS['two'] = [own]\n"
    )
    told = "lab.shell(f'kubectl expose deployment web --port={lab.variant[\"port\"]} --target-port=80')"
    own = {who: variants.draw(gradelab.LAB, {"port": list(range(80, 90))}, who)["port"] for who in ("ada", "bob")}
    assert own["ada"] != own["bob"]
    copied = f"lab.shell('kubectl expose deployment web --port={own['ada']} --target-port=80')"
    for student, two in (("ada", told), ("bob", copied), ("eve", told)):
        gradelab.hand_in(root, student, gradelab.notebook(gradelab.cells(two=two)))
    found = {}
    jobs = submissions.find(root / "submitted", seed_by="student")
    for report in batch.grade(jobs, workers=1, layers=sandbox.probe(), bounds=Bounds(), limits=sandbox.Limits()):
        found[report.student] = gradelab.scores(report)["two"]
    assert found == {"ada": 3.0, "bob": 0.0, "eve": 3.0}
    assert similar.variants_of(jobs)[gradelab.LAB, "ada"] == {own["ada"]: "${port}"}
