"""Defaults of the workloads (`pkg/apis/apps/v1/defaults.go`, `pkg/apis/batch/v1/defaults.go`)."""

from __future__ import annotations

from typing import Any

from kubesim.schema.defaults import pods

Object = dict[str, Any]

HISTORY = 10  # revisions kept
PROGRESS_SECONDS = 600
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _deployment(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    pods.template(spec)
    spec.setdefault("replicas", 1)
    strategy = spec["strategy"] = spec.get("strategy") or {}
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", HISTORY)
    spec.setdefault("progressDeadlineSeconds", PROGRESS_SECONDS)


def _replica_set(obj: Object, minor: int) -> None:
    if "template" in obj["spec"]:
        pods.template(obj["spec"])
    obj["spec"].setdefault("replicas", 1)


def _replication_controller(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if "template" in spec:
        pods.template(spec)
    if labels:
        spec.setdefault("selector", dict(labels))
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    spec.setdefault("replicas", 1)


def _daemon_set(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    pods.template(spec)
    annotations = obj["metadata"].get("annotations", {})
    if TEMPLATE_GENERATION not in annotations:
        # What extensions/v1beta1 had as spec.templateGeneration is kept in an annotation.
        obj["metadata"]["annotations"] = dict(sorted({**annotations, TEMPLATE_GENERATION: "1"}.items()))
    strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        if minor >= 21:
            rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", HISTORY)


def _stateful_set(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    pods.template(spec)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    if minor >= 27:
        policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        policy.setdefault("whenDeleted", "Retain")
        policy.setdefault("whenScaled", "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", HISTORY)
    for claim in spec.get("volumeClaimTemplates", ()):
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        claim["spec"].setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def job_spec(spec: Object, minor: int) -> None:
    pods.template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2147483647 if "backoffLimitPerIndex" in spec else 6)
    if minor >= 21:
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
    if minor >= 29:
        only_failed = "podFailurePolicy" in spec
        spec.setdefault("podReplacementPolicy", "Failed" if only_failed else "TerminatingOrFailed")


def _job(obj: Object, minor: int) -> None:
    job_spec(obj["spec"], minor)
    if minor >= 34:
        obj["spec"].setdefault("manualSelector", False)
    labels = obj["spec"]["template"]["metadata"].get("labels")
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)


def _cron_job(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    job = spec["jobTemplate"]["spec"]
    pods.template(job)
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)


DEFAULTS = {
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "ReplicationController": _replication_controller,
    "DaemonSet": _daemon_set,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "CronJob": _cron_job,
}
