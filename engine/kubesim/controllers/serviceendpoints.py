"""From a Service and a pod to an address and its ports: what Endpoints and EndpointSlices have in common.

Sources: `staging/src/k8s.io/endpointslice/util/controller_utils.go`, `pkg/api/v1/pod/util.go` (FindPort),
`endpointslice/util/trigger_time_tracker.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kubesim.client import Object
from kubesim.controllers import pods
from kubesim.controllers.controller import Controller
from kubesim.informer import Informer
from kubesim.machinery import objects

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS = "service.kubernetes.io/headless"


def should_be_in_endpoints(pod: Object, terminating_too: bool) -> bool:
    """ShouldPodBeInEndpoints: it has an address, is not finished, and (unless asked otherwise) is not terminating."""
    status = pod.get("status") or {}
    if status.get("phase") in pods.FINISHED:
        return False
    if not status.get("podIP") and not status.get("podIPs"):
        return False
    return terminating_too or not objects.deleting(pod)


def hostname(pod: Object, service: Object) -> str:
    """The name under which the pod is found below the Service's: ShouldSetHostname."""
    spec = pod["spec"]
    name = spec.get("hostname") or ""
    same = spec.get("subdomain") == objects.name(service) and objects.namespace(pod) == objects.namespace(service)
    return name if same else ""


def addresses(pod: Object, family: str) -> list[str]:
    """The pod's addresses of a family ("IPv4" or "IPv6")."""
    status = pod.get("status") or {}
    listed = [each["ip"] for each in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return [each for each in listed if each and (":" in each) == (family == "IPv6")]


def find_port(pod: Object, port: Object) -> int | None:
    """The number of a ServicePort's targetPort on this pod; None when the pod has no port of that name and protocol."""
    target = port.get("targetPort")
    if isinstance(target, int):
        return target or port["port"]
    if not target:
        return port["port"]
    spec = pod["spec"]
    # Sidecars (init containers that always restart) serve ports as well.
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in [*spec["containers"], *sidecars]:
        for each in container.get("ports") or ():
            if each.get("name") == target and each.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return each["containerPort"]
    return None


def endpoint_port(port: Object, number: int) -> Object:
    """The entry of `ports` in an Endpoints subset or an EndpointSlice for a ServicePort.  A slice names every port."""
    made: Object = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
    if port.get("appProtocol"):
        made["appProtocol"] = port["appProtocol"]
    return made


def is_headless(service: Object) -> bool:
    """Not IsServiceIPSet: no cluster IP, on purpose or not yet."""
    return service["spec"].get("clusterIP", "") in ("", "None")


def families(service: Object) -> list[str]:
    """The address families that a Service wants, as "IPv4", "IPv6"."""
    listed = service["spec"].get("ipFamilies")
    if listed:
        return list(listed)
    return ["IPv6" if ":" in service["spec"].get("clusterIP", "") else "IPv4"]


def services_of(services: Informer, pod: Object) -> list[Object]:
    """The Services whose selector selects the pod; needs the index "namespace"."""
    labels = objects.labels(pod).items()
    return [
        each
        for each in services.by("namespace", objects.namespace(pod))
        if (selector := each["spec"].get("selector")) and selector.items() <= labels
    ]


def relevant(pod: Object) -> tuple[object, ...]:
    """What of a pod can change an endpoint (podEndpointsChanged): when none of this differs, nothing is to be done."""
    spec, status, metadata = pod["spec"], pod.get("status") or {}, pod["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("labels"),
        "deletionTimestamp" in metadata,
        status.get("phase") in pods.FINISHED,
        pods.is_ready(pod),
        status.get("podIP"),
        status.get("podIPs"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


@dataclass(slots=True)
class _Seen:
    service: str = ""
    pods: dict[str, str] = field(default_factory=dict)


class TriggerTimes:
    """When the change came about that an Endpoints or EndpointSlice now shows, for those who measure the delay."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def compute(self, key: str, service: Object, chosen: list[Object]) -> str:
        """The earliest time, of all that changed since the last call; "" when nothing did."""
        seen = self._seen.setdefault(key, _Seen())
        changed = []
        times = {}
        for pod in chosen:
            ready = pods.condition(pod, "Ready")
            when = (ready.get("lastTransitionTime") if ready else "") or ""
            if when:
                times[objects.name(pod)] = when
                if when > seen.pods.get(objects.name(pod), ""):
                    changed.append(when)
        created = service["metadata"].get("creationTimestamp", "")
        if created > seen.service:
            changed.append(created)
        seen.service, seen.pods = created, times
        return min(changed, default="")

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


class Follower(Controller):
    """A loop whose keys are Services, and whose work is due when one of them or a pod that it selects changes."""

    def follow(self) -> None:
        """Begin to listen; `start` calls it first."""
        self._triggers = TriggerTimes()
        self._services = self.watch("services")
        self._services.index("namespace", pods.namespaces)
        self._pods = self.informers.of("pods")
        self._pods.index("labels", pods.label_values)
        self._pods.on_event(self._pod_changed)

    def _pod_changed(self, kind: str, pod: Object, before: Object | None) -> None:
        if before is not None and kind != "DELETED":
            if relevant(before) == relevant(pod):
                return
            for service in services_of(self._services, before):
                self.enqueue(objects.key(service))
        for service in services_of(self._services, pod):
            self.enqueue(objects.key(service))
