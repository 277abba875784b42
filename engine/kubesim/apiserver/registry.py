"""Reads and writes of objects, the same for every kind (upstream: `pkg/registry/generic/registry/store.go`, `pkg/api/rest`).

A write is all or nothing: whatever refuses it does so before the store is touched, and what was allocated for it is given
back.  An update that changes nothing writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim import ids, schema
from kubesim.apiserver import admission, decoding, managedfields, messages
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.apiserver.customresources import structural
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.apiserver.served import Served
from kubesim.apiserver.settings import Settings
from kubesim.apiserver.validation import meta
from kubesim.schema import Resource, defaults
from kubesim.store import store as storage
from kubesim.world import World

Object = dict[str, Any]

# The order in which Go writes ObjectMeta's fields.
METADATA = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
)  # fmt: skip
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
# generateName: random characters after the given start, which is cut to leave room for them (names.SimpleNameGenerator).
GENERATED_START = 58
CREATE_ATTEMPTS = 8


class Registry:
    """See the module.  `strategy(resource)` is the kind's own part."""

    def __init__(self, world: World, store: storage.Store, settings: Settings, served: Served) -> None:
        from kubesim.apiserver import strategies

        self.world = world
        self.store = store
        self.settings = settings
        self.served = served
        self._strategies = strategies.Strategies(self)

    def reconfigure(self, settings: Settings) -> None:
        """The server was started again with other flags."""
        self.settings = settings
        services = schema.resource_for_kind("v1", "Service")
        assert services is not None
        self.strategy(services).ranges_changed()

    def strategy(self, resource: Resource) -> Any:
        return self._strategies.of(resource)

    # -- reading --------------------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.store.get(resource.name, namespace, name)
        if found is None:
            raise messages.not_found(resource, name)
        return found

    def find(self, name: str, namespace: str, object_name: str) -> Object | None:
        """Any stored object, by the name of its resource."""
        return self.store.get(name, namespace, object_name)

    # -- creating -------------------------------------------------------------------------------------------

    def decode(self, call: Call, obj: Object, problems: decoding.Problems | None = None) -> Object:
        """A new object of the resource's type, decoded and defaulted."""
        resource = call.resource
        if isinstance(resource, CustomResource):
            return structural.decode(resource, obj, problems)
        decoded = decoding.decode(resource.type(call.version), obj, problems)
        decoded = {
            "kind": resource.kind,
            "apiVersion": resource.group_version(call.version),
            "metadata": decoded.pop("metadata", {}),
            **{key: value for key, value in decoded.items() if key not in ("kind", "apiVersion")},
        }
        defaults.apply(decoded, self.settings.minor)
        return decoded

    def create(self, call: Call, obj: Object) -> Object:
        """Store a decoded object (this takes it over).  Raises ApiError."""
        resource, strategy = call.resource, self.strategy(call.resource)
        metadata = obj["metadata"]
        self._settle_namespace(call, metadata)
        managed = managedfields.created(self, call, obj)
        admission.before_create(self, call, obj)
        strategy.admit_create(call, obj)
        for attempt in range(1, CREATE_ATTEMPTS + 1):
            self._system_fields(obj)
            try:
                return self._store_new(call, strategy, obj, managed)
            except storage.Conflict:
                if not metadata.get("generateName") or attempt == CREATE_ATTEMPTS:
                    if metadata.get("generateName"):
                        raise messages.generate_name_conflict(resource, obj["metadata"]["name"]) from None
                    raise messages.already_exists(resource, obj["metadata"]["name"]) from None
                obj["metadata"]["name"] = ""
        raise AssertionError("not reached")

    def _settle_namespace(self, call: Call, metadata: Object) -> None:
        """EnsureObjectNamespaceMatchesRequestNamespace."""
        if not call.resource.namespaced:
            if metadata.get("namespace"):
                raise messages.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            metadata.pop("namespace", None)
            return
        if metadata.get("namespace", call.namespace) != call.namespace:
            raise messages.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = call.namespace

    def _system_fields(self, obj: Object) -> None:
        """FillObjectMetaSystemFields, and the name that generateName asks for."""
        metadata = obj["metadata"]
        for field in (
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "resourceVersion",
            "managedFields",
        ):
            metadata.pop(field, None)
        metadata["uid"] = ids.uid(self.world)
        metadata["creationTimestamp"] = ids.timestamp(self.world.now)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = metadata["generateName"][:GENERATED_START] + ids.suffix(self.world)

    def _store_new(self, call: Call, strategy: Any, obj: Object, managed: Any) -> Object:
        resource = call.resource
        metadata = obj["metadata"]
        # Upstream finds out last, when etcd refuses the key; then what was allocated is given back.
        exists = self.store.get(resource.name, metadata.get("namespace", ""), metadata.get("name", "")) is not None
        metadata.pop("generation", None)
        strategy.begin_create(call, obj)
        try:
            return self._store_allocated(call, strategy, obj, managed, exists)
        except BaseException:
            strategy.abandon()
            raise

    def _store_allocated(self, call: Call, strategy: Any, obj: Object, managed: Any, exists: bool) -> Object:
        resource = call.resource
        metadata = obj["metadata"]
        strategy.prepare_create(call, obj)
        errors = meta.object_meta(metadata, resource.namespaced, strategy.check_name)
        errors += strategy.validate(call, obj)
        if errors:
            raise messages.invalid(resource.kind, resource.group, metadata.get("name", ""), errors)
        strategy.warnings(call, obj, None)
        strategy.canonicalize(obj)
        if exists:
            raise storage.Conflict
        if managed is not None:
            metadata["managedFields"] = managed
        obj["metadata"] = {field: metadata[field] for field in METADATA if field in metadata}
        if call.dry_run:
            strategy.abandon()
            return obj
        stored = self.store.create(resource.name, obj)
        strategy.created(call, stored)
        return stored

    # -- updating -------------------------------------------------------------------------------------------

    def update(
        self, call: Call, transform: Callable[[Object], Object], create: Callable[[], Object] | None = None
    ) -> tuple[Object, bool]:
        """Replace an object by what `transform` makes of the stored one (decoded, defaulted, new).

        `create` gives the object to store when there is none (PUT of some kinds, server-side apply).  The answer's
        second value is whether it was created.
        """
        resource, strategy = call.resource, self.strategy(call.resource)
        old = self.store.get(resource.name, call.namespace, call.name)
        if old is None:
            if create is None:
                raise messages.not_found(resource, call.name)
            return self.create(call, create()), True
        new = transform(old)
        metadata, before = new["metadata"], old["metadata"]
        wanted = metadata.get("resourceVersion", "")
        if wanted and not wanted.isdecimal():
            raise messages.unknown(f'strconv.ParseUint: parsing "{wanted}": invalid syntax')
        if wanted and wanted != before["resourceVersion"]:
            raise messages.conflict(resource, call.name)
        if metadata.get("uid") and metadata["uid"] != before["uid"]:
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {before['uid']}"
            raise messages.conflict(resource, call.name, why)
        if metadata.get("namespace", call.namespace) != call.namespace:
            raise messages.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata[field] = before.get(field)
        metadata["namespace"] = before.get("namespace")
        metadata["resourceVersion"] = before["resourceVersion"]
        if "generateName" in before:
            metadata.setdefault("generateName", before["generateName"])
        submitted_managed = metadata.pop("managedFields", None)
        new["metadata"] = metadata = {
            field: metadata[field] for field in METADATA if metadata.get(field) not in (None, "")
        }
        managed = managedfields.updated(self, call, new, old, submitted_managed)
        admission.before_update(self, call, new, old)
        strategy.admit_update(call, new, old)
        metadata = new["metadata"]
        strategy.begin_update(call, new, old)
        try:
            return self._store_changed(call, strategy, new, old, managed), False
        except BaseException:
            strategy.abandon()
            raise

    def _store_changed(self, call: Call, strategy: Any, new: Object, old: Object, managed: Any) -> Object:
        resource = call.resource
        metadata, before = new["metadata"], old["metadata"]
        if call.subresource == "status":
            strategy.prepare_status(call, new, old)
        else:
            strategy.prepare_update(call, new, old)
        if (
            strategy.generation
            and call.subresource in ("", "scale", "ephemeralcontainers")
            and strategy.counts(new, old)
        ):
            metadata["generation"] = before.get("generation", 0) + 1
        errors = meta.object_meta_update(metadata, before)
        errors += (
            strategy.validate_status(call, new, old)
            if call.subresource == "status"
            else strategy.validate_update(call, new, old)
        )
        if errors:
            raise messages.invalid(resource.kind, resource.group, call.name, errors)
        strategy.warnings(call, new, old)
        strategy.canonicalize(new)
        new["metadata"] = metadata = {field: metadata[field] for field in METADATA if field in metadata}
        if self._same(new, old) and not managedfields.changed(managed, before.get("managedFields")):
            strategy.abandon()
            return old
        if managed is not None:
            metadata["managedFields"] = managed
        if call.dry_run:
            strategy.abandon()
            return new
        ending = before.get("deletionTimestamp") and not before.get("deletionGracePeriodSeconds", 0)
        if ending and not metadata.get("finalizers") and self._may_go(new):
            # The last finalizer is gone: so is the object.
            strategy.updated(call, new, old)
            return self._remove(call, strategy, new)
        stored = self.store.update(resource.name, new)
        strategy.updated(call, stored, old)
        return stored

    @staticmethod
    def _same(new: Object, old: Object) -> bool:
        if any(new.get(key) != value for key, value in old.items() if key != "metadata") or len(new) != len(old):
            return False
        skip = ("managedFields", "resourceVersion")
        left = {key: value for key, value in new["metadata"].items() if key not in skip}
        right = {key: value for key, value in old["metadata"].items() if key not in skip}
        return left == right

    @staticmethod
    def _may_go(obj: Object) -> bool:
        """A namespace also waits for the finalizers of its spec."""
        return obj["kind"] != "Namespace" or not obj.get("spec", {}).get("finalizers")

    # -- deleting -------------------------------------------------------------------------------------------

    def delete(self, call: Call, options: DeleteOptions) -> tuple[Object, bool]:
        """Delete an object, or mark it for deletion.  The object as it then is, and whether it is gone."""
        resource, strategy = call.resource, self.strategy(call.resource)
        old = self.get(resource, call.namespace, call.name)
        metadata = old["metadata"]
        if options.uid and options.uid != metadata["uid"]:
            raise messages.precondition(resource.kind, call.name, "UID", options.uid, metadata["uid"])
        if options.resource_version and options.resource_version != metadata["resourceVersion"]:
            raise messages.precondition(
                resource.kind, call.name, "ResourceVersion", options.resource_version, metadata["resourceVersion"]
            )
        strategy.before_delete(call, old)
        grace = strategy.grace_seconds(old, options)
        finalizers = strategy.deletion_finalizers(old, self._deletion_finalizers(old, options, strategy))
        pending = metadata.get("deletionTimestamp")
        if grace and grace > 0:
            if pending and metadata.get("deletionGracePeriodSeconds", 0) <= grace:
                return old, False
        elif not finalizers and self._may_go(old):
            if call.dry_run:
                return old, True
            if pending:
                # What was marked goes with no grace left (updateForGracefulDeletionAndFinalizers).
                old = {**old, "metadata": {**metadata, "deletionGracePeriodSeconds": 0}}
            return self._remove(call, strategy, old), True
        marked = {
            **metadata,
            "deletionTimestamp": pending if pending and not grace else ids.timestamp(self.world.now + (grace or 0)),
            "deletionGracePeriodSeconds": grace or 0,
            "finalizers": finalizers,
        }
        if pending and grace is not None and metadata.get("deletionGracePeriodSeconds", 0) > grace:
            marked["deletionTimestamp"] = ids.timestamp(self.world.now + grace)
        if strategy.generation and not pending and "generation" in metadata:
            marked["generation"] = metadata["generation"] + 1
        if not finalizers:
            marked.pop("finalizers")
        new = {**old, "metadata": {field: marked[field] for field in METADATA if field in marked}}
        if new == old:
            return old, False
        if hasattr(strategy, "mark_deleted"):
            strategy.mark_deleted(new)
        if call.dry_run:
            return new, False
        return self.store.update(resource.name, new), False

    @staticmethod
    def _deletion_finalizers(obj: Object, options: DeleteOptions, strategy: Any) -> list[str]:
        """deletionFinalizersForGarbageCollection: what the garbage collector shall do first."""
        finalizers = list(obj["metadata"].get("finalizers", ()))
        propagation = options.propagation
        if not propagation and options.orphan_dependents is not None:
            propagation = "Orphan" if options.orphan_dependents else "Background"
        if not propagation:
            return finalizers
        wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(propagation, "")
        kept = [each for each in finalizers if each not in (ORPHAN, FOREGROUND)]
        return [*kept, wanted] if wanted else kept

    def _remove(self, call: Call, strategy: Any, obj: Object) -> Object:
        metadata = obj["metadata"]
        last = self.store.delete(call.resource.name, metadata.get("namespace", ""), metadata["name"])
        strategy.deleted(call, last)
        # As it was answered: with what this very request changed, at the version of its end.
        return {**obj, "metadata": {**metadata, "resourceVersion": last["metadata"]["resourceVersion"]}}

    # -- many -----------------------------------------------------------------------------------------------

    def resource(self, name: str) -> Resource:
        """By "plural" or "plural.group"."""
        found = self.served.named(name)
        if found is None:
            raise KeyError(name)
        return found
