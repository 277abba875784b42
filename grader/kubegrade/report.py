"""What came of one submission: plain values that JSON can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from kubegrade.jobs import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One task's.  `points` is None where a person has to read it (`manual`).  `text` is what the student wrote there, `notes`
    what was odd about its cells, `findings` what each visible check found, `trace` the packet behind it, as HTML to
    step through."""

    task: str
    title: str
    points: float | None
    max: float
    message: str = ""
    explanation: str = ""
    manual: bool = False
    text: str = ""
    notes: tuple[str, ...] = ()
    findings: tuple[tuple[bool, str], ...] = ()
    trace: str = ""

    @property
    def passed(self) -> bool:
        return self.points is not None and self.points >= self.max


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a cell of the submission printed (`out`, `err`), and the error that ended it, if one did."""

    index: int
    out: str = ""
    err: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A submission's marks, in the order of the lab.

    `digest` is of all that decides them (the submission, the lab, this program); `reason` says why nothing could be graded, ""
    if it could; `notes` what was odd about the whole; `said` what the cells printed; `seconds` the time that it took.
    `fault` is an error of this program's own: then there are no marks, and nothing goes into any book.
    """

    student: str
    lab: str
    notebook: str
    digest: str = ""
    marks: tuple[Mark, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    seconds: float = 0.0
    attempts: int = 1
    fault: str = ""

    @property
    def key(self) -> Key:
        return self.student, self.lab, self.notebook

    @property
    def points(self) -> float:
        """What has been earned so far."""
        return sum(each.points for each in self.marks if each.points is not None)

    @property
    def max(self) -> float:
        """What can be earned, without what a person still has to read."""
        return sum(each.max for each in self.marks if not each.manual)

    def mark(self, task: str) -> Mark:
        return next(each for each in self.marks if each.task == task)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(told: dict[str, Any]) -> Report:
    """The Report of which `told` is the JSON."""
    marks = tuple(
        Mark(
            **{
                **each,
                "notes": tuple(each["notes"]),
                "findings": tuple((passed, message) for passed, message in each["findings"]),
            }
        )
        for each in told["marks"]
    )
    said = tuple(Said(**each) for each in told["said"])
    return Report(**{**told, "marks": marks, "said": said, "notes": tuple(told["notes"])})


@dataclass(slots=True)
class Draft:
    """A report while it is being made: marks as they come."""

    marks: dict[str, Mark] = field(default_factory=dict)
    said: dict[int, Said] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
