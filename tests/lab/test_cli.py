"""The `kubelab` and `kubegrade` commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from kubegrade import cli as grade_cli
from kubelab import cli, course


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Run `kubelab start` without JupyterLab: the command line that it would become."""
    lines = []
    monkeypatch.setattr(os, "execv", lambda program, line: lines.append(line))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")

    def start(*args):
        done = CliRunner().invoke(cli.main, ["start", "--dir", str(tmp_path / "mine"), *args])
        assert done.exit_code == 0, done.output
        return lines[-1]

    return start


def test_start_gives_a_learner_copies_without_solutions(started, tmp_path):
    line = started("--no-browser", "--port", "8899")
    text = (tmp_path / "mine" / "02-clusterip.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    assert course.CODE_STUB in text
    assert line[-3:] == ["--no-browser", "--port", "8899"]
    assert "--LabApp.default_url=/lab/tree/00-start-here.ipynb" in line


def test_start_leaves_a_learners_own_notebook_alone(started, tmp_path):
    started()
    mine = tmp_path / "mine" / "02-clusterip.ipynb"
    mine.write_text("mine", encoding="utf-8")
    started()
    assert mine.read_text(encoding="utf-8") == "mine"


def test_start_asks_nothing_of_the_network(started):
    line = started()
    assert "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate" in line
    config = Path(os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    page = json.loads((config / "labconfig" / "page_config.json").read_text(encoding="utf-8"))
    assert page["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"] is True


def test_list_names_the_labs_with_their_time():
    out = CliRunner().invoke(cli.main, ["list"]).output
    assert "02-clusterip" in out
    assert "40 min  One address for many pods" in out


def test_build_check_is_content_with_what_is_committed():
    assert CliRunner().invoke(cli.main, ["build", "--check"]).exit_code == 0


@pytest.mark.parametrize("main", [cli.main, grade_cli.main])
def test_an_unknown_lab_is_said_without_a_traceback(main):
    command = ["build", "nope"] if main is cli.main else ["prove", "nope"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "no lab 'nope'" in done.output
    assert "Traceback" not in done.output
