"""The Node object: registration, capacity, conditions, and the Lease that says that it lives.

Sources: `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus/setters.go`, component-helpers `apimachinery/lease`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kubesim import ids
from kubesim.client import Object
from kubesim.errors import ApiError
from kubesim.node import images
from kubesim.world import Timer

if TYPE_CHECKING:
    from kubesim.node.kubelet import Kubelet

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
# nodeLeaseDurationSeconds, renewed at a quarter of it.
LEASE_SECONDS = 40
RENEW = 10.0
# nodeStatusReportFrequency: so often is an unchanged status written.
STATUS = 300.0

# type, status when all is well, reason, message
CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


class Node:
    """The kubelet's view of its own node."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._world = kubelet.world
        self._config = kubelet.config
        self._transitions: dict[str, str] = {}
        self._stopped = False
        self._timers: dict[str, Timer] = {}

    def start(self) -> None:
        self._stopped = False
        self.register()
        self._renew()
        self._timers["status"] = self._world.call_later(STATUS, self._heartbeat, background=True)

    def stop(self) -> None:
        """The kubelet has died: no heartbeat any more."""
        self._stopped = True
        for each in self._timers.values():
            each.cancel()

    # -- the object -----------------------------------------------------------------------------------------

    def capacity(self) -> dict[str, str]:
        config = self._config
        return {
            "cpu": str(config.cpus),
            "ephemeral-storage": config.storage,
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
            "memory": config.memory,
            "pods": str(config.max_pods),
        }

    def allocatable(self) -> dict[str, str]:
        return self.capacity()

    def labels(self) -> dict[str, str]:
        config = self._config
        found = {
            "beta.kubernetes.io/arch": config.architecture,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": config.architecture,
            "kubernetes.io/hostname": config.node_name,
            "kubernetes.io/os": "linux",
        }
        return dict(sorted({**found, **config.labels}.items()))

    def register(self) -> None:
        """Make the Node, or take over the one that is there."""
        config, client = self._config, self._kubelet.client
        annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true", **config.annotations}
        spec: Object = {}
        if config.pod_cidr:
            spec = {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]}
        if config.provider_id:
            spec["providerID"] = config.provider_id
        if config.taints:
            spec["taints"] = [dict(each) for each in config.taints]
        known = client.find("nodes", config.node_name)
        if known is None:
            known = client.create(
                "nodes",
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": config.node_name, "labels": self.labels(), "annotations": annotations},
                    "spec": spec,
                },
            )
        self.write()

    def write(self) -> None:
        """Write the status as it is now."""
        client = self._kubelet.client
        known = client.find("nodes", self._config.node_name)
        if known is None or self._stopped:
            return
        try:
            client.update("nodes", {**known, "status": self.status(known.get("status") or {})}, "status")
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def status(self, before: Mapping[str, Any]) -> Object:
        """The whole status; a condition keeps its time of transition while it stays."""
        config = self._config
        now = ids.timestamp(self._world.now)
        known: dict[str, Object] = {each["type"]: each for each in before.get("conditions") or ()}
        conditions = []
        for kind, value, reason, message in CONDITIONS:
            old = known.pop(kind, None)
            since = old["lastTransitionTime"] if old is not None and old["status"] == value else now
            conditions.append(
                {
                    "type": kind,
                    "status": value,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": since,
                    "reason": reason,
                    "message": message,
                }
            )
        machine = ids.fnv32a(config.node_name.encode())
        return {
            "capacity": self.capacity(),
            "allocatable": self.allocatable(),
            "conditions": [*known.values(), *conditions],
            "addresses": [
                {"type": "InternalIP", "address": config.address},
                {"type": "Hostname", "address": config.node_name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": f"{machine:08x}" * 4,
                "systemUUID": f"{machine:08x}-0000-4000-8000-{machine:012x}",
                "bootID": f"{machine:08x}-0000-4000-9000-{machine:012x}",
                "kernelVersion": config.kernel,
                "osImage": config.os_image,
                "containerRuntimeVersion": config.runtime,
                "kubeletVersion": config.version,
                "kubeProxyVersion": config.version if config.minor < 31 else "",
                "operatingSystem": "linux",
                "architecture": config.architecture,
            },
            **self._images(),
        }

    def _images(self) -> Object:
        listed = [
            {"names": [self._kubelet.images.image_id(name), name], "sizeBytes": images.size(name)}
            for name in self._kubelet.images.present()
        ]
        return {"images": sorted(listed, key=lambda each: -each["sizeBytes"])} if listed else {}

    # -- heartbeats -----------------------------------------------------------------------------------------

    def _heartbeat(self) -> None:
        self.write()
        self._timers["status"] = self._world.call_later(STATUS, self._heartbeat, background=True)

    def _renew(self) -> None:
        client, name = self._kubelet.client, self._config.node_name
        now = ids.micro_timestamp(self._world.now)
        try:
            lease = client.find(LEASES, name, LEASE_NAMESPACE)
            if lease is not None:
                client.update(LEASES, {**lease, "spec": {**lease["spec"], "renewTime": now}})
            else:
                node = client.get("nodes", name)
                metadata = {
                    "name": name,
                    "namespace": LEASE_NAMESPACE,
                    "ownerReferences": [
                        {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
                    ],
                }
                spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
                client.create(LEASES, body, LEASE_NAMESPACE)
        except ApiError as error:
            # The Node was deleted under it, or the namespace is not there yet: the next turn tries again.
            if error.code not in (404, 409):
                raise
        self._timers["lease"] = self._world.call_later(RENEW, self._renew, background=True)
