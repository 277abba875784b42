"""Checks of what is written down: a node's rules, and the events of an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kubelab.checks.marking import Check, Finding, Subject
from kubelab.checks.state import split


def rules(
    node: str,
    *,
    has: Sequence[str] = (),
    lacks: Sequence[str] = (),
    holds: Callable[[list[str]], bool] | None = None,
    success: str = "",
    failure: str = "",
    weight: float = 1.0,
) -> Check:
    """The node's rules, a line each as `iptables-save` prints them: each pattern of `has` is found in one (re.search), none of
    `lacks` in any, and `holds` is true of all the lines, for what no pattern can say."""

    def check(subject: Subject) -> Finding:
        lines = subject.port.node_rules(node).splitlines()
        missing = next((each for each in has if not any(re.search(each, line) for line in lines)), None)
        unwanted = next((line for line in lines if any(re.search(each, line) for each in lacks)), None)
        why = ""
        if missing is not None:
            why = f"No rule of {node} matches “{missing}”."
        elif unwanted is not None:
            why = f"{node} has the rule: {unwanted}"
        passed = not why and (holds is None or holds(lines))
        told = success or f"The rules of {node} are as they should be."
        return Finding(
            passed=passed,
            message=told if passed else (failure or f"The rules of {node} are not yet right."),
            explanation=why,
            weight=weight,
        )

    return check


def event(
    kind: str, name: str, reason: str, *, says: str = "", success: str = "", failure: str = "", weight: float = 1.0
) -> Check:
    """The object `kind`/`name` ("NAME", or "NAMESPACE/NAME") has an event with this reason ("Unhealthy"), whose message matches
    `says` (re.search)."""

    def check(subject: Subject) -> Finding:
        namespace, plain = split(subject, name)
        about = f"involvedObject.kind={kind},involvedObject.name={plain}"
        events = subject.port.objects("Event", namespace, fields=about)
        found = next(
            (each for each in events if each.get("reason") == reason and re.search(says, each.get("message", ""))), None
        )
        if found is not None:
            return Finding(
                passed=True,
                message=success or f"{kind} “{name}” has the event {reason}.",
                explanation=found.get("message", ""),
                weight=weight,
            )
        reasons = sorted({each["reason"] for each in events if each.get("reason")})
        return Finding(
            passed=False,
            message=failure or f"{kind} “{name}” has no event {reason}{' that says so' if reason in reasons else ''}.",
            explanation=f"Its events: {', '.join(reasons)}." if reasons else "It has no events.",
            weight=weight,
        )

    return check
