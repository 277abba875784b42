"""Which pod, and which of its containers, POD or TYPE/NAME means.

Sources: kubectl `pkg/polymorphichelpers/attachablepodforobject.go`, `helpers.go`; `pkg/util/podutils`; `pkg/cmd/exec/exec.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, session
from kubesim.machinery import objects, selectors

Object = dict[str, Any]

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def pod(of: session.Session, word: str) -> Object:
    """The pod itself, or the best one that the object selects."""
    if "/" not in word:
        return of.get(of.discovery.find("pods"), word, of.namespace)
    request = builder.resolve(of, [word]).requests[0]
    obj = of.get(request.mapping, request.names[0], of.namespace if request.mapping.namespaced else "")
    if request.mapping.kind == "Pod":
        return obj
    return pods_of(of, obj, request.mapping.kind)[0]


def pods_of(of: session.Session, obj: Object, kind: str) -> list[Object]:
    """The pods that an object selects, best first.  Raises fail.Failed when it selects none."""
    spec = obj.get("spec") or {}
    if kind in ("Service", "ReplicationController"):
        if not spec.get("selector"):
            raise fail.Failed(f"error: invalid service '{objects.name(obj)}': Service is defined without a selector")
        labels = str(selectors.from_map(spec["selector"]))
    elif spec.get("selector") is not None:
        labels = str(selectors.from_label_selector(spec["selector"]))
    else:
        raise fail.Failed(f"error: cannot attach to *{kind}: not implemented")
    found = of.list(of.discovery.find("pods"), objects.namespace(obj), labels)
    if not found:
        raise fail.Failed("error: timed out waiting for the condition")
    return sorted(found, key=rank)


def rank(one: Object) -> tuple[Any, ...]:
    """podutils.ActivePods from its end: assigned, running, ready, not being deleted, longer ready, fewer restarts, older."""
    status = one.get("status") or {}
    ready: Object = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    restarts = max((each.get("restartCount", 0) for each in status.get("containerStatuses") or ()), default=0)
    phase = {"Running": 0, "Unknown": 1, "Pending": 2}.get(status.get("phase", ""), 3)
    return (
        not (one["spec"].get("nodeName")),
        phase,
        ready.get("status") != "True",
        "deletionTimestamp" in one["metadata"],
        ready.get("lastTransitionTime") or "",
        restarts,
        one["metadata"].get("creationTimestamp") or "",
        objects.name(one),
    )


def container(of: session.Session, one: Object, given: str, quiet: bool = False) -> str:
    """--container, else the annotated default, else the first; says so when there were others to choose."""
    spec = one["spec"]
    names = [each["name"] for each in spec.get("containers") or ()]
    inits = [each["name"] for each in spec.get("initContainers") or ()]
    ephemeral = [each["name"] for each in spec.get("ephemeralContainers") or ()]
    if given:
        if given not in (*names, *inits, *ephemeral):
            raise fail.Failed(f"error: container {given} not found in pod {objects.name(one)}_{objects.namespace(one)}")
        return given
    marked = objects.annotations(one).get(DEFAULT_CONTAINER)
    if marked and marked in names:
        return marked
    if len(names) + len(inits) + len(ephemeral) > 1 and not quiet:
        listed = ", ".join([*names, *(f"{name} (ephem)" for name in ephemeral), *(f"{name} (init)" for name in inits)])
        of.io.complain(f'Defaulted container "{names[0]}" out of: {listed}')
    return names[0]
