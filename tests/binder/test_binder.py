"""What Binder builds, as far as it can be checked without Docker: its files, its pins, and its scripts in a scratch place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
BINDER = ROOT / "binder"
# Binder gives a session 1 to 2 GB; the page's server and one lab's kernel must leave room.
MEMORY = 1_000_000_000


def pins() -> dict[str, Version]:
    lines = [line for line in (BINDER / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {name: Version(version) for name, version in (line.split("==") for line in lines)}


def test_the_environment_is_what_binder_reads() -> None:
    environment = yaml.safe_load((BINDER / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    names = {each.partition("=")[0] for each in environment["dependencies"]}
    assert names == {"python", "pip", "graphviz", "kubernetes-client"}
    python = next(each for each in environment["dependencies"] if each.startswith("python="))
    assert Version(python.partition("=")[2]) in Requirement(f"x{project()['requires-python']}").specifier


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_dependency_is_pinned_within_its_range() -> None:
    known = pins()
    extras = project()["optional-dependencies"]
    wanted = [Requirement(each) for each in [*project()["dependencies"], *extras["lab"], *extras["serve"]]]
    for requirement in wanted:
        if requirement.name == "kubewalk":
            continue
        assert known[requirement.name.lower()] in requirement.specifier, requirement


@pytest.mark.slow
def test_the_pins_resolve(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--report",
        str(tmp_path / "report.json"),
    ]
    done = subprocess.run(
        [*command, "--constraint", BINDER / "constraints.txt", f"{ROOT}[lab]"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "NewConnectionError" in done.stderr or (
        "No matching distribution" in done.stderr and "hatchling" in done.stderr
    ):
        pytest.skip("no package index is reached from here")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "report.json").read_text())["version"] == "1"


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_the_scripts_are_sound(script: str) -> None:
    path = BINDER / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_session(tmp_path: Path) -> None:
    """postBuild in a copy of the checkout with a Python of its own, then `start` with what a session would run."""
    home = tmp_path / "home"
    copy = shutil.ignore_patterns(".git", ".venv", "artifacts", ".*_cache", "my-labs", ".hypothesis", "__pycache__")
    shutil.copytree(ROOT, home, ignore=copy)
    venv.create(tmp_path / "env", with_pip=True, system_site_packages=True)
    # The packages of the tests' own environment stand in for what a build would download.
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    own = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "tests.pth").write_text(f"{own}\n")
    env = {**os.environ, "PATH": f"{tmp_path / 'env' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "binder/postBuild"], cwd=home, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "my-labs" in done.stdout
    notebooks = sorted(path.name for path in (home / "my-labs").glob("*.ipynb"))
    assert "02-clusterip.ipynb" in notebooks
    assert "BEGIN SOLUTION" not in (home / "my-labs" / "02-clusterip.ipynb").read_text()
    done = subprocess.run(
        ["bash", "binder/start", "bash", "-c", "echo $JUPYTER_CONFIG_PATH; python -c 'import sys; print(sys.argv)' a b"],
        cwd=home, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    config, ran = done.stdout.splitlines()
    assert (Path(config.partition(":")[0]) / "labconfig" / "page_config.json").is_file()
    assert ran == "['-c', 'a', 'b']"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_lab_leaves_room_in_a_session() -> None:
    """The kernel's peak after a whole lab, twice over and with a server's 150 MB, is below what a session has."""
    script = (
        "import kubelab\n"
        "lab = kubelab.open('02-clusterip')\n"
        "lab.shell('kubectl create deployment many --image=nginx --replicas=30; kubectl expose deployment many --port=80')\n"
        "lab.ways('pod/client', 'http://many')._repr_mimebundle_()\n"
        # getrusage would tell the tests' own peak, from before exec.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert 2 * 1024 * int(done.stdout.split()[-1]) + 150_000_000 < MEMORY
