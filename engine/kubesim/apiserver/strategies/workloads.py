"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, Jobs, CronJobs, ControllerRevisions.

Sources: `pkg/registry/apps/*/strategy.go`, `pkg/registry/batch/*/strategy.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.apiserver.call import Call
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.apiserver.validation import workloads as rules
from kubesim.schema.defaults.workloads import TEMPLATE_GENERATION

Object = dict[str, Any]


class Deployment(base.Spec):
    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.deployment(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.deployment(new) + rules.selector_immutable(new, old)

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_status(call, new, old)
        new["metadata"].pop("labels", None)
        if "labels" in old["metadata"]:
            new["metadata"]["labels"] = old["metadata"]["labels"]

    def counts(self, new: Object, old: Object) -> bool:
        """A Deployment also counts its annotations."""
        return super().counts(new, old) or new["metadata"].get("annotations") != old["metadata"].get("annotations")


class ReplicaSet(base.Spec):
    def initial_status(self, obj: Object) -> Object:
        return {"replicas": 0}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.replica_set(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.replica_set(new) + rules.selector_immutable(new, old)


class ReplicationController(base.Spec):
    orphans_by_default = True

    def initial_status(self, obj: Object) -> Object:
        return {"replicas": 0}


class StatefulSet(base.Spec):
    def initial_status(self, obj: Object) -> Object:
        return {"replicas": 0, "availableReplicas": 0}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.stateful_set(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.stateful_set_update(new, old)


class DaemonSet(base.Spec):
    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        self._count_templates(obj, 1)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_update(call, new, old)
        before = old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "0")
        number = int(before) if before.isdecimal() else 0
        self._count_templates(new, number + (new["spec"]["template"] != old["spec"]["template"]))

    @staticmethod
    def _count_templates(obj: Object, number: int) -> None:
        metadata = obj["metadata"]
        metadata["annotations"] = dict(
            sorted({**metadata.get("annotations", {}), TEMPLATE_GENERATION: str(number)}.items())
        )

    def initial_status(self, obj: Object) -> Object:
        return {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.daemon_set(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.daemon_set(new) + rules.selector_immutable(new, old)


class Job(base.Spec):
    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        if not obj["spec"].get("manualSelector"):
            self._select_by_uid(obj)

    @staticmethod
    def _select_by_uid(obj: Object) -> None:
        """generateSelector: pods of a Job are found by its uid; the old labels are kept for old tools."""
        name, uid = obj["metadata"].get("name", ""), obj["metadata"]["uid"]
        labels = obj["spec"]["template"]["metadata"].setdefault("labels", {})
        labels |= {"controller-uid": uid, "job-name": name}
        labels |= {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name}
        obj["spec"]["template"]["metadata"]["labels"] = dict(sorted(labels.items()))
        obj["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        obj["metadata"].setdefault("labels", dict(obj["spec"]["template"]["metadata"]["labels"]))

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.job(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.job(new) + rules.job_update(new, old)


class CronJob(base.Spec):
    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.cron_job(obj)


class ControllerRevision(base.Strategy):
    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.controller_revision_update(new, old)


STRATEGIES: dict[str, type[base.Strategy]] = {
    "deployments.apps": Deployment,
    "replicasets.apps": ReplicaSet,
    "statefulsets.apps": StatefulSet,
    "daemonsets.apps": DaemonSet,
    "controllerrevisions.apps": ControllerRevision,
    "replicationcontrollers": ReplicationController,
    "jobs.batch": Job,
    "cronjobs.batch": CronJob,
}
