"""Persistent volumes: a claim is bound to a volume, and neither goes while it is in use.

Sources: `pkg/controller/volume/persistentvolume` (pv_controller.go), `pvcprotection`, `pvprotection`.  Left out: resizing,
attaching, volumes by a CSI driver's own rules, claims by label selector.

A class whose volumeBindingMode is WaitForFirstConsumer binds nothing until the scheduler has chosen a node for a pod that uses
the claim; then its provisioner, a program in a pod, makes a volume there.
"""

from __future__ import annotations

from kubesim import recorder
from kubesim.client import Object
from kubesim.controllers import pods
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects, quantities

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
CLAIM_PROTECTION, VOLUME_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


def of_pod(pod: Object) -> list[str]:
    """The names of the claims that a pod's volumes are."""
    listed = [each.get("persistentVolumeClaim") for each in pod["spec"].get("volumes") or ()]
    return [each["claimName"] for each in listed if each]


def _refers(reference: Object, claim: Object) -> bool:
    """Whether a volume's claimRef means this claim; one without a uid was written by hand and means any of that name."""
    named = (reference["namespace"], reference["name"]) == (objects.namespace(claim), objects.name(claim))
    return named and reference.get("uid", objects.uid(claim)) == objects.uid(claim)


class PersistentVolumeController(Controller):
    """Keys are "NAMESPACE/NAME" for claims and "NAME" for volumes."""

    name = "persistentvolume-controller"

    def start(self) -> None:
        self._claims = self.watch(CLAIMS)
        self._volumes = self.informers.of(VOLUMES)
        self._volumes.on_event(self._volume_changed)
        self._classes = self.informers.of(CLASSES)
        self._classes.on_event(self._class_changed)
        self._pods = self.informers.of("pods")
        self._pods.on_event(self._pod_changed)

    def _volume_changed(self, _kind: str, volume: Object, _before: Object | None) -> None:
        self.enqueue(objects.name(volume))
        reference = volume["spec"].get("claimRef")
        for claim in self._claims.list():
            # Who waits for any volume may take this one.
            if reference is None and not claim["spec"].get("volumeName"):
                self.enqueue(objects.key(claim))
        if reference is not None:
            self.enqueue(f"{reference['namespace']}/{reference['name']}")

    def _class_changed(self, _kind: str, _found: Object, _before: Object | None) -> None:
        for claim in self._claims.list():
            self.enqueue(objects.key(claim))

    def _pod_changed(self, kind: str, pod: Object, _before: Object | None) -> None:
        if kind == "DELETED" or pods.phase(pod) in pods.FINISHED:
            for name in of_pod(pod):
                self.enqueue(f"{objects.namespace(pod)}/{name}")

    def reconcile(self, key: str) -> None:
        if "/" not in key:
            volume = self.client.find(VOLUMES, key)
            if volume is not None and objects.deleting(volume):
                self._let_volume_go(volume)
            elif volume is not None:
                self._volume(volume)
            return
        namespace, name = objects.split_key(key)
        claim = self.client.find(CLAIMS, name, namespace)
        if claim is None:
            for volume in self._volumes.list():
                reference = volume["spec"].get("claimRef") or {}
                if (reference.get("namespace"), reference.get("name")) == (namespace, name):
                    self._volume(volume)
        elif objects.deleting(claim):
            self._let_go(claim)
        else:
            self._claim(claim)

    # -- claims -----------------------------------------------------------------------------------------------

    def _claim(self, claim: Object) -> None:
        """syncClaim."""
        if "storageClassName" not in claim["spec"]:
            defaults = [each for each in self._classes.list() if objects.annotations(each).get(DEFAULT_CLASS) == "true"]
            if defaults:
                # Also for claims that were there before the class (RetroactiveDefaultStorageClass, 1.28).
                self._patch(claim, {"spec": {"storageClassName": objects.name(defaults[0])}})
                return
        if claim["spec"].get("volumeName"):
            self._bound(claim)
            return
        volume = self._match(claim)
        if volume is not None:
            self._bind(claim, volume)
            return
        self._wait(claim)

    def _match(self, claim: Object) -> Object | None:
        """The volume that is made for this claim; else the smallest free one that is large enough."""
        spec = claim["spec"]
        asked = quantities.parse((spec.get("resources") or {}).get("requests", {}).get("storage", "0"))
        found = []
        for volume in self._volumes.list():
            given = volume["spec"]
            reference = given.get("claimRef")
            if reference is not None:
                if _refers(reference, claim):
                    return volume
                continue
            size = quantities.parse(given["capacity"]["storage"])
            if (
                given.get("storageClassName", "") == spec.get("storageClassName", "")
                and set(spec.get("accessModes") or ()) <= set(given.get("accessModes") or ())
                and size.value >= asked.value
                and not self._waits_for_pod(claim)
            ):
                found.append((size.value, objects.name(volume), volume))
        return min(found, key=lambda each: each[:2])[2] if found else None

    def _waits_for_pod(self, claim: Object) -> bool:
        kind = self._class(claim)
        late = kind is not None and kind.get("volumeBindingMode") == "WaitForFirstConsumer"
        return late and SELECTED_NODE not in objects.annotations(claim)

    def _class(self, claim: Object) -> Object | None:
        name = claim["spec"].get("storageClassName", "")
        return self._classes.get("", name) if name else None

    def _wait(self, claim: Object) -> None:
        kind = self._class(claim)
        if (claim.get("status") or {}).get("phase") != "Pending":
            self._patch(claim, {"status": {"phase": "Pending"}}, "status")
        name = claim["spec"].get("storageClassName", "")
        if kind is None:
            reason, words = (
                ("ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
                if name
                else ("FailedBinding", "no persistent volumes available for this claim and no storage class is set")
            )
            self.recorder.event(claim, "Warning" if name else "Normal", reason, words)
        elif self._waits_for_pod(claim):
            words = "waiting for first consumer to be created before binding"
            self.recorder.event(claim, "Normal", "WaitForFirstConsumer", words)
        elif kind["provisioner"] != "kubernetes.io/no-provisioner":
            who = kind["provisioner"]
            if objects.annotations(claim).get(PROVISIONER) != who:
                beta = f"volume.beta.{PROVISIONER.removeprefix('volume.')}"
                self._patch(claim, {"metadata": {"annotations": {PROVISIONER: who, beta: who}}})
                words = (
                    f"Waiting for a volume to be created either by the external provisioner '{who}' or manually by the system "
                    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
                    "registered."
                )
                self.recorder.event(claim, "Normal", "ExternalProvisioning", words)

    def _bind(self, claim: Object, volume: Object) -> None:
        """bind: first the volume names the claim, then the claim the volume."""
        reference = recorder.reference(claim)
        if (volume["spec"].get("claimRef") or {}).get("uid") != objects.uid(claim):
            notes = {BOUND_BY_CONTROLLER: "yes"}
            self.client.patch(
                VOLUMES, objects.name(volume), "", {"metadata": {"annotations": notes}, "spec": {"claimRef": reference}}
            )
        if (volume.get("status") or {}).get("phase") != "Bound":
            self.client.patch(VOLUMES, objects.name(volume), "", {"status": {"phase": "Bound"}}, subresource="status")
        notes = {BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"}
        self._patch(claim, {"metadata": {"annotations": notes}, "spec": {"volumeName": objects.name(volume)}})
        # The news of that leads on to _bound.

    def _bound(self, claim: Object) -> None:
        volume = self.client.find(VOLUMES, claim["spec"]["volumeName"])
        status = claim.get("status") or {}
        if volume is None:
            if status.get("phase") == "Bound":
                self._patch(claim, {"status": {"phase": "Lost"}}, "status")
                words = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
                self.recorder.event(claim, "Warning", "ClaimLost", words)
            return
        if (volume["spec"].get("claimRef") or {}).get("uid") != objects.uid(claim):
            if volume["spec"].get("claimRef") is None:
                self._bind(claim, volume)
            return
        wanted = {
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes"),
            "capacity": volume["spec"].get("capacity"),
        }
        if {key: status.get(key) for key in wanted} != wanted:
            self._patch(claim, {"status": wanted}, "status")

    def _let_go(self, claim: Object) -> None:
        """pvcprotection: a claim that is deleted stays until no pod uses it."""
        finalizers = claim["metadata"].get("finalizers") or []
        used = any(
            objects.name(claim) in of_pod(pod)
            for pod in self._pods.list()
            if objects.namespace(pod) == objects.namespace(claim) and pods.phase(pod) not in pods.FINISHED
        )
        if CLAIM_PROTECTION in finalizers and not used:
            rest = [each for each in finalizers if each != CLAIM_PROTECTION]
            self._patch(claim, {"metadata": {"finalizers": rest or None}})

    # -- volumes ----------------------------------------------------------------------------------------------

    def _volume(self, volume: Object) -> None:
        """syncVolume: what its phase is."""
        reference = volume["spec"].get("claimRef")
        phase = (volume.get("status") or {}).get("phase", "")
        wanted = "Available"
        if reference is not None and reference.get("uid"):
            claim = self.client.find(CLAIMS, reference["name"], reference["namespace"])
            gone = claim is None or objects.uid(claim) != reference["uid"]
            wanted = "Released" if gone else "Bound"
            if not gone and claim is not None and not claim["spec"].get("volumeName"):
                return  # It is being bound.
        if phase != wanted:
            self.client.patch(VOLUMES, objects.name(volume), "", {"status": {"phase": wanted}}, subresource="status")

    def _let_volume_go(self, volume: Object) -> None:
        """pvprotection: a volume that is deleted stays while it is bound."""
        finalizers = volume["metadata"].get("finalizers") or []
        if VOLUME_PROTECTION in finalizers and (volume.get("status") or {}).get("phase") != "Bound":
            rest = [each for each in finalizers if each != VOLUME_PROTECTION]
            self.client.patch(VOLUMES, objects.name(volume), "", {"metadata": {"finalizers": rest or None}})
        elif VOLUME_PROTECTION in finalizers:
            self._volume(volume)

    def _patch(self, claim: Object, patch: Object, subresource: str = "") -> None:
        self.client.patch(CLAIMS, objects.name(claim), objects.namespace(claim), patch, subresource=subresource)
