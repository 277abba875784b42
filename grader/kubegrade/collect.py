"""`kubegrade collect`: what the parts of a class have come to, elsewhere, goes into one book.

A part (`kubegrade grade --share 3/10`, as the pods of `kubegrade job` do it) leaves a journal.  Its reports are taken where
their digests say that they are of this very submission, graded against this very lab; anything else is left to be graded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kubegrade import batch
from kubegrade.jobs import Job
from kubegrade.report import Report, from_json
from kubesim.errors import LearnerError


def taken(folder: Path) -> Callable[[Sequence[Job]], Iterator[Report]]:
    """What gives the reports of jobs from the journals in a folder.  It ends with a LearnerError if some are in none of them."""

    def grade(jobs: Sequence[Job]) -> Iterator[Report]:
        parts = [batch.recorded(path) for path in sorted(folder.rglob("*.kubegrade.jsonl"))]
        if not parts:
            raise LearnerError(f"no part's journal in {folder}", "They are called gradebook-*.db.kubegrade.jsonl.")
        missing = 0
        for job in jobs:
            told = next((each[job.key] for each in parts if each.get(job.key, {}).get("digest") == job.digest), None)
            if told is None:
                missing += 1
            else:
                yield from_json(told)
        if missing:
            raise LearnerError(
                f"{missing} of {len(jobs)} submissions are in no part",
                "What was found is in the book. Grade the rest here: kubegrade grade; or let the parts finish first.",
            )

    return grade
