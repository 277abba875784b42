"""Checks of behaviour: how a request fares, and why, read off the packet's trace.

The request is a real one, made with the tool that a learner would use (`kubectl exec ... curl`); the trace explains it.  On the
embedded cluster both are the same walk; on a live one the trace is a walk over the rules that its node has.
"""

from __future__ import annotations

import shlex

from kubelab import words
from kubelab.checks.marking import Check, Finding, Subject
from kubesim.errors import LearnerError
from kubesim.net.trace import Trace, Verdict

# Long enough for a slow path, short enough that a check of a dropped packet ends (curl's own default would be minutes).
PATIENCE = 5

# curl(1), EXIT CODES: who spoke.
CURL = {
    6: "the name could not be resolved",
    7: "the connection was refused",
    28: "nobody answered, and curl timed out",
    52: "the server closed without an answer",
    56: "the connection was reset",
}


def reaches(source: str, target: str, *, success: str = "", failure: str = "", weight: float = 1.0) -> Check:
    """A request from `source` ("pod/client") to `target` ("http://web") is answered."""
    return _ends(
        0,
        source,
        target,
        success or f"{target} answers {source}.",
        failure or f"{target} does not answer {source}",
        weight,
    )


def refused(source: str, target: str, *, success: str = "", failure: str = "", weight: float = 1.0) -> Check:
    """A request is refused, at once: by a rule, or by the kernel of the address it came to."""
    return _ends(
        7,
        source,
        target,
        success or f"{target} refuses {source}.",
        failure or f"{target} does not refuse {source}",
        weight,
    )


def _ends(wanted: int, source: str, target: str, success: str, failure: str, weight: float) -> Check:
    """A request ends with that exit code of curl's."""

    def check(subject: Subject) -> Finding:
        code, said = request(subject, source, target)
        if code != wanted:
            return _failed(subject, source, target, failure, code, said, weight)
        trace = _trace(subject, source, target)
        return Finding(
            passed=True,
            message=success,
            explanation=words.explain(trace) if trace else "",
            trace=trace,
            weight=weight,
        )

    return check


def spreads(source: str, target: str, *, over: int, success: str = "", failure: str = "", weight: float = 1.0) -> Check:
    """The rules can send a request to exactly so many different places, and each of them takes it."""

    def check(subject: Subject) -> Finding:
        traces = subject.port.traces(source, target)
        taken = sorted({words.destination(each.final) for each in traces if each.verdict is Verdict.DELIVERED})
        lost = [each for each in traces if each.verdict is not Verdict.DELIVERED]
        if len(taken) == over and not lost:
            return Finding(
                passed=True,
                message=success or f"{target} is served by {over} pods.",
                explanation=f"The rules choose among {', '.join(taken)}.",
                trace=traces[0],
                weight=weight,
            )
        shown = lost[0] if lost else traces[0]
        share = sum(each.probability for each in lost)
        told = failure or f"{target} should be served by {over} pods; the rules reach {len(taken)}."
        why = f"{share * 100:.0f} % of connections are lost. " if lost and taken else ""
        return Finding(passed=False, message=told, explanation=why + words.explain(shown), trace=shown, weight=weight)

    return check


def request(subject: Subject, source: str, target: str) -> tuple[int, str]:
    """curl's exit code and what it said, run in the pod `source`.  LearnerError if the pod is not there to run it."""
    pod = source.removeprefix("pod/")
    namespace, _, name = pod.rpartition("/")
    namespace = namespace or subject.port.namespace
    pod_exec = f"kubectl -n {shlex.quote(namespace)} exec {shlex.quote(name)} --"
    done = subject.port.run_outside(f"{pod_exec} curl -sS -o /dev/null -m {PATIENCE} {shlex.quote(target)}")
    if done.exit_code and done.stderr.startswith(("Error from server", "error: ")):
        raise LearnerError(f"The check asks from {source}, and that failed: {done.stderr.strip().splitlines()[0]}")
    return done.exit_code, done.stderr.strip()


def _failed(subject: Subject, source: str, target: str, told: str, code: int, said: str, weight: float) -> Finding:
    trace = _trace(subject, source, target)
    felt = CURL.get(code, "the request was answered" if code == 0 else f"curl ended with exit code {code}")
    why = words.explain(trace) if trace else said
    return Finding(passed=False, message=f"{told.rstrip('.')}: {felt}.", explanation=why, trace=trace, weight=weight)


def _trace(subject: Subject, source: str, target: str) -> Trace | None:
    """The trace, or None where the packet never was (a name that does not resolve)."""
    try:
        return subject.port.trace(source, target)
    except LearnerError:
        return None
