"""The beginning of `kubegrade grade`: the walls, and a worker that warms up while everything else is still being imported.

It imports little, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kubegrade import sandbox
from kubegrade.jobs import Bounds
from kubegrade.process import Process
from kubesim.errors import LearnerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command's options; see its help."""

    lab: str = ""
    jobs: int | None = None
    seed_by: str = "lab"
    timeout: float = 300.0
    cell_timeout: float = 30.0
    memory: int = 1024
    gradebook: Path | None = None
    table: Path | None = None
    form: str = "plain"
    feedback: Path | None = None
    dump: Path | None = None
    checks: Path | None = None
    again: bool = False
    unsandboxed: bool = False
    scheduler: str = ""
    cluster: str = ""
    image: str = ""
    # This one's part of the submissions: every `share[1]`-th, from `share[0]` on.
    share: tuple[int, int] | None = None
    # A folder with journals of parts that were graded elsewhere.
    collect: Path | None = None

    @property
    def distributed(self) -> bool:
        """Whether other machines do the work."""
        return bool(self.scheduler or self.cluster)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What stands already."""

    layers: sandbox.Layers
    bounds: Bounds
    limits: sandbox.Limits
    # None where the work is done elsewhere.
    worker: Process | None


def start(options: Options) -> Started:
    """Look what this machine has to keep strangers' code in, and start a worker.  LearnerError if it has not enough, unless told
    to go on."""
    bounds = Bounds(cell=options.cell_timeout, submission=options.timeout)
    limits = sandbox.Limits(memory=options.memory << 20, cpu=int(options.timeout))
    if options.distributed or options.collect:
        return Started(layers=sandbox.Layers(), bounds=bounds, limits=limits, worker=None)
    layers = sandbox.probe()
    if not layers.sufficient and not options.unsandboxed:
        raise LearnerError(f"{sandbox.REFUSAL} (there is: {layers})", sandbox.REMEDY)
    return Started(layers=layers, bounds=bounds, limits=limits, worker=Process(layers, bounds, limits))
