"""The vocabulary of checks: what a lab's `checks.py` is written in.

A check looks at a cluster from outside, through the port, and says what it found: whether it holds, in a sentence about
what *happened* ("the packet died at ..."), with the trace that shows it.

| kind | checks |
|---|---|
| the state of objects | `state`, `matches`, `absent` |
| how a request fares | `reaches`, `refused`, `times_out`, `spreads`, `comes_from` |
| names | `resolves_to`, `unresolved` |
| what is written down | `rules`, `event` |
| what a learner predicted | `predicts` |
| around another check | `required`, `stable_for`, `hidden` |

Belongs here: looking and explaining, and the sum of points of one task.  Never here: gradebooks, batches, students, sandboxes
(`kubegrade`), nor HTML (`kubelab.display`).  Nothing here believes what a learner's process says, except answers.
"""

from __future__ import annotations

from kubelab.checks.answers import Outcome, predicts
from kubelab.checks.behaviour import comes_from, reaches, refused, spreads, times_out
from kubelab.checks.marking import Check, Finding, Result, Subject, hidden, mark, mark_task, required, stable_for
from kubelab.checks.names import resolves_to, unresolved
from kubelab.checks.records import event, rules
from kubelab.checks.state import absent, matches, state

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
