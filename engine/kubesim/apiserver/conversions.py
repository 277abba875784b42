"""Versions of the API that older releases serve, and how their objects become those that are stored.

An object is kept in one version only, the newest; a request in another is converted on its way in, and its answer on the way
out (upstream's internal versions do the same in two steps).  A release that has removed a version knows nothing of it:
kubectl then says `no matches for kind "Ingress" in version "extensions/v1beta1"`.

Sources: kubernetes `pkg/apis/{networking,extensions}/v1beta1/conversion.go`, the deprecated API migration guide.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from kubesim import schema
from kubesim.schema import Resource

Object = dict[str, Any]
Convert = Callable[[Object], Object]


def _same(obj: Object) -> Object:
    return obj


def _with_backends(obj: Object, default: tuple[str, str], backend: Convert, path: Convert) -> Object:
    """An Ingress with each of its backends, and then each of its paths, made anew."""
    spec = dict(obj.get("spec") or {})
    if default[0] in spec:
        spec[default[1]] = backend(spec.pop(default[0]))
    if spec.get("rules"):
        rules = []
        for rule in spec["rules"]:
            if rule.get("http"):
                paths = [
                    path({**each, "backend": backend(each.get("backend") or {})})
                    for each in rule["http"].get("paths") or ()
                ]
                rule = {**rule, "http": {**rule["http"], "paths": paths}}
            rules.append(rule)
        spec["rules"] = rules
    return {**obj, "spec": spec}


def _ingress_in(obj: Object) -> Object:
    def backend(old: Object) -> Object:
        new = {key: value for key, value in old.items() if key == "resource"}
        if "serviceName" in old or "servicePort" in old:
            port = old.get("servicePort", 0)
            named = {"name": port} if isinstance(port, str) else {"number": port}
            new["service"] = {"name": old.get("serviceName", ""), "port": named}
        return new

    return _with_backends(
        obj, ("backend", "defaultBackend"), backend, lambda path: {"pathType": "ImplementationSpecific", **path}
    )


def _backend_out(new: Object) -> Object:
    old = {key: value for key, value in new.items() if key == "resource"}
    service = new.get("service")
    if service:
        port = service.get("port") or {}
        old |= {"serviceName": service["name"], "servicePort": port.get("name") or port.get("number", 0)}
    return old


def _ingress_out(obj: Object) -> Object:
    return _with_backends(obj, ("defaultBackend", "backend"), _backend_out, dict)


def _ingress_out_untyped(obj: Object) -> Object:
    def path(new: Object) -> Object:
        return {key: value for key, value in new.items() if key != "pathType"}

    return _with_backends(obj, ("defaultBackend", "backend"), _backend_out, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """`group`/`version` of `stored` (a resource's name), served by releases from `since` until before `removed`, deprecated
    since `deprecated` (minor releases of 1.x)."""

    group: str
    version: str
    stored: str
    since: int = 0
    deprecated: int
    removed: int
    type: str = ""
    incoming: Convert = _same
    outgoing: Convert = _same
    # How field selectors' names begin here, and there.
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def storage(self) -> Resource:
        return schema.RESOURCES[self.stored]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    def resource(self) -> Resource:
        """As discovery shows it."""
        stored = self.storage
        return replace(
            stored,
            group=self.group,
            versions=(self.version,),
            types={self.version: self.type or stored.type()},
            name=f"{stored.plural}.{self.group}",
            api_version=self.api_version,
        )

    def into(self, obj: Object) -> Object:
        """An object as sent, as it is stored."""
        return {**self.incoming(obj), "apiVersion": self.storage.api_version}

    def out_of(self, obj: Object) -> Object:
        """A stored object as this version shows it."""
        return {**self.outgoing(obj), "apiVersion": self.api_version}

    def warning(self, minor: int) -> str:
        """What every request is told (APILifecycleDeprecated, from 1.19 on), or ""."""
        if minor < max(self.deprecated, 19):
            return ""
        kind = self.storage.kind
        return (
            f"{self.api_version} {kind} is deprecated in v1.{self.deprecated}+, unavailable in v1.{self.removed}+; "
            f"use {self.storage.api_version} {kind}"
        )


def _rbac(plural: str) -> Conversion:
    group = "rbac.authorization.k8s.io"
    return Conversion(group=group, version="v1beta1", stored=f"{plural}.{group}", deprecated=17, removed=22)


def _ingress(group: str, deprecated: int, since: int = 0) -> Conversion:
    """`since` 18: the release that brought pathType, which those before do not show."""
    return Conversion(
        group=group,
        version="v1beta1",
        stored="ingresses.networking.k8s.io",
        since=since,
        deprecated=deprecated,
        removed=22 if since else 18,
        type="extensions.v1beta1.Ingress",
        incoming=_ingress_in,
        outgoing=_ingress_out if since else _ingress_out_untyped,
    )


def _unchanged(stored: str, since: int, deprecated: int, removed: int) -> Conversion:
    """A beta that had become the stable version's equal before it went."""
    group = stored.partition(".")[2]
    return Conversion(
        group=group, version="v1beta1", stored=stored, since=since, deprecated=deprecated, removed=removed
    )


# A release that is not there: what is not removed, nor deprecated.
NEVER = 10_000
_METRICS, _BEHAVIOR = "autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior"


def _is_cpu(metric: Object) -> bool:
    resource = metric.get("resource") or {}
    return resource.get("name") == "cpu" and "averageUtilization" in (resource.get("target") or {})


def _autoscaler_in(obj: Object) -> Object:
    """autoscaling/v1 knows a target of the CPU; all else of v2 it keeps in annotations."""
    spec = dict(obj.get("spec") or {})
    metadata = dict(obj.get("metadata") or {})
    notes = dict(metadata.get("annotations") or {})
    target = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = _noted(notes, _METRICS) or []
    if target is not None:
        used = {"type": "Utilization", "averageUtilization": target}
        metrics = [*metrics, {"type": "Resource", "resource": {"name": "cpu", "target": used}}]
    if metrics:
        spec["metrics"] = metrics
    behavior = _noted(notes, _BEHAVIOR)
    if behavior is not None:
        spec["behavior"] = behavior
    if "annotations" in metadata:
        metadata["annotations"] = notes
    found = {**obj, "metadata": metadata, **({"spec": spec} if "spec" in obj else {})}
    if "status" in obj:
        status = dict(obj["status"])
        status.pop("currentCPUUtilizationPercentage", None)
        found["status"] = status
    return found


def _noted(notes: dict[str, str], key: str) -> Any:
    try:
        return json.loads(notes.pop(key, "null"))
    except ValueError:
        return None


def _autoscaler_out(obj: Object) -> Object:
    spec = dict(obj["spec"])
    notes = {}
    metrics = spec.pop("metrics", None) or []
    others = [each for each in metrics if not _is_cpu(each)]
    if others:
        notes[_METRICS] = json.dumps(others, separators=(",", ":"))
    behavior = spec.pop("behavior", None)
    if behavior is not None:
        notes[_BEHAVIOR] = json.dumps(behavior, separators=(",", ":"))
    cpu = [each for each in metrics if _is_cpu(each)]
    if cpu:
        spec["targetCPUUtilizationPercentage"] = cpu[0]["resource"]["target"]["averageUtilization"]
    metadata = obj["metadata"]
    if notes:
        metadata = {**metadata, "annotations": {**metadata.get("annotations", {}), **notes}}
    before = obj.get("status") or {}
    status = {key: before[key] for key in ("observedGeneration", "lastScaleTime") if key in before}
    status |= {key: before.get(key, 0) for key in ("currentReplicas", "desiredReplicas")}
    for each in before.get("currentMetrics") or ():
        used = (each.get("resource") or {}).get("current") or {}
        if (each.get("resource") or {}).get("name") == "cpu" and "averageUtilization" in used:
            status["currentCPUUtilizationPercentage"] = used["averageUtilization"]
    return {**obj, "metadata": metadata, "spec": spec, "status": status}


# events.k8s.io's name of a field -> the core group's, in the order in which they are written (`pkg/apis/events/v1`).
_EVENT = {
    "metadata": "metadata", "eventTime": "eventTime", "series": "series", "reportingController": "reportingComponent",
    "reportingInstance": "reportingInstance", "action": "action", "reason": "reason", "regarding": "involvedObject",
    "related": "related", "note": "message", "type": "type", "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp", "deprecatedCount": "count",
}  # fmt: skip
_EVENT_ALWAYS = ("metadata", "eventTime", "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp")


def _event_in(obj: Object) -> Object:
    found = {key: obj[key] for key in ("kind", "apiVersion") if key in obj}
    return found | {old: obj[new] for new, old in _EVENT.items() if new in obj}


def _event_out(obj: Object) -> Object:
    found: Object = {key: obj[key] for key in ("kind", "apiVersion") if key in obj}
    for new, old in _EVENT.items():
        if new in _EVENT_ALWAYS or obj.get(old) not in (None, "", {}):
            found[new] = obj.get(old)
    return found


TABLE = (
    Conversion(
        group="autoscaling",
        version="v1",
        stored="horizontalpodautoscalers.autoscaling",
        deprecated=NEVER,
        removed=NEVER,
        type="autoscaling.v1.HorizontalPodAutoscaler",
        incoming=_autoscaler_in,
        outgoing=_autoscaler_out,
    ),
    Conversion(
        group="events.k8s.io",
        version="v1",
        stored="events",
        since=19,
        deprecated=NEVER,
        removed=NEVER,
        type="events.v1.Event",
        incoming=_event_in,
        outgoing=_event_out,
        fields=(("regarding.", "involvedObject."), ("reportingController", "reportingComponent")),
    ),
    _ingress("extensions", 14),
    _ingress("extensions", 14, since=18),
    _ingress("networking.k8s.io", 19),
    _ingress("networking.k8s.io", 19, since=18),
    _unchanged("ingressclasses.networking.k8s.io", 18, 19, 22),
    *(_rbac(plural) for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")),
    _unchanged("cronjobs.batch", 8, 21, 25),
    _unchanged("poddisruptionbudgets.policy", 5, 21, 25),
    _unchanged("leases.coordination.k8s.io", 14, 19, 22),
    _unchanged("priorityclasses.scheduling.k8s.io", 11, 14, 22),
    _unchanged("storageclasses.storage.k8s.io", 6, 19, 22),
)


@cache
def of_release(minor: int) -> dict[tuple[str, str, str], Conversion]:
    """The conversions that a release knows, by group, version and plural."""
    return {
        (each.group, each.version, each.storage.plural): each for each in TABLE if each.since <= minor < each.removed
    }
