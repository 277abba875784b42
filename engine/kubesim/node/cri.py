"""What a node's container runtime would tell about the kubelet's pods: `crictl` reads this.

Source: the CRI's ContainerStatus and PodSandboxStatus (`k8s.io/cri-api/pkg/apis/runtime/v1`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubesim.machinery import objects

if TYPE_CHECKING:
    from kubesim.machine import Machine
    from kubesim.node.kubelet import Kubelet
    from kubesim.node.logs import Log
    from kubesim.node.pod import PodWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A pod's sandbox.  `ready`: its network namespace is there."""

    id: str
    name: str
    namespace: str
    created: str
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """`created` is a time stamp of the API; `machine` and `log` are None for one that has ended."""

    id: str
    image: str
    created: str
    state: str
    name: str
    attempt: int
    sandbox: Sandbox
    machine: Machine | None = None
    log: Log | None = None


def sandboxes(kubelet: Kubelet) -> list[Sandbox]:
    """All pods that have one, the newest first."""
    found = [_sandbox(each) for each in kubelet.workers() if each.sandbox is not None]
    return sorted(found, key=lambda each: each.created, reverse=True)


def containers(kubelet: Kubelet) -> list[Container]:
    """All runs of containers that the runtime still knows, the newest first."""
    found = [each for worker in kubelet.workers() if worker.sandbox is not None for each in _containers(worker)]
    return sorted(found, key=lambda each: each.created, reverse=True)


def _sandbox(worker: PodWorker) -> Sandbox:
    pod = worker.pod
    return Sandbox(
        # The API never shows a sandbox's id: any that stays the same does.
        id=hashlib.sha256(f"sandbox/{objects.uid(pod)}".encode()).hexdigest(),
        name=objects.name(pod),
        namespace=objects.namespace(pod),
        created=pod["metadata"].get("creationTimestamp") or "",
        ready=worker.sandbox is not None and worker.sandbox.host.up,
    )


def _containers(worker: PodWorker) -> list[Container]:
    sandbox = _sandbox(worker)
    found = []
    for each in worker.containers:
        state = each.state
        image = state.image_id.rpartition("sha256:")[2]
        for kind, attempt in ((state.state, state.restarts), (state.last, state.restarts - 1)):
            running, ended = kind.get("running"), kind.get("terminated")
            told = running or ended
            if told is None:
                continue
            current = kind is state.state
            found.append(
                Container(
                    id=told.get("containerID", state.container_id).rpartition("/")[2],
                    image=image,
                    created=told.get("startedAt", ""),
                    state="Running" if running else "Exited",
                    name=each.spec["name"],
                    attempt=max(0, attempt),
                    sandbox=sandbox,
                    machine=each.machine if current else None,
                    log=each.log if current else each.previous,
                )
            )
    return found
