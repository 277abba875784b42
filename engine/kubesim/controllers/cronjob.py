"""CronJob: Jobs at times.

Source: `pkg/controller/cronjob/cronjob_controllerv2.go`, `utils.go`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers import job as jobs
from kubesim.controllers import pods
from kubesim.controllers.controller import Controller
from kubesim.errors import ApiError
from kubesim.machinery import objects, schedules

RESOURCE = "cronjobs.batch"
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# More missed starts than this are not made up for one by one; only the last one ever is.
TOO_MANY = 100


class CronJobController(Controller):
    name = "cronjob-controller"

    def start(self) -> None:
        self.watch(RESOURCE)
        self._jobs = self.watch_owned("jobs.batch", "CronJob")

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        cron = self.client.find(RESOURCE, name, namespace)
        if cron is None or objects.deleting(cron):
            return
        mine = self._jobs.by("owner", objects.uid(cron))
        status = objects.copy(cron.get("status") or {})
        self._update_active(cron, status, mine)
        self._clean_up(cron, mine)
        if not cron["spec"].get("suspend"):
            self._start(key, cron, status, mine)
        if status != (cron.get("status") or {}):
            self.client.update(RESOURCE, {**cron, "status": status}, "status")

    # -- what there is ----------------------------------------------------------------------------------------

    def _update_active(self, cron: Object, status: Object, mine: list[Object]) -> None:
        """What has ended is no longer active."""
        by_uid = {objects.uid(each): each for each in mine}
        active = []
        for reference in status.pop("active", ()):
            found = by_uid.get(reference.get("uid", ""))
            if found is None:
                missing = f"Active job went missing: {reference['name']}"
                self.recorder.event(cron, "Normal", "MissingJob", missing)
            elif jobs.finished(found):
                words = f"Saw completed job: {objects.name(found)}, condition: {_end(found)}"
                self.recorder.event(cron, "Normal", "SawCompletedJob", words)
            else:
                active.append(reference)
        if active:
            status["active"] = active
        ends = [each["status"]["completionTime"] for each in mine if (each.get("status") or {}).get("completionTime")]
        if ends:
            status["lastSuccessfulTime"] = max(ends)

    def _clean_up(self, cron: Object, mine: list[Object]) -> None:
        """Only the last few that have ended are kept (cleanupFinishedJobs)."""
        spec = cron["spec"]
        for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            ended = [each for each in mine if jobs.finished(each) and _end(each) == kind]
            ended.sort(key=lambda each: (each["status"].get("startTime", ""), objects.name(each)))
            keep = spec.get(limit, 3 if kind == "Complete" else 1)
            for each in ended[: max(0, len(ended) - keep)]:
                self._delete(cron, each)

    def _delete(self, cron: Object, found: Object) -> None:
        name, namespace = objects.name(found), objects.namespace(found)
        self.client.delete("jobs.batch", name, namespace, propagation="Background", uid=objects.uid(found))
        self.recorder.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    # -- what is due ------------------------------------------------------------------------------------------

    def _start(self, key: str, cron: Object, status: Object, mine: list[Object]) -> None:
        spec = cron["spec"]
        try:
            schedule = schedules.parse(spec["schedule"])
            zone = schedules.zone(spec["timeZone"]) if spec.get("timeZone") else UTC
        except schedules.ScheduleError as error:
            words = f"unparseable schedule: {spec['schedule']} : {error}"
            self.recorder.event(cron, "Warning", "UnparseableSchedule", words)
            return
        except KeyError:
            self.recorder.event(cron, "Warning", "UnknownTimeZone", f"invalid timeZone: {spec['timeZone']}")
            return
        now = datetime.fromtimestamp(self.world.now, zone)
        since = status.get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
        due, missed = _last_due(schedule, datetime.fromtimestamp(ids.parse_timestamp(since), zone), now)
        following = schedule.after(now)
        if following is not None:
            # It comes round again for ever: nobody waits for it.
            self.enqueue_after(key, following.timestamp() - self.world.now, background=True)
        if missed > TOO_MANY:
            words = f"too many missed start times: {missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.recorder.event(cron, "Warning", "TooManyMissedTimes", words)
        if due is None:
            return
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and due.timestamp() + deadline < self.world.now:
            words = f"Missed scheduled time to start a job: {due.astimezone(UTC):%a, %d %b %Y %H:%M:%S %z}"
            self.recorder.event(cron, "Warning", "MissSchedule", words)
            return
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and status.get("active"):
            words = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.recorder.event(cron, "Normal", "JobAlreadyActive", words)
            return
        if policy == "Replace":
            for reference in status.pop("active", ()):
                for each in mine:
                    if objects.uid(each) == reference.get("uid"):
                        self._delete(cron, each)
        self._create(cron, status, due)

    def _create(self, cron: Object, status: Object, due: datetime) -> None:
        made = _job(cron, due, self.minor)
        name, namespace = objects.name(made), objects.namespace(cron)
        try:
            stored = self.client.create("jobs.batch", made, namespace)
        except ApiError as error:
            if error.code != 409:
                self.recorder.event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
            return
        self.recorder.event(cron, "Normal", "SuccessfulCreate", f"Created job {name}")
        reference = {
            "kind": "Job",
            "namespace": namespace,
            "name": name,
            "uid": objects.uid(stored),
            "apiVersion": "batch/v1",
            "resourceVersion": stored["metadata"]["resourceVersion"],
        }
        status["active"] = [*status.get("active", ()), reference]
        status["lastScheduleTime"] = ids.timestamp(due.timestamp())


def _end(found: Object) -> str:
    """ "Complete" or "Failed"."""
    return "Complete" if pods.condition(found, "Complete") is not None else "Failed"


def _last_due(schedule: schedules.Schedule, since: datetime, now: datetime) -> tuple[datetime | None, int]:
    """The last time between the two that fits, and how many there were."""
    due, count, at = None, 0, schedule.after(since)
    while at is not None and at <= now:
        due, count = at, count + 1
        at = schedule.after(at)
    return due, count


def _job(cron: Object, due: datetime, minor: int) -> Object:
    """getJobFromTemplate2: named after the minute."""
    template = cron["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    annotations = dict(metadata.get("annotations") or {})
    if minor >= 28:
        annotations[SCHEDULED_AT] = f"{due:%Y-%m-%dT%H:%M:%S}{_offset(due)}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{objects.name(cron)}-{int(due.timestamp()) // 60}",
            "namespace": objects.namespace(cron),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": annotations,
            "creationTimestamp": None,
            "ownerReferences": [objects.new_controller_ref(cron, "CronJob", "batch/v1")],
        },
        "spec": objects.copy(template["spec"]),
    }


def _offset(due: datetime) -> str:
    text = f"{due:%z}"
    return "Z" if text in ("", "+0000") else f"{text[:3]}:{text[3:]}"
