"""Traefik 3's API: what it has understood, as JSON (traefik `pkg/api`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kubesim.ingress import rules
from kubesim.programs import forwarding, http, traefik_middlewares

if TYPE_CHECKING:
    from kubesim.programs.traefik_v3 import Traefik

Object = dict[str, Any]

DASHBOARD = """<!DOCTYPE html>
<html><head><title>Traefik Proxy</title></head>
<body><h1>Traefik Proxy</h1><p>The dashboard draws what <a href="/api/rawdata">/api/rawdata</a> says.</p></body></html>
"""


def answer(traefik: Traefik, request: http.Request) -> http.Response:
    """The answer of the entry point "traefik"."""
    parts = [part for part in request.path.split("/") if part]
    match parts:
        case ["api", "version"]:
            return _json({"Version": traefik.release, "Codename": "ramequin"})
        case ["api", "overview"]:
            return _json(_overview(traefik))
        case ["api", "entrypoints"]:
            points = traefik.static.entry_points.values()
            return _json([{"address": f"{each.address}:{each.port}", "name": each.name} for each in points])
        case ["api", "rawdata"]:
            return _json(
                {
                    "routers": {each.pop("name"): each for each in _routers(traefik)},
                    "middlewares": {each.pop("name"): each for each in _middlewares(traefik)},
                    "services": {each.pop("name"): each for each in _services(traefik)},
                }
            )
        case ["api", "http", "routers" | "services" | "middlewares" as kind, *name]:
            listed = {"routers": _routers, "services": _services, "middlewares": _middlewares}[kind](traefik)
            if not name:
                return _json(listed)
            found = next((each for each in listed if [each["name"]] == name), None)
            if found is None:
                return _json({"message": f"{kind[:-1]} not found: {name[0]}"}, 404)
            return _json(found)
        case []:
            return http.Response(status=302, headers=[("Location", "/dashboard/")])
        case ["dashboard", *_] if traefik.static.dashboard:
            return http.text(DASHBOARD, content_type="text/html; charset=utf-8")
    return forwarding.not_found()


def _json(value: object, status: int = 200) -> http.Response:
    return http.text(json.dumps(value, separators=(",", ":")) + "\n", status, "application/json")


def _provider(name: str) -> str:
    return name.rpartition("@")[2]


def _routers(traefik: Traefik) -> list[Object]:
    found = []
    for name, router in sorted(traefik.dynamic.routers.items()):
        points = list(router.entry_points) or list(traefik.defaults())
        shown: Object = {
            "entryPoints": points,
            "service": router.service.removesuffix(f"@{_provider(name)}"),
            "rule": router.rule,
            "priority": router.priority or rules.default_priority(router.rule),
        }
        if router.middlewares:
            shown["middlewares"] = list(router.middlewares)
        if router.tls is not None:
            shown["tls"] = {"options": router.tls.options or "default"}
        if name in traefik.broken:
            shown |= {"error": [traefik.broken[name]], "status": "disabled"}
        else:
            shown["status"] = "enabled"
        found.append({**shown, "using": points, "name": name, "provider": _provider(name)})
    return found


def _services(traefik: Traefik) -> list[Object]:
    found = []
    routers = traefik.dynamic.routers
    for name, service in sorted(traefik.dynamic.services.items()):
        users = [each for each, router in sorted(routers.items()) if router.service == name]
        shown: Object = {}
        if service.shares is not None:
            shares = [
                {"name": each.name.removesuffix(f"@{_provider(name)}"), "weight": each.weight}
                for each in service.shares
            ]
            shown["weighted"] = {"services": shares}
        else:
            shown["loadBalancer"] = {
                "servers": [{"url": each.url} for each in service.servers],
                "strategy": "wrr",
                "passHostHeader": service.pass_host_header,
                "responseForwarding": {"flushInterval": "100ms"},
            }
        shown["status"] = "enabled"
        if users:
            shown["usedBy"] = users
        if service.shares is None:
            shown["serverStatus"] = {each.url: "UP" for each in service.servers}
        kind = "loadbalancer" if service.shares is None else "weighted"
        found.append({**shown, "name": name, "provider": _provider(name), "type": kind})
    return found


def _middlewares(traefik: Traefik) -> list[Object]:
    found = []
    for name, given in sorted(traefik.dynamic.middlewares.items()):
        users = [each for each, router in sorted(traefik.dynamic.routers.items()) if name in router.middlewares]
        kind = next(iter(given), "")
        shown: Object = {**given, "status": "enabled", **({"usedBy": users} if users else {})}
        if kind not in traefik_middlewares.MAKERS and kind != "chain":
            shown |= {"status": "disabled", "error": [f"not simulated: middleware {kind}"]}
        found.append({**shown, "name": name, "provider": _provider(name), "type": kind.lower()})
    return found


def _overview(traefik: Traefik) -> Object:
    def count(total: int, broken: int = 0) -> Object:
        return {"total": total, "warnings": 0, "errors": broken}

    none = count(0)
    dynamic, static = traefik.dynamic, traefik.static
    http_counts = {
        "routers": count(len(dynamic.routers), len(traefik.broken)),
        "services": count(len(dynamic.services)),
        "middlewares": count(len(dynamic.middlewares)),
    }
    tcp = {"routers": none, "services": none, "middlewares": none}
    providers = (
        ("KubernetesIngress", static.kubernetes), ("KubernetesCRD", static.crd), ("KubernetesGateway", static.gateway),
    )  # fmt: skip
    return {
        "http": http_counts,
        "tcp": tcp,
        "udp": {"routers": none, "services": none},
        "features": {"tracing": "", "metrics": "", "accessLog": static.access_log},
        "providers": [name for name, options in providers if options is not None],
    }
