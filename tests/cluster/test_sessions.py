"""The recorded terminal sessions, replayed: what the documents show works here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The cases that this version holds; the rest of the sessions want workloads that come later.
CASES = ["D01", "D02", "D03", "D04", "D06"]


@pytest.mark.parametrize("case", CASES)
def test_deep_dive(shared: Path, case: str) -> None:
    shell = f"{Path(sys.executable).parent / 'kubesim'} shell --json --preset {{preset}}"
    done = subprocess.run(
        [
            sys.executable,
            shared / "sessions/replay.py",
            "--shell",
            shell,
            "--only",
            case,
            shared / "sessions/0-deep-dive.session",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("1 passed, 0 failed\n"), done.stdout + done.stderr
