"""The vocabulary of checks, as graders import it.

It is `kubelab`'s, so that a learner's notebook speaks it too: the very same check runs in both places.
"""

from __future__ import annotations

from kubelab.checks import (
    Check,
    Finding,
    Outcome,
    Result,
    Subject,
    absent,
    mark,
    matches,
    predicts,
    reaches,
    refused,
    required,
    spreads,
    state,
)

__all__ = [
    "Check",
    "Finding",
    "Outcome",
    "Result",
    "Subject",
    "absent",
    "mark",
    "matches",
    "predicts",
    "reaches",
    "refused",
    "required",
    "spreads",
    "state",
]
