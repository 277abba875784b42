"""Checks of behaviour: how a request fares, and why, read off the packet's trace.

The request is a real one, made with the tool that a learner would use (`kubectl exec ... curl`); the trace explains it.  On the
embedded cluster both are the same walk; on a live one the trace is a walk over the rules that its node has.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kubelab import words
from kubelab.checks import places
from kubelab.checks.marking import Check, Finding, Subject
from kubesim.errors import LearnerError
from kubesim.net.trace import Trace, Verdict

if TYPE_CHECKING:
    from kubesim.shell.terminal import Result

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


def times_out(source: str, target: str, *, success: str = "", failure: str = "", weight: float = 1.0) -> Check:
    """A request gets no answer at all: the packet, or its answer, is lost on the way."""
    return _ends(
        28,
        source,
        target,
        success or f"{target} keeps silent towards {source}.",
        failure or f"{source} is not kept waiting by {target}",
        weight,
    )


def comes_from(
    source: str, target: str, seen: str, *, success: str = "", failure: str = "", weight: float = 1.0
) -> Check:
    """Whoever takes the packet sees it come from `seen`, whichever way the rules choose.

    `seen` is an address, or a place whose addresses all count: "pod/NAME", "pod/NAMESPACE/NAME", "node/NAME", "outside", or
    "node" for any node.
    """

    def check(subject: Subject) -> Finding:
        traces = subject.port.traces(source, target)
        addresses = places.addresses(subject, seen)
        lost = [each for each in traces if each.verdict is not Verdict.DELIVERED]
        other = [each for each in traces if each.final.src not in addresses]
        shown = (lost or other or traces)[0]
        whose = seen if seen in addresses else f"{places.name(seen)} ({' or '.join(addresses) or 'no address'})"
        if lost:
            told, why = failure or f"{target} does not take the packet of {source}.", words.explain(shown)
        elif other:
            told = failure or f"{target} should see the address of {whose}; it sees {shown.final.src}."
            why = _source_story(shown)
        else:
            told, why = success or f"{target} sees the address of {whose}.", _source_story(shown)
        return Finding(passed=not lost and not other, message=told, explanation=why, trace=shown, weight=weight)

    return check


def _source_story(trace: Trace) -> str:
    """Which step, if any, wrote another source into the packet."""
    for hop, step in trace.steps():
        if step.before is not None and step.after is not None and step.before.src != step.after.src:
            at = f" in {words.place(step)}" if words.place(step) else ""
            return f"{hop.host} rewrote the source{at}: {step.before.src} became {step.after.src}."
    return f"No rule on the way touched the source {trace.flow.src}."


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
    done = in_pod(subject, source, f"curl -sS -o /dev/null -m {PATIENCE} {shlex.quote(target)}")
    return done.exit_code, done.stderr.strip()


def in_pod(subject: Subject, source: str, command: str) -> Result:
    """A command in the pod "pod/NAME" or "pod/NAMESPACE/NAME", by `kubectl exec`.  LearnerError if it is not there to run it."""
    namespace, _, name = source.removeprefix("pod/").rpartition("/")
    namespace = namespace or subject.port.namespace
    done = subject.port.run_outside(f"kubectl -n {shlex.quote(namespace)} exec {shlex.quote(name)} -- {command}")
    if done.exit_code and done.stderr.startswith(("Error from server", "error: ")):
        # A command that the image has not is no fault of the pod's.
        if "executable file not found" in done.stderr:
            return done
        raise LearnerError(f"The check asks from {source}, and that failed: {done.stderr.strip().splitlines()[0]}")
    return done


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
