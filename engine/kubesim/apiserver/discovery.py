"""What there is: /api, /apis, their groups and resources, plain and aggregated.

Sources: apiserver `pkg/endpoints/discovery`, KEP-3352 (aggregated discovery), `storageversionhash.go`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from kubesim import http
from kubesim.apiserver import wire
from kubesim.apiserver.customresources.resource import CustomResource
from kubesim.schema import Resource

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]


def answer(server: ApiServer, request: http.Request) -> http.Response | None:
    parts = [part for part in request.path.split("/") if part]
    match parts:
        case ["api"]:
            version = _aggregated(request, server)
            return _aggregate(server, request, version, core=True) if version else wire.answer(_api_versions(server))
        case ["apis"]:
            version = _aggregated(request, server)
            return _aggregate(server, request, version, core=False) if version else wire.answer(_group_list(server))
        case ["api", version] if server.served.has("", version):
            return wire.answer(_resource_list(server, "", version))
        case ["apis", group] if group in server.served.groups():
            return wire.answer({"kind": "APIGroup", "apiVersion": "v1", **_group(server, group)})
        case ["apis", group, version] if server.served.has(group, version):
            return wire.answer(_resource_list(server, group, version))
    return None


def _address(server: ApiServer) -> Object:
    settings = server.settings
    where = f"{settings.advertise or '192.168.0.2'}:{settings.port}"
    return {"clientCIDR": "0.0.0.0/0", "serverAddress": where}


def _api_versions(server: ApiServer) -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [_address(server)]}


def _group(server: ApiServer, group: str) -> Object:
    versions = [{"groupVersion": f"{group}/{each}", "version": each} for each in server.served.groups()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _group_list(server: ApiServer) -> Object:
    groups = [_group(server, group) for group in server.served.groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resource_list(server: ApiServer, group: str, version: str) -> Object:
    rows: list[Object] = []
    for resource in server.served.resources(group, version):
        rows.append(_row(resource, version))
        rows += [_sub_row(resource, name) for name in sorted(resource.subresources)]
    found = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}" if group else version}
    if not group:
        del found["apiVersion"]
    return {**found, "resources": rows}


def _row(resource: Resource, version: str) -> Object:
    row: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if "list" in resource.verbs and resource.plural != "componentstatuses":
        row["storageVersionHash"] = storage_hash(resource)
    return row


def storage_hash(resource: Resource) -> str:
    """discovery.StorageVersionHash: of the group, version and kind that are stored."""
    version = {"autoscaling": "v2"}.get(resource.group, resource.versions[0])
    if isinstance(resource, CustomResource):
        version = resource.stored
    group = resource.group
    if resource.name == "events.events.k8s.io":
        group = ""  # stored as core's
    digest = hashlib.sha256(f"{group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _sub_row(resource: Resource, name: str) -> Object:
    sub = resource.subresources[name]
    row: Object = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if sub.version:
        row |= {"group": sub.group, "version": sub.version}
    return {**row, "kind": sub.kind, "verbs": list(sub.verbs)}


# -- aggregated ---------------------------------------------------------------------------------------------------


def _aggregated(request: http.Request, server: ApiServer) -> str:
    """The version of APIGroupDiscoveryList that the client prefers to plain discovery, or ""."""
    if server.settings.minor < 26:
        return ""
    known = ("v2", "v2beta1") if server.settings.minor >= 30 else ("v2beta1",)
    for clause in request.headers.get("accept", "").split(","):
        media, *parameters = [part.strip() for part in clause.split(";")]
        values = dict(part.partition("=")[::2] for part in parameters)
        if media != "application/json":
            continue
        if values.get("g") == "apidiscovery.k8s.io" and values.get("as") == "APIGroupDiscoveryList":
            if values.get("v") in known:
                return values["v"]
        else:
            return ""
    return ""


def _aggregate(server: ApiServer, request: http.Request, form: str, core: bool) -> http.Response:
    groups = [group for group in server.served.groups() if bool(group) != core]
    body = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{form}",
        "metadata": {},
        "items": [_discovered_group(server, group) for group in groups],
    }
    etag = '"' + hashlib.sha512(json.dumps(body).encode()).hexdigest().upper() + '"'
    headers = [
        ("Cache-Control", "public"),
        ("Content-Type", f"application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList"),
        ("Etag", etag),
        ("Vary", "Accept"),
    ]
    if request.headers.get("if-none-match") == etag:
        return http.Response(status=304, headers=headers)
    return http.Response(headers=headers, body=wire.encode(body))


def _discovered_group(server: ApiServer, group: str) -> Object:
    metadata: Object = {"name": group} if group else {}
    metadata["creationTimestamp"] = None
    versions = []
    for version in server.served.groups()[group]:
        resources = [_discovered(resource, group, version) for resource in server.served.resources(group, version)]
        versions.append({"version": version, "resources": resources, "freshness": "Current"})
    del metadata["creationTimestamp"]
    return {"metadata": metadata, "versions": versions}


def _discovered(resource: Resource, group: str, version: str) -> Object:
    row: Object = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if resource.subresources:
        row["subresources"] = [
            {
                "subresource": name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for name, sub in sorted(resource.subresources.items())
        ]
    return row
