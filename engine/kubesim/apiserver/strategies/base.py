"""What a kind does differently from others, as hooks of the registry (upstream: `rest.RESTCreateStrategy` and kin).

Objects given to hooks are the registry's own copies: hooks change them in place.  `Strategy` itself serves every kind that
has nothing of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.apiserver.fielderrors import FieldError
from kubesim.machinery import names

if TYPE_CHECKING:
    from kubesim.apiserver.registry import Registry

Object = dict[str, Any]


class Strategy:
    """`generation`: the kind counts changes of its spec.  `returns_deleted`: DELETE answers with the object."""

    generation = False
    has_status = False
    returns_deleted = False
    # PUT of an object that is not there creates it.
    creates_on_update = False
    # Dependents are orphaned unless the request says otherwise (the old workload kinds).
    orphans_by_default = False

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.minor = registry.settings.minor

    def check_name(self, name: str) -> list[str]:
        """The form of metadata.name."""
        return names.dns1123_subdomain(name)

    def admit_create(self, call: Call, obj: Object) -> None:
        """Mutating admission: what plugins add to a new object, after defaulting.  Raises ApiError."""

    def admit_update(self, call: Call, new: Object, old: Object) -> None:
        """The same for updates."""

    def begin_create(self, call: Call, obj: Object) -> None:
        """What comes before validation and may refuse first (allocation).  Raises ApiError."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        """Reset what a user may not set."""
        if self.generation:
            obj["metadata"]["generation"] = 1
        if self.has_status:
            obj["status"] = self.initial_status(obj)

    def initial_status(self, obj: Object) -> Object:
        return {}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return []

    def canonicalize(self, obj: Object) -> None:
        """Bring a valid object to its one form before it is stored."""

    def created(self, call: Call, obj: Object) -> None:
        """It is stored."""

    def begin_update(self, call: Call, new: Object, old: Object) -> None:
        """As begin_create."""

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        if self.has_status:
            if "status" in old:
                new["status"] = old["status"]
            else:
                new.pop("status", None)

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        """An update of the `status` subresource: the spec stays; the metadata mostly may change along."""
        if "spec" in old:
            new["spec"] = old["spec"]

    def counts(self, new: Object, old: Object) -> bool:
        """Is this a change that the generation counts?"""
        return bool(new.get("spec") != old.get("spec"))

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return self.validate(call, new)

    def validate_status(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return []

    def updated(self, call: Call, new: Object, old: Object) -> None:
        """It is stored."""

    def abandon(self) -> None:
        """The write came to nothing after begin_create or begin_update: give back what was allocated."""

    def warnings(self, call: Call, new: Object, old: Object | None) -> None:
        """Say what is deprecated or unwise (call.warn)."""

    def shown(self, obj: Object) -> Object:
        """The object as it is answered; itself but for a kind that keeps something back."""
        return obj

    def grace_seconds(self, obj: Object, options: DeleteOptions) -> int | None:
        """For how long the object is kept, marked for deletion; None: this kind has no graceful deletion."""
        return None

    def before_delete(self, call: Call, obj: Object) -> None:
        """Raises ApiError where the object may not be deleted."""

    def deletion_finalizers(self, obj: Object, finalizers: list[str]) -> list[str]:
        """What the object waits for once its deletion is asked for."""
        return finalizers

    def deleted(self, call: Call, obj: Object) -> None:
        """It is gone from the store."""


class Spec(Strategy):
    """A kind with a spec whose changes are counted, and a status of its own subresource."""

    generation = True
    has_status = True
