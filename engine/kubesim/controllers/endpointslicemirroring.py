"""Mirroring: Endpoints that somebody wrote by hand for a Service without a selector, as EndpointSlices.

Source: `pkg/controller/endpointslicemirroring`.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers import endpointslice, serviceendpoints
from kubesim.controllers.controller import Controller
from kubesim.machinery import gohash, objects

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# --mirroring-max-endpoints-per-subset's default; a mirrored subset is never split.
PER_SUBSET = 1000


def should_mirror(endpoints: Object) -> bool:
    """Not when it says so, nor when it is some leader's lock."""
    return objects.labels(endpoints).get(SKIP) != "true" and LEADER not in objects.annotations(endpoints)


def groups(endpoints: Object, family: str) -> list[tuple[list[Object], list[Object]]]:
    """(ports, endpoints) of each subset for one family; subsets with the same ports together."""
    found: dict[endpointslice.PortsKey, tuple[list[Object], list[Object]]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [serviceendpoints.endpoint_port(each, each["port"]) for each in subset.get("ports") or ()]
        mirrored = [
            _endpoint(address, ready)
            for field, ready in (("addresses", True), ("notReadyAddresses", False))
            for address in subset.get(field) or ()
            if (":" in address["ip"]) == (family == "IPv6")
        ]
        if mirrored:
            found.setdefault(endpointslice.ports_key(ports), (ports, []))[1].extend(mirrored[:PER_SUBSET])
    return [(sorted(ports, key=gohash.slice_port_hash), mirrored) for ports, mirrored in found.values()]


def _endpoint(address: Object, ready: bool) -> Object:
    made: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "targetRef", "nodeName"):
        if address.get(field):
            made[field] = address[field]
    return made


class EndpointSliceMirroringController(Controller):
    name = "endpoint-slice-mirroring-controller"

    def start(self) -> None:
        self.watch("endpoints")
        services = self.informers.of("services")
        services.on_event(self._service_changed)
        self._slices = self.informers.of(endpointslice.RESOURCE)
        self._slices.index("service", endpointslice.service_of)
        self._slices.on_event(self._slice_changed)

    def _service_changed(self, _kind: str, service: Object, before: Object | None) -> None:
        if before is None or before["spec"].get("selector") != service["spec"].get("selector"):
            self.enqueue(objects.key(service))

    def _slice_changed(self, _kind: str, obj: Object, _before: Object | None) -> None:
        if endpointslice.is_managed(obj, MANAGER):
            self.enqueue(f"{objects.namespace(obj)}/{objects.labels(obj).get(endpointslice.SERVICE_NAME, '')}")

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        existing = [
            each
            for each in self._slices.by("service", (namespace, name))
            if endpointslice.is_managed(each, MANAGER) and not objects.deleting(each)
        ]
        endpoints = self.client.find("endpoints", name, namespace)
        service = self.client.find("services", name, namespace)
        if endpoints is None or service is None or service["spec"].get("selector") or not should_mirror(endpoints):
            for each in existing:
                self.client.delete(endpointslice.RESOURCE, objects.name(each), namespace)
            return
        annotations = {
            field: value
            for field, value in objects.annotations(endpoints).items()
            if field not in (serviceendpoints.TRIGGER_TIME, LAST_APPLIED)
        }
        for family in ("IPv4", "IPv6"):
            wanted = groups(endpoints, family)
            of_family = [each for each in existing if each["addressType"] == family]
            if not wanted:
                made = endpointslice.Plan(delete=of_family)
            else:
                new: Object = {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "generateName": f"{name}-",
                        "namespace": namespace,
                        "labels": endpointslice.labels_for(objects.labels(endpoints), name, MANAGER),
                        **({"annotations": annotations} if annotations else {}),
                        "ownerReferences": [objects.new_controller_ref(endpoints, "Endpoints", "v1")],
                    },
                    "addressType": family,
                }
                made = endpointslice.plan(of_family, wanted, new, PER_SUBSET)
            trigger = objects.annotations(endpoints).get(serviceendpoints.TRIGGER_TIME, "")
            endpointslice.execute(self, made, namespace, trigger)
