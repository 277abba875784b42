"""What a pod's claims say about where it can run.

Source: `pkg/scheduler/framework/plugins/volumebinding`.
"""

from __future__ import annotations

from kubesim.client import Client, Object
from kubesim.controllers import persistentvolume
from kubesim.controllers.persistentvolume import SELECTED_NODE
from kubesim.informer import Informer, Informers
from kubesim.machinery import objects
from kubesim.scheduler import matching


class Claims:
    """The claims, volumes and classes of the cluster.  `minor` is 36 of v1.36.2."""

    def __init__(self, informers: Informers, minor: int) -> None:
        self.claims: Informer = informers.of("persistentvolumeclaims")
        self._volumes = informers.of("persistentvolumes")
        self._classes = informers.of("storageclasses.storage.k8s.io")
        self._minor = minor

    def problem(self, pod: Object) -> str:
        """Why no node will do, whichever it is; "" when some may."""
        for name, claim in self._of(pod):
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if objects.deleting(claim):
                return f'persistentvolumeclaim "{name}" is being deleted'
            if not _bound(claim) and not self._late(claim):
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def why_not(self, pod: Object, node: Object) -> str:
        """Why not this node: the volume is elsewhere."""
        for _, claim in self._of(pod):
            volume = self._volumes.get("", claim["spec"].get("volumeName", "")) if claim is not None else None
            required = ((volume or {}).get("spec", {}).get("nodeAffinity") or {}).get("required")
            if required and not any(matching.term_matches(term, node) for term in required["nodeSelectorTerms"]):
                if self._minor < 33:
                    return "node(s) had volume node affinity conflict"
                return "node(s) didn't match PersistentVolume's node affinity"
        return ""

    def unbound(self, pod: Object) -> list[Object]:
        """The claims that wait for a node to be chosen."""
        return [claim for _, claim in self._of(pod) if claim is not None and not _bound(claim)]

    def choose(self, client: Client, pod: Object, node: str) -> bool:
        """Tell the provisioners of the pod's claims which node it will be; False when there is nothing to wait for."""
        waiting = self.unbound(pod)
        for claim in waiting:
            if objects.annotations(claim).get(SELECTED_NODE) != node:
                patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
                client.patch("persistentvolumeclaims", objects.name(claim), objects.namespace(claim), patch)
        return bool(waiting)

    def _of(self, pod: Object) -> list[tuple[str, Object | None]]:
        return [(name, self.claims.get(objects.namespace(pod), name)) for name in persistentvolume.of_pod(pod)]

    def _late(self, claim: Object) -> bool:
        kind = self._classes.get("", claim["spec"].get("storageClassName", ""))
        return kind is not None and kind.get("volumeBindingMode") == "WaitForFirstConsumer"


def state(claim: Object) -> tuple[object, ...]:
    """What of a claim can make a pod fit that did not."""
    return claim["spec"].get("storageClassName"), claim["spec"].get("volumeName"), _bound(claim)


def _bound(claim: Object) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound"
