"""kind's storage provisioner (Rancher's local-path): a directory of the node that the scheduler has chosen becomes a volume.

Source: rancher/local-path-provisioner `provisioner.go`.  Left out: the helper pod that makes the directory; it is there when it
is mounted.
"""

from __future__ import annotations

from kubesim import ids
from kubesim.client import Object
from kubesim.controllers.persistentvolume import SELECTED_NODE
from kubesim.informer import Informers
from kubesim.machinery import objects
from kubesim.programs import disks
from kubesim.programs.image import Image, Process
from kubesim.recorder import Recorder, reference

NAME = "rancher.io/local-path"
PATH = "/var/local-path-provisioner"
# What the helper pod takes.
SECONDS = 2.0


async def main(process: Process) -> int:
    def say(level: str, words: str) -> None:
        process.log(f'time="{ids.timestamp(process.world.now)}" level={level} msg="{words}"')

    say("debug", "Applied config: local-path-config")
    say("info", "Provisioner started")
    informers = Informers(process.api)
    recorder = Recorder(process.world, process.api, f"{NAME}_{process.machine.hostname}")
    busy: set[str] = set()

    def claim_changed(kind: str, claim: Object, _before: Object | None) -> None:
        uid, node = objects.uid(claim), objects.annotations(claim).get(SELECTED_NODE, "")
        if kind == "DELETED" or not node or claim["spec"].get("volumeName") or uid in busy or objects.deleting(claim):
            return
        found = process.api.find("storageclasses.storage.k8s.io", claim["spec"].get("storageClassName", ""))
        if found is None or found["provisioner"] != NAME:
            return
        busy.add(uid)
        words = f'External provisioner is provisioning volume for claim "{objects.key(claim)}"'
        recorder.event(claim, "Normal", "Provisioning", words)
        process.world.call_later(SECONDS, provision, claim, node, found)

    def provision(claim: Object, node: str, storage: Object) -> None:
        busy.discard(objects.uid(claim))
        made = volume(claim, node, storage)
        if process.api.find("persistentvolumes", objects.name(made)) is None:
            process.api.create("persistentvolumes", made)
            say("info", f"Volume {objects.name(made)} has been created on {node}:{made['spec']['hostPath']['path']}")
            recorder.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {objects.name(made)}")

    def volume_changed(kind: str, found: Object, _before: Object | None) -> None:
        if (
            kind != "DELETED"
            and (found.get("status") or {}).get("phase") == "Released"
            and found["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
            and objects.annotations(found).get("pv.kubernetes.io/provisioned-by") == NAME
            and not objects.deleting(found)
        ):
            say("info", f"Deleting volume {objects.name(found)}")
            process.api.delete("persistentvolumes", objects.name(found))

    informers.of("persistentvolumeclaims").on_event(claim_changed)
    informers.of("persistentvolumes").on_event(volume_changed)
    try:
        await process.world.future()
    finally:
        informers.stop()
    return 0


def volume(claim: Object, node: str, storage: Object) -> Object:
    """The volume for a claim: a directory on that node, for this claim alone."""
    name = f"pvc-{objects.uid(claim)}"
    spec = claim["spec"]
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": NAME}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": reference(claim),
            "hostPath": {"path": f"{PATH}/{name}_{objects.namespace(claim)}_{objects.name(claim)}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
            "storageClassName": objects.name(storage),
            "volumeMode": "Filesystem",
        },
    }


IMAGES = [
    Image(
        names=("kindest/local-path-provisioner", "rancher/local-path-provisioner"),
        program=main,
        programs=("local-path-provisioner",),
        entrypoint=("local-path-provisioner",),
        tools=disks.DISTROLESS,
        seconds=1.0,
    )
]
