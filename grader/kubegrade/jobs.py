"""What a worker is told: a submission, and what it may use."""

from __future__ import annotations

from dataclasses import dataclass

# Student, lab, notebook: what a job and its report are known by.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission.  `folder` holds it, `notebook` is the name that its notebook should have (without .ipynb); or `file` is the
    notebook, whatever its name; or `data` is what it holds.

    `lab` is the assignment's name, `lab_folder` the lab's folder ("" for a plain nbgrader notebook), `source` the teacher's
    notebook, `checks` a file with more checks; `seed` is for the cluster, None for the lab's own; `digest` comes back in the
    report.
    """

    student: str
    lab: str
    notebook: str
    folder: str = ""
    file: str = ""
    digest: str = ""
    lab_folder: str = ""
    source: str = ""
    checks: str = ""
    seed: int | None = None
    data: str | None = None

    @property
    def key(self) -> Key:
        return self.student, self.lab, self.notebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one submission may ask for.  Seconds of wall time, and counts; `questions` to the cluster are of one cell."""

    cell: float = 30.0
    submission: float = 300.0
    # One question to the cluster, and one task's checks.
    question: float = 10.0
    marking: float = 20.0
    questions: int = 5000
    resets: int = 20
    checks: int = 200
    streams: int = 8
    restarts: int = 4
