"""Run `kubelab parity` where there is no live cluster: `kubesim serve` stands in for one (tests/lab/live_standin.py).

    python tools/parity.py 02 05 [--no-states] [--no-cells]

A line for each step of each lab, "✓" where both clusters show the same, "·" where the live side cannot know, "✗" where they
differ.  A lab takes one to twenty minutes: real kubectl, real waiting.  The exit code is 1 if anything differs.  A lab that
changes the cluster itself (`whole_cluster`) gets a new stand-in each time that it is opened.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kubelab import folders, parity, spec
from kubelab import lab as lab_module

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

# How many times as fast as yours the stand-in's clock goes.  Where a lab counts what is lost in a rollout, or pauses within
# a time limit of the cluster's (conntrack's, a probe's, an eviction's), `sleep` on the client's side must not be too long there.
SPEED, SPEEDS = 20.0, {"03-kube-proxy": 2.0, "11-affinity": 4.0, "12-readiness": 1.0, "14-ingress-compared": 4.0}


@contextlib.contextmanager
def stand_in(lab: spec.Spec) -> Iterator[lab_module.Make]:
    """A stand-in, and what makes the lab's namespace there."""
    import live_standin
    import pytest

    patch = pytest.MonkeyPatch()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            live_standin.cluster(Path(folder), patch, preset=lab.preset, speed=SPEEDS.get(lab.name, SPEED)),
        ):
            command = ["kubectl", "config", "current-context"]
            current = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            yield lab_module.live(lab, current, any_cluster=True)
    finally:
        patch.undo()


def compare(name: str, options: list[str]) -> int:
    """One lab, on a stand-in of its own preset.  How many steps differ."""
    lab = spec.load(folders.find(name))
    runs = parity.runs(states="--no-states" not in options, cells="--no-cells" not in options)
    with contextlib.ExitStack() as stands:
        made: list[lab_module.Make] = []

        def live() -> lab_module.Lab:
            if lab.whole_cluster or not made:
                stands.close()
                made[:] = [stands.enter_context(stand_in(lab))]
            return lab_module.Lab(lab, make=made[0])

        return parity.report(lab, runs, lambda: lab_module.Lab(lab), live, lambda line: print(line, flush=True))


def main(arguments: list[str]) -> int:
    options = [each for each in arguments if each.startswith("--")]
    labs = [each for each in arguments if not each.startswith("--")] or folders.names()
    if len(labs) == 1:
        differ = compare(labs[0], options)
        print(f"{differ} steps differ." if differ else "No difference.")
        return int(differ > 0)
    # A process each: a stand-in's server and its threads end with it.
    return max(subprocess.run([sys.executable, __file__, name, *options], check=False).returncode for name in labs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
