"""Run `kubelab parity` where there is no live cluster: `kubesim serve` stands in for one (tests/lab/live_standin.py).

    python tools/parity.py 02 05 [--no-states] [--no-cells]

A line for each step of each lab, "✓" where both clusters show the same, "·" where the live side cannot know, "✗" where they
differ.  A lab takes one to ten minutes: real kubectl, real waiting.  The exit code is 1 if anything differs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# How many times as fast as yours the stand-in's clock goes.  Where a lab counts what is lost in a rollout, `sleep` on the
# client's side must not be too long a time on the cluster's.
SPEED, SPEEDS = 20.0, {"12-readiness": 5.0}


def compare(name: str, options: list[str]) -> None:
    """One lab, on a stand-in of its own preset.  SystemExit or LearnerError when something differs."""
    import pytest

    sys.path.insert(0, str(ROOT / "tests" / "lab"))
    import live_standin

    from kubelab import cli, folders, spec

    lab = spec.load(folders.find(name))
    patch = pytest.MonkeyPatch()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            live_standin.cluster(Path(folder), patch, preset=lab.preset, speed=SPEEDS.get(lab.name, SPEED)),
        ):
            current = subprocess.run(
                ["kubectl", "config", "current-context"], capture_output=True, text=True, check=True
            )
            command = ["parity", "--cluster", current.stdout.strip(), "--any-cluster", name, *options]
            cli.main(command, standalone_mode=False)
    finally:
        patch.undo()


def main(arguments: list[str]) -> int:
    options = [each for each in arguments if each.startswith("--")]
    labs = [each for each in arguments if not each.startswith("--")]
    if len(labs) == 1:
        compare(labs[0], options)
        return 0
    # A process each: a stand-in's server and its threads end with it.
    status = 0
    for name in labs:
        status |= subprocess.run([sys.executable, __file__, name, *options], check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
