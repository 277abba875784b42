"""The recorded terminal sessions, replayed: what the documents show works here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The cases that this version holds.
CASES = [
    *("D01", "D02", "D03", "D04", "D05", "D06", "D07", "D08", "D09", "D10"),
    *("G01", "G02"),
    *("H01", "H02", "H03", "H04"),
    *("K01", "K02", "K03", "K04", "K05", "K06"),
    *("M02", "M03", "M04", "M05", "M06", "M07", "M08", "M09", "M10"),
]


@pytest.mark.parametrize("case", CASES)
def test_session(shared: Path, case: str) -> None:
    shell = f"{Path(sys.executable).parent / 'kubesim'} shell --json --preset {{preset}}"
    done = subprocess.run(
        [
            sys.executable,
            shared / "sessions/replay.py",
            "--shell",
            shell,
            "--only",
            case,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("1 passed, 0 failed\n"), done.stdout + done.stderr
