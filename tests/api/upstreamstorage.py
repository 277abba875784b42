"""What upstream's storage of Services answered in its own unit tests, asked of ours over HTTP's door.

A recording is one create, or one update of an object that is there already, on a cluster of one or two families.  Values that
each server chooses are compared by kind: addresses that the request does not name by their family, node ports as numbers.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubesim import http
from kubesim.apiserver.server import ApiServer
from kubesim.store.store import Store
from kubesim.world import World

Object = dict[str, Any]

RANGES = {"IPv4": "10.0.0.0/16", "IPv6": "2000::/108"}
CHOSEN = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
SERVICES = "/api/v1/namespaces/default/services"


def server(families: list[str]) -> ApiServer:
    world = World(1, 1_763_632_800.0)
    api = ApiServer(
        world,
        Store(world),
        version="v1.36.2",
        service_cidr=",".join(RANGES[each] for each in families),
        advertise="192.168.0.2",
    )
    # The storage alone has no Service of its own.
    api.handle(http.request("DELETE", f"{SERVICES}/kubernetes"))
    return api


def differences(shared: Path) -> tuple[int, list[tuple[str, str, Any, Any]]]:
    """How many there are, and which differ: (test and number, path, theirs, ours)."""
    recorded = json.loads((shared / "golden/services/storage-upstream.json").read_text())["cases"]
    servers: dict[tuple[str, ...], ApiServer] = {}
    found = []
    for case in recorded:
        families = tuple(case["ipFamilies"])
        if families not in servers:
            servers[families] = server(list(families))
        api = servers[families]
        found += _differences(api, case)
        name = case["request"]["metadata"].get("name", "")
        free = http.request("PATCH", f"{SERVICES}/{name}", {"metadata": {"finalizers": None}})
        free = replace(free, headers={"content-type": "application/merge-patch+json"})
        api.handle(free)
        api.handle(http.request("DELETE", f"{SERVICES}/{name}"))
    return len(recorded), found


def _differences(api: ApiServer, case: Object) -> list[tuple[str, str, Any, Any]]:
    name, request = f"{case['test']} {case['id']}", case["request"]
    query = "?dryRun=All" if case.get("dryRun") else ""
    if case["op"] == "create":
        answer = api.handle(http.request("POST", SERVICES + query, request))
    else:
        before = _plain(case["before"])
        made = api.handle(http.request("POST", SERVICES, before))
        if made.status != 201:
            return [(name, "before", 201, made.json().get("message"))]
        asked = {**request, "metadata": {k: v for k, v in request["metadata"].items() if k not in CHOSEN}}
        url = f"{SERVICES}/{request['metadata']['name']}{query}"
        answer = api.handle(http.request("PUT", url, asked))
    ours = answer.json()
    if "error" in case:
        theirs = case["error"]
        mine = {key: ours.get(key) for key in ("message", "reason", "code")}
        wanted = {key: theirs.get(key) for key in mine}
        return [] if mine == wanted else [(name, "error", wanted, mine)]
    if ours.get("kind") != "Service":
        return [(name, "", "a Service", ours.get("message"))]
    named = set(json.dumps(request).split('"'))
    left, right = _masked(case["result"], named), _masked(ours, named)
    paths = sorted({*left, *right})
    return [(name, path, left.get(path), right.get(path)) for path in paths if left.get(path) != right.get(path)][:1]


def _plain(obj: Object) -> Object:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in CHOSEN}}


def _masked(obj: Object, named: set[str]) -> dict[str, Any]:
    """Every leaf by its path, with what was drawn masked."""
    found: dict[str, Any] = {}

    def visit(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                if not (path == ".metadata" and key in CHOSEN):
                    visit(each, f"{path}.{key}")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                visit(each, f"{path}[{index}]")
        else:
            found[path] = _mask(value, path, named)

    visit(obj, "")
    return found


def _mask(value: Any, path: str, named: set[str]) -> Any:
    if path.endswith((".nodePort", ".healthCheckNodePort")):
        return bool(value)
    if "clusterIP" in path and isinstance(value, str) and value not in ("", "None") and value not in named:
        return f"IPv{ipaddress.ip_address(value).version}"
    return value
