"""One pod on its node: sandbox, volumes, containers, status, end.

Source: `pkg/kubelet/kubelet.go` (SyncPod, SyncTerminatingPod, SyncTerminatedPod), `pkg/kubelet/pod_workers.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubesim import ids
from kubesim.client import Object
from kubesim.errors import ApiError
from kubesim.files import FileSystem
from kubesim.machinery import objects
from kubesim.node import cni, env, resolvconf, static, status, volumes
from kubesim.node.container import Container
from kubesim.programs import entry
from kubesim.world import Task

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.node.kubelet import Kubelet

# What making a pod's namespaces and network takes, in seconds: at least, and more by chance.
SANDBOX = (0.2, 0.2)
# reconciler: a volume that cannot be set up is tried again after 0.5 s, doubled up to two minutes.
FIRST_MOUNT_RETRY = 0.5
LONGEST_MOUNT_RETRY = 122.0
PATIENCE = 8.0


@dataclass(slots=True)
class Sandbox:
    """The pod's network namespace and names.  `own` is False on the node's network."""

    host: Host
    address: str
    hostname: str
    own: bool


class PodWorker:
    """See the module.  `pod` is the object as last seen; a static pod's is the one from its file."""

    def __init__(self, kubelet: Kubelet, pod: Object, static: bool = False) -> None:
        self.kubelet = kubelet
        self.world = kubelet.world
        self.pod = pod
        self.static = static
        self.sandbox: Sandbox | None = None
        self.started = self.world.now
        spec = pod["spec"]
        self.init = [Container(self, each, init=True) for each in spec.get("initContainers") or ()]
        self.main = [Container(self, each, init=False) for each in spec["containers"]]
        for each in self.main if self.init else ():
            each.state.state = {"waiting": {"reason": status.INITIALIZING}}
        self.ephemeral: list[Container] = []
        self._tasks: list[Task[Any]] = []
        self._volumes: dict[str, volumes.Volume] = {}
        self._overrides: dict[str, Any] = {}
        self._announced = False
        self._terminating = False
        self.finished = False
        self._grace: float | None = None

    def start(self) -> None:
        """Run it; what its status says of an earlier run was before a reboot of the node."""
        shown = self.pod
        if self.static:
            mirror = self.kubelet.client.find("pods", objects.name(self.pod), objects.namespace(self.pod)) or {}
            shown = mirror if objects.annotations(mirror).get(static.MIRROR) == objects.uid(self.pod) else shown
        before = shown.get("status") or {}
        known = {
            each["name"]: each
            for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
            for each in before.get(key) or ()
            if each.get("containerID")
        }
        self.changed()
        if known:
            self.started = ids.parse_timestamp(before["startTime"]) if before.get("startTime") else self.started
            for each in self.containers:
                each.resume(known.get(each.spec["name"], {}))
            self.add_ephemeral(known)
            if self.pod["spec"].get("restartPolicy") == "Never":
                # computePodActions: no second sandbox for a pod that may not restart.
                self.finished = True
                return
            self.event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        self._spawn(self._run(), "sync")

    def _spawn(self, coro: Any, what: str) -> None:
        self._tasks.append(self.world.spawn(coro, f"{objects.key(self.pod)}: {what}"))

    def update(self, found: Object) -> None:
        """Its object has changed in the API."""
        self.pod = found
        specs = {each["name"]: each for kind in ("initContainers", "containers") for each in found["spec"].get(kind) or ()}
        for each in (*self.init, *self.main):
            each.redefine(specs[each.spec["name"]])
        self.add_ephemeral()

    @property
    def address(self) -> str:
        return self.sandbox.address if self.sandbox is not None else ""

    @property
    def containers(self) -> list[Container]:
        return [*self.init, *self.main, *self.ephemeral]

    def find(self, name: str) -> Container | None:
        return next((each for each in self.containers if each.spec["name"] == name), None)

    def event(self, kind: str, reason: str, message: str, field_path: str = "") -> None:
        self.kubelet.recorder.event(self.kubelet.known_as(self), kind, reason, message, field_path)

    # -- coming up ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._mount()
        self.sandbox = await self._make_sandbox()
        self.changed()
        for each in self.init:
            if each.sidecar:
                self._spawn(each.keep(), each.spec["name"])
                while not each.state.started:
                    await self.world.sleep(0.1)
                continue
            code = await each.keep()
            if code:
                # Only with restartPolicy Never: the pod has failed.
                await self._finish()
                return
        for each in self.main:
            if each.state.exit_code is None:
                each.state.state = {"waiting": {"reason": status.CREATING}}
        running = [self.world.spawn(each.keep(), f"{objects.key(self.pod)}: {each.spec['name']}") for each in self.main]
        self._tasks += running
        for task in running:
            await task
        await self._finish()

    async def _finish(self) -> None:
        """All its containers have run to their end (a Job's pod): nothing is left but the record."""
        for each in self.init:
            if each.sidecar:
                await each.stop(self._grace_period())
        self._tear_down()
        self.finished = True
        self.changed()

    def add_ephemeral(self, known: Mapping[str, Object] | None = None) -> None:
        """Start the ephemeral containers that have come into its spec; `known` are statuses from before a reboot."""
        have = {each.spec["name"] for each in self.ephemeral}
        for spec in self.pod["spec"].get("ephemeralContainers") or ():
            if spec["name"] in have or self._terminating or self.finished:
                continue
            found = Container(self, spec, init=False, ephemeral=True)
            found.resume((known or {}).get(spec["name"], {}))
            self.ephemeral.append(found)
            self._spawn(self._run_ephemeral(found), spec["name"])
            self.changed()

    async def _run_ephemeral(self, container: Container) -> None:
        while self.sandbox is None:
            await self.world.sleep(1.0)
        await container.keep()

    async def _mount(self) -> None:
        """Wait until all volumes can be set up."""
        delay = FIRST_MOUNT_RETRY
        while True:
            try:
                source = self.kubelet.volume_source()
                for each in self.pod["spec"].get("volumes") or ():
                    if each["name"] not in self._volumes:
                        self._volumes[each["name"]] = volumes.set_up(self.pod, each, source)
            except volumes.NotReady as error:
                self.event("Warning", "FailedMount", str(error))
                await self.world.sleep(delay, background=delay > PATIENCE)
                delay = min(delay * 2, LONGEST_MOUNT_RETRY)
            else:
                return

    async def _make_sandbox(self) -> Sandbox:
        name, _ = resolvconf.hostname(self.pod, self.kubelet.config)
        if self.pod["spec"].get("hostNetwork"):
            return Sandbox(self.kubelet.machine.net, self.kubelet.config.address, name, own=False)
        delay = 1.0
        while True:
            await self.world.sleep(SANDBOX[0] + SANDBOX[1] * self.world.rng("start").random())
            network = self.kubelet.machine.net.network
            place = objects.key(self.pod)
            # An old pod of that name may still be on its way out.
            host = network.host(place if place not in network.hosts else f"{place}/{objects.uid(self.pod)}", "pod")
            try:
                address = self.kubelet.network.add(host, objects.namespace(self.pod), objects.name(self.pod))
            except cni.NoAddress as error:
                host.shutdown()
                where = f'"{objects.name(self.pod)}_{objects.namespace(self.pod)}"'
                why = f"rpc error: code = Unknown desc = failed to setup network for sandbox of pod {where}: {error}"
                self.event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}")
                await self.world.sleep(delay, background=delay > PATIENCE)
                delay = min(delay * 2, LONGEST_MOUNT_RETRY)
                continue
            self.kubelet.hosts[address] = self
            return Sandbox(host, address, name, own=True)

    # -- what containers ask --------------------------------------------------------------------------------

    def environment(self, spec: Object) -> dict[str, str]:
        """The variables of a container that starts now.  Raises env.ConfigError."""
        enabled = self.pod["spec"].get("enableServiceLinks")
        config = self.kubelet.config
        links = env.service_links(
            self.kubelet.client.list("services"), objects.namespace(self.pod), enabled is None or bool(enabled)
        )
        return env.environment(
            self.pod,
            spec,
            links=links,
            find=self.kubelet.find,
            host_ips=[config.address],
            pod_ips=[self.address] if self.address else [],
            allocatable=self.kubelet.node.allocatable(),
        )

    def furnish(self, files: FileSystem, spec: Object, variables: dict[str, str]) -> None:
        """Put the kubelet's files and the volumes into a container's file system."""
        config, node_files = self.kubelet.config, self.kubelet.machine.files
        dns = resolvconf.for_pod(self.pod, config, resolvconf.parse(_read(node_files, "/etc/resolv.conf")))
        files.write("/etc/resolv.conf", dns.text(config.docker))
        files.write("/etc/hosts", resolvconf.hosts(self.pod, config, self.address, _read(node_files, "/etc/hosts")))
        files.write("/etc/hostname", f"{resolvconf.hostname(self.pod, config)[0]}\n")
        for mount in sorted(spec.get("volumeMounts") or (), key=lambda each: str(each["mountPath"])):
            sub_path = mount.get("subPath") or entry.expand(mount.get("subPathExpr", ""), variables)
            volumes.mount(files, self._volumes[mount["name"]], mount, sub_path)

    def refresh(self) -> None:
        """Write the volumes that the kubelet keeps, as their sources are now.  Raises volumes.NotReady."""
        source = self.kubelet.volume_source()
        for each in self.pod["spec"].get("volumes") or ():
            volume = self._volumes.get(each["name"])
            if volume is not None and volume.kept:
                volumes.write(volume, volumes.written(self.pod, each, source) or {})

    def uses(self, kind: str, name: str) -> bool:
        """Is a ConfigMap ("configMap") or Secret ("secret") of that name in one of its volumes?"""
        for volume in self.pod["spec"].get("volumes") or ():
            parts = [volume, *((volume.get("projected") or {}).get("sources") or ())]
            for each in parts:
                found = each.get(kind) or {}
                if name in (found.get("name"), found.get("secretName")):
                    return True
        return False

    # -- status ---------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something about it is new: report it, once for all that is new at this instant."""
        if not self._announced:
            self._announced = True
            self.world.call_soon(self._report)

    def _report(self) -> None:
        self._announced = False
        self.kubelet.report(self)

    def status(self, pod: Object) -> Object:
        """Its status now; `pod` is as the API has it."""
        config = self.kubelet.config
        return status.pod_status(
            pod,
            now=self.world.now,
            started=self.started,
            minor=config.minor,
            host_ip=config.address,
            address=self.address,
            sandbox=self.sandbox is not None and not self.finished,
            init=[each.state for each in self.init],
            main=[each.state for each in self.main],
            ephemeral=[each.state for each in self.ephemeral],
            overrides=self._overrides,
        )

    # -- going ----------------------------------------------------------------------------------------------

    def _grace_period(self) -> float:
        if self._grace is not None:
            return self._grace
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def terminate(self, grace: float | None = None) -> None:
        """Stop all its containers, tear it down, and tell the kubelet (`gone`).  A shorter grace period later holds."""
        if grace is not None and (self._grace is None or grace < self._grace):
            shorter = self._terminating
            self._grace = grace
            if shorter and grace == 0:
                self.world.spawn(self._kill(), f"{objects.key(self.pod)}: kill")
        if self._terminating:
            return
        self._terminating = True
        self.world.spawn(self._terminate(), f"{objects.key(self.pod)}: terminate")

    async def _kill(self) -> None:
        for each in self.containers:
            await each.stop(0.0)

    async def _terminate(self) -> None:
        running = [each for each in self.containers if each.state.running]
        for each in running:
            each._event("Normal", "Killing", f"Stopping container {each.spec['name']}")
        stops = [
            self.world.spawn(each.stop(self._grace_period()), f"stop {each.spec['name']}")
            for each in [*self.main, *self.ephemeral]
        ]
        for task in stops:
            await task
        # Sidecars outlive those they serve, and go in reverse order (KEP-753).
        for each in reversed(self.init):
            await each.stop(self._grace_period())
        for task in self._tasks:
            task.cancel()
        self._tear_down()
        self.finished = True
        self.kubelet.gone(self)

    def _tear_down(self) -> None:
        if self.sandbox is not None and self.sandbox.own:
            self.kubelet.hosts.pop(self.sandbox.address, None)
            self.kubelet.network.delete(self.sandbox.host, self.sandbox.address)
            self.sandbox.own = False

    def fail(self, reason: str, message: str) -> None:
        """The kubelet will not run it (it does not fit): the pod has failed."""
        self._overrides = {"phase": "Failed", "reason": reason, "message": message}
        self.finished = True
        self.event("Warning", reason, message)
        self.changed()


def write_status(kubelet: Kubelet, worker: PodWorker) -> None:
    """Bring the API's status up to date with the worker's; nothing when it is gone there."""
    known = kubelet.known_as(worker)
    pod = kubelet.client.find("pods", objects.name(worker.pod), objects.namespace(worker.pod))
    if pod is None or objects.uid(pod) != objects.uid(known):
        return
    made = worker.status(pod)
    if made != pod.get("status"):
        try:
            kubelet.client.update("pods", {**pod, "status": made}, "status")
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _read(files: FileSystem, path: str) -> str:
    return files.read(path) if files.is_file(path) else ""
