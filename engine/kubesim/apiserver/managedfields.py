"""metadata.managedFields: who set which fields (KEP-555; apimachinery `pkg/util/managedfields`).

Most writes are followed by nobody who looks at these, so they are only noted: a `Lazy` stands in the object in place of the
list and is worked out when it is encoded, or when a change has to know the owners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubesim import ids
from kubesim.apiserver import decoding, fieldsets
from kubesim.apiserver.call import Call

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry

Object = dict[str, Any]
Entries = list[Object]

APPLY, UPDATE = "Apply", "Update"
# From 1.18 on every write is tracked.
SINCE = 18
# A chain longer than this is worked out at once, so that old objects are let go.
LONGEST = 16

# What no manager owns: apiVersion, kind and the server's own metadata (stripMeta).
_STRIPPED = {
    ("f:apiVersion",), ("f:kind",), ("f:metadata",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace"),
    ("f:metadata", "f:creationTimestamp"), ("f:metadata", "f:selfLink"), ("f:metadata", "f:uid"),
    ("f:metadata", "f:generation"), ("f:metadata", "f:resourceVersion"),
}  # fmt: skip


_BARE = {"kind", "apiVersion", "metadata"}
_BARE_METADATA = {"name", "namespace", "uid", "creationTimestamp", "resourceVersion"}


@dataclass(frozen=True, slots=True)
class Step:
    """One write: the object before (None: there was none) and after, and who made it."""

    type_name: str
    manager: str
    api_version: str
    subresource: str
    time: str
    before: Object | None
    after: Object
    keeps_status: bool = False


class Lazy:
    """managedFields that are still to be worked out: what was before, and one more write."""

    __slots__ = ("_before", "_step", "_value", "length")
    length: int

    def __init__(self, before: Lazy | Entries | None, step: Step) -> None:
        self._before = before
        self._step: Step | None = step
        self._value: Entries = []
        self.length = before.length + 1 if isinstance(before, Lazy) else 1

    def resolve(self) -> Entries:
        """The list as it goes on the wire."""
        chain: list[Lazy] = []
        at: Lazy | Entries | None = self
        while isinstance(at, Lazy) and at._step is not None:
            chain.append(at)
            at = at._before
        value = at._value if isinstance(at, Lazy) else at or []
        for lazy in reversed(chain):
            assert lazy._step is not None
            value = _after(value, lazy._step)
            lazy._value, lazy._step, lazy._before, lazy.length = value, None, None, 0
        return self._value


def resolved(found: Any) -> Entries:
    return found.resolve() if isinstance(found, Lazy) else found or []


def created(registry: Registry, call: Call, obj: Object) -> Any:
    """For a new object, before admission adds to it."""
    if registry.settings.minor < SINCE:
        return None
    if call.applied is not None:
        return applied([], call, ids.timestamp(registry.world.now))
    if obj.keys() <= _BARE and obj["metadata"].keys() <= _BARE_METADATA:
        return None
    from kubesim.machinery import objects

    return Lazy(None, _step(registry, call, None, objects.copy(obj)))


def updated(registry: Registry, call: Call, new: Object, old: Object, submitted: Any) -> Any:
    """For a changed object, before admission adds to it."""
    before = old["metadata"].get("managedFields")
    if registry.settings.minor < SINCE:
        return None
    if submitted == [] or submitted == [{}]:
        # Whoever sends an empty list asks for a fresh start.
        return []
    if call.applied is not None:
        return applied(resolved(before), call, ids.timestamp(registry.world.now))
    if new == old or call.subresource == "binding":
        # BindingREST writes past the field manager.
        return before
    lazy = Lazy(before, _step(registry, call, old, _frozen(new)))
    if lazy.length > LONGEST:
        lazy.resolve()
    return lazy


def _frozen(new: Object) -> Object:
    """The parts that admission and strategies replace are kept as they are now."""
    return {
        **new,
        "metadata": {**new["metadata"]},
        **({"spec": {**new["spec"]}} if isinstance(new.get("spec"), dict) else {}),
    }


def changed(new: Any, old: Any) -> bool:
    """Do the owners differ, times aside?  (The object does not.)"""
    if new is old or isinstance(new, Lazy):
        return False
    return _timeless(resolved(new)) != _timeless(resolved(old))


def _timeless(entries: Entries) -> Entries:
    return [{key: value for key, value in entry.items() if key != "time"} for entry in entries]


def _step(registry: Registry, call: Call, before: Object | None, after: Object) -> Step:
    tracked = ("status", "scale", "ephemeralcontainers", "resize")
    return Step(
        type_name=call.resource.type(call.version),
        manager=call.manager,
        api_version=call.resource.group_version(call.version),
        subresource=call.subresource if call.subresource in tracked else "",
        time=ids.timestamp(registry.world.now),
        before=before,
        after=after,
        keeps_status=not registry.strategy(call.resource).has_status,
    )


def _after(entries: Entries, step: Step) -> Entries:
    """Updater.Update: the writer owns what it changed, and others no longer do."""
    shape = fieldsets.root(step.type_name)
    before = step.before if step.before is not None else decoding.empty(step.type_name)
    found = fieldsets.Difference()
    fieldsets.compare(shape, before, step.after, (), found)
    mine = {path for path in found.added | found.modified if _counts(path, step)}
    gone = {path for path in found.removed if _counts(path, step)}
    return _owned(entries, step, mine, gone)


def _counts(path: fieldsets.Path, step: Step) -> bool:
    if path in _STRIPPED or path[:2] == ("f:metadata", "f:managedFields") or not path:
        return False
    if step.subresource == "status":
        return path[0] != "f:spec"
    if step.subresource == "scale":
        return path == ("f:spec", "f:replicas")
    return path[0] != "f:status" or step.keeps_status


def _owned(entries: Entries, step: Step, mine: fieldsets.Paths, gone: fieldsets.Paths) -> Entries:
    if not mine and not gone:
        return entries
    out: Entries = []
    found = False
    for entry in entries:
        same = (
            entry["operation"] == UPDATE
            and entry["manager"] == step.manager
            and entry["apiVersion"] == step.api_version
            and entry.get("subresource", "") == step.subresource
        )
        paths = fieldsets.decode(entry["fieldsV1"])
        kept = (paths | mine) - gone if same else paths - mine - gone
        found = found or same
        if kept == paths:
            out.append(entry)
        elif kept:
            changed_entry = {**entry, "fieldsV1": fieldsets.encode(kept)}
            if same and "time" in entry:
                changed_entry["time"] = step.time
            out.append(changed_entry)
    if mine and not found:
        out.append(_entry(step.manager, UPDATE, step.api_version, step.time, mine, step.subresource))
    return sort(out)


def _entry(manager: str, operation: str, version: str, time: str, paths: fieldsets.Paths, subresource: str) -> Object:
    entry: Object = {
        "manager": manager,
        "operation": operation,
        "apiVersion": version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fieldsets.encode(paths),
    }
    if subresource == "scale":
        # ScaleHandler writes no time.
        del entry["time"]
    if subresource:
        entry["subresource"] = subresource
    return entry


def sort(entries: Entries) -> Entries:
    """sortEncodedManagedFields."""
    return sorted(
        entries,
        key=lambda e: (e["operation"], e.get("time", ""), e["manager"], e["apiVersion"], e.get("subresource", "")),
    )


def applied(entries: Entries, call: Call, time: str) -> Entries:
    """After an apply: the applier owns what it sent, and has taken what it forced."""
    plan = call.applied
    assert plan is not None
    version = call.resource.group_version(call.version)
    subresource = call.subresource if call.subresource == "status" else ""
    out: Entries = []
    done = False
    for entry in entries:
        paths = fieldsets.decode(entry["fieldsV1"])
        if is_applier(entry, call):
            done = True
            if paths != plan.mine:
                entry = _entry(call.manager, APPLY, version, time, plan.mine, subresource)
            if plan.mine:
                out.append(entry)
            continue
        kept = paths - plan.taken - plan.removed
        if kept == paths:
            out.append(entry)
        elif kept:
            out.append({**entry, "fieldsV1": fieldsets.encode(kept)})
    if not done and plan.mine:
        out.append(_entry(call.manager, APPLY, version, time, plan.mine, subresource))
    return sort(out)


def is_applier(entry: Object, call: Call) -> bool:
    subresource = call.subresource if call.subresource == "status" else ""
    return (
        entry["operation"] == APPLY and entry["manager"] == call.manager and entry.get("subresource", "") == subresource
    )


def stripped(paths: fieldsets.Paths, status: bool = False) -> fieldsets.Paths:
    """What an apply may own of what it sent."""
    return {
        path
        for path in paths
        if path
        and path not in _STRIPPED
        and path[:2] != ("f:metadata", "f:managedFields")
        and (path[0] == "f:status") == status
    }
