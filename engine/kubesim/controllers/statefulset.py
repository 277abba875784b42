"""StatefulSet: pods with a number and a name that stays, made in order and removed in the reverse order.

Source: `pkg/controller/statefulset` (stateful_set_control.go, stateful_set_utils.go).

Each number has its claims, one for each template: they stay when the pod goes, so that the next of that number finds its data,
unless persistentVolumeClaimRetentionPolicy says Delete.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers import claims, history, pods
from kubesim.controllers.controller import Controller, owner_uids
from kubesim.machinery import objects

RESOURCE, CLAIMS = "statefulsets.apps", "persistentvolumeclaims"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def ordinal(found: Object, pod: Object) -> int:
    """The number in a pod's name; -1 when it is none of the set's names."""
    prefix, _, number = objects.name(pod).rpartition("-")
    return int(number) if prefix == objects.name(found) and number.isdecimal() else -1


def first_ordinal(found: Object) -> int:
    return (found["spec"].get("ordinals") or {}).get("start", 0)


def pod_for(found: Object, number: int, revision: Object, minor: int) -> Object:
    """The pod with a number, of the template that a revision holds: its name is its hostname, its Service its subdomain."""
    template = {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}
    pod = pods.from_template(template, found, objects.namespace(found))
    name = f"{objects.name(found)}-{number}"
    pod["metadata"]["name"] = name
    labels = pod["metadata"].setdefault("labels", {})
    labels[POD_NAME] = name
    labels[history.HASH] = objects.name(revision)
    if minor >= 28:
        labels[POD_INDEX] = str(number)
    volumes = {
        objects.name(each): {"name": objects.name(each), "persistentVolumeClaim": {"claimName": objects.name(claim)}}
        for each, claim in zip(found["spec"].get("volumeClaimTemplates") or (), claims_for(found, number), strict=True)
    }
    if volumes:
        # A claim stands before a volume of the template with the same name (updateStorage).
        kept = [each for each in pod["spec"].get("volumes") or () if each["name"] not in volumes]
        pod["spec"]["volumes"] = [*volumes.values(), *kept]
    pod["spec"]["hostname"] = name
    if found["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = found["spec"]["serviceName"]
    return pod


def claims_for(found: Object, number: int) -> list[Object]:
    """The claims of the pod with a number: TEMPLATE-SET-NUMBER (getPersistentVolumeClaims)."""
    made = []
    for template in found["spec"].get("volumeClaimTemplates") or ():
        claim = objects.copy(template)
        claim.pop("status", None)
        claim["metadata"] = {
            **claim["metadata"],
            "name": f"{objects.name(template)}-{objects.name(found)}-{number}",
            "namespace": objects.namespace(found),
            "labels": {**objects.labels(template), **(found["spec"]["selector"].get("matchLabels") or {})},
        }
        if _retention(found).get("whenDeleted") == "Delete":
            claim["metadata"]["ownerReferences"] = [objects.owner_reference(found, "StatefulSet", "apps/v1")]
        made.append(claim)
    return made


def _retention(found: Object) -> Object:
    policy: Object = found["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy


class StatefulSetController(Controller):
    name = "statefulset-controller"

    def start(self) -> None:
        self.watch(RESOURCE)
        self._pods = self.watch_owned("pods", "StatefulSet")
        self._revisions = self.informers.of(history.RESOURCE)
        self._revisions.index("owner", owner_uids)

    def reconcile(self, key: str) -> None:
        namespace, name = objects.split_key(key)
        found = self.client.find(RESOURCE, name, namespace)
        if found is None or objects.deleting(found):
            return
        labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        update, known = history.current(self.client, self._revisions, found, labels, history.REVISION_HASH)
        current_name = (found.get("status") or {}).get("currentRevision") or objects.name(update)
        current = next((each for each in known if objects.name(each) == current_name), update)
        mine = claims.claim(self.client, self._pods, "pods", found, found["spec"]["selector"])
        self._step(found, mine, current, update)
        self._report(found, mine, current, update)
        in_use = {objects.labels(pod).get(history.HASH, "") for pod in mine}
        in_use |= {objects.name(current), objects.name(update)}
        history.trim(self.client, known, in_use, found["spec"].get("revisionHistoryLimit", 10))

    def _step(self, found: Object, mine: list[Object], current: Object, update: Object) -> None:
        """updateStatefulSet: make or remove as much as the order allows; the news of it brings the next step."""
        spec = found["spec"]
        start, wanted = first_ordinal(found), spec.get("replicas", 1)
        ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        by_number = {ordinal(found, pod): pod for pod in mine}
        for number in range(start, start + wanted):
            pod = by_number.get(number)
            if pod is not None and pods.phase(pod) in pods.FINISHED and not objects.deleting(pod):
                self._delete(found, pod)
                return
            if pod is None:
                self._create(found, number, self._revision_for(found, number, current, update))
                if ordered:
                    return
            elif ordered and (objects.deleting(pod) or not self._available(found, pod)):
                # Its successors wait until it serves.
                return
        excess = sorted(
            (number for number in by_number if number >= start + wanted or 0 <= number < start), reverse=True
        )
        for number in excess:
            if not objects.deleting(by_number[number]):
                self._condemn(found, number, by_number[number])
                self._delete(found, by_number[number])
            if ordered:
                return
        if (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
            self._roll(found, by_number, update)

    def _revision_for(self, found: Object, number: int, current: Object, update: Object) -> Object:
        """A pod made anew amid a rollout is of the old template while its turn has not come."""
        strategy = found["spec"].get("updateStrategy") or {}
        partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
        status = found.get("status") or {}
        updated = status.get("updatedReplicas", 0) if objects.name(current) != objects.name(update) else None
        if updated is None or strategy.get("type") == "OnDelete":
            return update
        last = first_ordinal(found) + found["spec"].get("replicas", 1)
        return update if number >= max(partition, last - updated - 1) else current

    def _roll(self, found: Object, by_number: dict[int, Object], update: Object) -> None:
        """From the last to the partition, one at a time, each only when all after it serve."""
        rolling = (found["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        for number in sorted(by_number, reverse=True):
            if number < first_ordinal(found) + (rolling.get("partition") or 0):
                return
            pod = by_number[number]
            if objects.labels(pod).get(history.HASH) != objects.name(update) and not objects.deleting(pod):
                self._delete(found, pod)
                return
            if objects.deleting(pod) or not self._available(found, pod):
                return

    def _available(self, found: Object, pod: Object) -> bool:
        pause = found["spec"].get("minReadySeconds") or 0
        if pause and pods.is_ready(pod) and not pods.is_available(pod, pause, self.world.now):
            self.enqueue_after(objects.key(found), pause)
        return pods.is_available(pod, pause, self.world.now)

    def _create(self, found: Object, number: int, revision: Object) -> None:
        pod = pod_for(found, number, revision, self.minor)
        for claim in claims_for(found, number):
            if self.client.find(CLAIMS, objects.name(claim), objects.namespace(found)) is None:
                self.client.create(CLAIMS, claim, objects.namespace(found))
                words = f"create Claim {objects.name(claim)} Pod {objects.name(pod)} in StatefulSet {objects.name(found)} success"
                self.recorder.event(found, "Normal", "SuccessfulCreate", words)
        self.client.create("pods", pod, objects.namespace(found))
        message = f"create Pod {objects.name(pod)} in StatefulSet {objects.name(found)} successful"
        if self.minor >= 32:
            message = message[0].upper() + message[1:]
        self.recorder.event(found, "Normal", "SuccessfulCreate", message)

    def _condemn(self, found: Object, number: int, pod: Object) -> None:
        """Scaled away: with the policy whenScaled: Delete the claims go with the pod."""
        if _retention(found).get("whenScaled") != "Delete":
            return
        for claim in claims_for(found, number):
            known = self.client.find(CLAIMS, objects.name(claim), objects.namespace(found))
            if known is not None:
                owners = [objects.owner_reference(pod, "Pod", "v1")]
                patch = {"metadata": {"ownerReferences": owners}}
                self.client.patch(CLAIMS, objects.name(claim), objects.namespace(found), patch)

    def _delete(self, found: Object, pod: Object) -> None:
        self.client.delete("pods", objects.name(pod), objects.namespace(pod), uid=objects.uid(pod))
        message = f"delete Pod {objects.name(pod)} in StatefulSet {objects.name(found)} successful"
        if self.minor >= 32:
            message = message[0].upper() + message[1:]
        self.recorder.event(found, "Normal", "SuccessfulDelete", message)

    def _report(self, found: Object, mine: list[Object], current: Object, update: Object) -> None:
        pause = found["spec"].get("minReadySeconds") or 0
        names = (objects.name(current), objects.name(update))
        live = [pod for pod in mine if not objects.deleting(pod)]
        of = [[pod for pod in live if objects.labels(pod).get(history.HASH) == each] for each in names]
        wanted = found["spec"].get("replicas", 1)
        ready = sum(pods.is_ready(pod) for pod in mine)
        before = found.get("status") or {}
        status: Object = {
            "observedGeneration": found["metadata"].get("generation", 1),
            "replicas": len(mine),
            "currentRevision": names[0],
            "updateRevision": names[1],
            "collisionCount": before.get("collisionCount", 0),
            "availableReplicas": sum(pods.is_available(pod, pause, self.world.now) for pod in mine),
        }
        # completeRollingUpdate: all are of the new template and serve, so that is the current one now.
        if names[0] != names[1] and len(of[1]) == len(mine) == wanted == ready:
            status["currentRevision"] = names[1]
            of[0] = of[1]
        numbers = {"readyReplicas": ready, "currentReplicas": len(of[0]), "updatedReplicas": len(of[1])}
        status.update({key: value for key, value in numbers.items() if value})
        if before.get("conditions"):
            status["conditions"] = before["conditions"]
        if status != before:
            self.client.update(RESOURCE, {**found, "status": status}, "status")
