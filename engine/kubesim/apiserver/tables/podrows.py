"""The row of a pod (printers.go, printPod): what STATUS, READY and RESTARTS sum up."""

from __future__ import annotations

from typing import Any

from kubesim import ids
from kubesim.machinery import durations

Object = dict[str, Any]

NONE = "<none>"


def _since(timestamp: str | None, now: float) -> str:
    return durations.human(now - ids.parse_timestamp(timestamp)) if timestamp else "<unknown>"


def pod(obj: Object, now: float) -> list[Any]:
    spec, status, metadata = obj["spec"], obj.get("status", {}), obj["metadata"]
    summary = _Summary(obj)
    addresses = [each.get("ip", "") for each in status.get("podIPs", ())]
    address = addresses[0] if addresses else status.get("podIP", "")
    gates = NONE
    if spec.get("readinessGates"):
        true = {each["type"] for each in status.get("conditions", ()) if each["status"] == "True"}
        met = sum(gate["conditionType"] in true for gate in spec["readinessGates"])
        gates = f"{met}/{len(spec['readinessGates'])}"
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{summary.restarts} ({_since(summary.last_restart, now)} ago)"
    return [
        metadata.get("name", ""),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        _since(metadata.get("creationTimestamp"), now),
        address or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        gates,
    ]


class _Summary:
    """What a glance at all containers gives.  Init containers come first, and hide the others while they run."""

    def __init__(self, obj: Object) -> None:
        spec, status = obj["spec"], obj.get("status", {})
        self.total = len(spec.get("containers") or ())
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""
        self.reason = status.get("reason") or status.get("phase", "")
        sidecars = {each["name"] for each in spec.get("initContainers", ()) if each.get("restartPolicy") == "Always"}
        self.total += len(sidecars)
        if any(
            each["type"] == "PodScheduled" and each.get("reason") == "SchedulingGated"
            for each in status.get("conditions", ())
        ):
            self.reason = "SchedulingGated"
        if not self._initializing(spec, status, sidecars):
            self._running(status)
        self._deleted(obj)

    def _initializing(self, spec: Object, status: Object, sidecars: set[str]) -> bool:
        found = status.get("initContainerStatuses", ())
        total = len(spec.get("initContainers", ()))
        for index, each in enumerate(found):
            self.restarts += each.get("restartCount", 0)
            self._note_restart(each)
            state = each.get("state", {})
            terminated, waiting = state.get("terminated"), state.get("waiting")
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if each["name"] in sidecars and each.get("started"):
                self.ready += bool(each.get("ready"))
                continue
            if terminated is not None:
                reason = terminated.get("reason")
                if not reason:
                    signal = terminated.get("signal")
                    reason = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"
                self.reason = f"Init:{reason}"
            elif waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{total}"
            return True
        return False

    def _running(self, status: Object) -> None:
        running = False
        restarts = 0
        for each in reversed(status.get("containerStatuses", ())):
            restarts += each.get("restartCount", 0)
            self._note_restart(each)
            state = each.get("state", {})
            waiting, terminated = state.get("waiting"), state.get("terminated")
            if waiting is not None and waiting.get("reason"):
                self.reason = waiting["reason"]
            elif terminated is not None:
                reason = terminated.get("reason")
                if not reason:
                    signal = terminated.get("signal")
                    reason = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"
                self.reason = reason
            elif each.get("ready") and "running" in state:
                running = True
                self.ready += 1
        self.restarts = restarts + (self.restarts if self.restarts else 0)
        if self.reason == "Completed" and running:
            ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))
            self.reason = "Running" if ready else "NotReady"

    def _note_restart(self, each: Object) -> None:
        finished = (each.get("lastState", {}).get("terminated") or {}).get("finishedAt")
        if finished and finished > self.last_restart:
            self.last_restart = finished

    def _deleted(self, obj: Object) -> None:
        if obj["metadata"].get("deletionTimestamp"):
            if obj.get("status", {}).get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif obj.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                self.reason = "Terminating"
