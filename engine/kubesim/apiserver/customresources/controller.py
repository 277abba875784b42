"""The loops of apiextensions: names are accepted, versions served, and on deletion the objects cleared away first.

Upstream has a controller for each step (`pkg/controller/{status,establish,apiapproval,finalizer}`, kube-apiserver's
`crdregistration`), joined by the conditions that each writes; here one does them in that order, each in a turn of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import http, ids
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.apiserver.customresources import definitions, resource
from kubesim.apiserver.customresources.definitions import FINALIZER, NAME, holds, set_condition
from kubesim.errors import ApiError
from kubesim.store.store import Event, Watcher

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

APISERVICES = "apiservices.apiregistration.k8s.io"
_MESSAGES = {
    "accepted": ("NoConflicts", "no conflicts found"),
    "installing": ("Installing", "the initial names have been accepted"),
    "established": ("InitialNamesAccepted", "the initial names have been accepted"),
    "refused": ("NotAccepted", "not all names are accepted"),
}


def start(server: ApiServer) -> None:
    Definitions(server).start()


class Definitions:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._world = server.world
        self._store = server.store
        self._client = server.client(http.User(name="system:apiserver", groups=("system:masters",)))
        # Objects of definitions that are going away: when the last one has gone, so may the definition.
        self._leaving: dict[str, Watcher] = {}

    def start(self) -> None:
        self._store.watch(NAME, self._changed)
        for definition in self._store.list(NAME):
            self._world.call_soon(self._sync, definition["metadata"]["name"])

    def _changed(self, event: Event) -> None:
        self._sync(event.obj["metadata"]["name"])

    def _sync(self, name: str) -> None:
        definition = self._store.get(NAME, "", name)
        if definition is None:
            self._gone(name)
        elif definition["metadata"].get("deletionTimestamp"):
            self._serve(definition)
            self._clear(definition)
        elif not self._named(definition):
            self._serve(definition)

    def _status(self, definition: Object, status: Object) -> None:
        try:
            self._client.update(NAME, {**definition, "status": status}, "status")
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    # -- names ----------------------------------------------------------------------------------------------

    def _named(self, definition: Object) -> bool:
        """Was there something to write about names (NamingConditionController.sync), approval, or being established?"""
        before = status = definition.get("status") or {}
        now = ids.timestamp(self._world.now)
        group = definition["spec"]["group"]
        if definitions.protected(group):
            url = definition["metadata"].get("annotations", {}).get(definitions.APPROVED, "")
            kind = "KubernetesAPIApprovalPolicyConformant"
            if url.startswith("unapproved"):
                status = set_condition(status, kind, "False", "UnapprovedAnnotation", f'not approved: "{url}"', now)
            else:
                status = set_condition(status, kind, "True", "ApprovedAnnotation", f"approved in {url}", now)
        wanted = definition["spec"]["names"]
        if status.get("acceptedNames") != wanted or not status.get("conditions"):
            status = self._accept(definition, status, now)
        elif holds({"status": status}, "NamesAccepted") and not holds({"status": status}, "Established"):
            # It is served from before its condition says so.
            self._serve(definition)
            status = set_condition(status, "Established", "True", *_MESSAGES["established"], now)
        if status == before:
            return False
        self._status(definition, status)
        return True

    def _accept(self, definition: Object, status: Object, now: str) -> Object:
        wanted, accepted = definition["spec"]["names"], status.get("acceptedNames") or {}
        resources, kinds = self._taken(definition)
        problem = ("", "")
        names = dict(accepted)
        for field, taken, reason in (
            ("plural", resources, "PluralConflict"),
            ("singular", resources, "SingularConflict"),
            ("kind", kinds, "KindConflict"),
            ("listKind", kinds, "ListKindConflict"),
        ):
            if wanted.get(field) != accepted.get(field) and wanted.get(field) in taken:
                problem = (reason, f'"{wanted[field]}" is already in use')
            else:
                names[field] = wanted.get(field, "")
        clashes = [each for each in wanted.get("shortNames") or () if each in resources]
        if clashes:
            found = [f'"{each}" is already in use' for each in clashes]
            problem = ("ShortNamesConflict", found[0] if len(found) == 1 else f"[{', '.join(found)}]")
        elif wanted.get("shortNames"):
            names["shortNames"] = wanted["shortNames"]
        else:
            names.pop("shortNames", None)
        if wanted.get("categories"):
            names["categories"] = wanted["categories"]
        else:
            names.pop("categories", None)
        status = {**status, "acceptedNames": names}
        if problem[0]:
            status = set_condition(status, "NamesAccepted", "False", *problem, now)
            if not definitions.condition({"status": status}, "Established"):
                status = set_condition(status, "Established", "False", *_MESSAGES["refused"], now)
            return status
        status = set_condition(status, "NamesAccepted", "True", *_MESSAGES["accepted"], now)
        if not holds({"status": status}, "Established"):
            status = set_condition(status, "Established", "False", *_MESSAGES["installing"], now)
        return status

    def _taken(self, definition: Object) -> tuple[set[str], set[str]]:
        """Names of resources and of kinds that other definitions of the group have."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for other in self._store.list(NAME):
            same = other["metadata"]["uid"] == definition["metadata"]["uid"]
            if not same and other["spec"]["group"] == definition["spec"]["group"]:
                found = (other.get("status") or {}).get("acceptedNames") or {}
                resources |= {found.get("plural", ""), found.get("singular", ""), *(found.get("shortNames") or ())}
                kinds |= {found.get("kind", ""), found.get("listKind", "")}
        return resources - {""}, kinds - {""}

    # -- serving --------------------------------------------------------------------------------------------

    def _serve(self, definition: Object) -> None:
        if not (holds(definition, "Established") or holds(definition, "NamesAccepted")):
            return
        name = definition["metadata"]["name"]
        if self._server.served.add(name, resource.of_definition(definition), resource.of_storage(definition)):
            self._server.documents.clear()
            self._register(definition["spec"]["group"])

    def _register(self, group: str) -> None:
        """An APIService for each version of the group that definitions bring (crdregistration)."""
        wanted = {
            version["name"]
            for each in self._store.list(NAME)
            if each["spec"]["group"] == group and (holds(each, "Established") or holds(each, "NamesAccepted"))
            for version in each["spec"]["versions"]
            if version.get("served")
        }
        there = {
            each["spec"]["version"]
            for each in self._store.list(APISERVICES)
            if each["spec"].get("group") == group and each["metadata"].get("labels", {}).get(AUTOMANAGED) == "true"
        }
        for version in sorted(wanted - there):
            spec = {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100}
            obj = {"metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: "true"}}, "spec": spec}
            self._client.create(APISERVICES, obj)
        for version in sorted(there - wanted):
            self._client.delete(APISERVICES, f"{version}.{group}")

    # -- going away -----------------------------------------------------------------------------------------

    def _clear(self, definition: Object) -> None:
        """CRDFinalizer.sync: delete all objects, and let the definition go after the last."""
        name = definition["metadata"]["name"]
        if FINALIZER not in (definition["metadata"].get("finalizers") or ()):
            return
        now = ids.timestamp(self._world.now)
        reason = definitions.condition(definition, "Terminating").get("reason")
        if reason == "InstanceDeletionPending":
            words = "CustomResource deletion is in progress"
            status = set_condition(
                definition["status"], "Terminating", "True", "InstanceDeletionInProgress", words, now
            )
            self._status(definition, status)
            return
        kind = self._server.served.named(name)
        for obj in self._store.list(name):
            metadata = obj["metadata"]
            if kind is not None and not metadata.get("deletionTimestamp"):
                namespace = metadata.get("namespace", "")
                call = Call(
                    user=self._client.user,
                    resource=kind,
                    version=kind.versions[0],
                    namespace=namespace,
                    name=metadata["name"],
                )
                self._server.registry.delete(call, DeleteOptions())
        if self._store.list(name):
            # Somebody's finalizers hold some of them.
            if name not in self._leaving:
                self._leaving[name] = self._store.watch(name, lambda _event: self._sync(name))
            return
        words = "removed all instances"
        status = set_condition(definition["status"], "Terminating", "False", "InstanceDeletionCompleted", words, now)
        self._status(definition, status)
        rest = [each for each in definition["metadata"]["finalizers"] if each != FINALIZER]
        self._client.patch(NAME, name, "", {"metadata": {"finalizers": rest or None}})

    def _gone(self, name: str) -> None:
        watcher = self._leaving.pop(name, None)
        if watcher is not None:
            watcher.close()
        group = name.partition(".")[2]
        if self._server.served.remove(name):
            self._server.documents.clear()
        self._register(group)
        # It has freed its names.
        for other in self._store.list(NAME):
            if other["spec"]["group"] == group:
                self._world.call_soon(self._sync, other["metadata"]["name"])


AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
