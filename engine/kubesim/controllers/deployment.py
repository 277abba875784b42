"""Deployment: a ReplicaSet for each template it has had, and the way from the old ones to the new.

Source: `pkg/controller/deployment` (`deployment_controller.go`, `sync.go`, `rolling.go`, `recreate.go`, `progress.go`).
"""

from __future__ import annotations

from collections.abc import Callable

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers import claims, pods
from kubesim.controllers import deploymentutil as util
from kubesim.controllers.controller import Controller, owner_uids
from kubesim.errors import ApiError
from kubesim.machinery import gohash, objects

DEPLOYMENTS = "deployments.apps"
SETS = "replicasets.apps"


class DeploymentController(Controller):
    name = "deployment-controller"

    def start(self) -> None:
        self._deployments = self.watch(DEPLOYMENTS)
        self._deployments.index("namespace", pods.namespaces)
        self._sets = self.watch_owned(SETS, "Deployment")
        self._sets.on_event(self._orphan_changed)
        self._pods = self.informers.of("pods")
        self._pods.index("owner", owner_uids)
        self._pods.on_event(self._pod_changed)

    def _orphan_changed(self, kind: str, obj: Object, _before: Object | None) -> None:
        if kind != "DELETED" and objects.owner(obj) is None:
            for each in self._deployments.by("namespace", objects.namespace(obj)):
                if claims.selects(each["spec"]["selector"], obj):
                    self.enqueue(objects.key(each))

    def _pod_changed(self, kind: str, pod: Object, _before: Object | None) -> None:
        # Only Recreate waits for pods to be gone; all else is told by the ReplicaSets' status.
        reference = objects.owner(pod)
        if kind != "DELETED" or reference is None or reference["kind"] != "ReplicaSet":
            return
        owner = self._sets.get(objects.namespace(pod), reference["name"])
        above = objects.owner(owner) if owner is not None else None
        if above is not None and above["kind"] == "Deployment":
            self.enqueue(f"{objects.namespace(pod)}/{above['name']}")

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        found = self.client.find(DEPLOYMENTS, name, namespace)
        if found is not None:
            Sync(self, found, self._pods_running).run()

    def _pods_running(self, one: Object) -> bool:
        """Has the ReplicaSet a pod that is not finished?"""
        return any(pods.phase(each) not in pods.FINISHED for each in self._pods.by("owner", objects.uid(one)))

    def replica_sets(self, deployment: Object) -> list[Object]:
        return claims.claim(self.client, self._sets, SETS, deployment, deployment["spec"]["selector"])


class Sync:
    """One pass over one Deployment.  `deployment` and the sets are replaced by what each write returns."""

    def __init__(
        self, controller: DeploymentController, deployment: Object, pods_running: Callable[[Object], bool]
    ) -> None:
        self.controller = controller
        self.client = controller.client
        self.now = controller.world.now
        self.deployment = deployment
        self.sets: dict[str, Object] = {}
        self._pods_running = pods_running

    def run(self) -> None:
        self.sets = {objects.name(each): each for each in self.controller.replica_sets(self.deployment)}
        if objects.deleting(self.deployment):
            self._find(create=False)
            self._write_status(self._status())
            return
        self._check_paused()
        if self.deployment["spec"].get("paused") or self._is_scaling():
            self._sync()
        elif util.is_rolling(self.deployment):
            self._roll()
        else:
            self._recreate()

    # -- the sets -------------------------------------------------------------------------------------------

    @property
    def all_sets(self) -> list[Object]:
        return util.by_age(list(self.sets.values()))

    @property
    def new(self) -> Object | None:
        return self.sets.get(self._new_name)

    @property
    def old(self) -> list[Object]:
        return [each for each in self.all_sets if objects.name(each) != self._new_name]

    def _find(self, create: bool) -> None:
        """Find the new ReplicaSet (make it if so told), and bring its revision and the Deployment's up to date."""
        new = util.find_new(self.deployment, self.all_sets)
        self._new_name = objects.name(new) if new is not None else ""
        next_revision = max((util.revision(each) for each in self.old), default=0) + 1
        if new is not None:
            self._found(new, next_revision)
        elif create:
            self._make(next_revision)

    def _found(self, new: Object, next_revision: int) -> None:
        annotations = dict(objects.annotations(new))
        changed = util.new_annotations(self.deployment, annotations, next_revision, exists=True)
        pause = self.deployment["spec"].get("minReadySeconds") or 0
        if changed or (new["spec"].get("minReadySeconds") or 0) != pause:
            spec = {**new["spec"], "minReadySeconds": pause}
            self._update_set({**new, "metadata": {**new["metadata"], "annotations": annotations}, "spec": spec})
            # The Deployment's own revision follows when the ReplicaSet's change comes round.
            return
        status = dict(self.deployment.get("status") or {})
        if util.has_deadline(self.deployment) and util.condition(status, "Progressing") is None:
            message = f'Found new replica set "{self._new_name}"'
            util.set_condition(
                status, util.new_condition(self.now, "Progressing", "True", "FoundNewReplicaSet", message)
            )
        self._set_revision(annotations[util.REVISION], status)

    def _set_revision(self, revision: str, status: Object) -> None:
        """Write the revision and the status (getNewReplicaSet writes both in one update of the status)."""
        annotations = dict(objects.annotations(self.deployment))
        if annotations.get(util.REVISION) != revision:
            annotations[util.REVISION] = revision
        elif status == (self.deployment.get("status") or {}):
            return
        metadata = {**self.deployment["metadata"], "annotations": annotations}
        self.deployment = self.client.update(
            DEPLOYMENTS, {**self.deployment, "metadata": metadata, "status": status}, "status"
        )

    def _make(self, next_revision: int) -> None:
        deployment = self.deployment
        spec, namespace = deployment["spec"], objects.namespace(deployment)
        status = dict(deployment.get("status") or {})
        hashed = gohash.template_hash(spec["template"], status.get("collisionCount"))
        template = objects.copy(spec["template"])
        template["metadata"] = {
            **(template.get("metadata") or {}),
            "labels": {**((template.get("metadata") or {}).get("labels") or {}), util.HASH: hashed},
        }
        selector = objects.copy(spec["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), util.HASH: hashed}
        annotations: dict[str, str] = {}
        util.new_annotations(deployment, annotations, next_revision, exists=False)
        new: Object = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{objects.name(deployment)}-{hashed}",
                "namespace": namespace,
                "labels": dict(template["metadata"]["labels"]),
                "annotations": annotations,
                "ownerReferences": [objects.new_controller_ref(deployment, "Deployment", "apps/v1")],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        if spec.get("minReadySeconds"):
            new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        count = util.new_replicas(deployment, self.all_sets, new)
        new["spec"]["replicas"] = count
        name = objects.name(new)
        try:
            new = self.client.create(SETS, new, namespace)
        except ApiError as error:
            existing = self.client.find(SETS, name, namespace) if error.reason == "AlreadyExists" else None
            if existing is None:
                message = f'Failed to create new replica set "{name}": {error.message}'
                failed = util.new_condition(self.now, "Progressing", "False", "ReplicaSetCreateError", message)
                util.set_condition(status, failed)
                self._write_status(status)
                raise
            same = objects.owned_by(existing, deployment) and util.same_template(
                spec["template"], existing["spec"]["template"]
            )
            if not same:
                # Another template has the same hash: take the collision into the hash next time.
                self._write_status({**status, "collisionCount": status.get("collisionCount", 0) + 1})
                raise
            new, count = existing, 0
        self.sets[name] = new
        self._new_name = name
        if count:
            self._tell_scaled("up", name, 0, count)
        if util.has_deadline(deployment):
            created = util.new_condition(
                self.now, "Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"'
            )
            util.set_condition(status, created)
        self._set_revision(objects.annotations(new).get(util.REVISION, str(next_revision)), status)

    def _update_set(self, changed: Object) -> Object:
        written = self.client.update(SETS, changed)
        self.sets[objects.name(written)] = written
        return written

    def _scale(self, one: Object, count: int) -> bool:
        """scaleReplicaSet: also keeps the annotations that proportional scaling goes by; was the size changed?"""
        before = util.replicas(one)
        annotations = dict(objects.annotations(one))
        most = util.replicas(self.deployment) + util.max_surge(self.deployment)
        stale = util.replicas_annotations(annotations, util.replicas(self.deployment), most)
        if before == count and not stale:
            return False
        metadata = {**one["metadata"], "annotations": annotations}
        self._update_set({**one, "metadata": metadata, "spec": {**one["spec"], "replicas": count}})
        if before != count:
            self._tell_scaled("up" if before < count else "down", objects.name(one), before, count)
        return before != count

    def _tell_scaled(self, way: str, name: str, before: int, count: int) -> None:
        # "from" came with 1.27 (kubernetes/kubernetes#114990 or thereabouts: the events of 1.16 to 1.26 lack it).
        origin = f" from {before}" if self.controller.minor >= 27 else ""
        message = f"Scaled {way} replica set {name}{origin} to {count}"
        self.controller.recorder.event(self.deployment, "Normal", "ScalingReplicaSet", message)

    # -- strategies -----------------------------------------------------------------------------------------

    def _roll(self) -> None:
        self._find(create=True)
        if not (self._grow_new() or self._shrink_old()) and util.is_complete(
            self.deployment, self.deployment.get("status") or {}
        ):
            self._clean_up()
        self._report()

    def _grow_new(self) -> bool:
        new = self.new
        assert new is not None
        wanted = util.replicas(self.deployment)
        if util.replicas(new) == wanted:
            return False
        if util.replicas(new) > wanted:
            return self._scale(new, wanted)
        return self._scale(new, util.new_replicas(self.deployment, self.all_sets, new))

    def _shrink_old(self) -> bool:
        new = self.new
        assert new is not None
        if not util.total(self.old):
            return False
        least = util.replicas(self.deployment) - util.max_unavailable(self.deployment)
        new_unavailable = util.replicas(new) - util.status(new, "availableReplicas")
        room = util.total(self.all_sets) - least - new_unavailable
        if room <= 0:
            return False
        removed = 0
        # First those that serve nobody anyway ...
        for each in self.old:
            unhealthy = util.replicas(each) - util.status(each, "availableReplicas")
            count = min(room - removed, unhealthy)
            if util.replicas(each) and count > 0:
                self._scale(each, util.replicas(each) - count)
                removed += count
        # ... then as many as may be missing.
        spare = util.total_status(self.all_sets, "availableReplicas") - least
        for each in self.old:
            count = min(util.replicas(each), spare)
            if count > 0:
                self._scale(each, util.replicas(each) - count)
                spare -= count
                removed += count
        return removed > 0

    def _recreate(self) -> None:
        self._find(create=False)
        shrunk = [self._scale(each, 0) for each in self.old if util.replicas(each)]
        if any(shrunk) or any(self._pods_running(each) for each in self.old):
            self._report()
            return
        if self.new is None:
            self._find(create=True)
        new = self.new
        assert new is not None
        if util.replicas(new) != util.replicas(self.deployment):
            self._scale(new, util.replicas(self.deployment))
        if util.is_complete(self.deployment, self.deployment.get("status") or {}):
            self._clean_up()
        self._report()

    # -- paused, and scaled ---------------------------------------------------------------------------------

    def _is_scaling(self) -> bool:
        wanted = str(util.replicas(self.deployment))
        return any(
            util.replicas(each) and objects.annotations(each).get(util.DESIRED, wanted) != wanted
            for each in self.all_sets
        )

    def _sync(self) -> None:
        self._find(create=False)
        self._scale_all()
        if self.deployment["spec"].get("paused"):
            self._clean_up()
        self._write_status(self._status())

    def _scale_all(self) -> None:
        wanted = util.replicas(self.deployment)
        new = self.new
        active = [each for each in self.all_sets if util.replicas(each)]
        if len(active) <= 1:
            latest = active[0] if active else new or (self.old[-1] if self.old else None)
            if latest is not None:
                self._scale(latest, wanted)
            return
        if new is not None and self._is_saturated(new):
            for each in self.old:
                if util.replicas(each):
                    self._scale(each, 0)
            return
        if util.is_rolling(self.deployment):
            self._scale_proportionally(active)

    def _is_saturated(self, new: Object) -> bool:
        wanted = util.replicas(self.deployment)
        return (
            util.replicas(new) == wanted
            and objects.annotations(new).get(util.DESIRED) == str(wanted)
            and util.status(new, "availableReplicas") == wanted
        )

    def _scale_proportionally(self, active: list[Object]) -> None:
        """Spread what is to be added or removed over the active sets by their size, so that a bad new one stays small."""
        wanted = util.replicas(self.deployment)
        allowed = wanted + util.max_surge(self.deployment) if wanted else 0
        to_add = allowed - util.total(active)
        # Largest first; of equals the newest gains and the oldest loses.
        ordered = util.by_age(active)
        if to_add > 0:
            ordered.reverse()
        ordered.sort(key=lambda each: -util.replicas(each))
        sizes = []
        added = 0
        for each in ordered:
            part = 0
            if to_add and to_add != added and util.replicas(each):
                part = util.fraction(each, self.deployment)
                part = min(part, to_add - added) if to_add > 0 else max(part, to_add - added)
            added += part
            sizes.append(util.replicas(each) + part)
        if to_add:
            sizes[0] = max(0, sizes[0] + to_add - added)
        for each, size in zip(ordered, sizes, strict=True):
            self._scale(each, size)

    def _clean_up(self) -> None:
        """Forget old sets beyond revisionHistoryLimit, oldest revision first."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        idle = sorted((each for each in self.old if not objects.deleting(each)), key=util.revision)
        for each in idle[: max(0, len(idle) - limit)]:
            behind = each["metadata"].get("generation", 0) > util.status(each, "observedGeneration")
            if util.replicas(each) or util.status(each, "replicas") or behind:
                continue
            self.client.delete(SETS, objects.name(each), objects.namespace(each))
            del self.sets[objects.name(each)]

    # -- status ---------------------------------------------------------------------------------------------

    def _check_paused(self) -> None:
        if not util.has_deadline(self.deployment):
            return
        status = dict(self.deployment.get("status") or {})
        current = util.condition(status, "Progressing")
        if current is not None and current["reason"] == "ProgressDeadlineExceeded":
            return
        was_paused = current is not None and current["reason"] == "DeploymentPaused"
        paused = bool(self.deployment["spec"].get("paused"))
        if paused == was_paused:
            return
        reason, message = (
            ("DeploymentPaused", "Deployment is paused")
            if paused
            else (
                "DeploymentResumed",
                "Deployment is resumed",
            )
        )
        util.set_condition(status, util.new_condition(self.now, "Progressing", "Unknown", reason, message))
        self._write_status(status)

    def _status(self) -> Object:
        """calculateStatus."""
        sets, new, before = self.all_sets, self.new, self.deployment.get("status") or {}
        available = util.total_status(sets, "availableReplicas")
        numbers = {
            "replicas": util.total_status(sets, "replicas"),
            "updatedReplicas": util.status(new, "replicas") if new is not None else 0,
            "readyReplicas": util.total_status(sets, "readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(0, util.total(sets) - available),
        }
        status: Object = {
            "observedGeneration": self.deployment["metadata"].get("generation", 1),
            **{key: value for key, value in numbers.items() if value},
        }
        if self.controller.minor >= 33:
            status["terminatingReplicas"] = util.total_status(sets, "terminatingReplicas")
        if before.get("collisionCount"):
            status["collisionCount"] = before["collisionCount"]
        if before.get("conditions"):
            status["conditions"] = list(before["conditions"])
        enough = available >= util.replicas(self.deployment) - util.max_unavailable(self.deployment)
        util.set_condition(
            status,
            util.new_condition(
                self.now, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
            )
            if enough
            else util.new_condition(
                self.now,
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            ),
        )
        return status

    def _report(self) -> None:
        """syncRolloutStatus: how the rollout goes, and whether it has stalled."""
        status = self._status()
        if not util.has_deadline(self.deployment):
            util.remove_condition(status, "Progressing")
        current = util.condition(status, "Progressing")
        settled = (
            status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and current is not None
            and current["reason"] == "NewReplicaSetAvailable"
        )
        subject = (
            f'ReplicaSet "{self._new_name}"'
            if self.new is not None
            else f'Deployment "{objects.name(self.deployment)}"'
        )
        if util.has_deadline(self.deployment) and not settled:
            if util.is_complete(self.deployment, status):
                message = f"{subject} has successfully progressed."
                done = util.new_condition(self.now, "Progressing", "True", "NewReplicaSetAvailable", message)
                util.set_condition(status, done)
            elif util.is_progressing(self.deployment, status):
                made = util.new_condition(
                    self.now, "Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing."
                )
                if current is not None and current["status"] == "True":
                    made["lastTransitionTime"] = current["lastTransitionTime"]
                # Its time tells when it last got on, so it is renewed even when status and reason stay.
                util.remove_condition(status, "Progressing")
                status["conditions"] = [*(status.get("conditions") or ()), made]
            elif util.is_timed_out(self.deployment, status, self.now):
                message = f"{subject} has timed out progressing."
                late = util.new_condition(self.now, "Progressing", "False", "ProgressDeadlineExceeded", message)
                util.set_condition(status, late)
        failures = [each for one in self.all_sets for each in (one.get("status") or {}).get("conditions") or ()]
        failed = next((each for each in failures if each["type"] == "ReplicaFailure"), None)
        if failed is not None:
            made = util.new_condition(self.now, "ReplicaFailure", failed["status"], failed["reason"], failed["message"])
            util.set_condition(status, made)
        else:
            util.remove_condition(status, "ReplicaFailure")
        if not self._write_status(status):
            self._come_back(status)

    def _write_status(self, status: Object) -> bool:
        if status == (self.deployment.get("status") or {}):
            return False
        self.deployment = self.client.update(DEPLOYMENTS, {**self.deployment, "status": status}, "status")
        return True

    def _come_back(self, status: Object) -> None:
        """requeueStuckDeployment: look again when the deadline is over."""
        current = util.condition(status, "Progressing")
        if current is None or not util.has_deadline(self.deployment):
            return
        if util.is_complete(self.deployment, status) or current["reason"] == "ProgressDeadlineExceeded":
            return
        due = ids.parse_timestamp(current["lastUpdateTime"]) + self.deployment["spec"]["progressDeadlineSeconds"]
        # Nobody's rest depends on it: a rollout that has stalled has come to rest.
        self.controller.enqueue_after(objects.key(self.deployment), max(0.0, due - self.now) + 1, background=True)
