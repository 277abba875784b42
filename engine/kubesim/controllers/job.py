"""Job: pods that run to their end, so many times, with a limit to how often they may fail.

Source: `pkg/controller/job/job_controller.go`, `indexed_job_utils.go`.  Left out, and said: pod failure and success policies,
back-off limits per index, and counts that outlive the counted: pods carry the tracking finalizer until they are counted, but
a counted pod that somebody deletes before its Job has ended is run again.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers import claims, pods
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects

RESOURCE = "jobs.batch"
FINALIZER = "batch.kubernetes.io/job-tracking"
# JobTrackingWithFinalizers is always on.
TRACKED_SINCE = 26
INDEX = "batch.kubernetes.io/job-completion-index"
# DefaultJobPodFailureBackOff, MaxJobPodFailureBackOff.
FIRST_BACKOFF = 10.0
LONGEST_BACKOFF = 600.0


def finished(job: Object) -> bool:
    """Has it the condition Complete or Failed?"""
    return any(pods.condition(job, kind) is not None for kind in ("Complete", "Failed"))


def index_of(pod: Object) -> int:
    text = objects.annotations(pod).get(INDEX, "")
    return int(text) if text.isdecimal() else -1


def intervals(numbers: set[int]) -> str:
    """ "0-2,5" of completed indexes."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


class JobController(Controller):
    name = "job-controller"

    def start(self) -> None:
        self.watch(RESOURCE)
        self._pods = self.watch_owned("pods", "Job")

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        job = self.client.find(RESOURCE, name, namespace)
        if job is None or objects.deleting(job):
            self._release_orphans(namespace, name)
            return
        if finished(job):
            self._release(self._pods.by("owner", objects.uid(job)))
            self._forget(key, job)
            return
        mine = claims.claim(self.client, self._pods, "pods", job, job["spec"]["selector"])
        active = [pod for pod in mine if pods.is_active(pod)]
        succeeded = [pod for pod in mine if pods.phase(pod) == "Succeeded"]
        failed = [pod for pod in mine if pods.phase(pod) == "Failed"]
        status = {key: value for key, value in (job.get("status") or {}).items() if key == "conditions"}
        suspended = bool(job["spec"].get("suspend"))
        started = (job.get("status") or {}).get("startTime") or ids.timestamp(self.world.now)
        if not suspended:
            status["startTime"] = started
        verdict = self._verdict(job, active, succeeded, failed, started)
        if verdict is not None or suspended:
            for pod in active:
                self._delete(job, pod)
            active = []
        else:
            active += self._manage(job, active, succeeded, failed)
        self._report(job, status, mine, active, succeeded, failed, verdict)
        self._release(pod for pod in mine if not pods.is_active(pod))

    def _release(self, counted: Iterable[Object]) -> None:
        """Nothing depends on these any more: let them go."""
        for pod in counted:
            # As it is now: it may have gone since the informer heard of it.
            known = self.client.find("pods", objects.name(pod), objects.namespace(pod))
            finalizers = (known or pod)["metadata"].get("finalizers") or ()
            if known is not None and objects.uid(known) == objects.uid(pod) and FINALIZER in finalizers:
                kept = [each for each in finalizers if each != FINALIZER]
                patch = {"metadata": {"uid": objects.uid(pod), "finalizers": kept or None}}
                self.client.patch("pods", objects.name(pod), objects.namespace(pod), patch)

    def _release_orphans(self, namespace: str, name: str) -> None:
        """Their Job is gone, or about to go (syncOrphanPod)."""
        for pod in self._pods.list():
            owner = objects.owner(pod) if objects.namespace(pod) == namespace else None
            if owner is not None and (owner["kind"], owner["name"]) == ("Job", name):
                self._release([pod])

    def _verdict(
        self, job: Object, active: list[Object], succeeded: list[Object], failed: list[Object], started: str
    ) -> tuple[str, str, str] | None:
        """(type, reason, message) of the condition that ends it."""
        spec = job["spec"]
        limit = spec.get("backoffLimit", 6)
        restarts = sum(
            each.get("restartCount", 0)
            for pod in active
            for each in (pod.get("status") or {}).get("containerStatuses") or ()
        )
        if len(failed) > limit or (spec["template"]["spec"].get("restartPolicy") == "OnFailure" and restarts > limit):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None:
            left = ids.parse_timestamp(started) + deadline - self.world.now
            if left <= 0:
                return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
            self.enqueue_after(objects.key(job), left, background=True)
        wanted = spec.get("completions")
        done = len({index_of(pod) for pod in succeeded}) if _indexed(job) else len(succeeded)
        complete = done >= wanted if wanted is not None else bool(succeeded) and not active
        if not complete:
            return None
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"

    def _manage(self, job: Object, active: list[Object], succeeded: list[Object], failed: list[Object]) -> list[Object]:
        """Make what is missing, or remove what is too much; the pods made."""
        spec = job["spec"]
        parallel, completions = spec.get("parallelism", 1), spec.get("completions")
        if completions is None:
            wanted = len(active) if succeeded else parallel
        else:
            wanted = min(
                parallel, completions - len({index_of(pod) for pod in succeeded} if _indexed(job) else succeeded)
            )
        if len(active) > wanted:
            for pod in active[wanted:]:
                self._delete(job, pod)
                active.remove(pod)
            return []
        if len(active) < wanted and failed:
            wait = self._back_off(failed)
            if wait > 0:
                self.enqueue_after(objects.key(job), wait)
                return []
        taken = {index_of(pod) for pod in [*active, *succeeded]}
        free = [number for number in range(completions or 0) if number not in taken]
        made = []
        for position in range(wanted - len(active)):
            pod = pods.from_template(spec["template"], job, objects.namespace(job))
            if self.minor >= TRACKED_SINCE:
                pod["metadata"].setdefault("finalizers", []).append(FINALIZER)
            if _indexed(job):
                self._number(pod, job, free[position])
            made.append(self.client.create("pods", pod, objects.namespace(job)))
            self.recorder.event(job, "Normal", "SuccessfulCreate", f"Created pod: {objects.name(made[-1])}")
        return made

    def _back_off(self, failed: list[Object]) -> float:
        """How long yet before the next try: 10 s after the first failure, doubled with each."""
        ends = [
            ids.parse_timestamp(state["terminated"]["finishedAt"])
            for pod in failed
            for each in (pod.get("status") or {}).get("containerStatuses") or ()
            if "terminated" in (state := each["state"])
        ]
        pause = min(FIRST_BACKOFF * 2 ** (len(failed) - 1), LONGEST_BACKOFF)
        return max(ends, default=0.0) + pause - self.world.now

    def _number(self, pod: Object, job: Object, number: int) -> None:
        """An indexed Job's pod knows its index: by annotation, label, name, hostname and variable."""
        metadata = pod["metadata"]
        metadata.setdefault("annotations", {})[INDEX] = str(number)
        if self.minor >= 28:
            metadata.setdefault("labels", {})[INDEX] = str(number)
        metadata["generateName"] = f"{objects.name(job)}-{number}-"
        pod["spec"]["hostname"] = f"{objects.name(job)}-{number}"
        variable = {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}},
        }
        for container in pod["spec"]["containers"]:
            container["env"] = [*(container.get("env") or ()), variable]

    def _delete(self, job: Object, pod: Object) -> None:
        self.client.delete("pods", objects.name(pod), objects.namespace(pod), uid=objects.uid(pod))
        self.recorder.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {objects.name(pod)}")

    def _report(
        self,
        job: Object,
        status: Object,
        mine: list[Object],
        active: list[Object],
        succeeded: list[Object],
        failed: list[Object],
        verdict: tuple[str, str, str] | None,
    ) -> None:
        numbers = {"active": len(active), "succeeded": len(succeeded), "failed": len(failed)}
        status.update({key: value for key, value in numbers.items() if value})
        if self.minor >= 26:
            status["uncountedTerminatedPods"] = {}
            status["ready"] = sum(pods.is_ready(pod) for pod in active)
        if self.minor >= 31:
            status["terminating"] = sum(pods.is_terminating(pod) for pod in mine)
        if _indexed(job) and succeeded:
            status["completedIndexes"] = intervals({index_of(pod) for pod in succeeded})
        if verdict is not None:
            kind, reason, message = verdict
            now = ids.timestamp(self.world.now)
            condition = {"type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
            if kind == "Failed" or self.minor >= 31:
                condition.update(reason=reason, message=message)
            before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
            first = [{**condition, "type": before}] if self.minor >= 31 else []
            status["conditions"] = [*(status.get("conditions") or ()), *first, condition]
            if kind == "Complete":
                status["completionTime"] = now
                self.recorder.event(job, "Normal", "Completed", "Job completed")
            else:
                self.recorder.event(job, "Warning", reason, message)
        if status != (job.get("status") or {}):
            self.client.update(RESOURCE, {**job, "status": status}, "status")

    def _forget(self, key: str, job: Object) -> None:
        """ttlSecondsAfterFinished (`pkg/controller/ttlafterfinished`)."""
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return
        ended = next(each for each in job["status"]["conditions"] if each["type"] in ("Complete", "Failed"))
        left = ids.parse_timestamp(ended["lastTransitionTime"]) + ttl - self.world.now
        if left > 0:
            self.enqueue_after(key, left, background=True)
            return
        self.client.delete(
            RESOURCE, objects.name(job), objects.namespace(job), propagation="Foreground", uid=objects.uid(job)
        )


def _indexed(job: Object) -> bool:
    return job["spec"].get("completionMode") == "Indexed"
