"""Endpoints: the ready and the unready addresses behind a Service, in one object.  Deprecated since 1.33, and still served.

Source: `pkg/controller/endpoint/endpoints_controller.go`; the order is `pkg/api/v1/endpoints/util.go`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubesim.client import Object
from kubesim.controllers import pods, serviceendpoints
from kubesim.machinery import endpointsubsets, objects

# maxCapacity: beyond so many addresses an Endpoints object is cut off and says so.
CAPACITY = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def address_of(service: Object, pod: Object) -> Object | None:
    """The EndpointAddress of a pod; None when it has no address of the Service's first family."""
    found = serviceendpoints.addresses(pod, serviceendpoints.families(service)[0])
    if not found:
        return None
    address: Object = {"ip": found[0]}
    name = serviceendpoints.hostname(pod, service)
    if name:
        address["hostname"] = name
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    address["targetRef"] = {
        "kind": "Pod",
        "namespace": objects.namespace(pod),
        "name": objects.name(pod),
        "uid": objects.uid(pod),
    }
    return address


def subsets(service: Object, chosen: Iterable[Object]) -> list[Object]:
    """The subsets for a Service and the pods that its selector selects."""
    unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
    found: list[tuple[Object, bool, Object | None]] = []
    for pod in chosen:
        if not serviceendpoints.should_be_in_endpoints(pod, unready_too):
            continue
        address = address_of(service, pod)
        if address is None:
            continue
        ready = unready_too or pods.is_ready(pod)
        ports = service["spec"].get("ports") or []
        if not ports and service["spec"].get("clusterIP") == "None":
            found.append((address, ready, None))
        for port in ports:
            number = serviceendpoints.find_port(pod, port)
            if number is not None:
                found.append((address, ready, _port(port, number)))
    return endpointsubsets.repack(found)


def _port(port: Object, number: int) -> Object:
    made = serviceendpoints.endpoint_port(port, number)
    return made if made["name"] else {key: value for key, value in made.items() if key != "name"}


def truncate(full: list[Object], capacity: int = CAPACITY) -> tuple[list[Object], bool]:
    """At most so many addresses, ready ones first, each subset its share; whether any was cut (truncateEndpoints)."""
    ready = sum(len(each.get("addresses") or ()) for each in full)
    unready = sum(len(each.get("notReadyAddresses") or ()) for each in full)
    if ready + unready <= capacity:
        return full, False
    cut = []
    room = max(0, capacity - ready)
    for each in full:
        subset = dict(each)
        if ready > capacity:
            subset.pop("notReadyAddresses", None)
            if "addresses" in subset:
                share = round(len(subset["addresses"]) / ready * capacity)
                subset["addresses"] = subset["addresses"][:share]
        elif "notReadyAddresses" in subset:
            subset["notReadyAddresses"] = subset["notReadyAddresses"][:room]
            room -= len(subset["notReadyAddresses"])
        cut.append({key: value for key, value in subset.items() if value})
    return [each for each in cut if "addresses" in each or "notReadyAddresses" in each], True


class EndpointsController(serviceendpoints.Follower):
    name = "endpoint-controller"

    def start(self) -> None:
        self.follow()
        self._endpoints = self.informers.of("endpoints")
        self._endpoints.on_event(self._endpoints_changed)

    def _endpoints_changed(self, kind: str, obj: Object, _before: Object | None) -> None:
        if kind == "DELETED":
            self.enqueue(objects.key(obj))

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        service = self.client.find("services", name, namespace)
        current = self.client.find("endpoints", name, namespace)
        if service is None:
            self._triggers.forget(key)
            if current is not None:
                self.client.delete("endpoints", name, namespace)
            return
        selector = service["spec"].get("selector")
        # Services of type ExternalName, and those whose endpoints someone else keeps, get none from here.
        if service["spec"].get("type") == "ExternalName" or not selector:
            return
        chosen = pods.selected(self._pods, namespace, selector)
        wanted, cut = truncate(subsets(service, chosen))
        trigger = self._triggers.compute(key, service, chosen)
        labels = dict(objects.labels(service))
        labels.pop(serviceendpoints.HEADLESS, None)
        if serviceendpoints.is_headless(service):
            labels[serviceendpoints.HEADLESS] = ""
        labels[MANAGED_BY] = self.name
        if current is not None:
            same = (current.get("subsets") or []) == wanted and objects.labels(current) == labels
            if same and (objects.annotations(current).get(OVER_CAPACITY) == "truncated") == cut:
                return
        annotations = dict(objects.annotations(current)) if current is not None else {}
        annotations.pop(serviceendpoints.TRIGGER_TIME, None)
        annotations.pop(OVER_CAPACITY, None)
        if trigger:
            annotations[serviceendpoints.TRIGGER_TIME] = trigger
        if cut:
            annotations[OVER_CAPACITY] = "truncated"
        if current is not None:
            metadata = {**current["metadata"], "labels": labels}
        else:
            metadata = {"name": name, "namespace": namespace, "labels": labels}
        metadata.pop("annotations", None)
        if annotations:
            metadata["annotations"] = annotations
        made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
        if wanted:
            made["subsets"] = wanted
        if current is not None:
            self.client.update("endpoints", made)
        elif not objects.deleting(service):
            self.client.create("endpoints", made, namespace)
