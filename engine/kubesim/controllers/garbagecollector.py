"""The garbage collector: what is owned goes with its last owner.

Source: `pkg/controller/garbagecollector`.  Upstream keeps a graph of all objects; here one index does, from an owner's
uid to what names it.

* An object whose owners are all gone is deleted in the background.
* An owner that is deleted in the foreground (finalizer `foregroundDeletion`) waits until those that block it are gone.
* An owner whose dependents are to be orphaned (finalizer `orphan`) has its references taken off them.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubesim import schema
from kubesim.client import Handler, Object
from kubesim.controllers import customkinds
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
# Never owned and never collected (`garbagecollector.ignoredResources`), and too many to listen to.
IGNORED = frozenset(("events", "events.events.k8s.io", "leases.coordination.k8s.io"))


def owners(obj: Object) -> Iterable[str]:
    """The index "any-owner": the uids of all owner references."""
    return [each["uid"] for each in obj["metadata"].get("ownerReferences") or ()]


def collectable() -> list[str]:
    """The resources that can be listed, watched and deleted."""
    return [
        name
        for name, each in schema.RESOURCES.items()
        if {"list", "watch", "delete"} <= set(each.verbs) and name not in IGNORED
    ]


class GarbageCollector(Controller):
    name = "generic-garbage-collector"

    def start(self) -> None:
        self._resources = collectable()
        for resource in self._resources:
            self._listen(resource)
        self.informers.of(customkinds.DEFINITIONS).on_event(lambda _kind, obj, _before: self._defined(obj))

    def _listen(self, resource: str) -> None:
        informer = self.informers.of(resource)
        informer.index("any-owner", owners)
        informer.on_event(self._listener(resource))

    def _defined(self, definition: Object) -> None:
        """A custom resource that is served now is collected like any other."""
        for each in customkinds.served([definition]):
            if each.name not in self._resources:
                self._resources.append(each.name)
                self._listen(each.name)

    def _listener(self, resource: str) -> Handler:
        def changed(kind: str, obj: Object, _before: Object | None) -> None:
            uid = objects.uid(obj)
            if kind == "DELETED":
                for name, each in self._dependents(uid):
                    self._enqueue(name, each)
                for owner, each in self._owners_in_foreground(obj):
                    self._enqueue(owner, each)
                return
            metadata = obj["metadata"]
            if metadata.get("ownerReferences") or ("deletionTimestamp" in metadata and metadata.get("finalizers")):
                self._enqueue(resource, obj)

        return changed

    def _enqueue(self, resource: str, obj: Object) -> None:
        self.enqueue(f"{resource}|{objects.namespace(obj)}|{objects.name(obj)}")

    def _dependents(self, uid: str) -> list[tuple[str, Object]]:
        return [(name, each) for name in self._resources for each in self.informers.of(name).by("any-owner", uid)]

    def _owners_in_foreground(self, obj: Object) -> list[tuple[str, Object]]:
        found = []
        for reference in obj["metadata"].get("ownerReferences") or ():
            resource = self._resource(reference)
            owner = self.informers.of(resource).get(objects.namespace(obj), reference["name"]) if resource else None
            if resource and owner is not None and objects.deleting(owner):
                found.append((resource, owner))
        return found

    def _custom(self) -> list[customkinds.Kind]:
        return customkinds.served(self.informers.of(customkinds.DEFINITIONS).list())

    def _resource(self, reference: Object) -> str | None:
        """The resource of an owner reference, None when nobody serves its kind."""
        found = schema.resource_for_kind(reference["apiVersion"], reference["kind"])
        if found is not None:
            return found.name
        group, _, version = reference["apiVersion"].rpartition("/")
        wanted = (group, reference["kind"])
        return next((e.name for e in self._custom() if (e.group, e.kind) == wanted and version in e.versions), None)

    def _namespaced(self, resource: str) -> bool:
        known = schema.RESOURCES.get(resource)
        if known is not None:
            return known.namespaced
        return any(each.namespaced for each in self._custom() if each.name == resource)

    def reconcile(self, key: str) -> None:
        resource, namespace, name = key.split("|")
        obj = self.client.find(resource, name, namespace)
        if obj is None:
            return
        if objects.deleting(obj):
            self._finalize(resource, obj)
            return
        references = obj["metadata"].get("ownerReferences") or []
        if not references:
            return
        living = [each for each in references if self._owner(obj, each) is not None]
        waiting = [each for each in living if self._waits(obj, each)]
        if len(living) == len(references) and len(waiting) < len(living):
            return
        if not living:
            self.client.delete(resource, name, namespace, propagation="Background", uid=objects.uid(obj))
        elif len(waiting) == len(living):
            # All its owners are going in the foreground: so does it, if something waits for it in turn.
            blocking = any(each.get("blockOwnerDeletion") for each in references) and self._dependents(objects.uid(obj))
            propagation = "Foreground" if blocking else "Background"
            self.client.delete(resource, name, namespace, propagation=propagation, uid=objects.uid(obj))
        else:
            # Somebody still holds it: only the dangling references go.
            kept = [each for each in living if each not in waiting]
            patch = {"metadata": {"uid": objects.uid(obj), "ownerReferences": kept}}
            self.client.patch(resource, name, namespace, patch)

    def _owner(self, obj: Object, reference: Object) -> Object | None:
        resource = self._resource(reference)
        if resource is None:
            # A kind that this server does not know: upstream never collects what it cannot be sure about.
            return reference
        namespaced = self._namespaced(resource)
        if namespaced and not objects.namespace(obj):
            return reference
        found = self.client.find(resource, reference["name"], objects.namespace(obj) if namespaced else "")
        return found if found is not None and objects.uid(found) == reference["uid"] else None

    def _waits(self, obj: Object, reference: Object) -> bool:
        owner = self._owner(obj, reference)
        if owner is None or "metadata" not in owner:
            return False
        return objects.deleting(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ())

    def _finalize(self, resource: str, obj: Object) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        uid = objects.uid(obj)
        if ORPHAN in finalizers:
            for name, each in self._dependents(uid):
                rest = [one for one in each["metadata"]["ownerReferences"] if one["uid"] != uid]
                patch = {"metadata": {"uid": objects.uid(each), "ownerReferences": rest or None}}
                self.client.patch(name, objects.name(each), objects.namespace(each), patch)
            self._remove_finalizer(resource, obj, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = False
            for name, each in self._dependents(uid):
                reference = next(one for one in each["metadata"]["ownerReferences"] if one["uid"] == uid)
                blocking = blocking or bool(reference.get("blockOwnerDeletion"))
                self._enqueue(name, each)
            if not blocking:
                self._remove_finalizer(resource, obj, FOREGROUND)

    def _remove_finalizer(self, resource: str, obj: Object, finalizer: str) -> None:
        rest = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        patch = {"metadata": {"uid": objects.uid(obj), "finalizers": rest or None}}
        self.client.patch(resource, objects.name(obj), objects.namespace(obj), patch)
