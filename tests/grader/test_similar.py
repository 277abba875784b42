"""Copied answers: who is found, who is not, and that a class of a thousand takes seconds."""

from __future__ import annotations

import csv
import json
import random
import re
import time

import pytest
from click.testing import CliRunner

from kubegrade import cli, similar, submissions
from kubelab import course, folders

LAB = "02-clusterip"
# What one may say of pings, in many ways.
WORDS = re.findall(
    r"\w+",
    "the rule packet service address cluster ping icmp protocol port answers nobody kernel pod node virtual tcp request because "
    "matches machine interface reply exists only rewritten never dropped goes destination while curl opens connection to and is "
    "of not a it there no any which with for on source chain forwards echo host",
)


def essay(seed, length=45):
    dice = random.Random(seed)
    return " ".join(dice.choice(WORDS) for _ in range(length)) + "."


@pytest.fixture(scope="module")
def released():
    """The lab's notebook as a student gets it."""
    source = (folders.course() / LAB / f"{LAB}.ipynb").read_text(encoding="utf-8")
    return json.loads(course.release(source))


def write(released, work):
    """A submission: what stands in the cells of these names (nbgrader's), in a notebook otherwise as it was given."""
    cells = []
    for cell in released["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        cells.append({**cell, "source": work[name]} if name in work else cell)
    return json.dumps({**released, "cells": cells})


def shell(command):
    return f'lab.shell("""\n{command}\n""")'


KEY = {
    "service-work": shell("kubectl expose deployment shop --port=80 --target-port=8080"),
    "repair-work": shell("""kubectl patch service orders -p '{"spec":{"selector":{"app":"orders"}}}'"""),
    "zero-work": 'prediction = "refused"\nif prediction:\n    print(lab.answer("zero", prediction))',
}
OWN_WAY = """lines = []
for wanted in ("app", "tier"):
    found = lab.core.list_namespaced_pod(lab.namespace, label_selector=f"{wanted}=shop").items
    lines.append(f"{wanted}: {len(found)} pods of the shop, on {[each.spec.node_name for each in found]}")
print("\\n".join(lines))
lab.shell("kubectl create service clusterip shop --tcp=80:8080 && kubectl describe service shop")"""


def pairs(released, tmp_path, handed_in, **options):
    for student, work in handed_in.items():
        (tmp_path / f"{student}.ipynb").write_text(write(released, work), encoding="utf-8")
    return similar.find(submissions.find(tmp_path, LAB), **options)


def test_the_key_is_nobodys_own(released, tmp_path):
    found = pairs(released, tmp_path, {f"s{number}": {**KEY, "ping": essay(number)} for number in range(5)}, over=0.1)
    assert found == []


def test_a_copied_text_is_found_and_its_lines_are_shown(released, tmp_path):
    told = essay("theirs")
    copied = f"{essay('a', 5)}\n{told.upper()}"
    handed_in = {"ada": {**KEY, "ping": told}, "bob": {**KEY, "ping": copied}, "eve": {**KEY, "ping": essay("eve")}}
    (pair,) = pairs(released, tmp_path, handed_in)
    assert (pair.one, pair.other) == ("ada", "bob")
    assert pair.ratio > 0.8
    assert pair.lines == (told[:200],)


def test_other_names_another_order_and_comments_hide_nothing(released, tmp_path):
    disguised = OWN_WAY.replace("wanted", "x").replace("lines", "out").replace("found", "p").replace("each", "q")
    disguised = disguised.replace('"', "'").replace("out = []", "# mine\nout = []  # a list")
    handed_in = {
        "ada": {"service-work": OWN_WAY, "ping": essay(1)},
        "bob": {"repair-work": disguised, "ping": essay(2)},
        "eve": {"service-work": KEY["service-work"], "ping": essay(3)},
    }
    (pair,) = pairs(released, tmp_path, handed_in, over=0.3)
    assert (pair.one, pair.other) == ("ada", "bob")
    assert 'found = lab.core.list_namespaced_pod(lab.namespace, label_selector=f"{wanted}=shop").items' in pair.lines


def test_what_many_found_is_nobodys_own_and_what_many_have_from_one_is(released, tmp_path):
    way = shell("kubectl create service clusterip shop --tcp=80:8080 --dry-run=client -o yaml | kubectl apply -f -")
    handed_in = {f"s{number:02}": {"service-work": way, "ping": essay(number)} for number in range(14)}
    handed_in |= {f"t{number:02}": {"service-work": way, "ping": essay("leaked", 150)} for number in range(13)}
    (pair,) = pairs(released, tmp_path, handed_in, over=0.2)
    assert (pair.one, pair.other, pair.alike) == ("t00", "t01", tuple(f"t{number:02}" for number in range(2, 13)))
    assert not any("create service" in line for line in pair.lines)


def test_a_students_own_port_is_the_same_port(released, tmp_path):
    def way(port):
        return shell(
            f"kubectl run a --image=b --port={port} --labels={port} && kubectl get pod a -o yaml | grep {port} | head -n 3"
        )

    handed_in = {"ada": {"service-work": way(7001)}, "bob": {"service-work": way(9333)}}
    assert pairs(released, tmp_path, handed_in, over=0.9) == []
    jobs = submissions.find(tmp_path, LAB)
    (pair,) = similar.find(
        jobs, over=0.9, own_words={(LAB, "ada"): {"7001": "${port}"}, (LAB, "bob"): {"9333": "${port}"}}
    )
    assert pair.ratio == 1.0


def test_what_cannot_be_read_is_left_out(released, tmp_path):
    (tmp_path / "bob.ipynb").write_text("{")
    (tmp_path / "eve.ipynb").symlink_to("/etc/passwd")
    assert pairs(released, tmp_path, {"ada": {"ping": essay(1)}}) == []


def test_the_command_prints_and_writes(released, tmp_path):
    submitted = tmp_path / "submitted"
    submitted.mkdir()
    handed_in = {"ada": {"ping": essay(1)}, "=bob": {"ping": essay(1)}, "eve": {"ping": essay(2)}}
    pairs(released, submitted, handed_in)
    table = tmp_path / "pairs.csv"
    done = CliRunner().invoke(cli.main, ["similar", str(submitted), "--lab", LAB, "--csv", str(table)])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("100%  =bob - ada  02-clusterip")
    assert (
        "1 pairs among 3 submissions match beyond their shared start. A match is a reason to look, and no proof."
        in done.stdout
    )
    with table.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["one"], row["other"], row["ratio"]) == ("'=bob", "ada", "1.00")


@pytest.mark.slow
def test_a_thousand_take_seconds(released, tmp_path):
    dice = random.Random(1)
    ways = [shell(essay(f"way {number}", 20)) for number in range(40)]
    handed_in = {
        f"s{number:04}": {**KEY, "service-work": dice.choice(ways), "ping": essay(number, 80)} for number in range(998)
    }
    handed_in |= {"x": {**KEY, "ping": essay("x", 80)}, "y": {**KEY, "ping": essay("x", 80)}}
    for student, work in handed_in.items():
        (tmp_path / f"{student}.ipynb").write_text(write(released, work), encoding="utf-8")
    jobs = submissions.find(tmp_path, LAB)
    began = time.process_time()
    (pair,) = similar.find(jobs)
    spent = time.process_time() - began
    assert (pair.one, pair.other) == ("x", "y")
    print(f"1,000 submissions compared in {spent:.1f} s")
    # Comparing half a million pairs of texts would take a hundred times that.
    assert spent < 30


def test_words_and_their_hashes_are_the_same_everywhere():
    said = similar.words("total = 'Get' + pods -n kube-system; total # now", "code", {"pods": "${what}"})
    assert [word for word, _ in said] == ["total", "=", "get", "+", "${what}", "-n", "kube-system", ";", "total"]
    assert [word for word, _ in similar.words("total = pods", "code", {})] == ["_", "=", "pods"]
    assert [mark for mark, _ in similar.shingles(said)] == [
        17502072203248666424,
        7151543320865540493,
        17799314980730112395,
        113730685206399599,
    ]
