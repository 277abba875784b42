"""From changes to rows: who did what to which object.

Who wrote is what the object itself says (`metadata.managedFields`).  A real kube-controller-manager signs all its loops with
one name; which loop it was follows from what was written, for each part of an object has one loop that writes it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kubelab.resources import Object
from kubelab.timeline.history import Change

# What a loop of kube-controller-manager writes: by kind, and whether it is the status.
LOOPS = {
    ("Deployment", True): "deployment-controller",
    ("ReplicaSet", False): "deployment-controller",
    ("ReplicaSet", True): "replicaset-controller",
    ("StatefulSet", True): "statefulset-controller",
    ("DaemonSet", True): "daemonset-controller",
    ("Job", True): "job-controller",
    ("EndpointSlice", False): "endpointslice-controller",
    ("Service", True): "service-controller",
}
# Events that say again what another row says, or what the next one makes plain.
UNTOLD = {"Pulling", "Created", "ScalingReplicaSet", "LeaderElection"}
# Events in which a controller tells of a pod.
PODS = {"SuccessfulCreate": "made it", "SuccessfulDelete": "asked it to end"}
PEOPLE = "you"
# The API notes who writes an object, and not who deletes it.
UNKNOWN = "somebody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`who` did `what`, to `on` (several objects of one kind, where the same was done to each); `time` is HH:MM:SS, "" if
    nobody noted it.  `tool` is what a person used."""

    revision: int
    time: str
    who: str
    on: tuple[str, ...]
    what: str
    tool: str = ""


def rows(changes: Iterable[Change]) -> list[Row]:
    """The rows of these changes, the same thing done to several objects in a row as one."""
    told: list[Row] = []
    for row in _timely(_tell_all(list(changes))):
        last = told[-1] if told else None
        if last and (last.who, last.what, last.tool) == (row.who, row.what, row.tool) and _kind(last) == _kind(row):
            on = last.on if row.on[0] in last.on else (*last.on, *row.on)
            told[-1] = dataclasses.replace(last, on=on, time=row.time or last.time)
        else:
            told.append(row)
    return told


def acts(told: list[Row]) -> list[list[Row]]:
    """The rows in groups: each begins with something that a person did, and has what followed from it."""
    groups: list[list[Row]] = []
    for row in told:
        begins = row.who in (PEOPLE, UNKNOWN) and (not groups or groups[-1][-1].who not in (PEOPLE, UNKNOWN))
        if begins or not groups:
            groups.append([])
        groups[-1].append(row)
    return groups


def _kind(row: Row) -> str:
    return row.on[0].partition(" ")[0]


def _timely(told: Iterable[Row]) -> Iterator[Row]:
    """A time that is older than the row before was noted for an earlier write of the same fields: it says nothing here."""
    latest = ""
    for row in told:
        if row.time < latest:
            row = dataclasses.replace(row, time="")
        latest = max(latest, row.time)
        yield row


def _tell_all(changes: list[Change]) -> Iterator[Row]:
    # Pods whose end a controller owns up to in an Event: who asked for it is then known.
    ended = {_named(each.object) for each in changes if _reason(each) == "SuccessfulDelete"}
    for change in changes:
        if change.object["metadata"]["name"] == "kubernetes":
            continue  # the API server's own Service: nobody asked
        for row in _tell(change):
            if not (row.who == UNKNOWN and change.object["metadata"]["name"] in ended):
                yield row


def _reason(change: Change) -> str:
    return str(change.object.get("reason", "")) if change.object["kind"] == "Event" else ""


def _named(event: Object) -> str:
    """The object that an Event's message ends with: "Created pod: web-1"."""
    return str(event.get("message", "")).rpartition(": ")[2].rpartition(" ")[2]


def _tell(change: Change) -> Iterator[Row]:
    if change.object["kind"] == "Event":
        if change.after is not None:
            yield from _event(change.revision, change.after)
        return
    what = _what(change)
    if not what:
        return
    who, tool, time = _who(change)
    on = (f"{change.object['kind']} {change.object['metadata']['name']}",)
    yield Row(revision=change.revision, time=time, who=who, on=on, what=what, tool=tool)


def _event(revision: int, event: Object) -> Iterator[Row]:
    reason = str(event.get("reason"))
    if reason in UNTOLD:
        return
    source = event.get("source") or {}
    who = event.get("reportingComponent") or source.get("component") or event.get("reportingController") or UNKNOWN
    about = event.get("involvedObject") or event.get("regarding") or {}
    host = source.get("host") or (event.get("reportingInstance") if who == "kubelet" else "")
    yield Row(
        revision=revision,
        time=_clock(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")),
        who=f"{who} on {host}" if host else who,
        on=(f"Pod {_named(event)}" if reason in PODS else f"{about.get('kind', 'Object')} {about.get('name', '')}",),
        what=PODS.get(reason) or _said(event),
    )


def _said(event: Object) -> str:
    """An Event in words; the names that stand in the row already are left out of it."""
    message = str(event.get("message") or event.get("note") or "").strip()
    name = str((event.get("involvedObject") or {}).get("name", ""))
    if event.get("reason") == "Scheduled":
        return "put it on " + message.rpartition(" to ")[2]
    if event.get("reason") == "Started":
        return "started its container"
    if event.get("reason") == "Pulled":
        return "had its image ready" if "already present" in message else "pulled its image"
    if event.get("reason") == "Killing":
        return "stopped its container"
    text = re.sub(rf" {re.escape(name)}(?![-\w])", "", message) if name else message
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


# -- who --------------------------------------------------------------------------------------------------------


def _who(change: Change) -> tuple[str, str, str]:
    """Who wrote, with which tool if it was a person, and when."""
    obj = change.object
    if change.after is None:
        owner = _owner(obj)
        return ("kubelet" if obj["kind"] == "Pod" else "garbage-collector") if owner else UNKNOWN, "", ""
    entry = _entry(change)
    manager = str(entry.get("manager", ""))
    time = _clock(entry.get("time") or (obj["metadata"].get("creationTimestamp") if change.before is None else ""))
    is_status = entry.get("subresource") == "status"
    if _is_ending(obj) and not _is_ending(change.before or {}):
        # deletionTimestamp is when the grace ends, and not when somebody asked.
        return UNKNOWN, "", ""
    if manager in ("kube-controller-manager", ""):
        owner = _owner(obj)
        if obj["kind"] == "Pod" and owner:
            return f"{owner['kind'].lower()}-controller", "", time
        return LOOPS.get((obj["kind"], is_status), manager or UNKNOWN), "", time
    if manager in ("kubelet", "kube-scheduler") or manager.startswith(("system:", "kube-")):
        return (f"kubelet on {obj['spec'].get('nodeName')}" if manager == "kubelet" else manager), "", time
    return PEOPLE, _tool(manager), time


def _entry(change: Change) -> Object:
    """The managedFields entry of this write: the one that is new, or newer than before."""
    before = change.before["metadata"].get("managedFields") or [] if change.before else []
    after = change.object["metadata"].get("managedFields") or []
    changed = [each for each in after if each not in before]
    # Who takes a field over changes the entry of its former owner too: a signature that was not there before is the writer's.
    known = {(each.get("manager"), each.get("subresource")) for each in before}
    new = [each for each in changed if (each.get("manager"), each.get("subresource")) not in known] or changed
    if new:
        newest: Object = max(new, key=lambda each: str(each.get("time") or "9999"))
        return newest
    # The same fields in the same second: whoever writes this part.
    status = change.before is not None and change.before.get("spec") == change.object.get("spec")
    same = [each for each in after if (each.get("subresource") == "status") == status]
    return dict(same[-1]) if same else {}


def _owner(obj: Object) -> Object:
    return next((each for each in obj["metadata"].get("ownerReferences") or [] if each.get("controller")), {})


def _tool(manager: str) -> str:
    """`kubectl-expose` is kubectl expose; the official client signs OpenAPI-Generator."""
    known = {"OpenAPI-Generator": "Python", "kubectl-client-side-apply": "kubectl apply"}
    return known.get(manager, manager.replace("kubectl-", "kubectl "))


# -- what -------------------------------------------------------------------------------------------------------


def _what(change: Change) -> str:
    """What was done, "" for what nobody asks about."""
    obj, kind = change.object, change.object["kind"]
    if change.after is None:
        return "removed it"
    if change.before is None:
        # Of a pod that a controller makes, its Event tells.
        if kind == "Pod" and _owner(obj):
            return ""
        return (_endpoints(change) or "made it, with no endpoints") if kind == "EndpointSlice" else "made it"
    if _is_ending(obj) and not _is_ending(change.before):
        return "asked it to end"
    teller = {"EndpointSlice": _endpoints, "Pod": _pod}.get(kind)
    if teller is not None:
        return teller(change)
    said = _fields(change.before.get("spec") or {}, obj.get("spec") or {}, ".spec")
    said += _fields(_labels(change.before), _labels(obj), ".metadata.labels")
    return ", ".join(said) or _status(change)


def _is_ending(obj: Object) -> bool:
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def _labels(obj: Object) -> dict[str, Any]:
    return obj["metadata"].get("labels") or {}


def _fields(before: Any, after: Any, path: str) -> list[str]:
    """What changed between two values, leaf by leaf: ".spec.replicas 1 → 3"."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [said for key in keys for said in _fields(before.get(key), after.get(key), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [said for number, (old, new) in pairs for said in _fields(old, new, f"{path}[{number}]")]
    return [f"{path} {_value(before)} → {_value(after)}"]


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return f"{len(value)} entries"
    return str(value)


def _status(change: Change) -> str:
    """Of a status only how many are ready: the rest goes up and down on the way there."""
    assert change.before is not None

    def ready(obj: Object) -> Any:
        return (obj.get("status") or {}).get("readyReplicas", 0)

    if ready(change.before) == ready(change.object) or "replicas" not in (change.object.get("spec") or {}):
        return ""
    return f"counts {ready(change.object)} of {change.object['spec']['replicas']} ready"


def _pod(change: Change) -> str:
    assert change.before is not None
    before, after = _ready(change.before), _ready(change.object)
    if before != after:
        return "says it is ready" if after else "says it is not ready"
    phases = [(each.get("status") or {}).get("phase", "") for each in (change.before, change.object)]
    if phases[0] != phases[1] and phases[1] in ("Failed", "Succeeded"):
        return f"says it has ended: {phases[1]}"
    return ", ".join(_fields(_labels(change.before), _labels(change.object), ".metadata.labels"))


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _endpoints(change: Change) -> str:
    """Who came into the slice, who left it, who became ready."""
    before, after = _members(change.before), _members(change.after)
    said = [f"added {address}{_readiness(ready)}" for address, ready in after.items() if address not in before]
    said += [f"took {address} out" for address in before if address not in after]
    said += [
        f"marked {address} {'ready' if ready else 'not ready'}"
        for address, ready in after.items()
        if address in before and before[address] != ready
    ]
    ports = [_ports(change.before), _ports(change.after)]
    if change.before is not None and ports[0] != ports[1]:
        said.append(f"port {ports[0]} → {ports[1]}")
    return ", ".join(said)


def _readiness(ready: bool) -> str:
    return "" if ready else " (not ready)"


def _members(obj: Object | None) -> dict[str, bool]:
    return {
        address: (each.get("conditions") or {}).get("ready") is not False
        for each in (obj or {}).get("endpoints") or []
        for address in each["addresses"]
    }


def _ports(obj: Object | None) -> str:
    return ", ".join(str(each.get("port", "any")) for each in (obj or {}).get("ports") or []) or "none"


def _clock(time: Any) -> str:
    """HH:MM:SS of an RFC 3339 time."""
    return str(time)[11:19] if time else ""
