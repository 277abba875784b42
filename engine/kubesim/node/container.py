"""One container of a pod, over all its runs: pull, start, probe, restart, stop.

Source: `pkg/kubelet/kuberuntime` (kuberuntime_container.go, kuberuntime_manager.go), `pkg/kubelet/kubelet.go` for the
back-off: a container that ends comes back at once the first time, then after 10 s, 20 s, 40 s ... 5 minutes; a run of ten
minutes makes it forget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import ids
from kubesim.client import Object
from kubesim.errors import LearnerError
from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.machinery import durations, objects
from kubesim.node import env, images, logs, probes
from kubesim.node.console import Console
from kubesim.node.status import CREATING, ContainerState
from kubesim.programs import entry
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled, Future, Task, TimedOut

if TYPE_CHECKING:
    from kubesim.node.pod import PodWorker

FIRST_BACKOFF = 10.0
LONGEST_BACKOFF = 300.0
FORGET = 600.0
# Somebody may wait for the first returns of a container; one that crashes on and on has come to rest as doing so.
PATIENCE = 20.0
# What a runtime needs to make and start a container, in seconds: at least, and more by chance.
START = (0.15, 0.25)
# How long a container is shown with the error itself before it is shown as backing off: until the kubelet's next look.
SHOWN = 2.0
# Linux: 128 + SIGKILL, 128 + SIGTERM.
KILLED, TERMINATED = 137, 143
# What containerd says of a container that it lost sight of (`unknownExitCode`).
LOST = 255
MESSAGE_LIMIT = 4096
FALLBACK_LINES = 80


class CannotStart(Exception):
    """`reason` is the waiting reason (CreateContainerConfigError, RunContainerError, ...)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Container:
    """See the module.  `spec` is the container's in the pod's spec; an `ephemeral` one runs once."""

    def __init__(self, pod: PodWorker, spec: Object, init: bool, ephemeral: bool = False) -> None:
        self.pod = pod
        self.spec = spec
        self.init = init
        self.ephemeral = ephemeral
        self.sidecar = init and spec.get("restartPolicy") == "Always"
        kubelet = pod.kubelet
        self.world = kubelet.world
        self.state = ContainerState(name=spec["name"], image=kubelet.images.shown(spec["image"]), sidecar=self.sidecar)
        self.machine: Machine | None = None
        self.log: logs.Log | None = None
        self.previous: logs.Log | None = None
        self.console: Console | None = None
        # Its process number on the node.
        self.pid = 0
        self._task: Task[int] | None = None
        self._exited: Future[int] = self.world.future()
        self._kill_code: int | None = None
        self._began = 0.0
        self._delay = 0.0
        self._runs = 0
        self._probes: list[Task[None]] = []
        self._stopping = False
        # Resolved, it ends a back-off before its time; `_redefined`: the next end is by a new definition.
        self._woken: Future[None] = self.world.future()
        self._redefined = False

    @property
    def field_path(self) -> str:
        field = "ephemeralContainers" if self.ephemeral else "initContainers" if self.init else "containers"
        return f"spec.{field}{{{self.spec['name']}}}"

    def _event(self, kind: str, reason: str, message: str) -> None:
        self.pod.event(kind, reason, message, self.field_path)

    def _waiting(self, reason: str, message: str = "") -> None:
        self.state.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.pod.changed()

    # -- its life -------------------------------------------------------------------------------------------

    def resume(self, known: Object) -> None:
        """It ran before its node was rebooted; `known` is its ContainerStatus of then.  What ran was ended by the reboot."""
        if not known.get("containerID"):
            return
        self._runs = known.get("restartCount", 0) + 1
        ended = dict((known.get("state") or {}).get("terminated") or {})
        if not ended:
            began = ((known.get("state") or {}).get("running") or {}).get("startedAt", ids.timestamp(self.world.now))
            ended = {
                "exitCode": LOST,
                "reason": "Unknown",
                "startedAt": began,
                "finishedAt": ids.timestamp(self.world.now),
                "containerID": known["containerID"],
            }
        self.state.restarts = known.get("restartCount", 0)
        self.state.image_id, self.state.container_id = known.get("imageID", ""), known["containerID"]
        if self.init or self._comes_back(ended["exitCode"]):
            self.state.last = {"terminated": ended}
        else:
            self.state.state = {"terminated": ended}

    async def keep(self) -> int:
        """Run it, again and again as its restart policy says; the exit code of the last run."""
        if self.state.exit_code is not None:
            # A reboot found it at its end (`resume`).
            return self.state.exit_code
        while True:
            if not await self._start():
                continue
            code = await self._exited
            if self._stopping or not (self._redefined or self._comes_back(code)):
                return code
            self._redefined = False
            await self._back_off()

    def redefine(self, spec: Object) -> None:
        """The pod's spec has changed.  Of a container that is its image alone (`kubectl set image`): it is started anew with
        the other one, and a back-off for the old one is over (upstream: computePodActions; the keys of both back-offs)."""
        if spec["image"] == self.spec["image"]:
            return
        self.spec = spec
        self.state.image = self.pod.kubelet.images.shown(spec["image"])
        self._delay = 0.0
        self._woken.resolve(None)
        if self._task is not None and not self._task.done:
            self._redefined = True
            self._event("Normal", "Killing", f"Container {spec['name']} definition changed, will be restarted")
            grace = float(self.pod.pod["spec"].get("terminationGracePeriodSeconds", 30))
            self.world.spawn(self.stop(grace, forever=False), f"{spec['name']}: redefined")

    async def _rest(self, seconds: float, background: bool = True) -> None:
        """Sleep, unless a new definition comes."""
        woken = self._woken = self.world.future()
        timer = self.world.call_later(seconds, lambda: woken.resolve(None), background=background)
        await woken
        timer.cancel()

    def _comes_back(self, code: int) -> bool:
        policy = self.pod.pod["spec"].get("restartPolicy", "Always")
        if self.ephemeral:
            return False
        if self.sidecar:
            return True
        if self.init:
            return code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    async def _start(self) -> bool:
        """One attempt; False when it did not come to run (it has waited out its back-off then)."""
        try:
            pulled = await self._pull()
        except images.CannotPull as error:
            await self._pull_failed(error)
            return False
        try:
            process, image = self._make(pulled.image)
            # A runtime does one thing at a time for a pod.
            await self.world.sleep(START[0] + START[1] * self.world.rng("start").random())
            self._event("Normal", "Created", self._created_words())
            await self._run(process, image)
        except CannotStart as error:
            self._event("Warning", "Failed", f"Error: {error.message}")
            self._waiting(error.reason, error.message)
            await self.world.sleep(FIRST_BACKOFF, background=self._delay > PATIENCE)
            self._delay = min(self._delay * 2, LONGEST_BACKOFF) if self._delay else FIRST_BACKOFF
            return False
        return True

    def _created_words(self) -> str:
        return f"Created container{':' if self.pod.kubelet.config.minor >= 31 else ''} {self.spec['name']}"

    async def _pull(self) -> images.Pulled:
        manager, name = self.pod.kubelet.images, self.spec["image"]
        policy = self.spec.get("imagePullPolicy", "IfNotPresent")
        if policy == "Always" or (policy == "IfNotPresent" and not manager.has(name)):
            self._event("Normal", "Pulling", f'Pulling image "{name}"')
        pulled = await manager.pull(name, policy)
        self._event("Normal", "Pulled", manager.pulled_message(name, pulled))
        return pulled

    async def _pull_failed(self, error: images.CannotPull) -> None:
        name, minor = self.spec["image"], self.pod.kubelet.config.minor
        if error.reason == "ErrImagePull":
            self._event("Warning", "Failed", f'Failed to pull image "{name}": {error.message}')
        else:
            kind = "InspectFailed" if error.reason == "InvalidImageName" else error.reason
            self._event("Warning", kind, error.message)
        self._event("Warning", "Failed", f"Error: {error.reason}")
        self._waiting(error.reason, error.message)
        if error.reason != "ErrImagePull":
            await self._rest(FIRST_BACKOFF)
            return
        delay = self.pod.kubelet.images.failed(self.pod.pod, name)
        await self.world.sleep(SHOWN)
        words = f'Back-off pulling image "{name}"'
        detail = f"{words}: ErrImagePull: {error.message}" if minor >= 31 else words
        self._event("Normal", "BackOff", words)
        self._event("Warning", "Failed", "Error: ImagePullBackOff")
        self._waiting("ImagePullBackOff", detail)
        # It has come to rest: nothing gets better by waiting, unless somebody does something.
        await self._rest(max(0.0, delay - SHOWN))

    def _make(self, image: Image) -> tuple[Process, Image]:
        """The container's machine and process.  Raises CannotStart."""
        try:
            variables = self.pod.environment(self.spec)
        except env.ConfigError as error:
            raise CannotStart("CreateContainerConfigError", str(error)) from None
        variables = {**image.env, **variables}
        sandbox = self.pod.sandbox
        assert sandbox is not None
        files = FileSystem(image.files, clock=lambda: self.world.now)
        for folder in ("/tmp", "/root", "/etc", "/dev", image.workdir):
            files.mkdir(folder, parents=True)
        self.pod.furnish(files, self.spec, variables)
        user = image.user or "root"
        machine = Machine(
            world=self.world,
            name=f"{objects.key(self.pod.pod)}/{self.spec['name']}",
            hostname=sandbox.hostname,
            kind="container",
            net=sandbox.host,
            files=files,
            env=variables,
            user=user,
            home="/root" if user == "root" else "/",
            cwd=self.spec.get("workingDir") or image.workdir,
            tools=image.tools,
        )
        self.previous, self.log = self.log, logs.Log(self.world)
        self.machine = machine
        self.console = None
        if self.spec.get("stdin"):
            tty, once = bool(self.spec.get("tty")), bool(self.spec.get("stdinOnce"))
            self.console = Console(self.world, self.log, tty, once)
        process = Process(
            machine=machine,
            console=self.console,
            args=image.argv(self.spec, variables),
            log=self.log.write,
            pod=self.pod.pod,
            spec=self.spec,
            node=self.pod.kubelet.machine,
            api=self.pod.kubelet.client_of(self.pod.pod),
            cluster=self.pod.kubelet.cluster,
        )
        return process, image

    async def _run(self, process: Process, image: Image) -> None:
        config = self.pod.kubelet.config
        rng = self.world.rng("uids")
        self.state.container_id = f"{config.runtime.partition(':')[0]}://{rng.getrandbits(256):064x}"
        self.state.image_id = self.pod.kubelet.images.image_id(self.spec["image"])
        self._kill_code = None
        self._exited = self.world.future()
        self.state.restarts = self._runs
        self._runs += 1
        self.pid = self.pod.kubelet.next_pid()
        wrapped = bool(image.wrapper and process.args and process.args[0].endswith(image.wrapper))
        process.machine.argv, process.machine.born = process.args[wrapped:], self.world.now
        task = self._task = self.world.spawn(image.main(process), process.machine.name)
        task.retrieved = True
        await self.world.sleep(0)
        if task.done:
            # Only what the runtime itself refuses ends before it has begun.
            try:
                task.result()
            except entry.CannotStart as refusal:
                raise self._refused(str(refusal)) from None
            except (LearnerError, OSError, Cancelled):
                # The program's own end: `_ended` is told of it below, as it would be later.
                self._began = self.world.now
        self._event("Normal", "Started", f"Started container {self.spec['name']}")
        self._began = self.world.now
        self.state.state = {"running": {"startedAt": ids.timestamp(self.world.now)}}
        self.state.started = self.spec.get("startupProbe") is None
        self.state.ready = False
        task.on_done(self._ended)
        if (self.spec.get("lifecycle") or {}).get("postStart"):
            await self._hook("postStart", 30.0)
        self._start_probes()
        self.pod.changed()

    def _refused(self, why: str) -> CannotStart:
        """The runtime could not exec the command: StartError, exit code 128."""
        if self.pod.kubelet.config.docker:
            message = (
                f'failed to start container "{self.spec["name"]}": Error response from daemon: OCI runtime create failed: '
                f'container_linux.go:346: starting container process caused "{why}": unknown'
            )
        else:
            message = (
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
                f"failed: unable to start container process: error during container init: {why}"
            )
        now = ids.timestamp(self.world.now)
        self.state.last = {
            "terminated": {
                "exitCode": 128,
                "reason": "StartError",
                "message": message,
                "startedAt": "1970-01-01T00:00:00Z",
                "finishedAt": now,
                "containerID": self.state.container_id,
            }
        }
        return CannotStart("RunContainerError", message)

    def _ended(self, task: Any) -> None:
        """The program has ended: what its exit code is, and what the kubelet notes down."""
        assert self.log is not None
        try:
            code = int(task.result() or 0)
        except Cancelled:
            code = self._kill_code or TERMINATED
        except entry.CannotStart as refusal:
            self.log.write(str(refusal))
            code = 127
        except LearnerError as error:
            # What the program would say to whoever runs it (an unknown flag, a rule that is not simulated).
            self.log.write(str(error))
            code = 1
        except OSError as error:
            self.log.write(str(error))
            code = 1
        self._stop_probes()
        if self.console is not None:
            self.console.end()
        self.log.end()
        if self.machine is not None:
            self.machine.files.unmount_all()
        self.machine = None
        terminated: Object = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": ids.timestamp(self._began),
            "finishedAt": ids.timestamp(self.world.now),
            "containerID": self.state.container_id,
        }
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            terminated["message"] = self.log.tail(FALLBACK_LINES)[-MESSAGE_LIMIT:]
        self.state.state = {"terminated": terminated}
        self.state.ready = self.init and code == 0
        self.state.started = False
        self.pod.changed()
        self._exited.resolve(code)

    async def _back_off(self) -> None:
        """Wait before the next run: not at all the first time."""
        if self.world.now - self._began >= FORGET:
            self._delay = 0.0
        delay, self._delay = self._delay, min(self._delay * 2, LONGEST_BACKOFF) if self._delay else FIRST_BACKOFF
        ended = self.state.state["terminated"]
        if not delay:
            self.state.last = {"terminated": ended}
            return
        # The kubelet's next look finds it dead and backing off.
        await self.world.sleep(1.0)
        self.state.last = {"terminated": ended}
        pod = self.pod.pod
        where = f"{objects.name(pod)}_{objects.namespace(pod)}({objects.uid(pod)})"
        name = self.spec["name"]
        self._event(
            "Warning",
            "BackOff",
            f"Back-off restarting failed container {name} in pod {where}"
            if self.pod.kubelet.config.minor >= 27
            else "Back-off restarting failed container",
        )
        self._waiting(
            "CrashLoopBackOff", f"back-off {durations.format(delay)} restarting failed container={name} pod={where}"
        )
        await self._rest(delay - 1.0, background=delay > PATIENCE)
        self.state.state = {"waiting": {"reason": CREATING}}

    # -- stopping -------------------------------------------------------------------------------------------

    async def stop(self, grace: float, forever: bool = True) -> None:
        """preStop, SIGTERM, and SIGKILL when the grace period is over.  `forever`: it does not come back."""
        self._stopping = self._stopping or forever
        task = self._task
        if task is None or task.done:
            return
        self._stop_probes()
        deadline = self.world.now + grace
        if (self.spec.get("lifecycle") or {}).get("preStop") and grace > 0:
            await self._hook("preStop", grace)
        if task.done:
            return
        if grace > 0:
            task.cancel()
            try:
                # minimumGracePeriodInSeconds: whatever preStop took, SIGTERM gets two seconds to be heard.
                await self._gone(max(2.0, deadline - self.world.now))
            except TimedOut:
                self._kill_code = KILLED
        else:
            self._kill_code = KILLED
        while not task.done:
            task.cancel()
            await self.world.sleep(0)

    async def _gone(self, seconds: float) -> None:
        gone: Future[None] = self.world.future()
        self._exited.on_done(lambda _f: gone.resolve(None))
        await self.world.wait_for(gone, seconds)

    async def _hook(self, name: str, limit: float) -> None:
        """A lifecycle hook.  A failed postStart kills the container; a failed preStop is only told."""
        given = self.spec["lifecycle"][name]
        try:
            if given.get("sleep"):
                await self.world.wait_for(self.world.sleep(float(given["sleep"]["seconds"])), limit)
            else:
                await self.world.wait_for(probes.check({**given, "timeoutSeconds": limit}, self._target()), limit)
        except (probes.Failed, TimedOut) as error:
            word = "PostStart" if name == "postStart" else "PreStop"
            self._event("Warning", f"Failed{word}Hook", f"{word}Hook failed: {error}")
            if name == "postStart" and self._task is not None:
                self._event("Normal", "Killing", "FailedPostStartHook")
                self._kill_code = KILLED
                self._task.cancel()

    # -- probes ---------------------------------------------------------------------------------------------

    def _target(self) -> probes.Target:
        assert self.machine is not None
        kubelet = self.pod.kubelet
        ports = {each["name"]: each["containerPort"] for each in self.spec.get("ports") or () if each.get("name")}
        return probes.Target(
            node=kubelet.machine.net,
            address=self.pod.address or kubelet.config.address,
            machine=self.machine,
            ports=ports,
            quoted=kubelet.config.minor >= 19,
        )

    def _start_probes(self) -> None:
        if self.init and not self.sidecar:
            return
        if self.spec.get("startupProbe"):
            self._probe("startup", self._startup_result)
        else:
            self._start_steady_probes()

    def _start_steady_probes(self) -> None:
        if self.spec.get("livenessProbe"):
            self._probe("liveness", self._liveness_result)
        if self.spec.get("readinessProbe"):
            self._probe("readiness", self._readiness_result)
        else:
            self.state.ready = True

    def _probe(self, kind: str, on_result: Any) -> None:
        title = kind.capitalize()

        def failed(message: str) -> None:
            self._event("Warning", "Unhealthy", f"{title} probe failed: {message}")

        coro = probes.keep(self.world, kind, self.spec[f"{kind}Probe"], self._target(), on_result, failed)
        self._probes.append(self.world.spawn(coro, f"{self.spec['name']} {kind} probe"))

    def _stop_probes(self) -> None:
        for task in self._probes:
            task.cancel()
        self._probes = []
        self.state.ready = False

    def _startup_result(self, good: bool, _message: str) -> bool:
        if good:
            self.state.started = True
            self._start_steady_probes()
            self.pod.changed()
        else:
            self._unhealthy("startup")
        return False

    def _readiness_result(self, good: bool, _message: str) -> bool:
        self.state.ready = good
        self.pod.changed()
        return True

    def _liveness_result(self, good: bool, _message: str) -> bool:
        if not good:
            self._unhealthy("liveness")
        return good

    def _unhealthy(self, kind: str) -> None:
        """Kill it, and let its restart policy decide."""
        self._event("Normal", "Killing", f"Container {self.spec['name']} failed {kind} probe, will be restarted")
        probe = self.spec.get(f"{kind}Probe") or {}
        pod_grace = self.pod.pod["spec"].get("terminationGracePeriodSeconds", 30)
        grace = float(probe.get("terminationGracePeriodSeconds") or pod_grace)
        self.world.spawn(self.stop(grace, forever=False), f"{self.spec['name']}: kill")
