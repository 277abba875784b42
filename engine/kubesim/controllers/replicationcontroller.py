"""ReplicationController: the ReplicaSet's elder, with a plain map for a selector.

Source: `pkg/controller/replication` - upstream, too, it is the ReplicaSet controller with the types converted.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers.replicaset import ReplicaSetController


class ReplicationControllerController(ReplicaSetController):
    name = "replication-controller"
    resource = "replicationcontrollers"
    kind = "ReplicationController"

    def selector(self, obj: Object) -> Object:
        return {"matchLabels": obj["spec"].get("selector") or {}}
