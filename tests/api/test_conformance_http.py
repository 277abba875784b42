"""The recordings replayed over HTTP, by the recordings' own replayer as it is, against `kubesim serve`.

Reached by whole runs: 99.5 % (1,021 of 1,026 of api, services of one family, endpoints; docs/coverage.md has the rest), services
of two families 100 %.  A whole run of `api` waits two minutes by the wall's clock, so here it is its first
folders, and of the Services the first; `test_recordings` replays all of them without waiting.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("conformance")]

KUBESIM = Path(sys.executable).parent / "kubesim"
# The four OpenAPI v3 documents, whose descriptions are our own.
OPENAPI = 4
# So many of the recorded Services; a few of them are some hundred requests.
SERVICES = 60


@contextmanager
def serving(preset: str, folder: Path) -> Iterator[str]:
    """The URL of a fresh server."""
    command = [str(KUBESIM), "serve", "--preset", preset, "--kubeconfig", str(folder / "kubeconfig")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


def replay(shared: Path, folder: Path, preset: str, *options: str) -> tuple[int, int, str]:
    """(agreeing, all, what was said)."""
    script = str(shared / "golden/compare/api_replay.py")
    with serving(preset, folder) as url:
        command = [sys.executable, script, "--server", url, "--no-scheduler", *options]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    found = re.search(r"(\d+) of (\d+) agree", done.stdout)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    return int(found[1]), int(found[2]), done.stdout[-4000:]


def test_requests(shared: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "api"
    chosen.mkdir()
    for name in ("01-discovery", "02-bootstrap", "03-nodes"):
        (chosen / name).symlink_to(shared / "golden/api" / name)
    good, every, said = replay(shared, tmp_path, "bare", "--api", str(chosen))
    assert every - good <= OPENAPI, said


@pytest.mark.parametrize(("preset", "name"), [("bare", "single-stack"), ("bare-dual", "dual-stack")])
def test_services(shared: Path, tmp_path: Path, preset: str, name: str) -> None:
    recorded = json.loads((shared / f"golden/services/{name}.json").read_text())
    sample = tmp_path / f"{name}.json"
    sample.write_text(json.dumps({**recorded, "cases": recorded["cases"][:SERVICES]}))
    good, every, said = replay(shared, tmp_path, preset, "--services", str(sample))
    assert every
    assert good == every, said
