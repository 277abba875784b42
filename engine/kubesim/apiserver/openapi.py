"""/openapi/v3 (one document a group version) and /openapi/v2 (one for all), made from the schema.

Enough for what clients do with them: finding a kind's fields and their merge keys (`kubectl apply`, `edit`), asking whether an
endpoint takes `fieldValidation` (`kubectl create`), listing fields (`kubectl explain`).  Descriptions are our own and few.

Sources: KEP-2896, kube-openapi `pkg/handler3`, `pkg/builder3`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from kubesim import http, schema
from kubesim.apiserver import openapipb, wire
from kubesim.apiserver.customresources import documents
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.schema import Resource, descriptions, enums, types

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

_PREFIXES = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_LEAVES: dict[str, tuple[str, Object]] = {
    "Time": ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", {"type": "string", "format": "date-time"}),
    "MicroTime": ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", {"type": "string", "format": "date-time"}),
    "Quantity": ("io.k8s.apimachinery.pkg.api.resource.Quantity", {"oneOf": [{"type": "string"}, {"type": "number"}]}),
    "IntOrString": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    ),
}
_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "float64": {"type": "number", "format": "double"},
    "any": {"type": "object"},
}
# The minor releases of 1.x from which on these are there: without the first kubectl looks for unknown fields itself.
_SINCE = {
    "fieldValidation": 23,
    "enum": 24,
    "sendInitialEvents": 27,
    "ignoreStoreReadErrorWithClusterBreakingPotential": 32,
    "shardSelector": 36,
}
# Query parameters by what an operation does; names and types are the API's.
_PARAMETERS: dict[str, tuple[tuple[str, str], ...]] = {
    "list": (
        ("allowWatchBookmarks", "boolean"), ("continue", "string"), ("fieldSelector", "string"),
        ("labelSelector", "string"), ("limit", "integer"), ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"), ("shardSelector", "string"),
        ("timeoutSeconds", "integer"), ("watch", "boolean"),
    ),
    "get": (),
    "post": (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")),
    "put": (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")),
    "patch": (
        ("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean"),
    ),
    "delete": (
        ("dryRun", "string"), ("gracePeriodSeconds", "integer"),
        ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"), ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
    ),
    "deletecollection": (
        ("continue", "string"), ("dryRun", "string"), ("fieldSelector", "string"), ("gracePeriodSeconds", "integer"),
        ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"), ("labelSelector", "string"), ("limit", "integer"),
        ("orphanDependents", "boolean"), ("propagationPolicy", "string"), ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"), ("shardSelector", "string"),
        ("timeoutSeconds", "integer"),
    ),
}  # fmt: skip
_OK = {"description": "OK"}
# Which answers an operation may give beside 401, and in which forms.
_ANSWERS = {
    "200": ("list", "get", "post", "put", "patch", "delete", "deletecollection"),
    "201": ("post", "put", "patch"),
    "202": ("post", "delete"),
}
_TEXT: Object = {"type": "string"}
_NAMED: Object = {"type": "string", "default": ""}
_ATOMIC: Object = {"x-kubernetes-list-type": "atomic"}
_API_RESOURCE: Object = {
    "type": "object",
    "required": ["name", "singularName", "namespaced", "kind", "verbs"],
    "properties": {
        "categories": {"type": "array", "items": _TEXT, **_ATOMIC},
        "group": _TEXT,
        "kind": _NAMED,
        "name": _NAMED,
        "namespaced": {"type": "boolean", "default": False},
        "shortNames": {"type": "array", "items": _TEXT, **_ATOMIC},
        "singularName": _NAMED,
        "storageVersionHash": _TEXT,
        "verbs": {"type": "array", "items": _TEXT},
        "version": _TEXT,
    },
}
# How operations are called: the verb, and what comes before the scope.
_OPERATIONS = {
    "get": ("read", ""),
    "post": ("create", ""),
    "put": ("replace", ""),
    "deletecollection": ("delete", "Collection"),
}
_FORMS = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
_WATCHED = ("application/json", "application/vnd.kubernetes.protobuf")
_METHODS = {"create": "post", "update": "put", "patch": "patch", "delete": "delete", "get": "get"}
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def answer(server: ApiServer, request: http.Request) -> http.Response | None:
    path = request.path.rstrip("/")
    if path == "/openapi/v3" and server.settings.minor >= 24:
        # Upstream leaves the type of this one to net/http, which takes JSON for plain text.
        answer = wire.answer(index(server))
        answer.headers[1] = ("Content-Type", "text/plain; charset=utf-8")
        return answer
    if path == "/openapi/v2":
        return _swagger(server, request)
    if path.startswith("/openapi/v3/") and server.settings.minor >= 24:
        name = path.removeprefix("/openapi/v3/")
        if name in _names(server):
            return _document(request, _bytes(server, name))
    return None


def _swagger(server: ApiServer, request: http.Request) -> http.Response:
    """v2 in JSON or, for a client that asks for it first, in protobuf."""
    for clause in (request.headers.get("accept") or "*/*").split(","):
        match clause.split(";", 1)[0].strip():
            case "application/json" | "application/*" | "*/*":
                return _document(request, _bytes(server, ""))
            case openapipb.ACCEPTED | openapipb.CONTENT_TYPE:
                return _document(request, _bytes(server, "", protobuf=True), openapipb.CONTENT_TYPE)
    return wire.text("", 406)


def _document(request: http.Request, body: bytes, media: str = "application/json") -> http.Response:
    etag = f'"{_hash(body)}"'
    headers = [("Cache-Control", "no-cache, private"), ("Content-Type", media), ("Etag", etag)]
    headers.append(("Vary", "Accept"))
    if request.headers.get("if-none-match") == etag:
        return http.Response(status=304, headers=headers)
    return http.Response(headers=headers, body=body)


def _hash(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


def _names(server: ApiServer) -> list[str]:
    """The group versions that have a document: "api/v1", "apis/apps/v1"..."""
    found = [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"]
    for group, versions in server.served.groups().items():
        found += [f"apis/{group}/{version}" if group else f"api/{version}" for version in versions]
        found += [f"apis/{group}"] if group else []
    return sorted(found)


def index(server: ApiServer) -> Object:
    """The hash stands for the resources served: what the documents are made from changes with the release only."""
    paths = {}
    for name in _names(server):
        mark = _hash(f"{server.version}/{name}/{server.served.generation}".encode())
        paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={mark}"}
    return {"paths": paths}


def _bytes(server: ApiServer, name: str, protobuf: bool = False) -> bytes:
    """A document's text, made once for each state of what is served; "" is v2."""
    known = server.documents
    key = (f"{name}+protobuf" if protobuf else name, server.served.generation)
    if key not in known:
        made = document(server, name) if name else swagger(server)
        known[key] = openapipb.encode(made) if protobuf else json.dumps(made, separators=(",", ":")).encode()
    return known[key]


# -- documents ----------------------------------------------------------------------------------------------------


def document(server: ApiServer, name: str) -> Object:
    """OpenAPI 3.0 of one group version."""
    parts = name.split("/")
    group, version = ("", parts[-1]) if parts[0] == "api" else (parts[1], parts[-1]) if len(parts) == 3 else ("", "")
    builder = _Builder("#/components/schemas/", server.settings.minor)
    # What is no group version's document describes one path: that of its own name.
    paths: Object = {} if server.served.has(group, version) else {f"/{name}/": {"get": {"responses": {"200": _OK}}}}
    if not paths:
        paths[f"/{name}/"] = {"get": builder.discovery(group, version)}
    for resource in server.served.resources(group, version):
        paths |= _paths(builder, resource, group, version, three=True)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": f"1.{server.settings.minor}"},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": builder.finish(),
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
        },
    }


def swagger(server: ApiServer) -> Object:
    """OpenAPI 2.0 of everything."""
    builder = _Builder("#/definitions/", server.settings.minor)
    paths: Object = {}
    for group, versions in server.served.groups().items():
        for version in versions:
            for resource in server.served.resources(group, version):
                paths |= _paths(builder, resource, group, version, three=False)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": server.version},
        "paths": dict(sorted(paths.items())),
        "definitions": builder.finish(),
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
    }


@cache
def definition_name(type_name: str) -> str:
    """io.k8s.api.core.v1.Pod of core.v1.Pod."""
    package, rest = type_name.split(".", 1)
    return f"{_PREFIXES.get(package, f'io.k8s.api.{package}')}.{rest}"


class _Builder:
    """Collects the definitions that are referred to, and all that those refer to."""

    def __init__(self, prefix: str, minor: int) -> None:
        self._prefix = prefix
        self.minor = minor
        self._three = prefix.startswith("#/components")
        self._found: Object = {}
        self._kinds: dict[str, list[Object]] = {}
        # Types of custom resources, and how their definitions are called.
        self._custom: dict[str, str] = {}

    def define(self, resource: CustomResource) -> None:
        """The definition of a custom resource, which is its own schema."""
        name = self._custom[resource.type()] = documents.definition_name(resource)
        if name not in self._found:
            self._found[name] = documents.schema(resource, self._three, self.refer("meta.v1.ObjectMeta"))

    def _name(self, type_name: str) -> str:
        return self._custom.get(type_name) or definition_name(type_name)

    def refer(self, type_name: str) -> Object:
        name = self._name(type_name)
        if name not in self._found:
            self._found[name] = {}
            found = schema.find_type(type_name)
            if found is None:
                # What may be anything: a patch.
                self._found[name] = {"type": "object"}
            else:
                self._found[name] = self._struct(found)
        return {"$ref": self._prefix + name}

    def kind(self, type_name: str, group: str, version: str, kind: str) -> Object:
        reference = self.refer(type_name)
        known = self._kinds.setdefault(self._name(type_name), [])
        gvk = {"group": group, "kind": kind, "version": version}
        if gvk not in known:
            known.append(gvk)
        return reference

    def list_of(self, resource: Resource, group: str, version: str) -> Object:
        """The list kind; Kubernetes has one for each."""
        type_name = resource.type(version)
        name = f"{self._name(type_name)}List"
        if name not in self._found:
            items = self.kind(type_name, group, version, resource.kind)
            self._found[name] = {
                "type": "object",
                "required": ["items"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "items": {"type": "array", "items": items},
                    "kind": {"type": "string"},
                    "metadata": self._allof(self.refer("meta.v1.ListMeta")),
                },
            }
            self._kinds[name] = [{"group": group, "kind": resource.list_kind, "version": version}]
        return {"$ref": self._prefix + name}

    def discovery(self, group: str, version: str) -> Object:
        """The operation of a group version's own path: which resources it has."""
        prefix = f"{_PREFIXES['meta']}.v1."
        reference = {"$ref": f"{self._prefix}{prefix}APIResourceList"}
        self._found[prefix + "APIResource"] = _API_RESOURCE
        listed = {"type": "array", "items": {"$ref": f"{self._prefix}{prefix}APIResource"}, **_ATOMIC}
        own = {"apiVersion": _TEXT, "groupVersion": _NAMED, "kind": _TEXT, "resources": listed}
        self._found[prefix + "APIResourceList"] = {
            "type": "object",
            "required": ["groupVersion", "resources"],
            "properties": own,
        }
        self._kinds[prefix + "APIResourceList"] = [{"group": "", "kind": "APIResourceList", "version": "v1"}]
        tag = f"{schema.resources.package(group)}_{version}"
        content = {form: {"schema": reference} for form in _FORMS}
        return {
            "tags": [tag],
            "description": "list the resources that there are",
            "operationId": f"get{tag.title().replace('_', '')}APIResources",
            "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
        }

    def finish(self) -> Object:
        for name, kinds in self._kinds.items():
            self._found[name]["x-kubernetes-group-version-kind"] = kinds
        return dict(sorted(self._found.items()))

    def _struct(self, found: types.Type) -> Object:
        out: Object = {"type": "object"}
        text = descriptions.of_type(found.name)
        if text:
            out["description"] = text
        required = [name for name, each in found.fields.items() if each.required]
        if required:
            out["required"] = required
        out["properties"] = {name: self._field(found, each) for name, each in found.fields.items()}
        if found.atomic:
            out["x-kubernetes-map-type"] = "atomic"
        return out

    def _field(self, owner: types.Type, field: types.Field) -> Object:
        out: Object = {}
        text = descriptions.of_field(owner.name, field.name)
        if text:
            out["description"] = text
        out |= self._value(field.kind)
        words = enums.of_field(owner.name, field.name) if self.minor >= _SINCE["enum"] else ()
        if words and "items" in out:
            out["items"] = {**out["items"], "enum": list(words)}
        elif words:
            out["enum"] = list(words)
        if field.default is not None:
            out["default"] = field.default
        if self._three and "$ref" in out:
            out = {**{key: value for key, value in out.items() if key != "$ref"}, "allOf": [{"$ref": out["$ref"]}]}
        if field.list_keys:
            out["x-kubernetes-list-map-keys"] = list(field.list_keys)
        if field.list_type:
            out["x-kubernetes-list-type"] = field.list_type
        if field.map_type:
            out["x-kubernetes-map-type"] = field.map_type
        if field.merge_key:
            out["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.strategies:
            out["x-kubernetes-patch-strategy"] = ",".join(field.strategies)
        return out

    def _value(self, kind: str) -> Object:
        if kind.startswith("[]"):
            return {"type": "array", "items": self._value(kind[2:])}
        if kind.startswith("{}"):
            return {"type": "object", "additionalProperties": self._value(kind[2:])}
        if kind in _SCALARS:
            return dict(_SCALARS[kind])
        if kind in _LEAVES:
            name, form = _LEAVES[kind]
            if not self._three and "oneOf" in form:
                form = {"type": "string", **({"format": form["format"]} if "format" in form else {})}
            self._found.setdefault(name, dict(form))
            return {"$ref": self._prefix + name}
        return self.refer(kind)

    def _allof(self, value: Object) -> Object:
        return {"allOf": [value], "default": {}} if self._three else value


# -- paths --------------------------------------------------------------------------------------------------------


def _paths(builder: _Builder, resource: Resource, group: str, version: str, three: bool) -> Object:
    if isinstance(resource, CustomResource):
        builder.define(resource)
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    collection = (
        f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
    )
    maker = _Operations(builder, resource, group, version, three)
    paths: Object = {}
    verbs = resource.verbs
    found = {}
    if "list" in verbs:
        found["get"] = maker.operation("list", "list")
    if "create" in verbs:
        found["post"] = maker.operation("post", "post")
    if "deletecollection" in verbs:
        found["delete"] = maker.operation("deletecollection", "deletecollection")
    if found:
        paths[collection] = maker.item(found, ("namespace",) if resource.namespaced else ())
        if resource.namespaced and "list" in verbs:
            paths[f"{base}/{resource.plural}"] = maker.everywhere()
    single = {
        _METHODS[verb]: maker.operation(_METHODS[verb], _METHODS[verb])
        for verb in verbs
        if verb in _METHODS and verb != "create"
    }
    names = ("name", "namespace") if resource.namespaced else ("name",)
    if single:
        paths[f"{collection}/{{name}}"] = maker.item(single, names)
    for name, sub in resource.subresources.items():
        operations = {
            _METHODS[verb]: maker.operation(_METHODS[verb], _METHODS[verb], sub=name)
            for verb in sub.verbs
            if verb in _METHODS
        }
        if operations:
            paths[f"{collection}/{{name}}/{name}"] = maker.item(operations, names)
    return paths


class _Operations:
    def __init__(self, builder: _Builder, resource: Resource, group: str, version: str, three: bool) -> None:
        self._builder = builder
        self._resource = resource
        self._group = group
        self._version = version
        self._three = three

    def item(self, operations: Object, names: Iterable[str]) -> Object:
        parameters = [self._parameter(name, "string", "path") for name in (*names,)]
        return {**operations, "parameters": [*parameters, self._parameter("pretty", "string", "query")]}

    def everywhere(self) -> Object:
        """The list of all namespaces: what it takes stands with the path, as all that it has is that."""
        listing = self.operation("list", "list", everywhere=True)
        named = {"pretty": self._parameter("pretty", "string", "query")}
        named |= {each["name"]: each for each in listing.pop("parameters", ())}
        return {"get": listing, "parameters": [named[name] for name in sorted(named)]}

    def _parameter(self, name: str, kind: str, where: str) -> Object:
        found: Object = {"name": name, "in": where}
        text = descriptions.of_parameter(name)
        if text:
            found["description"] = text
        if where == "path":
            found["required"] = True
        if self._three:
            return {**found, "schema": {"type": kind, "uniqueItems": True}}
        return {**found, "type": kind, "uniqueItems": True}

    def operation(self, action: str, method: str, sub: str = "", everywhere: bool = False) -> Object:
        resource, builder = self._resource, self._builder
        kind, group, version = resource.kind, self._group, self._version
        known = resource.subresources.get(sub)
        if known is not None and known.version:
            kind, group, version = known.kind, known.group, known.version
        type_name = f"{schema.resources.package(group)}.{version}.{kind}"
        if isinstance(resource, CustomResource) and kind == resource.kind:
            type_name = resource.type()
        if schema.find_type(type_name) is None:
            reference: Object = {"type": "string"}
        elif action == "list":
            reference = builder.list_of(resource, group, version)
        elif action in ("delete", "deletecollection"):
            builder.kind(type_name, group, version, kind)
            reference = builder.kind("meta.v1.Status", "", "v1", "Status")
        else:
            reference = builder.kind(type_name, group, version, kind)
        scope = "Namespaced" if resource.namespaced and not everywhere else ""
        tag = f"{schema.resources.package(self._group)}_{self._version}"
        verb, part = _OPERATIONS.get(action, (action, ""))
        identity = f"{verb}{tag.title().replace('_', '')}{part}{scope}{resource.kind}{sub.title()}"
        identity += "ForAllNamespaces" if everywhere else ""
        parameters = [
            self._parameter(name, what, "query")
            for name, what in _PARAMETERS[action]
            if self._builder.minor >= _SINCE.get(name, 0)
        ]
        out: Object = {
            "tags": [tag],
            "description": _described(action, kind, sub),
            "operationId": identity,
            **({"parameters": parameters} if parameters or not self._three else {}),
            "responses": self._responses(action, reference),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
        }
        if method in ("post", "put", "patch", "delete", "deletecollection"):
            self._body(out, action, reference)
        return out

    def _responses(self, action: str, reference: Object) -> Object:
        answers: Object = {}
        forms = [*_FORMS, *(f"{form};stream=watch" for form in _WATCHED if action == "list")]
        content = {form: {"schema": reference} for form in sorted(forms)}
        for code, text in (("200", "OK"), ("201", "Created"), ("202", "Accepted")):
            if action in _ANSWERS[code]:
                said = {"content": content} if self._three else {"schema": reference}
                answers[code] = {"description": text, **said}
        answers["401"] = {"description": "Unauthorized"}
        return answers

    def _body(self, out: Object, action: str, reference: Object) -> None:
        if action in ("delete", "deletecollection"):
            reference = self._builder.kind("meta.v1.DeleteOptions", "", "v1", "DeleteOptions")
        media: tuple[str, ...] = _PATCHES if action == "patch" else ("*/*",)
        if isinstance(self._resource, CustomResource):
            # kubectl reads here which kind of patch to send.
            media = tuple(each for each in media if "strategic" not in each)
        if action == "patch":
            reference = self._builder.refer("meta.v1.Patch")
        if self._three:
            out["requestBody"] = {"content": {each: {"schema": reference} for each in media}}
            if action in ("post", "put", "patch"):
                out["requestBody"]["required"] = True
        else:
            out["parameters"] = [
                {"name": "body", "in": "body", "required": True, "schema": reference},
                *out["parameters"],
            ]
            out["consumes"] = list(media)
            out["produces"] = ["application/json", "application/yaml"]


def _described(action: str, kind: str, sub: str) -> str:
    what = f"{sub} of a {kind}" if sub else kind
    return {
        "list": f"list or watch objects of kind {kind}",
        "get": f"read one {what}",
        "post": f"create a {what}",
        "put": f"replace a {what}",
        "patch": f"change parts of a {what}",
        "delete": f"delete a {what}",
        "deletecollection": f"delete many objects of kind {kind}",
    }[action]
