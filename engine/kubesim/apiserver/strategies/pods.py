"""Pods: their admission plugins, their status, their graceful end, their binding.

Sources: `pkg/registry/core/pod/strategy.go` and `storage/`, `plugin/pkg/admission/{serviceaccount,
defaulttolerationseconds,priority,podtopologylabels}`.
"""

from __future__ import annotations

from typing import Any

from kubesim import ids
from kubesim.apiserver import messages
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.apiserver.fielderrors import FieldError
from kubesim.apiserver.strategies import base
from kubesim.apiserver.validation import ephemeral
from kubesim.apiserver.validation import pods as rules

Object = dict[str, Any]

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
# An hour and seven seconds: rest/tokenrequest extends it, and the odd number tells it from others.
TOKEN_SECONDS = 3607
TOLERATION_SECONDS = 300
# SystemPriorityClasses, the only ones that always exist.
PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
TOPOLOGY_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class Pod(base.Strategy):
    has_status = True
    returns_deleted = True

    @property
    def generation(self) -> bool:  # type: ignore[override]
        """KEP-5067: from 1.33 on."""
        return self.minor >= 33

    # -- creating -------------------------------------------------------------------------------------------

    def admit_create(self, call: Call, obj: Object) -> None:
        spec = obj["spec"]
        mirror = "kubernetes.io/config.mirror" in obj["metadata"].get("annotations", {})
        if not mirror:
            self._service_account(call, obj, spec)
        if self.minor >= 13:
            _tolerate_absence(spec)
        self._priority(call, obj, spec)
        if spec.get("nodeName"):
            self._topology(obj, spec["nodeName"])

    def _service_account(self, call: Call, obj: Object, spec: Object) -> None:
        """The ServiceAccount plugin: it must exist; its token is mounted."""
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self.registry.find("serviceaccounts", call.namespace, name)
        if account is None:
            subject = obj["metadata"].get("name", "") or obj["metadata"].get("generateName", "")
            message = f'error looking up service account {call.namespace}/{name}: serviceaccount "{name}" not found'
            raise messages.forbidden(call.resource, subject, message)
        if "imagePullSecrets" in account and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        mount = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if mount:
            self._mount_token(spec, name, account)

    def _mount_token(self, spec: Object, account_name: str, account: Object) -> None:
        every = [*(spec.get("containers") or ()), *spec.get("initContainers", ())]
        wanting = [
            each for each in every if not any(m.get("mountPath") == TOKEN_PATH for m in each.get("volumeMounts", ()))
        ]
        if not wanting:
            return
        if self.minor < 21:
            name = self._secret_volume(spec, account_name, account)
        else:
            name = f"kube-api-access-{ids.suffix(self.registry.world)}"
            spec["volumes"] = [*spec.get("volumes", ()), {"name": name, "projected": _token_sources()}]
        if name:
            for container in wanting:
                mount = {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}
                container["volumeMounts"] = [*container.get("volumeMounts", ()), mount]

    def _secret_volume(self, spec: Object, account_name: str, account: Object) -> str:
        """Before bound tokens (1.21), the token was a Secret of the account."""
        secrets = account.get("secrets", ())
        if not secrets:
            return ""
        name = str(secrets[0]["name"])
        spec["volumes"] = [*spec.get("volumes", ()), {"name": name, "secret": {"secretName": name, "defaultMode": 420}}]
        return name

    def _priority(self, call: Call, obj: Object, spec: Object) -> None:
        name = spec.get("priorityClassName", "")
        priority, preemption = 0, "PreemptLowerPriority"
        if name:
            found = self.registry.find("priorityclasses.scheduling.k8s.io", "", name)
            if found is not None:
                priority, preemption = found.get("value", 0), found.get("preemptionPolicy", preemption)
            elif name in PRIORITIES:
                priority = PRIORITIES[name]
            else:
                message = f"no PriorityClass with name {name} was found"
                raise messages.forbidden(call.resource, obj["metadata"].get("name", ""), message)
        spec["priority"] = priority
        if self.minor >= 19:
            spec.setdefault("preemptionPolicy", preemption)

    def _topology(self, obj: Object, node_name: str) -> None:
        """PodTopologyLabels (1.33): a bound pod carries its node's zone and region."""
        node = self.registry.find("nodes", "", node_name) if self.minor >= 33 else None
        if node is None:
            return
        labels = node["metadata"].get("labels", {})
        found = {key: labels[key] for key in TOPOLOGY_LABELS if key in labels}
        if found:
            metadata = obj["metadata"]
            metadata["labels"] = dict(sorted({**metadata.get("labels", {}), **found}.items()))

    def initial_status(self, obj: Object) -> Object:
        return {"phase": "Pending", "qosClass": qos_class(obj["spec"])}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.pod(obj) + ephemeral.on_create(obj)

    # -- updating -------------------------------------------------------------------------------------------

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        if call.subresource == "ephemeralcontainers":
            return ephemeral.update(new, old)
        if call.subresource in ("binding", "resize"):
            return []
        return rules.pod_update(new, old)

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_status(call, new, old)
        # A kubelet must not drop what the garbage collector goes by.
        new["metadata"].pop("ownerReferences", None)
        if "ownerReferences" in old["metadata"]:
            new["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]
        new["status"].setdefault("qosClass", old["status"].get("qosClass", ""))

    # -- deleting -------------------------------------------------------------------------------------------

    def grace_seconds(self, obj: Object, options: DeleteOptions) -> int | None:
        """CheckGracefulDelete: a pod that is nowhere or already over needs no grace."""
        period = options.grace_period_seconds
        if period is None:
            period = obj["spec"].get("terminationGracePeriodSeconds", 0)
        if not obj["spec"].get("nodeName"):
            period = 0
        if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            period = 0
        return max(int(period), 1) if period < 0 else int(period)

    # -- binding --------------------------------------------------------------------------------------------

    def bind(self, call: Call, binding: Object) -> None:
        """POST pods/NAME/binding: the scheduler's decision (BindingREST.Create)."""
        target = binding.get("target", {})
        if target.get("kind", "Node") not in ("", "Node") or not target.get("name"):
            raise messages.bad_request(
                "target.name: Required value" if not target.get("name") else "binding: unknown target kind"
            )

        def assign(old: Object) -> Object:
            from kubesim.machinery import objects

            name = old["metadata"]["name"]
            if old["metadata"].get("deletionTimestamp"):
                raise messages.conflict(
                    call.resource, name, f"pod {name} is being deleted, cannot be assigned to a host"
                )
            assigned = old["spec"].get("nodeName")
            if assigned:
                why = f'pod {name} is already assigned to node "{assigned}"'
                raise messages.conflict(call.resource, name, why)
            new = objects.copy(old)
            new["spec"]["nodeName"] = target["name"]
            for key, value in binding.get("metadata", {}).get("annotations", {}).items():
                new["metadata"].setdefault("annotations", {})[key] = value
            self._topology(new, target["name"])
            condition = {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": ids.timestamp(self.registry.world.now),
            }
            conditions = [each for each in new["status"].get("conditions", ()) if each["type"] != "PodScheduled"]
            new["status"]["conditions"] = [*conditions, condition]
            return new

        self.registry.update(call, assign)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        if call.subresource == "binding":
            return
        super().prepare_update(call, new, old)
        if call.subresource == "ephemeralcontainers":
            # dropNonEphemeralContainerUpdates
            added = new["spec"].get("ephemeralContainers")
            new["spec"] = {**old["spec"], **({"ephemeralContainers": added} if added else {})}
            new["metadata"] = {**old["metadata"], "resourceVersion": new["metadata"].get("resourceVersion", "")}


def _token_sources() -> Object:
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
        "defaultMode": 420,
    }


def _tolerate_absence(spec: Object) -> None:
    """DefaultTolerationSeconds: five minutes on a node that is not ready or not reachable."""
    tolerations = list(spec.get("tolerations", ()))
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        known = any(
            each.get("key", "") in (key, "") and each.get("effect", "") in ("NoExecute", "") for each in tolerations
        )
        if not known:
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
            )
    if tolerations:
        spec["tolerations"] = tolerations


def qos_class(spec: Object) -> str:
    """qos.ComputePodQOS: Guaranteed when every container's cpu and memory requests equal its limits."""
    requests: set[str] = set()
    guaranteed, any_resource = True, False
    for container in (*(spec.get("containers") or ()), *spec.get("initContainers", ())):
        resources = container.get("resources", {})
        limits = resources.get("limits", {})
        wanted = {**limits, **resources.get("requests", {})}
        relevant = {key for key in ("cpu", "memory") if wanted.get(key, "0") != "0"}
        any_resource = any_resource or bool(relevant)
        requests |= relevant
        if any(limits.get(key) is None or limits[key] != wanted.get(key) for key in ("cpu", "memory")):
            guaranteed = False
    if not any_resource:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


STRATEGIES: dict[str, type[base.Strategy]] = {"pods": Pod}
