"""A pod's status, from what its containers are doing.  Pure.

Sources: `pkg/kubelet/kubelet_pods.go` (generateAPIPodStatus, getPhase), `pkg/kubelet/status/generate.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubesim import ids
from kubesim.client import Object

CREATING = "ContainerCreating"
INITIALIZING = "PodInitializing"


@dataclass(slots=True)
class ContainerState:
    """What the kubelet knows of one container.  `state` and `last` are ContainerState objects of the API."""

    name: str
    image: str
    image_id: str = ""
    container_id: str = ""
    state: Object = field(default_factory=lambda: {"waiting": {"reason": CREATING}})
    last: Object = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    sidecar: bool = False

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def terminated(self) -> Object | None:
        return self.state.get("terminated")

    @property
    def exit_code(self) -> int | None:
        return self.state["terminated"]["exitCode"] if "terminated" in self.state else None

    def as_status(self) -> Object:
        made: Object = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": self.image_id,
        }
        if self.container_id:
            made["containerID"] = self.container_id
        made["started"] = self.started
        return made


def phase(pod: Object, init: list[ContainerState], main: list[ContainerState]) -> str:
    """getPhase."""
    policy = pod["spec"].get("restartPolicy", "Always")
    for each in init:
        if each.exit_code is None:
            if not (each.sidecar and each.started):
                return "Pending"
        elif each.exit_code != 0:
            return "Failed" if policy == "Never" else "Pending"
    running = sum(each.running for each in main)
    codes = [each.exit_code for each in main if each.exit_code is not None]
    # A container that waits to be restarted has run: its last state says so.
    stopped = len(codes) + sum("waiting" in each.state and bool(each.last) for each in main)
    waiting = len(main) - running - stopped
    if waiting:
        return "Pending"
    if running:
        return "Running"
    if policy == "Always" or len(codes) < len(main):
        return "Running"
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def conditions(
    pod: Object, pod_phase: str, sandbox: bool, init: list[ContainerState], main: list[ContainerState], minor: int
) -> list[tuple[str, bool, str, str]]:
    """(type, status, reason, message) of the conditions that the kubelet keeps, in the order in which it writes them."""
    made: list[tuple[str, bool, str, str]] = []
    if minor >= 29:
        made.append(("PodReadyToStartContainers", sandbox, "", ""))
    incomplete = [each.name for each in init if each.exit_code != 0 and not (each.sidecar and each.started)]
    if pod_phase == "Succeeded":
        made.append(("Initialized", True, "PodCompleted", ""))
        made.append(("Ready", False, "PodCompleted", ""))
        made.append(("ContainersReady", False, "PodCompleted", ""))
        return made
    if incomplete:
        made.append(
            (
                "Initialized",
                False,
                "ContainersNotInitialized",
                f"containers with incomplete status: [{' '.join(incomplete)}]",
            )
        )
    else:
        made.append(("Initialized", True, "", ""))
    if pod_phase == "Failed":
        made.append(("Ready", False, "PodFailed", ""))
        made.append(("ContainersReady", False, "PodFailed", ""))
        return made
    unready = [each.name for each in main if not each.ready]
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        made.append(("Ready", False, "ContainersNotReady", message))
        made.append(("ContainersReady", False, "ContainersNotReady", message))
        return made
    true = {each["type"] for each in (pod.get("status") or {}).get("conditions") or () if each["status"] == "True"}
    gates = [each["conditionType"] for each in pod["spec"].get("readinessGates") or ()]
    missing = [each for each in gates if each not in true]
    if missing:
        message = "; ".join(
            f'corresponding condition of pod readiness gate "{each}" does not exist.' for each in missing
        )
        made.append(("Ready", False, "ReadinessGatesNotReady", message))
    else:
        made.append(("Ready", True, "", ""))
    made.append(("ContainersReady", True, "", ""))
    return made


def pod_status(
    pod: Object,
    *,
    now: float,
    started: float,
    minor: int,
    host_ip: str,
    address: str,
    sandbox: bool,
    init: list[ContainerState],
    main: list[ContainerState],
    ephemeral: Sequence[ContainerState] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Object:
    """The whole status.  What others keep there (PodScheduled, readiness gates' conditions) is left as `pod` has it."""
    before = pod.get("status") or {}
    known = {each["type"]: each for each in before.get("conditions") or ()}
    overrides = overrides or {}
    pod_phase = overrides.get("phase") or phase(pod, init, main)
    time = ids.timestamp(now)
    listed = []
    for kind, true, reason, message in conditions(pod, pod_phase, sandbox, init, main, minor):
        value = "True" if true else "False"
        old = known.pop(kind, None)
        made: Object = {"type": kind, "status": value, "lastProbeTime": None}
        if minor >= 34:
            made["observedGeneration"] = pod["metadata"].get("generation", 1)
        made["lastTransitionTime"] = old["lastTransitionTime"] if old and old["status"] == value else time
        if reason:
            made["reason"] = reason
        if message:
            made["message"] = message
        listed.append(made)
    scheduled = known.pop("PodScheduled", None)
    if scheduled is None:
        # A static pod was never scheduled: the kubelet says so itself (status.GeneratePodScheduled... on admission).
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": time}
    listed.append(scheduled)
    status: Object = {"phase": pod_phase, "conditions": [*listed, *known.values()]}
    if minor >= 34:
        status = {"observedGeneration": pod["metadata"].get("generation", 1), **status}
    status["hostIP"] = host_ip
    if minor >= 28:
        status["hostIPs"] = [{"ip": host_ip}]
    if address:
        status["podIP"] = address
        if minor >= 16:
            status["podIPs"] = [{"ip": address}]
    status["startTime"] = ids.timestamp(started)
    if init:
        status["initContainerStatuses"] = [each.as_status() for each in init]
    status["containerStatuses"] = [each.as_status() for each in main]
    if ephemeral:
        status["ephemeralContainerStatuses"] = [
            # No probe tells of them: they are never ready.
            {key: value for key, value in {**each.as_status(), "ready": False}.items() if key != "started"}
            for each in ephemeral
        ]
    for key in ("qosClass", "nominatedNodeName"):
        if before.get(key):
            status[key] = before[key]
    status.update(overrides)
    return status
