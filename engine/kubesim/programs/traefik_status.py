"""What Traefik 3 writes back: the addresses of Ingresses, the conditions of Gateway API objects.

Sources: traefik `pkg/provider/kubernetes/ingress/kubernetes.go: updateIngressStatus`, `.../gateway/client.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubesim import ids
from kubesim.client import Client
from kubesim.errors import ApiError
from kubesim.ingress import gateway, routing

Object = dict[str, Any]


def write_ingresses(
    client: Client, ingresses: Iterable[Object], options: routing.Options, services: Mapping[tuple[str, str], Object]
) -> None:
    """The ADDRESS of each: what the flags say or, for a published Service, what its load balancer has."""
    found: list[Object] = []
    if options.published_service:
        namespace, _, name = options.published_service.partition("/")
        service = services.get((namespace, name)) or {}
        found = list(((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ())
    elif options.address or options.hostname:
        given = {"ip": options.address, "hostname": options.hostname}
        found = [{key: value for key, value in given.items() if value}]
    if not found:
        return
    kept = [{key: each[key] for key in ("ip", "hostname") if each.get(key)} for each in found]
    for ingress in ingresses:
        now = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if now != kept:
            _write(client, "ingresses.networking.k8s.io", ingress, {"loadBalancer": {"ingress": kept}})


def write_gateways(client: Client, statuses: Iterable[tuple[str, Object, Object]], now: float) -> None:
    """Statuses of classes, Gateways and routes, where they differ; a condition keeps its time while its status stays."""
    for kind, obj, status in statuses:
        before = obj.get("status") or {}
        fresh = _timed(status, before, ids.timestamp(now))
        if kind == "gatewayclasses":
            fresh = {**before, **fresh}
        if fresh != before:
            _write(client, f"{kind}.{gateway.GROUP}", obj, fresh)


def _write(client: Client, resource: str, obj: Object, status: Object) -> None:
    try:
        client.update(resource, {**obj, "status": status}, "status")
    except ApiError as error:
        # Changed or gone in the meantime: the news of that will bring it round again.
        if error.reason not in ("Conflict", "NotFound"):
            raise


def _timed(fresh: Any, before: Any, now: str) -> Any:
    """A status with times in its conditions, at any depth; those of list items are matched by name, parent or type."""
    if isinstance(fresh, list):
        old = {_key(each): each for each in before or ()} if isinstance(before, list) else {}
        return [_timed(each, old.get(_key(each)), now) for each in fresh]
    if not isinstance(fresh, dict):
        return fresh
    if "reason" in fresh and "status" in fresh:
        same = isinstance(before, dict) and before.get("status") == fresh["status"]
        return {**fresh, "lastTransitionTime": before["lastTransitionTime"] if same else now}
    old = before if isinstance(before, dict) else {}
    return {key: _timed(value, old.get(key), now) for key, value in fresh.items()}


def _key(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return str(item.get("type") or item.get("name") or item.get("parentRef") or item)
