"""The kubelet: the pods that are bound to its node, and its own static ones, kept as they should be.

Source: `pkg/kubelet/kubelet.go` (syncLoop, HandlePodAdditions, HandlePodUpdates, HandlePodRemoves), `pkg/kubelet/server`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kubesim import http
from kubesim.apiserver import messages, wire
from kubesim.client import Client, Handler, Object
from kubesim.errors import ApiError
from kubesim.informer import Informers
from kubesim.machine import Machine
from kubesim.machinery import objects
from kubesim.node import cni, execution, images, logs, node, pod, static, volumes
from kubesim.node.config import KubeletConfig
from kubesim.node.container import Container
from kubesim.recorder import Recorder
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.cluster import Cluster

FINISHED = ("Succeeded", "Failed")
# inotify tells of a changed manifest at once; reading it takes until the next turn of the loop, at most a second.
MANIFEST_DELAY = 1.0
# A changed ConfigMap reaches a running pod's files with the next sync of the pod: syncFrequency is a minute.
REFRESH = (30.0, 60.0)
# What was removed from the API by force still gets a second to end.
REMOVED = 1.0
# Below are the processes that a node has before it has pods.
FIRST_PID = 600


class Kubelet:
    """See the module.  `machine` is its node; it is itself the KubeletApi that the API server passes exec and logs on to."""

    def __init__(self, world: World, client: Client, machine: Machine, config: KubeletConfig, cluster: Cluster) -> None:
        self.world = world
        self.client = client
        self.machine = machine
        machine.kubelet = self
        self.config = config
        self.cluster = cluster
        self.recorder = Recorder(world, client, "kubelet", config.node_name)
        self.images = images.ImageManager(world, config)
        self.network = cni.Plugin(machine.net, config)
        self.node = node.Node(self)
        # The pods by their addresses on the pod network.
        self.hosts: dict[str, pod.PodWorker] = {}
        self._informers = Informers(client)
        self._set_up = False
        self._workers: dict[str, pod.PodWorker] = {}
        self._static: dict[str, pod.PodWorker] = {}
        self._looking = False
        self._running = False
        self._last_pid = FIRST_PID
        # Since when it runs or, once stopped, does not: in seconds of virtual time.
        self.since = world.now

    def start(self) -> None:
        """Register the node, start what its manifests say, and listen for pods.

        Started again after a `stop`, it finds what still runs, ends what was removed meanwhile, and reports the rest.
        """
        if self._running:
            return
        self._running = True
        self.since, self.pid = self.world.now, self.next_pid()
        if not self._set_up:
            self._set_up = True
            self.network.set_up()
            self.machine.files.on_change.append(self._file_changed)
        self.node.start()
        self._informers = Informers(self.client)
        self._informers.of("nodes").on_event(self._node_changed)
        self._informers.of("pods").on_event(self._pod_changed)
        for kind, resource in (("configMap", "configmaps"), ("secret", "secrets")):
            self._informers.of(resource).on_event(self._source_listener(kind))
        self._read_manifests()
        for worker in self.workers():
            known = self.client.find("pods", objects.name(worker.pod), objects.namespace(worker.pod))
            if not worker.static and (known is None or objects.uid(known) != objects.uid(worker.pod)):
                worker.terminate(REMOVED)
            else:
                worker.changed()

    def stop(self) -> None:
        """The kubelet dies: what runs goes on running, and nobody reports it."""
        self._running = False
        self.since = self.world.now
        self.node.stop()
        self._informers.stop()

    @property
    def running(self) -> bool:
        return self._running

    def next_pid(self) -> int:
        """A process number on the node."""
        self._last_pid += 1
        return self._last_pid

    # -- what there is --------------------------------------------------------------------------------------

    def workers(self) -> list[pod.PodWorker]:
        """All pods on the node, static ones first."""
        return [*self._static.values(), *self._workers.values()]

    def worker(self, namespace: str, name: str) -> pod.PodWorker | None:
        """The pod of that name; of two (one on its way out) the newer."""
        found = None
        for each in self.workers():
            if (objects.namespace(each.pod), objects.name(each.pod)) == (namespace, name):
                found = each
        return found

    def container(self, namespace: str, name: str, container: str = "") -> Machine | None:
        """The machine of a running container, by default the pod's first."""
        worker = self.worker(namespace, name)
        if worker is None:
            return None
        found = worker.find(container) if container else worker.main[0]
        return found.machine if found is not None else None

    def known_as(self, worker: pod.PodWorker) -> Object:
        """The pod as the API has it: for a static pod its mirror."""
        if worker.static:
            return static.ensure_mirror(self.client, worker.pod, self.config.node_name) or worker.pod
        return worker.pod

    def find(self, resource: str, name: str, namespace: str) -> Object | None:
        """A ConfigMap or Secret."""
        return self.client.find(resource, name, namespace)

    def volume_source(self) -> volumes.Source:
        return volumes.Source(self.world, self.find, self.machine.files, self.node.allocatable())

    def client_of(self, spec: Object) -> Client:
        """The API in the name of a pod's service account."""
        account = spec["spec"].get("serviceAccountName") or "default"
        return self.cluster.api.client(f"system:serviceaccount:{objects.namespace(spec)}:{account}")

    # -- news -----------------------------------------------------------------------------------------------

    def _node_changed(self, kind: str, found: Object, _before: Object | None) -> None:
        name = objects.name(found)
        if name == self.config.node_name:
            return
        cidr = (found.get("spec") or {}).get("podCIDR")
        listed = (found.get("status") or {}).get("addresses") or ()
        address = next((each["address"] for each in listed if each["type"] == "InternalIP"), None)
        if kind == "DELETED" or not cidr or not address:
            self.network.forget_peer(name)
        else:
            self.network.peer(name, cidr, address)

    def _pod_changed(self, kind: str, found: Object, _before: Object | None) -> None:
        if found["spec"].get("nodeName") != self.config.node_name or not self._running:
            return
        uid = objects.uid(found)
        if static.is_mirror(found):
            self._mirror_changed(kind, found)
            return
        worker = self._workers.get(uid)
        if kind == "DELETED":
            if worker is not None:
                worker.terminate(REMOVED)
        elif objects.deleting(found):
            if worker is None:
                self._remove(found)
            else:
                worker.pod = found
                worker.terminate(float(found["metadata"].get("deletionGracePeriodSeconds") or 0))
        elif worker is not None:
            worker.update(found)
        elif (found.get("status") or {}).get("phase") not in FINISHED:
            self._admit(found)

    def _admit(self, found: Object) -> None:
        worker = self._workers[objects.uid(found)] = pod.PodWorker(self, found)
        wanted = set(_host_ports([worker]))
        taken = set(_host_ports(each for each in self.workers() if each is not worker and not each.finished))
        if wanted & taken:
            why = "node(s) didn't have free ports for the requested pod ports"
            worker.fail("NodePorts", f"Pod was rejected: Predicate NodePorts failed: {why}")
            return
        worker.start()

    def _mirror_changed(self, kind: str, mirror: Object) -> None:
        worker = self._static.get(objects.annotations(mirror)[static.MIRROR])
        if worker is not None and (kind == "DELETED" or objects.deleting(mirror)) and not worker.finished:
            # Deleting the mirror deletes no static pod: it is shown again at once.
            if kind != "DELETED":
                self._remove(mirror)
            else:
                worker.changed()
        elif worker is None and kind != "DELETED":
            self._remove(mirror)

    def _remove(self, found: Object) -> None:
        """Nothing of it runs here any more: let the API forget it."""
        try:
            self.client.delete(
                "pods", objects.name(found), objects.namespace(found), grace_period_seconds=0, uid=objects.uid(found)
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    # -- what workers tell ----------------------------------------------------------------------------------

    def report(self, worker: pod.PodWorker) -> None:
        """Its status has changed."""
        if self._running:
            pod.write_status(self, worker)

    def gone(self, worker: pod.PodWorker) -> None:
        """It has ended for good."""
        self.images.forget(worker.pod)
        if self._static.get(objects.uid(worker.pod)) is worker:
            del self._static[objects.uid(worker.pod)]
            mirror = self.client.find("pods", objects.name(worker.pod), objects.namespace(worker.pod))
            if mirror is not None and objects.annotations(mirror).get(static.MIRROR) == objects.uid(worker.pod):
                self._remove(mirror)
            self._read_manifests()
            return
        self._workers.pop(objects.uid(worker.pod), None)
        if self._running:
            pod.write_status(self, worker)
            self._remove(worker.pod)

    # -- static pods ----------------------------------------------------------------------------------------

    def _file_changed(self, path: str) -> None:
        if path.startswith(self.config.manifests) and not self._looking and self._running:
            self._looking = True
            self.world.call_later(MANIFEST_DELAY, self._read_manifests)

    def _read_manifests(self) -> None:
        """Start what is new and stop what is no more; a changed file is another pod, which waits until the old has gone."""
        self._looking = False
        wanted = static.read(self.machine.files, self.config.manifests, self.config.node_name, self.world.now)
        for uid, worker in self._static.items():
            if uid not in wanted:
                worker.terminate()
        busy = {objects.key(each.pod) for each in self._static.values()}
        for uid, found in wanted.items():
            if uid not in self._static and objects.key(found) not in busy:
                worker = self._static[uid] = pod.PodWorker(self, found, static=True)
                worker.start()

    # -- volumes that change --------------------------------------------------------------------------------

    def _source_listener(self, kind: str) -> Handler:
        def changed(event: str, found: Object, before: Object | None) -> None:
            if event != "MODIFIED" or before is None or before.get("data") == found.get("data"):
                return
            for worker in self.workers():
                same = objects.namespace(worker.pod) == objects.namespace(found)
                if same and worker.uses(kind, objects.name(found)):
                    delay = REFRESH[0] + REFRESH[1] * self.world.rng("refresh").random()
                    self.world.call_later(delay, self._refresh, worker, background=True)

        return changed

    def _refresh(self, worker: pod.PodWorker) -> None:
        try:
            worker.refresh()
        except volumes.NotReady as error:
            worker.event("Warning", "FailedMount", str(error))

    # -- KubeletApi -----------------------------------------------------------------------------------------

    def _container(self, namespace: str, name: str, container: str) -> Container:
        worker = self.worker(namespace, name)
        found = worker.find(container) if worker is not None else None
        if found is None:
            raise ApiError(404, "NotFound", f'container "{container}" not found in pod "{name}_{namespace}"')
        return found

    def _machine(self, namespace: str, name: str, container: str) -> Machine:
        found = self._container(namespace, name, container)
        if found.machine is None:
            raise ApiError(500, "InternalError", f'container not found ("{container}")')
        return found.machine

    def exec(
        self, namespace: str, pod: str, container: str, command: list[str], stdin: bool, tty: bool
    ) -> http.Session:
        """Run a command in a running container."""
        return execution.Exec(self.world, self._machine(namespace, pod, container), command, stdin, tty)

    def attach(self, namespace: str, pod: str, container: str, stdin: bool, tty: bool) -> http.Session:
        """What the container writes from now on, and its standard input."""
        self._machine(namespace, pod, container)
        found = self._container(namespace, pod, container)
        assert found.log is not None
        return execution.Attach(self.world, found.log, found.console, stdin)

    def portforward(self, namespace: str, pod: str, ports: list[int]) -> http.Session:
        """Connections to the pod's own ports."""
        worker = self.worker(namespace, pod)
        if worker is None or worker.sandbox is None:
            raise ApiError(500, "InternalError", f"pod not found: {namespace}/{pod}")
        return execution.PortForward(self.world, worker.sandbox.host, ports)

    def serve(self, method: str, path: str) -> http.Response:
        """What it answers itself on its port 10250 (`pkg/kubelet/server/server.go`): its health and its pods."""
        path = path.partition("?")[0].rstrip("/") or "/"
        if method in ("GET", "HEAD"):
            if path == "/healthz":
                return wire.text("ok")
            if path == "/pods":
                pods = [
                    self.client.find("pods", objects.name(each.pod), objects.namespace(each.pod))
                    for each in self.workers()
                ]
                found = {
                    "kind": "PodList",
                    "apiVersion": "v1",
                    "metadata": {},
                    "items": [each for each in pods if each],
                }
                return wire.answer(found)
        return wire.text("404 page not found\n", 404)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> bytes | http.Stream:
        """What a container has written; `since` is a time in seconds since the epoch."""
        found = self._container(namespace, pod, container)
        log = found.previous if previous else found.log
        if previous and log is None:
            raise messages.bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')
        if log is None:
            reason = found.state.state.get("waiting", {}).get("reason", "")
            if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
                why = "trying and failing to pull image" if reason != "InvalidImageName" else "image can't be pulled"
                raise messages.bad_request(f'container "{container}" in pod "{pod}" is waiting to start: {why}')
            raise messages.bad_request(
                f'container "{container}" in pod "{pod}" is waiting to start: {reason or "ContainerCreating"}'
            )
        if follow and not log.ended:
            return logs.Follow(log, tail, since, timestamps)
        return log.read(0, tail, since, timestamps)


def _host_ports(workers: Iterable[pod.PodWorker]) -> list[tuple[str, int]]:
    """(protocol, port) that pods occupy on the node."""
    return [
        (port.get("protocol", "TCP"), port["hostPort"])
        for worker in workers
        for container in worker.pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
