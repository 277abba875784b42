"""The control loops of kube-controller-manager, one file each.

Belongs here: what brings the stored state nearer to the wished one - by the API alone.  Never here: the store, the server,
a node, a packet; and no loop knows of another: they meet in the objects.

`REGISTRY` says which loops exist; `start_all` starts them, but for those that kube-controller-manager's flag
`--controllers` turns off (`*,-garbage-collector-controller`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubesim.client import Client
from kubesim.controllers import (
    clusterroleaggregation,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    garbagecollector,
    job,
    namespace,
    nodeipam,
    nodelifecycle,
    persistentvolume,
    podgc,
    replicaset,
    replicationcontroller,
    rootca,
    serviceaccount,
    statefulset,
    ttl,
)
from kubesim.controllers.controller import Controller
from kubesim.errors import LearnerError
from kubesim.informer import Informers
from kubesim.world import World

# By the names that --controllers takes (`cmd/kube-controller-manager/names/controller_names.go`), in upstream's order of start.
REGISTRY: dict[str, type[Controller]] = {
    "serviceaccount-controller": serviceaccount.ServiceAccountController,
    "replicationcontroller-controller": replicationcontroller.ReplicationControllerController,
    "endpoints-controller": endpoints.EndpointsController,
    "endpointslice-controller": endpointslice.EndpointSliceController,
    "endpointslice-mirroring-controller": endpointslicemirroring.EndpointSliceMirroringController,
    "pod-garbage-collector-controller": podgc.PodGCController,
    "namespace-controller": namespace.NamespaceController,
    "garbage-collector-controller": garbagecollector.GarbageCollector,
    "daemonset-controller": daemonset.DaemonSetController,
    "statefulset-controller": statefulset.StatefulSetController,
    "job-controller": job.JobController,
    "disruption-controller": disruption.DisruptionController,
    "cronjob-controller": cronjob.CronJobController,
    "deployment-controller": deployment.DeploymentController,
    "replicaset-controller": replicaset.ReplicaSetController,
    "ttl-controller": ttl.TTLController,
    "node-ipam-controller": nodeipam.NodeIpamController,
    "node-lifecycle-controller": nodelifecycle.NodeLifecycleController,
    "clusterrole-aggregation-controller": clusterroleaggregation.ClusterRoleAggregationController,
    "persistentvolume-binder-controller": persistentvolume.PersistentVolumeController,
    "root-ca-certificate-publisher-controller": rootca.RootCAPublisher,
}


def start_all(
    world: World,
    client_for: Callable[[str], Client],
    flags: Mapping[str, str] | None = None,
    version: str = "v1.36.2",
    certificate: str = "",
) -> list[Controller]:
    """Start the loops; each has a client of its own name, all share one set of informers.

    `flags` are kube-controller-manager's, without dashes; `certificate` is the text of its --root-ca-file.
    """
    flags = flags or {}
    minor = int(version.lstrip("v").split(".")[1])
    informers = Informers(client_for("kube-controller-manager"))
    started = []
    for name in enabled(flags.get("controllers", "*")):
        kind = REGISTRY[name]
        client = client_for(kind.name)
        if kind is rootca.RootCAPublisher:
            made: Controller = rootca.RootCAPublisher(world, client, informers, minor, certificate)
        else:
            made = kind(world, client, informers, minor)
        made.start()
        if isinstance(made, nodeipam.NodeIpamController) and flags.get("allocate-node-cidrs") == "true":
            made.allocate(flags["cluster-cidr"])
        started.append(made)
    return started


def enabled(text: str) -> list[str]:
    """The loops that a `--controllers` value leaves on: `*` all, `name` one, `-name` not that one."""
    parts = [each for each in text.split(",") if each]
    for part in parts:
        if part != "*" and part.removeprefix("-") not in REGISTRY:
            raise LearnerError(
                f'"{part.removeprefix("-")}" is not in the list of known controllers', ", ".join(REGISTRY)
            )
    return [name for name in REGISTRY if f"-{name}" not in parts and (name in parts or "*" in parts)]
