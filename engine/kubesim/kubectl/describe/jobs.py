"""Jobs and cron jobs."""

from __future__ import annotations

from typing import Any

from kubesim import ids
from kubesim.kubectl.describe import pods
from kubesim.kubectl.describe.page import Page, controller, date, selector
from kubesim.machinery import durations, objects

Object = dict[str, Any]


def job(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    page.field("Name", objects.name(obj))
    page.field("Namespace", objects.namespace(obj))
    page.field("Selector", selector(spec.get("selector")))
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    if controller(obj):
        page.field("Controlled By", controller(obj))
    page.field("Parallelism", spec.get("parallelism", 1))
    page.field("Completions", spec.get("completions", "<unset>"))
    if spec.get("completionMode"):
        page.field("Completion Mode", spec["completionMode"])
    if "suspend" in spec:
        page.field("Suspend", "true" if spec["suspend"] else "false")
    if spec.get("backoffLimit") is not None:
        page.field("Backoff Limit", spec["backoffLimit"])
    if spec.get("ttlSecondsAfterFinished") is not None:
        page.field("TTL Seconds After Finished", spec["ttlSecondsAfterFinished"])
    started, ended = status.get("startTime"), status.get("completionTime")
    if started:
        page.field("Start Time", date(started))
    if ended:
        page.field("Completed At", date(ended))
    if started and ended:
        page.field("Duration", durations.human(ids.parse_timestamp(ended) - ids.parse_timestamp(started)))
    if spec.get("activeDeadlineSeconds") is not None:
        page.field("Active Deadline Seconds", f"{spec['activeDeadlineSeconds']}s")
    ready = f" ({status['ready']} Ready)" if status.get("ready") is not None else ""
    page.field(
        "Pods Statuses",
        f"{status.get('active', 0)} Active{ready} / {status.get('succeeded', 0)} Succeeded / {status.get('failed', 0)} Failed",
    )
    if spec.get("completionMode") == "Indexed":
        page.field("Completed Indexes", status.get("completedIndexes") or "<none>")
    pods.template(page, spec.get("template"))
    page.events(obj)


def cron_job(page: Page, obj: Object) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    inner = objects.get(spec, "jobTemplate.spec", {})
    page.head(obj)
    page.field("Schedule", spec.get("schedule", ""))
    page.field("Concurrency Policy", spec.get("concurrencyPolicy", ""))
    page.field("Suspend", "True" if spec.get("suspend") else "False")
    page.field("Successful Job History Limit", spec.get("successfulJobsHistoryLimit", "<unset>"))
    page.field("Failed Job History Limit", spec.get("failedJobsHistoryLimit", "<unset>"))
    deadline = spec.get("startingDeadlineSeconds")
    page.field("Starting Deadline Seconds", "<unset>" if deadline is None else f"{deadline}s")
    page.field("Selector", selector(inner["selector"]) if inner.get("selector") else "<unset>")
    page.field("Parallelism", inner.get("parallelism", "<unset>"))
    page.field("Completions", inner.get("completions", "<unset>"))
    pods.template(page, inner.get("template"))
    last = status.get("lastScheduleTime")
    page.field("Last Schedule Time", date(last) if last else "<unset>")
    active = [each.get("name", "") for each in status.get("active") or ()]
    page.field("Active Jobs", ", ".join(active) or "<none>")
    page.events(obj)
