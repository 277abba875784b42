"""One request from its bytes to its answer (apiserver `pkg/endpoints/handlers/{get,create,update,patch,delete}.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import http
from kubesim.apiserver import (
    authentication,
    authorization,
    bodies,
    discovery,
    fielderrors,
    health,
    lists,
    messages,
    negotiation,
    openapi,
    paths,
    subresources,
    watching,
    wire,
)
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.apiserver.tables import table as tables
from kubesim.errors import ApiError
from kubesim.schema import Resource

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

# Members of a list leave these out.
_KIND = ("kind", "apiVersion")
# (`list` is also a verb here.)
Items = list[Object]
NOT_FOUND = "404 page not found\n"


def handle(server: ApiServer, request: http.Request) -> http.Response:
    """Answer one request; every ApiError becomes its Status."""
    warnings: list[str] = []
    try:
        request = authentication.authenticate(server, request)
        if len(request.body) > bodies.LIMIT:
            raise bodies.too_large()
        request = authorization.impersonate(server, request)
        target = paths.parse(request.path)
        if target is None:
            return _elsewhere(server, request)
        resource = server.served.find(target.group, target.version, target.resource)
        if resource is None:
            if not server.served.has(target.group, target.version):
                return wire.text(NOT_FOUND, 404)
            authorization.check(server, request, target)
            return wire.error(messages.resource_not_found())
        conversion = server.served.conversion(target.group, target.version, target.resource)
        if conversion is not None:
            from kubesim.apiserver import oldversions

            return oldversions.Handler(server, request, target, conversion, warnings).run()
        return _Handler(server, request, target, resource, warnings).run()
    except authorization.Forbidden as error:
        answer = wire.error(error, warnings=warnings)
        answer.headers.append(("X-Content-Type-Options", "nosniff"))
        return answer
    except ApiError as error:
        return wire.error(error, warnings=warnings)


def _elsewhere(server: ApiServer, request: http.Request) -> http.Response:
    """Paths that are no resource's: discovery, health, OpenAPI."""
    authorization.check(server, request, None)
    if request.method not in ("GET", "HEAD"):
        return wire.text(NOT_FOUND, 404)
    for module in (discovery, health, openapi):
        answer = module.answer(server, request)
        if answer is not None:
            return answer
    return wire.text(NOT_FOUND, 404)


class _Handler:
    def __init__(
        self, server: ApiServer, request: http.Request, target: paths.Target, resource: Resource, warnings: list[str]
    ) -> None:
        self.server = server
        self.registry = server.registry
        self.request = request
        self.target = target
        self.resource = resource
        self.form = negotiation.Form()
        self.call = Call(
            user=request.user,
            resource=resource,
            version=target.version,
            namespace=target.namespace if resource.namespaced else "",
            name=target.name,
            subresource=target.subresource,
            manager=request.param("fieldManager") or _agent(request),
            warnings=warnings,
        )

    def run(self) -> http.Response:
        target, method = self.target, self.request.method
        authorization.check(self.server, self.request, target)
        verb = target.verb(method)
        if target.namespace and not self.resource.namespaced:
            return wire.error(messages.resource_not_found())
        if target.subresource:
            return subresources.handle(self, verb)
        self.form = negotiation.accept(self.request)
        if (target.name and method == "POST") or (not target.name and method in ("PUT", "PATCH")):
            raise messages.method_not_allowed()
        if verb not in self.resource.verbs:
            raise messages.method_not_allowed()
        self._deprecations()
        match verb:
            case "get":
                return self.get()
            case "list":
                return self.list()
            case "create":
                return self.create()
            case "update":
                return self.update()
            case "patch":
                return self.patch()
            case "delete":
                return self.delete()
            case "deletecollection":
                return self.delete_collection()
        raise messages.method_not_allowed()

    def _deprecations(self) -> None:
        """Warnings that every request for a deprecated API carries (APILifecycleDeprecated)."""
        if isinstance(self.resource, CustomResource) and self.resource.deprecated:
            self.call.warn(self.resource.deprecated)
        if self.resource.name == "endpoints" and self.server.settings.minor >= 33:
            self.call.warn("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        if self.resource.name == "componentstatuses" and self.server.settings.minor >= 19:
            self.call.warn("v1 ComponentStatus is deprecated in v1.19+")

    # -- reading --------------------------------------------------------------------------------------------

    def get(self) -> http.Response:
        if lists._truth(self.request.param("watch")) or self.target.watch:
            return self._watch(lists.options(self.resource, self.request, self.target.name, self.target.watch))
        obj = self.registry.get(self.resource, self.call.namespace, self.call.name)
        return self.show(obj)

    def list(self) -> http.Response:
        found = lists.options(self.resource, self.request, watch=self.target.watch)
        if found.watch:
            return self._watch(found)
        try:
            page = lists.page(self.registry.store, self.resource, self.call.namespace, found)
        except ApiError as error:
            body = wire.status_of(error)
            body["metadata"] = getattr(error, "list_meta", {})
            return (
                wire.answer(body, error.code, warnings=self.call.warnings) if body["metadata"] else self._raise(error)
            )
        if self.form.kind == "Table":
            return self.answer(self._table(page.items, page.metadata()))
        if self.form.kind.startswith("PartialObjectMetadata"):
            items: Any = [tables.partial(obj, self.form.version) for obj in page.items]
            kind = "PartialObjectMetadataList"
            version = f"meta.k8s.io/{self.form.version}"
            return self.answer({"kind": kind, "apiVersion": version, "metadata": page.metadata(), "items": items})
        kind, version = self.resource.list_kind, self.resource.group_version(self.call.version)
        shown = self.registry.strategy(self.resource).shown
        items = [{key: value for key, value in shown(obj).items() if key not in _KIND} for obj in page.items]
        return self.answer({"kind": kind, "apiVersion": version, "metadata": page.metadata(), "items": items})

    @staticmethod
    def _raise(error: ApiError) -> http.Response:
        raise error

    def _watch(self, found: lists.Options) -> http.Response:
        # An error of the version comes before the stream begins.
        lists.revision(found.resource_version, watch=True)
        stream = watching.WatchStream(self.registry, self.resource, self.call.namespace, found, self._shape())
        headers = [wire.CACHE, ("Content-Type", negotiation.JSON)]
        headers += [("Warning", wire.warning(text)) for text in self.call.warnings]
        return http.Response(headers=headers, stream=stream)

    def _shape(self) -> watching.Shape:
        form, include = self.form, self.request.param("includeObject")
        if form.kind == "Table":

            def as_table(obj: Object, first: bool) -> Object:
                metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
                now = self.server.world.now
                table = tables.table(self.resource, [obj], metadata, now, include, form.version)
                if not first:
                    table["columnDefinitions"] = None
                return table

            return as_table
        if form.kind.startswith("PartialObjectMetadata"):
            return lambda obj, first: tables.partial(obj, form.version)
        shown = self.registry.strategy(self.resource).shown
        return lambda obj, first: shown(obj)

    def _table(self, items: Items, metadata: Object) -> Object:
        include = self.request.param("includeObject")
        if include not in ("", "Metadata", "Object", "None"):
            text = f'unrecognized includeObject value: "{include}"'
            raise messages.bad_request(f"unable to convert to Table as requested: {text}")
        return tables.table(self.resource, items, metadata, self.server.world.now, include, self.form.version)

    # -- writing --------------------------------------------------------------------------------------------

    def create(self) -> http.Response:
        self._options("CreateOptions")
        call = self.call
        obj = bodies.object_of(self)
        if self.resource.name in subresources.REVIEWS:
            return self.answer(subresources.review(self, obj), 201)
        call.name = obj["metadata"].get("name", "")
        created = self.registry.create(call, obj)
        return self.show(created, 201)

    def update(self) -> http.Response:
        self._options("UpdateOptions")
        call = self.call
        obj = bodies.object_of(self)
        name = obj["metadata"].get("name", "")
        if not name:
            # Upstream takes the name of the path only when none is given at all.
            raise messages.bad_request("name must be provided")
        if name != call.name:
            raise messages.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({call.name})"
            )
        create = None
        if self.registry.strategy(self.resource).creates_on_update:
            create = lambda: obj  # noqa: E731
        stored, created = self.registry.update(call, lambda _old: obj, create)
        return self.show(stored, 201 if created else 200)

    def patch(self) -> http.Response:
        from kubesim.apiserver import patchhandler

        stored, created = patchhandler.run(self)
        return self.show(stored, 201 if created else 200)

    def delete(self) -> http.Response:
        options = self.delete_options()
        obj, gone = self.registry.delete(self.call, options)
        if gone and not self.registry.strategy(self.resource).returns_deleted:
            resource = self.resource
            return self.answer(
                wire.success(
                    name=self.call.name, group=resource.group, kind=resource.plural, uid=obj["metadata"]["uid"]
                )
            )
        return self.show(obj)

    def delete_collection(self) -> http.Response:
        found = lists.options(self.resource, self.request)
        options = self.delete_options()
        page = lists.page(self.registry.store, self.resource, self.call.namespace, found)
        items = []
        for obj in page.items:
            self.call.name = obj["metadata"]["name"]
            # A whole namespace's worth, or (for a cluster-wide collection) each in its own.
            self.call.namespace = obj["metadata"].get("namespace", "")
            items.append(self.registry.delete(self.call, options)[0])
        kind, version = self.resource.list_kind, self.resource.group_version(self.call.version)
        shown = [{key: value for key, value in obj.items() if key not in _KIND} for obj in items]
        return self.answer({"kind": kind, "apiVersion": version, "metadata": page.metadata(), "items": shown})

    def delete_options(self) -> DeleteOptions:
        """From the body or, when there is none, from the query."""
        body: Any = {}
        if self.request.body:
            body = bodies.options_of(self.request, "DeleteOptions")
        else:
            body = {name: self.request.param(name) for name in ("propagationPolicy",) if self.request.param(name)}
            if self.request.param("gracePeriodSeconds"):
                body["gracePeriodSeconds"] = int(self.request.param("gracePeriodSeconds"))
            if self.request.param("orphanDependents"):
                body["orphanDependents"] = self.request.param("orphanDependents") == "true"
            if self.request.params("dryRun"):
                body["dryRun"] = self.request.params("dryRun")
        errors: list[fielderrors.FieldError] = []
        policy, orphan = body.get("propagationPolicy", ""), body.get("orphanDependents")
        if policy and orphan is not None:
            detail = "orphanDependents and deletionPropagation cannot be both set"
            errors.append(fielderrors.invalid("propagationPolicy", policy, detail))
        if policy and policy not in ("Foreground", "Background", "Orphan"):
            supported = ["Foreground", "Background", "Orphan", "nil"]
            errors.append(fielderrors.unsupported("propagationPolicy", policy, supported))
        errors += bodies.dry_run_errors(body.get("dryRun", []))
        if errors:
            raise messages.invalid("DeleteOptions", "meta.k8s.io", "", errors)
        self.call.dry_run = bool(body.get("dryRun"))
        preconditions = body.get("preconditions") or {}
        return DeleteOptions(
            grace_period_seconds=body.get("gracePeriodSeconds"),
            propagation=policy,
            uid=preconditions.get("uid", ""),
            resource_version=preconditions.get("resourceVersion", ""),
            orphan_dependents=orphan,
        )

    def _options(self, kind: str) -> None:
        """dryRun, fieldManager and fieldValidation of the query."""
        request, call = self.request, self.call
        errors = bodies.dry_run_errors(request.params("dryRun"))
        manager = request.param("fieldManager")
        if len(manager) > 128:
            errors.append(fielderrors.too_long("fieldManager", 128))
        validation = request.param("fieldValidation")
        if validation not in ("", "Strict", "Warn", "Ignore"):
            errors.append(fielderrors.unsupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]))
        if errors:
            raise messages.invalid(kind, "meta.k8s.io", "", errors)
        call.dry_run = bool(request.params("dryRun"))
        # ServerSideFieldValidation is on from 1.25; before, unknown fields are passed over whatever the client asks for.
        call.validation = (validation or "Warn") if self.server.settings.minor >= 25 else "Ignore"

    # -- answering ------------------------------------------------------------------------------------------

    def show(self, obj: Object, status: int = 200) -> http.Response:
        """An object in the form that was asked for."""
        if self.form.kind == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self.answer(self._table([obj], metadata), status)
        if self.form.kind.startswith("PartialObjectMetadata"):
            return self.answer(tables.partial(obj, self.form.version), status)
        return self.answer(self.registry.strategy(self.resource).shown(obj), status)

    def answer(self, obj: Object, status: int = 200) -> http.Response:
        return wire.answer(obj, status, self.form, self.call.warnings)


def _agent(request: http.Request) -> str:
    """managerOrUserAgent: the user agent up to its first slash."""
    return request.headers.get("user-agent", "").split("/", 1)[0] or "unknown"
