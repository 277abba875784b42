"""Checks of names: what a program in a pod gets for one.

The pod itself is asked, with its own resolv.conf: `getent` where it has one (the C library's way, as curl resolves), else
`nslookup`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from kubelab.checks import places
from kubelab.checks.behaviour import in_pod
from kubelab.checks.marking import Check, Finding, Subject
from kubesim.errors import LearnerError

_NOT_FOUND = (126, 127)


def resolves_to(
    source: str,
    name: str,
    *,
    addresses: Sequence[str] = (),
    pods: str = "",
    service: str = "",
    success: str = "",
    failure: str = "",
    weight: float = 1.0,
) -> Check:
    """In the pod `source` the name stands for exactly these addresses: those listed, those of the ready pods with the labels
    `pods` ("app=web"), or the cluster IPs of `service`.  Give one of the three."""
    if bool(addresses) + bool(pods) + bool(service) != 1:
        raise ValueError("resolves_to: give one of addresses, pods, service")

    def check(subject: Subject) -> Finding:
        wanted, whose = _wanted(subject, addresses, pods, service)
        given = lookup(subject, source, name)
        if given == wanted and wanted:
            return Finding(
                passed=True,
                message=success or f"{source} knows {name} as {', '.join(given)}.",
                explanation=f"That is {whose}." if whose else "",
                weight=weight,
            )
        said = f"{source} gets {', '.join(given)}" if given else f"{source} cannot resolve {name}"
        should = f"{whose}: {', '.join(wanted) or 'none yet'}" if whose else ", ".join(wanted)
        return Finding(
            passed=False,
            message=failure or f"{name} does not resolve to what it should.",
            explanation=f"{said}; it should be {should}.",
            weight=weight,
        )

    return check


def unresolved(source: str, name: str, *, success: str = "", failure: str = "", weight: float = 1.0) -> Check:
    """In the pod `source` the name stands for nothing."""

    def check(subject: Subject) -> Finding:
        given = lookup(subject, source, name)
        told = (
            (failure or f"{source} can resolve {name}: {', '.join(given)}.")
            if given
            else (success or f"{source} does not know {name}.")
        )
        return Finding(passed=not given, message=told, weight=weight)

    return check


def lookup(subject: Subject, source: str, name: str) -> list[str]:
    """The addresses that the pod gets for the name, sorted; [] if none.  LearnerError if the pod cannot be asked."""
    done = in_pod(subject, source, f"getent ahosts {shlex.quote(name)}")
    if done.exit_code in _NOT_FOUND or "executable file not found" in done.stderr:
        done = in_pod(subject, source, f"nslookup {shlex.quote(name)}")
        if done.exit_code in _NOT_FOUND or "executable file not found" in done.stderr:
            raise LearnerError(f"The check asks {source} for a name, and its image has neither getent nor nslookup.")
        # The first paragraph is about the server that was asked.
        answer = done.stdout.partition("\n\n")[2]
        return sorted(set(re.findall(r"^Address(?: \d+)?:\s+(\S+)", answer, re.MULTILINE)))
    return sorted({line.split()[0] for line in done.stdout.splitlines() if line.strip()})


def _wanted(subject: Subject, addresses: Sequence[str], pods: str, service: str) -> tuple[list[str], str]:
    """The addresses that are right, and whose they are in words."""
    if pods:
        return places.ready_addresses(subject, pods), f"the ready pods with {pods}"
    if service:
        from kubelab.checks.state import read

        found = read(subject, "Service", service)
        given = ((found or {}).get("spec") or {}).get("clusterIPs") or []
        return sorted(each for each in given if each != "None"), f"the cluster IP of Service {service}"
    return sorted(addresses), ""
