"""EndpointSlices: the endpoints of a Service in parts of at most a hundred, one set of slices a family and set of ports.

Theory of operation (`staging/src/k8s.io/endpointslice/reconciler.go`): the endpoints that should be are grouped by the
ports they serve.  For each group the slices that there are keep what is still wanted, in place; what is missing fills
slices that change anyway, fullest first; only then is an unchanged slice that has room touched or a new one made.  So few
objects change, and a slice keeps no particular order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kubesim.client import Object
from kubesim.controllers import pods, serviceendpoints
from kubesim.controllers.controller import Controller
from kubesim.machinery import gohash, objects

# --max-endpoints-per-slice's default.
PER_SLICE = 100
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
RESOURCE = "endpointslices.discovery.k8s.io"

PortsKey = tuple[tuple[object, ...], ...]


@dataclass(slots=True)
class Plan:
    """What is to be written so that the slices are as they should be."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def ports_key(ports: Iterable[Object] | None) -> PortsKey:
    """The same for the same set of ports in any order (NewPortMapKey)."""
    return tuple(
        sorted(
            (p.get("name", ""), p.get("protocol", ""), p.get("port", 0), p.get("appProtocol", "")) for p in ports or ()
        )
    )


def endpoint_of(service: Object, pod: Object, family: str, zone: str) -> Object:
    """The discovery Endpoint of a pod (podToEndpoint)."""
    serving = pods.is_ready(pod)
    terminating = objects.deleting(pod)
    # "ready" is never true of a terminating pod, unless the Service publishes unready addresses.
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    made: Object = {
        "addresses": serviceendpoints.addresses(pod, family),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
    }
    name = serviceendpoints.hostname(pod, service)
    if name:
        made["hostname"] = name
    made["targetRef"] = {
        "kind": "Pod",
        "namespace": objects.namespace(pod),
        "name": objects.name(pod),
        "uid": objects.uid(pod),
    }
    if pod["spec"].get("nodeName"):
        made["nodeName"] = pod["spec"]["nodeName"]
    if zone:
        made["zone"] = zone
    found = hints(service, made) if ready else {}
    if found:
        made["hints"] = found
    return made


def hints(service: Object, endpoint: Object) -> Object:
    """Who should use an endpoint, by the Service's trafficDistribution (`endpointslice/trafficdist`, KEP-4444, KEP-3015)."""
    distribution = service["spec"].get("trafficDistribution")
    made: Object = {}
    if distribution in ("PreferClose", "PreferSameZone", "PreferSameNode") and endpoint.get("zone"):
        made["forZones"] = [{"name": endpoint["zone"]}]
    if distribution == "PreferSameNode" and endpoint.get("nodeName"):
        made["forNodes"] = [{"name": endpoint["nodeName"]}]
    return made


def desired(
    service: Object, chosen: Iterable[Object], family: str, zone_of: Callable[[str], str | None]
) -> list[tuple[list[Object], list[Object]]]:
    """(ports, endpoints) of a family: one pair for each different set of ports that the pods serve.

    `zone_of` gives a node's zone ("" without one), None when there is no such node: its pods are left out until there is.
    """
    groups: dict[PortsKey, tuple[list[Object], list[Object]]] = {}
    for pod in chosen:
        if not serviceendpoints.should_be_in_endpoints(pod, terminating_too=True):
            continue
        zone: str | None = ""
        if pod["spec"].get("nodeName"):
            zone = zone_of(pod["spec"]["nodeName"])
            if zone is None and not service["spec"].get("publishNotReadyAddresses"):
                continue
        endpoint = endpoint_of(service, pod, family, zone or "")
        if not endpoint["addresses"]:
            continue
        ports = []
        for port in service["spec"].get("ports") or ():
            number = serviceendpoints.find_port(pod, port)
            if number is not None:
                ports.append(serviceendpoints.endpoint_port(port, number))
        group = groups.setdefault(ports_key(ports), (ports, []))
        group[1].append(endpoint)
    return [(sorted(ports, key=gohash.slice_port_hash), endpoints) for ports, endpoints in groups.values()]


def labels_for(owner_labels: dict[str, str], service_name: str, manager: str, headless: bool = False) -> dict[str, str]:
    """The labels of a slice: its owner's, but for those that say whose it is."""
    labels = {
        key: value
        for key, value in owner_labels.items()
        if key not in (SERVICE_NAME, MANAGED_BY, serviceendpoints.HEADLESS)
    }
    labels[MANAGED_BY] = manager
    labels[SERVICE_NAME] = service_name
    if headless:
        labels[serviceendpoints.HEADLESS] = ""
    return labels


def _identity(endpoint: Object) -> tuple[object, ...]:
    """By what an endpoint is the same one as before, whatever its conditions (hashEndpoint)."""
    target = endpoint.get("targetRef") or {}
    return (*endpoint["addresses"], target.get("namespace"), target.get("name"), target.get("uid"))


def plan(
    existing: list[Object], groups: list[tuple[list[Object], list[Object]]], new: Object, limit: int = PER_SLICE
) -> Plan:
    """How to get from the existing slices of one family to the desired groups.

    `new` is a slice without ports and endpoints, as it is to be created; its labels are what all slices should carry.
    """
    made = Plan()
    by_ports: dict[PortsKey, list[Object]] = {}
    for each in existing:
        by_ports.setdefault(ports_key(each.get("ports")), []).append(each)
    for ports, endpoints in groups:
        _plan_group(by_ports.pop(ports_key(ports), []), ports, endpoints, new, limit, made)
    for rest in by_ports.values():
        made.delete += rest
    if len(existing) == len(made.delete) and not made.create:
        _keep_placeholder(made, new)
    _recycle(made)
    return made


def _plan_group(
    existing: list[Object], ports: list[Object], endpoints: list[Object], new: Object, limit: int, made: Plan
) -> None:
    wanted = {_identity(each): each for each in endpoints}
    updated: list[Object] = []
    unchanged: list[Object] = []
    for each in existing:
        before = each.get("endpoints") or []
        kept = []
        for endpoint in before:
            found = wanted.pop(_identity(endpoint), None)
            if found is not None:
                kept.append(found)
        relabelled = each["metadata"].get("labels") != new["metadata"]["labels"]
        if not kept and before:
            made.delete.append(each)
        elif kept != before or relabelled:
            updated.append(_with(each, kept, new))
        else:
            unchanged.append(each)
    rest = list(wanted.values())
    for each in sorted(updated, key=lambda one: -len(one["endpoints"])):
        room = limit - len(each["endpoints"])
        each["endpoints"] += rest[:room]
        rest = rest[room:]
    while rest:
        # The unchanged slice that comes closest to full, if one holds all the rest.
        fitting = [
            each for each in unchanged if len(rest) < limit and len(each["endpoints"] or ()) + len(rest) <= limit
        ]
        if fitting:
            chosen = max(fitting, key=lambda one: len(one["endpoints"] or ()))
            updated.append(_with(chosen, [*(chosen["endpoints"] or ()), *rest], new))
            break
        made.create.append({**new, "metadata": new["metadata"], "endpoints": rest[:limit], "ports": ports or None})
        rest = rest[limit:]
    made.update += updated


def _with(existing: Object, endpoints: list[Object], new: Object) -> Object:
    return {
        **existing,
        "metadata": {**existing["metadata"], "labels": new["metadata"]["labels"]},
        "endpoints": endpoints,
    }


def _keep_placeholder(made: Plan, new: Object) -> None:
    """A Service that selects nothing has one empty slice, so that its watchers learn that it has been looked at."""
    for each in made.delete:
        if (
            not each.get("endpoints")
            and not each.get("ports")
            and each["metadata"].get("labels") == new["metadata"]["labels"]
        ):
            made.delete.remove(each)
            return
    made.create.append({**new, "endpoints": None, "ports": None})


def _recycle(made: Plan) -> None:
    """A slice that would go becomes one that would be made: one write instead of two."""
    while made.create and made.delete:
        created, gone = made.create.pop(), made.delete.pop(0)
        metadata = {**gone["metadata"], "labels": created["metadata"]["labels"]}
        made.update.append({**created, "metadata": metadata})


class EndpointSliceController(serviceendpoints.Follower):
    name = "endpoint-slice-controller"

    def start(self) -> None:
        self.follow()
        self._nodes = self.informers.of("nodes")
        self._nodes.on_event(self._node_changed)
        self._slices = self.informers.of(RESOURCE)
        self._slices.index("service", service_of)
        self._slices.on_event(self._slice_changed)
        # Services with a pod on a node that is not there (yet).
        self._waiting: dict[str, set[str]] = {}

    def _node_changed(self, kind: str, node: Object, before: Object | None) -> None:
        if before is not None and objects.labels(before).get(ZONE) != objects.labels(node).get(ZONE):
            for service in self._services.list():
                self.enqueue(objects.key(service))
        elif kind == "ADDED":
            for key in sorted(self._waiting.pop(objects.name(node), ())):
                self.enqueue(key)

    def _slice_changed(self, kind: str, obj: Object, before: Object | None) -> None:
        labels = objects.labels(obj)
        if labels.get(MANAGED_BY) != MANAGER:
            return
        # Its own writes come by here as well, and then change nothing: a slice of another's making is put right.
        if kind == "DELETED" or before is not None:
            self.enqueue(f"{objects.namespace(obj)}/{labels.get(SERVICE_NAME, '')}")

    def _zone_of(self, key: str, node_name: str) -> str | None:
        node = self._nodes.get("", node_name)
        if node is None:
            self._waiting.setdefault(node_name, set()).add(key)
            return None
        return objects.labels(node).get(ZONE, "")

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        service = self.client.find("services", name, namespace)
        if service is None:
            # The slices are the garbage collector's: the Service owns them.
            self._triggers.forget(key)
            return
        selector = service["spec"].get("selector")
        if service["spec"].get("type") == "ExternalName" or not selector or objects.deleting(service):
            return
        chosen = pods.selected(self._pods, namespace, selector)
        existing = [each for each in self._slices.by("service", (namespace, name)) if is_managed(each, MANAGER)]
        trigger = self._triggers.compute(key, service, chosen)
        labels = labels_for(objects.labels(service), name, MANAGER, serviceendpoints.is_headless(service))
        families = serviceendpoints.families(service)
        for each in existing:
            if each["addressType"] not in families:
                self.client.delete(RESOURCE, objects.name(each), namespace)
        for family in families:
            new: Object = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": f"{name}-",
                    "namespace": namespace,
                    "labels": labels,
                    "ownerReferences": [objects.new_controller_ref(service, "Service", "v1")],
                },
                "addressType": family,
            }
            groups = desired(service, chosen, family, lambda node: self._zone_of(key, node))
            of_family = [each for each in existing if each["addressType"] == family]
            execute(self, plan(of_family, groups, new), namespace, trigger)


def service_of(each: Object) -> list[tuple[str, str]]:
    """The index "service" of EndpointSlices."""
    name = objects.labels(each).get(SERVICE_NAME)
    return [(objects.namespace(each), name)] if name else []


def is_managed(each: Object, manager: str) -> bool:
    return objects.labels(each).get(MANAGED_BY) == manager


def execute(controller: Controller, made: Plan, namespace: str, trigger: str) -> None:
    """Write a plan; what is written carries the trigger's time, if there is one."""
    for each in made.create:
        controller.client.create(RESOURCE, _triggered(each, trigger), namespace)
    for each in made.update:
        controller.client.update(RESOURCE, _triggered(each, trigger))
    for each in made.delete:
        controller.client.delete(RESOURCE, objects.name(each), namespace)


def _triggered(each: Object, trigger: str) -> Object:
    annotations = dict(objects.annotations(each))
    annotations.pop(serviceendpoints.TRIGGER_TIME, None)
    if trigger:
        annotations[serviceendpoints.TRIGGER_TIME] = trigger
    metadata = {key: value for key, value in each["metadata"].items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**each, "metadata": metadata}
