"""Pure questions about Deployments and their ReplicaSets.

Source: `pkg/controller/deployment/util/deployment_util.go`.
"""

from __future__ import annotations

import math
from typing import Any

from kubesim import ids
from kubesim.client import Object
from kubesim.machinery import objects

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
ROLLBACK = "deprecated.deployment.rollback.to"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HASH = "pod-template-hash"
NOT_COPIED = frozenset((LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX, ROLLBACK))
# MaxRevisionHistoryLengthInChars
HISTORY_LENGTH = 2000
# progressDeadlineSeconds' greatest value means: none.
NO_DEADLINE = 2**31 - 1


def replicas(obj: Object) -> int:
    """spec.replicas of a Deployment or ReplicaSet."""
    found = obj["spec"].get("replicas")
    return 1 if found is None else found


def status(obj: Object, field: str) -> int:
    """A number of the status; 0 where it is left out."""
    return (obj.get("status") or {}).get(field) or 0


def total(sets: list[Object]) -> int:
    return sum(replicas(each) for each in sets)


def total_status(sets: list[Object], field: str) -> int:
    return sum(status(each, field) for each in sets)


def scaled(value: Any, of: int, round_up: bool) -> int:
    """An IntOrString as a number of pods (GetScaledValueFromIntOrPercent)."""
    if isinstance(value, int):
        return value
    percent = int(str(value).rstrip("%"))
    exact = percent * of / 100
    return math.ceil(exact) if round_up else math.floor(exact)


def is_rolling(deployment: Object) -> bool:
    return (deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"


def fenceposts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; both 0 would never get on, so one may then be unavailable (ResolveFenceposts)."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def max_surge(deployment: Object) -> int:
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Object) -> int:
    if not is_rolling(deployment) or not replicas(deployment):
        return 0
    return min(fenceposts(deployment)[1], replicas(deployment))


def revision(obj: Object) -> int:
    text = objects.annotations(obj).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def without_hash(template: Object) -> Object:
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    labels.pop(HASH, None)
    return {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}}


def same_template(one: Object, other: Object) -> bool:
    """EqualIgnoreHash."""
    return without_hash(one) == without_hash(other)


def by_age(sets: list[Object]) -> list[Object]:
    return sorted(sets, key=lambda each: (each["metadata"].get("creationTimestamp", ""), objects.name(each)))


def find_new(deployment: Object, sets: list[Object]) -> Object | None:
    """The oldest ReplicaSet that has the Deployment's template."""
    template = without_hash(deployment["spec"]["template"])
    return next((each for each in by_age(sets) if without_hash(each["spec"]["template"]) == template), None)


def new_replicas(deployment: Object, sets: list[Object], new: Object) -> int:
    """How many the new ReplicaSet may have now (NewRSNewReplicas)."""
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    most = wanted + max_surge(deployment)
    current = total(sets)
    if current >= most:
        return replicas(new)
    return replicas(new) + min(most - current, wanted - replicas(new))


def replicas_annotations(annotations: dict[str, str], desired: int, most: int) -> bool:
    """Put them in; was anything different?"""
    wanted = {DESIRED: str(desired), MAX: str(most)}
    changed = any(annotations.get(key) != value for key, value in wanted.items())
    annotations.update(wanted)
    return changed


def new_annotations(deployment: Object, annotations: dict[str, str], new_revision: int, exists: bool) -> bool:
    """Bring a new ReplicaSet's annotations up to date in place; were they not? (SetNewReplicaSetAnnotations)"""
    changed = False
    for key, value in objects.annotations(deployment).items():
        if key not in NOT_COPIED and annotations.get(key) != value:
            annotations[key] = value
            changed = True
    old = annotations.get(REVISION, "")
    if (int(old) if old.isdecimal() else 0) < new_revision:
        annotations[REVISION] = str(new_revision)
        changed = True
        if old:
            history = [each for each in annotations.get(REVISION_HISTORY, "").split(",") if each]
            while history and len(",".join([*history, old])) > HISTORY_LENGTH:
                history.pop(0)
            annotations[REVISION_HISTORY] = ",".join([*history, old])
    if not exists:
        most = replicas(deployment) + max_surge(deployment)
        changed = replicas_annotations(annotations, replicas(deployment), most) or changed
    return changed


# -- conditions ------------------------------------------------------------------------------------------------------


def condition(status: Object, kind: str) -> Object | None:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), None)


def new_condition(now: float, kind: str, value: str, reason: str, message: str) -> Object:
    time = ids.timestamp(now)
    return {
        "type": kind,
        "status": value,
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


def set_condition(status: Object, made: Object) -> None:
    """SetDeploymentCondition: nothing when status and reason are as before; else it goes to the end of the list."""
    current = condition(status, made["type"])
    if current is not None:
        if current["status"] == made["status"] and current.get("reason") == made["reason"]:
            return
        if current["status"] == made["status"]:
            made["lastTransitionTime"] = current.get("lastTransitionTime")
    remove_condition(status, made["type"])
    status["conditions"] = [*(status.get("conditions") or ()), made]


def remove_condition(status: Object, kind: str) -> None:
    if status.get("conditions"):
        status["conditions"] = [each for each in status["conditions"] if each["type"] != kind]


def has_deadline(deployment: Object) -> bool:
    found = deployment["spec"].get("progressDeadlineSeconds")
    return found is not None and found != NO_DEADLINE


def is_complete(deployment: Object, new_status: Object) -> bool:
    wanted = replicas(deployment)
    return all(
        new_status.get(field, 0) == wanted for field in ("updatedReplicas", "replicas", "availableReplicas")
    ) and new_status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)


def is_progressing(deployment: Object, new_status: Object) -> bool:
    """More updated, fewer old, more ready or more available than before."""
    old = deployment.get("status") or {}

    def old_ones(status: Object) -> int:
        return status.get("replicas", 0) - status.get("updatedReplicas", 0)

    return old_ones(new_status) < old_ones(old) or any(
        new_status.get(field, 0) > old.get(field, 0)
        for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def is_timed_out(deployment: Object, new_status: Object, now: float) -> bool:
    if not has_deadline(deployment):
        return False
    found = condition(new_status, "Progressing")
    if found is None or found["reason"] == "NewReplicaSetAvailable":
        return False
    if found["reason"] == "ProgressDeadlineExceeded":
        return True
    return ids.parse_timestamp(found["lastUpdateTime"]) + deployment["spec"]["progressDeadlineSeconds"] < now


def fraction(one: Object, deployment: Object) -> int:
    """The replicas that a ReplicaSet gains or loses, in proportion, when the Deployment is scaled amid a rollout."""
    if not replicas(deployment):
        return -replicas(one)
    most = replicas(deployment) + max_surge(deployment)
    before = int(objects.annotations(one).get(MAX, "0")) or status(deployment, "replicas")
    # Go's integer2.RoundToInt32: half away from zero.
    return math.floor(replicas(one) * most / before + 0.5) - replicas(one) if before else 0
