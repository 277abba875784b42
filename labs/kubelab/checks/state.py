"""Checks of state: an object of the API matches in part what is expected.

A mismatch says the field's path, what was expected and what is there (as Chainsaw does).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kubelab.checks.marking import Check, Finding, Subject
from kubelab.resources import KINDS


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field that is not as expected; `path` as kubectl's JSONPath would write it."""

    path: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        there = "is not there" if self.actual is None else f"is {_show(self.actual)}"
        return f"{self.path} {there}, expected {_show(self.expected)}"


def state(
    kind: str, name: str, expected: dict[str, Any], *, success: str = "", failure: str = "", weight: float = 1.0
) -> Check:
    """The object `kind`/`name` ("NAME" in the lab's namespace, or "NAMESPACE/NAME") has at least these fields.  `failure` comes
    before the field's mismatch."""

    def check(subject: Subject) -> Finding:
        obj = read(subject, kind, name)
        if obj is None:
            return _none(subject, kind, name, weight)
        found = next(mismatches(expected, obj), None)
        if found is None:
            return Finding(passed=True, message=success or f"{kind} “{name}” is as it should be.", weight=weight)
        return Finding(
            passed=False,
            message=failure or f"{kind} “{name}” is not yet right.",
            explanation=f"{found}.",
            weight=weight,
        )

    return check


def matches(
    kind: str, name: str, holds: Callable[[dict[str, Any]], bool], *, success: str, failure: str, weight: float = 1.0
) -> Check:
    """The object is there, and a predicate over its JSON holds: for what no partial match can say."""

    def check(subject: Subject) -> Finding:
        obj = read(subject, kind, name)
        if obj is None:
            return _none(subject, kind, name, weight)
        passed = holds(obj)
        return Finding(passed=passed, message=success if passed else failure, weight=weight)

    return check


def absent(kind: str, name: str, *, success: str = "", failure: str, weight: float = 1.0) -> Check:
    """There is no such object."""

    def check(subject: Subject) -> Finding:
        gone = read(subject, kind, name) is None
        return Finding(
            passed=gone, message=(success or f"{kind} “{name}” is gone.") if gone else failure, weight=weight
        )

    return check


def split(subject: Subject, name: str) -> tuple[str, str]:
    """Namespace and name of "NAME" (the lab's namespace) or "NAMESPACE/NAME"."""
    namespace, _, plain = name.rpartition("/")
    return namespace or subject.port.namespace, plain


def read(subject: Subject, kind: str, name: str) -> dict[str, Any] | None:
    """The object "NAME", or "NAMESPACE/NAME", as the API's JSON, or None."""
    namespace, plain = split(subject, name)
    found = subject.port.objects(kind, namespace, fields=f"metadata.name={plain}")
    return found[0] if found else None


def listed(subject: Subject, kind: str, labels: str = "", namespace: str = "") -> list[dict[str, Any]]:
    """The objects of a namespace (default: the lab's) as the API's JSON, by name."""
    return subject.port.objects(kind, namespace, labels=labels)


def _none(subject: Subject, kind: str, name: str, weight: float) -> Finding:
    namespace, plain = split(subject, name)
    where = f" in namespace {namespace}" if KINDS[kind][2] else ""
    return Finding(passed=False, message=f"There is no {kind} “{plain}”{where}.", weight=weight)


def mismatches(expected: Any, actual: Any, path: str = "") -> Iterator[Mismatch]:
    """Where `actual` lacks what `expected` says.  Mappings match in part; each item of a list must match one there."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield Mismatch(path or ".", expected, actual)
            return
        for key, value in expected.items():
            yield from mismatches(value, actual.get(key), f"{path}{_segment(key)}")
    elif isinstance(expected, list):
        for index, item in enumerate(expected):
            candidates = actual if isinstance(actual, list) else []
            tried = [
                list(mismatches(item, candidate, f"{path}[{number}]")) for number, candidate in enumerate(candidates)
            ]
            if any(not each for each in tried):
                continue
            if len(tried) == 1:
                yield from tried[0]
            else:
                yield Mismatch(f"{path}[{index}]", item, actual)
    elif expected != actual:
        yield Mismatch(path or ".", expected, actual)


def _segment(key: str) -> str:
    return f".{key}" if re.fullmatch(r"[A-Za-z_]\w*", key) else f"['{key}']"


def _show(value: Any) -> str:
    return f"“{value}”" if isinstance(value, str) else str(value)
