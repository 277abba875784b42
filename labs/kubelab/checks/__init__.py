"""The vocabulary of checks: what a lab's `checks.py` is written in.

A check looks at a cluster from outside, through the port, and says what it found: whether it holds, in a sentence about
what *happened* ("the packet died at ..."), with the trace that shows it.  Kinds: the state of objects (`state`), how a request
fares (`reaches`, `refused`, `spreads`), what a learner predicted (`predicts`).

Belongs here: looking and explaining, and the sum of points of one task.  Never here: gradebooks, batches, students, sandboxes
(`kubegrade`), nor HTML (`kubelab.display`).  Nothing here believes what a learner's process says, except answers.
"""

from __future__ import annotations

from kubelab.checks.answers import Outcome, predicts
from kubelab.checks.behaviour import reaches, refused, spreads
from kubelab.checks.marking import Check, Finding, Result, Subject, mark, required
from kubelab.checks.state import absent, matches, state

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
