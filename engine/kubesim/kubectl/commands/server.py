"""kubectl version, api-resources, api-versions, cluster-info.

Source: kubectl `pkg/cmd/version`, `pkg/cmd/apiresources`, `pkg/cmd/clusterinfo`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import config, discovery, fail, flags, printers, session, tabs
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

# What each kubectl has built in, by its minor version.
KUSTOMIZE = {
    26: "v4.5.7",
    27: "v5.0.1",
    28: "v5.0.4-0.20230601165947-6ce0bf390ce3",
    29: "v5.0.4-0.20230601165947-6ce0bf390ce3",
    30: "v5.0.4-0.20230601165947-6ce0bf390ce3",
    31: "v5.4.2",
    32: "v5.5.0",
    33: "v5.6.0",
    34: "v5.7.1",
    35: "v5.7.1",
    36: "v5.8.1",
}
_SHORT_SINCE = 28  # before, `kubectl version` printed Go structs


async def version(of: session.Session) -> None:
    output = of.flags["output"]
    if output not in ("", "yaml", "json"):
        raise fail.Failed("error: --output must be 'yaml' or 'json'")
    error: fail.Failed | None = None
    server: Object | None = None
    if not (of.flags["client"] and of.io.version):
        try:
            server = of.discovery.server_version()
        except fail.Failed as failed:
            error = failed
    client = _client(of, server)
    minor = int(client["gitVersion"].split(".")[1]) if client else 0
    if client and output:
        info: Object = {"clientVersion": client, "kustomizeVersion": KUSTOMIZE.get(minor, "")}
        if server and not of.flags["client"]:
            info["serverVersion"] = server
        of.io.print(_json(info) if output == "json" else printers.to_yaml(info), end="")
    elif client and minor < _SHORT_SINCE and not of.flags["short"]:
        of.io.print(f"Client Version: {_struct(client)}")
        if server and not of.flags["client"]:
            of.io.print(f"Server Version: {_struct(server)}")
    elif client:
        of.io.print(f"Client Version: {client['gitVersion']}")
        if minor in KUSTOMIZE:
            of.io.print(f"Kustomize Version: {KUSTOMIZE[minor]}")
        if server and not of.flags["client"]:
            of.io.print(f"Server Version: {server['gitVersion']}")
            _skew(of, client, server)
    if error is not None and not of.flags["client"]:
        raise error


def _json(info: Object) -> str:
    import json

    return json.dumps(info, indent=2) + "\n"


def _client(of: session.Session, server: Object | None) -> Object | None:
    """Ours: that of the version asked for, else the server's own (as the kubectl that came with it has)."""
    keys = (
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    )
    known = {key: server[key] for key in keys if server and key in server}
    if of.io.version:
        number = of.io.version.lstrip("v").split(".")
        return {**known, "major": number[0], "minor": number[1], "gitVersion": of.io.version}
    return known or None


def _struct(info: Object) -> str:
    """fmt %#v of version.Info."""
    names = (
        ("Major", "major"),
        ("Minor", "minor"),
        ("GitVersion", "gitVersion"),
        ("GitCommit", "gitCommit"),
        ("GitTreeState", "gitTreeState"),
        ("BuildDate", "buildDate"),
        ("GoVersion", "goVersion"),
        ("Compiler", "compiler"),
        ("Platform", "platform"),
    )
    return "version.Info{" + ", ".join(f'{name}:"{info.get(key, "")}"' for name, key in names) + "}"


def _skew(of: session.Session, client: Object, server: Object) -> None:
    ours, theirs = (int(each["gitVersion"].split(".")[1]) for each in (client, server))
    if abs(ours - theirs) > 1:
        of.io.complain(
            f"WARNING: version difference between client (1.{ours}) and server (1.{theirs}) exceeds the supported minor version "
            "skew of +/-1"
        )


async def api_resources(of: session.Session) -> None:
    if of.args:
        raise of.hint(f"unexpected arguments: [{' '.join(of.args)}]")
    output = of.flags["output"]
    if output not in ("", "wide", "name"):
        raise fail.Failed(f"error: --output {output} is not available")
    if of.flags["sort-by"] not in ("", "name", "kind"):
        raise fail.Failed("error: --sort-by accepts only name or kind")
    found = [each for each in of.discovery.refresh().mappings if each.preferred and _chosen(of, each)]
    if of.flags["sort-by"]:
        found.sort(key=lambda each: each.plural if of.flags["sort-by"] == "name" else each.kind)
    else:
        found.sort(key=lambda each: (each.group, each.plural))
    if output == "name":
        for each in found:
            of.io.print(each.title)
        return
    grouped = of.minor < 20
    rows = []
    if not of.flags["no-headers"]:
        head = ["NAME", "SHORTNAMES", "APIGROUP" if grouped else "APIVERSION", "NAMESPACED", "KIND"]
        rows.append(head + (["VERBS", "CATEGORIES"] if output == "wide" else []))
    for each in found:
        row = [
            each.plural,
            ",".join(each.short_names),
            each.group if grouped else each.api_version,
            "true" if each.namespaced else "false",
            each.kind,
        ]
        if output == "wide":
            row += [",".join(each.verbs), ",".join(each.categories)]
        rows.append(row)
    of.io.print(tabs.table(rows), end="")


def _chosen(of: session.Session, each: discovery.Mapping) -> bool:
    if "namespaced" in of.flags.changed and each.namespaced != of.flags["namespaced"]:
        return False
    if "api-group" in of.flags.changed and each.group != of.flags["api-group"]:
        return False
    if of.flags["categories"] and not set(of.flags["categories"]) <= set(each.categories):
        return False
    return not of.flags["verbs"] or set(of.flags["verbs"]) <= set(each.verbs)


async def api_versions(of: session.Session) -> None:
    if of.args:
        raise of.hint(f"unexpected arguments: [{' '.join(of.args)}]")
    for each in sorted({mapping.api_version for mapping in of.discovery.refresh().mappings}):
        of.io.print(each)


_GREEN, _YELLOW, _RESET = "\x1b[0;32m", "\x1b[0;33m", "\x1b[0m"


async def cluster_info(of: session.Session) -> None:
    if of.args[:1] == ["dump"]:
        raise fail.Failed("error: not simulated: kubectl cluster-info dump")
    target = of.selected.target
    url = target.server if target else config.DEFAULT_SERVER
    services = of.list(of.discovery.find("services"), "kube-system", "kubernetes.io/cluster-service=true")
    name = "Kubernetes control plane" if of.minor >= 20 else "Kubernetes master"
    _running(of, name, url)
    for service in services:
        ports = service["spec"].get("ports") or []
        path = objects.name(service) + (f":{ports[0]['name']}" if ports and ports[0].get("name") else "")
        title = objects.labels(service).get("kubernetes.io/name") or objects.name(service)
        _running(of, title, f"{url}/api/v1/namespaces/{objects.namespace(service)}/services/{path}/proxy")
    of.io.print("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.")


def _running(of: session.Session, name: str, url: str) -> None:
    of.io.print(f"{_GREEN}{name}{_RESET} is running at {_YELLOW}{url}{_RESET}")


COMMANDS = {
    "version": Command(
        "version",
        "Print the client and server version information for the current context.",
        version,
        tuple(flags.define("client:bool", "output,o", "short:bool")),
    ),
    "api-resources": Command(
        "api-resources",
        "Print the supported API resources on the server.",
        api_resources,
        tuple(
            flags.define(
                "output,o",
                "no-headers:bool",
                "namespaced:bool=true",
                "api-group",
                "verbs:list",
                "sort-by",
                "cached:bool",
                "categories:list",
            )
        ),
    ),
    "api-versions": Command(
        "api-versions", 'Print the supported API versions on the server, in the form of "group/version".', api_versions
    ),
    "cluster-info": Command(
        "cluster-info",
        "Display addresses of the control plane and services with label kubernetes.io/cluster-service=true.",
        cluster_info,
    ),
}
