"""Make kubesim/schema's data: which resources there are, and the fields of every type.

Facts only (names, types, keys, flags); no upstream prose is kept.  Two sources:

* recordings of a real API server: its aggregated discovery, and its OpenAPI v3 of core, apps, networking and discovery
  (`x-kubernetes-*` extensions give list and merge keys; a zero `default` marks a field that Go always writes);
* the models of the official `kubernetes` client for all other groups (names and types), completed by the few facts that
  the models do not hold (EXTRA, below; sources are the `types.go` of each group).

    tools/generate_schema.py ../shared/golden/api/01-discovery engine/kubesim/schema
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

SCALARS = {
    ("string", ""): "string",
    ("string", "byte"): "bytes",
    ("string", "date-time"): "Time",
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("boolean", ""): "bool",
    ("number", "double"): "float64",
    ("object", ""): "any",
    ("", "int-or-string"): "IntOrString",
}
# Types that are scalars on the wire.
LEAVES = {"Time": "Time", "MicroTime": "MicroTime", "Quantity": "Quantity", "IntOrString": "IntOrString"}
OPAQUE = {"RawExtension", "FieldsV1", "Patch", "JSON", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray"}

# Go pointers to scalars: their zero is kept, any other optional zero is dropped (`omitempty`).  By field name, or Type.field.
POINTERS = frozenset(
    re.findall(
        r"\S+",
        """
    optional automountServiceAccountToken immutable enableServiceLinks shareProcessNamespace setHostnameAsFQDN
    hostUsers allowPrivilegeEscalation privileged runAsNonRoot readOnlyRootFilesystem hostProcess controller
    blockOwnerDeletion EndpointConditions.ready serving EndpointConditions.terminating started
    allocateLoadBalancerNodePorts suspend manualSelector allowVolumeExpansion attachRequired podInfoOnMount
    storageCapacity requiresRepublish orphanDependents DeploymentSpec.replicas ReplicaSetSpec.replicas
    StatefulSetSpec.replicas ReplicationControllerSpec.replicas revisionHistoryLimit progressDeadlineSeconds
    terminationGracePeriodSeconds activeDeadlineSeconds runAsUser runAsGroup fsGroup tolerationSeconds
    ClientIPConfig.timeoutSeconds defaultMode mode expirationSeconds PodSpec.priority EndpointPort.port collisionCount
    terminatingReplicas backoffLimit backoffLimitPerIndex completions parallelism maxFailedIndexes
    ttlSecondsAfterFinished startingDeadlineSeconds successfulJobsHistoryLimit failedJobsHistoryLimit minReplicas
    deletionGracePeriodSeconds remainingItemCount gracePeriodSeconds leaseDurationSeconds leaseTransitions partition
    JobStatus.ready JobStatus.terminating minDomains percentage endPort averageUtilization
    currentCPUUtilizationPercentage targetCPUUtilizationPercentage storageClassName ingressClassName loadBalancerClass
    trafficDistribution internalTrafficPolicy appProtocol Endpoint.hostname Endpoint.nodeName EndpointAddress.nodeName
    Endpoint.zone EndpointPort.name EndpointPort.protocol runtimeClassName preemptionPolicy ipFamilyPolicy volumeMode
    holderIdentity NetworkPolicyPort.protocol pathType recursiveReadOnly mountPropagation resourceClaimName
    preferredHolder strategy sideEffects failurePolicy matchPolicy timeoutSeconds.Webhook
    insecureSkipTLSVerify.APIServiceSpec path.ServiceReference JSONSchemaProps.maximum JSONSchemaProps.minimum
    JSONSchemaProps.multipleOf JSONSchemaProps.maxItems JSONSchemaProps.minItems JSONSchemaProps.maxLength
    JSONSchemaProps.minLength JSONSchemaProps.maxProperties JSONSchemaProps.minProperties
    """,
    )
)
CORE_ENDPOINT_PORT = "core.v1.EndpointPort"  # its fields are no pointers, unlike discovery's
# Lists that Go writes as null when they are nil.
NULL_LISTS = {
    "discovery.v1.EndpointSlice.endpoints",
    "discovery.v1.EndpointSlice.ports",
    "rbac.v1.Role.rules",
    "rbac.v1.ClusterRole.rules",
}
# Times by value (metav1.Time, not a pointer): Go writes them as null when they are zero.
TIMES = frozenset(
    f"{type_name}.{field}"
    for type_name, fields in {
        "core.v1.PodCondition": ("lastProbeTime", "lastTransitionTime"),
        "core.v1.NodeCondition": ("lastHeartbeatTime", "lastTransitionTime"),
        "core.v1.NamespaceCondition": ("lastTransitionTime",),
        "core.v1.PersistentVolumeClaimCondition": ("lastProbeTime", "lastTransitionTime"),
        "core.v1.ReplicationControllerCondition": ("lastTransitionTime",),
        "core.v1.Event": ("firstTimestamp", "lastTimestamp", "eventTime"),
        "core.v1.EventSeries": ("lastObservedTime",),
        "core.v1.ContainerStateRunning": ("startedAt",),
        "core.v1.ContainerStateTerminated": ("startedAt", "finishedAt"),
        "apps.v1.DeploymentCondition": ("lastUpdateTime", "lastTransitionTime"),
        "apps.v1.ReplicaSetCondition": ("lastTransitionTime",),
        "apps.v1.DaemonSetCondition": ("lastTransitionTime",),
        "apps.v1.StatefulSetCondition": ("lastTransitionTime",),
        "batch.v1.JobCondition": ("lastProbeTime", "lastTransitionTime"),
        "meta.v1.Condition": ("lastTransitionTime",),
        "events.v1.Event": ("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"),
        "authentication.v1.TokenRequestStatus": ("expirationTimestamp",),
    }.items()
    for field in fields
)
# Facts that the client's models lack: "type.field": flags as in the output.
EXTRA = {
    "batch.v1.JobStatus.conditions": "list=atomic strategy=merge key=type",
    "batch.v1.JobStatus.uncountedTerminatedPods": "",
    "policy.v1.PodDisruptionBudgetStatus.conditions": "list=map keys=type strategy=merge key=type",
    "policy.v1.PodDisruptionBudgetSpec.selector": "strategy=replace",
    "autoscaling.v2.HorizontalPodAutoscalerStatus.conditions": "list=map keys=type strategy=merge key=type",
    "autoscaling.v2.HorizontalPodAutoscalerSpec.metrics": "list=atomic",
    "certificates.v1.CertificateSigningRequestStatus.conditions": "list=map keys=type",
    "apiextensions.v1.CustomResourceDefinitionStatus.conditions": "list=map keys=type",
    "apiregistration.v1.APIServiceStatus.conditions": "list=map keys=type strategy=merge key=type",
    "admissionregistration.v1.MutatingWebhookConfiguration.webhooks": "list=map keys=name strategy=merge key=name",
    "admissionregistration.v1.ValidatingWebhookConfiguration.webhooks": "list=map keys=name strategy=merge key=name",
    "storage.v1.CSINodeSpec.drivers": "list=map keys=name strategy=merge key=name",
    "rbac.v1.ClusterRole.rules": "list=atomic",
    "rbac.v1.Role.rules": "list=atomic",
    "rbac.v1.ClusterRoleBinding.subjects": "list=atomic",
    "rbac.v1.RoleBinding.subjects": "list=atomic",
}
# What the models call a string is a quantity, what they call an int has 64 bits: `generate_protobuf.py` tells where.
KINDS = {
    field: kind
    for kind, fields in {
        "Quantity": """
            autoscaling.v2.HPAScalingRules.tolerance autoscaling.v2.MetricTarget.averageValue
            autoscaling.v2.MetricTarget.value autoscaling.v2.MetricValueStatus.averageValue
            autoscaling.v2.MetricValueStatus.value resource.v1.CapacityRequestPolicy.default
            resource.v1.CapacityRequestPolicyRange.max resource.v1.CapacityRequestPolicyRange.min
            resource.v1.CapacityRequestPolicyRange.step resource.v1.Counter.value resource.v1.DeviceCapacity.value
            storage.v1.CSIStorageCapacity.capacity storage.v1.CSIStorageCapacity.maximumVolumeSize
            """,
        "[]Quantity": "resource.v1.CapacityRequestPolicy.validValues",
        "{}Quantity": "resource.v1.CapacityRequirements.requests",
        "int64": """
            admissionregistration.v1.ValidatingAdmissionPolicyStatus.observedGeneration
            apiextensions.v1.JSONSchemaProps.maxItems apiextensions.v1.JSONSchemaProps.maxLength
            apiextensions.v1.JSONSchemaProps.maxProperties apiextensions.v1.JSONSchemaProps.minItems
            apiextensions.v1.JSONSchemaProps.minLength apiextensions.v1.JSONSchemaProps.minProperties
            autoscaling.v1.HorizontalPodAutoscalerStatus.observedGeneration
            autoscaling.v2.HorizontalPodAutoscalerStatus.observedGeneration
            batch.v1.CronJobSpec.startingDeadlineSeconds batch.v1.JobSpec.activeDeadlineSeconds
            policy.v1.PodDisruptionBudgetStatus.observedGeneration resource.v1.DeviceAttribute.int
            resource.v1.DeviceSubRequest.count resource.v1.DeviceToleration.tolerationSeconds
            resource.v1.ExactDeviceRequest.count resource.v1.ResourcePool.generation
            resource.v1.ResourcePool.resourceSliceCount
            storage.v1.CSIDriverSpec.nodeAllocatableUpdatePeriodSeconds storage.v1.TokenRequest.expirationSeconds
            """,
    }.items()
    for field in fields.split()
}
ATOMIC_STRUCTS = {"rbac.v1.RoleRef", "rbac.v1.Subject"}
# Structs by value: Go writes them even when empty.
VALUES = {
    "metadata", "batch.v1.JobSpec.template", "batch.v1.CronJobSpec.jobTemplate", "batch.v1.CronJob.spec",
    "batch.v1.CronJob.status",
    "batch.v1.Job.spec",
    "batch.v1.Job.status", "batch.v1.JobTemplateSpec.spec", "policy.v1.PodDisruptionBudget.spec",
    "policy.v1.PodDisruptionBudget.status", "autoscaling.v1.Scale.spec", "autoscaling.v1.Scale.status",
    "autoscaling.v1.HorizontalPodAutoscaler.spec", "autoscaling.v1.HorizontalPodAutoscaler.status",
    "autoscaling.v2.HorizontalPodAutoscaler.spec", "autoscaling.v2.HorizontalPodAutoscaler.status",
    "coordination.v1.Lease.spec", "authorization.v1.SelfSubjectAccessReview.spec",
    "authorization.v1.SelfSubjectAccessReview.status",
    "authorization.v1.SubjectAccessReview.spec", "authorization.v1.SubjectAccessReview.status",
    "authorization.v1.LocalSubjectAccessReview.spec", "authorization.v1.LocalSubjectAccessReview.status",
    "authorization.v1.SelfSubjectRulesReview.spec", "authorization.v1.SelfSubjectRulesReview.status",
    "authentication.v1.TokenRequest.spec", "authentication.v1.TokenRequest.status", "authentication.v1.TokenReview.spec",
    "authentication.v1.TokenReview.status", "authentication.v1.SelfSubjectReview.status", "apiregistration.v1.APIService.spec",
    "apiregistration.v1.APIService.status", "apiextensions.v1.CustomResourceDefinition.spec",
    "apiextensions.v1.CustomResourceDefinition.status", "apiextensions.v1.CustomResourceDefinitionSpec.names",
    "apiextensions.v1.CustomResourceDefinitionStatus.acceptedNames", "certificates.v1.CertificateSigningRequest.spec",
    "certificates.v1.CertificateSigningRequest.status", "rbac.v1.RoleBinding.roleRef", "rbac.v1.ClusterRoleBinding.roleRef",
    "policy.v1.PodDisruptionBudgetStatus.currentHealthy", "policy.v1.PodDisruptionBudgetStatus.desiredHealthy",
    "policy.v1.PodDisruptionBudgetStatus.disruptionsAllowed", "policy.v1.PodDisruptionBudgetStatus.expectedPods",
    "apiextensions.v1.CustomResourceDefinitionNames.plural", "autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef",
}  # fmt: skip
# The client's class names, where they are not Version + Kind: prefix -> group.
PREFIXES = {
    "Authentication": "authentication", "Core": "core", "Discovery": "discovery", "Events": "events", "Storage": "storage",
    "Rbac": "rbac", "Flowcontrol": "flowcontrol", "Admissionregistration": "admissionregistration",
    "Apiextensions": "apiextensions", "Apiregistration": "apiregistration", "Resource": "resource",
}  # fmt: skip


def short(name: str) -> str:
    """io.k8s.api.core.v1.Service -> core.v1.Service; io.k8s.apimachinery.pkg.apis.meta.v1.X -> meta.v1.X."""
    for prefix in ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis."):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name.rsplit(".", 1)[-1]


def openapi_type(prop: dict[str, Any]) -> str:
    reference = prop.get("$ref") or (prop.get("allOf") or [{}])[0].get("$ref")
    if reference:
        name = short(reference.rsplit("/", 1)[-1])
        last = name.rsplit(".", 1)[-1]
        return LEAVES.get(last) or ("any" if last in OPAQUE else name)
    if prop.get("type") == "array":
        return "[]" + openapi_type(prop["items"])
    if "additionalProperties" in prop:
        return "{}" + openapi_type(prop["additionalProperties"])
    return SCALARS[prop.get("type", ""), prop.get("format", "")]


def pointer(type_name: str, field: str) -> bool:
    if type_name == CORE_ENDPOINT_PORT and field in ("name", "port", "protocol"):
        return False
    return field in POINTERS or f"{type_name.rsplit('.', 1)[-1]}.{field}" in POINTERS


def flags(type_name: str, field: str, kind: str, required: bool, always: bool) -> list[str]:
    found = ["required"] if required else []
    if always or f"{type_name}.{field}" in NULL_LISTS | TIMES or (kind.startswith("[]") and required):
        found.append("always")
    elif kind in ("string", "int32", "int64", "bool", "float64", "bytes") and not pointer(type_name, field):
        found.append("omitzero")
    return found


def from_openapi(documents: list[Path]) -> dict[str, str]:
    types: dict[str, str] = {}
    for path in documents:
        for name, schema in json.loads(path.read_text())["response_body"]["components"]["schemas"].items():
            if "properties" not in schema or short(name).rsplit(".", 1)[-1] in OPAQUE:
                continue
            type_name, fields = short(name), []
            for field, prop in sorted(schema["properties"].items()):
                kind = openapi_type(prop)
                default = prop.get("default")
                always = (
                    default in ({}, "", 0) and default is not None and not isinstance(default, bool)
                ) or default is False
                marks = flags(type_name, field, kind, field in schema.get("required", ()), always)
                if default and default is not True:
                    marks.append("default=" + json.dumps(default))
                extension = {
                    key.removeprefix("x-kubernetes-"): value for key, value in prop.items() if key.startswith("x-")
                }
                if "list-type" in extension:
                    marks.append("list=" + extension["list-type"])
                if "list-map-keys" in extension:
                    marks.append("keys=" + "+".join(extension["list-map-keys"]))
                if "patch-strategy" in extension:
                    marks.append("strategy=" + extension["patch-strategy"].replace(",", "+"))
                if "patch-merge-key" in extension:
                    marks.append("key=" + extension["patch-merge-key"])
                if extension.get("map-type") == "atomic":
                    marks.append("map=atomic")
                fields.append(" ".join([field, kind, *marks]))
            head = type_name + (" map=atomic" if schema.get("x-kubernetes-map-type") == "atomic" else "")
            types[type_name] = "\t".join([head, *fields])
    return types


def from_client(known: dict[str, str], groups: dict[str, str]) -> dict[str, str]:
    """The types of the other groups.  `groups`: Kind -> group of discovery, which tells a top-level class its group."""
    from kubernetes.client import models

    classes = {name: getattr(models, name) for name in models.__all__ if re.match(r"([A-Z][a-z]+)?V\d[A-Z]", name)}

    def parts(name: str) -> tuple[str, str, str]:
        match = re.match(r"([A-Z][a-z]+)?(V\d)([A-Z].*)", name)
        assert match
        return match[1] or "", match[2].lower(), match[3]

    types: dict[str, str] = {}
    names: dict[str, str] = {}  # class -> type name
    by_last = {}
    for type_name in known:
        by_last.setdefault(type_name.rsplit(".", 1)[-1], type_name)

    def name_of(cls: str, group: str) -> str:
        if cls in names:
            return names[cls]
        prefix, version, last = parts(cls)
        if last in OPAQUE:
            return "any"
        own = PREFIXES.get(prefix, "")
        for candidate in (f"{own or group}.{version}.{last}", f"meta.{version}.{last}"):
            if candidate in known:
                return candidate
        if not prefix and version == "v1" and last in by_last and not own:
            return by_last[last]
        names[cls] = f"{own or group}.{version}.{last}"
        convert(cls, own or group)
        return names[cls]

    def kind_of(text: str, group: str) -> str:
        if match := re.fullmatch(r"List\[(.*)\]", text):
            return "[]" + kind_of(match[1], group)
        if match := re.fullmatch(r"Dict\[str, (.*)\]", text):
            return "{}" + kind_of(match[1], group)
        simple = {
            "str": "string",
            "int": "int32",
            "bool": "bool",
            "float": "float64",
            "datetime": "Time",
            "object": "any",
            "bytearray": "bytes",
        }
        return simple.get(text) or (name_of(text, group) if text in classes else "any")

    def convert(cls: str, group: str) -> None:
        model = classes[cls]
        type_name, fields = names[cls], []
        for attribute, text in sorted(model.openapi_types.items(), key=lambda item: model.attribute_map[item[0]]):
            field = model.attribute_map[attribute]
            if field == "_continue":
                field = "continue"
            kind = kind_of(text, group)
            kind = {"[]str": "[]string"}.get(kind, kind)
            if kind == "Time" and re.search(r"renewTime|acquireTime|eventTime|lastObservedTime", field):
                kind = "MicroTime"
            if kind == "any" and field in ("minAvailable", "maxUnavailable"):
                kind = "IntOrString"
            kind = KINDS.get(f"{type_name}.{field}", kind)
            info = model.model_fields.get(attribute)
            required = info is not None and info.is_required()
            value = (field in VALUES and kind.endswith("Meta")) or f"{type_name}.{field}" in VALUES
            always = value or (required and kind in ("string", "int32", "int64", "bool"))
            marks = flags(type_name, field, kind, required, always)
            marks += [mark for mark in EXTRA.get(f"{type_name}.{field}", "").split() if mark]
            fields.append(" ".join([field, kind, *marks]))
        head = type_name + (" map=atomic" if type_name in ATOMIC_STRUCTS else "")
        types[type_name] = "\t".join([head, *fields])

    for cls in sorted(classes):
        prefix, version, last = parts(cls)
        group = PREFIXES.get(prefix) or groups.get(f"{version}/{last}", "") or groups.get(f"v1/{last}", "")
        if group and version in ("v1", "v2") and not last.endswith("List"):
            name_of(cls, group)
    return types


def resources(folder: Path) -> list[list[Any]]:
    """[group, version, plural, singular, kind, namespaced, verbs, shorts, categories, [[sub, kind, group, version, verbs]]]."""
    rows = []
    for name in ("026-api-aggregated.json", "027-apis-aggregated.json"):
        for group in json.loads((folder / name).read_text())["response_body"]["items"]:
            for version in group["versions"]:
                for each in version["resources"]:
                    subs = [
                        [
                            sub["subresource"],
                            sub["responseKind"]["kind"],
                            sub["responseKind"]["group"],
                            sub["responseKind"]["version"],
                            " ".join(sub["verbs"]),
                        ]
                        for sub in each.get("subresources", ())
                    ]
                    rows.append(
                        [
                            group["metadata"].get("name", ""),
                            version["version"],
                            each["resource"],
                            each["singularResource"],
                            each["responseKind"]["kind"],
                            each["scope"] == "Namespaced",
                            " ".join(each["verbs"]),
                            " ".join(each.get("shortNames", ())),
                            " ".join(each.get("categories", ())),
                            subs,
                        ]
                    )
    return rows


def main(folder: Path, target: Path) -> None:
    rows = resources(folder)
    names = {"rbac.authorization.k8s.io": "rbac", "flowcontrol.apiserver.k8s.io": "flowcontrol"}
    groups = {f"{row[1]}/{row[4]}": names.get(row[0], row[0].split(".")[0] or "core") for row in rows}
    groups |= {"v1/Scale": "autoscaling", "v1/Eviction": "policy", "v1/TokenRequest": "authentication"}
    types = from_openapi([next(folder.glob(f"{number:03d}-*.json")) for number in range(28, 32)])
    types |= from_client(types, groups)
    order = sorted(types, key=lambda name: (not name.startswith("core."), not name.startswith("meta."), name))
    (target / "types.txt").write_text("".join(types[name] + "\n" for name in order))
    (target / "resources.json").write_text(
        "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n"
    )
    print(len(types), "types,", len(rows), "resources")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
