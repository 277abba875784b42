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
    comes_from,
    event,
    hidden,
    mark,
    mark_task,
    matches,
    predicts,
    reaches,
    refused,
    required,
    resolves_to,
    rules,
    spreads,
    stable_for,
    state,
    times_out,
    unresolved,
)

__all__ = [
    "Check",
    "Finding",
    "Outcome",
    "Result",
    "Subject",
    "absent",
    "comes_from",
    "event",
    "hidden",
    "mark",
    "mark_task",
    "matches",
    "predicts",
    "reaches",
    "refused",
    "required",
    "resolves_to",
    "rules",
    "spreads",
    "stable_for",
    "state",
    "times_out",
    "unresolved",
]
