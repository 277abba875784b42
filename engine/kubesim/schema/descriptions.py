"""What kinds, fields and parameters are for, in a few words of our own; `kubectl explain` shows them.

A field that says enough by its name has none.  A description stands under `Type.field`, or under `field` for all types.
"""

from __future__ import annotations

_TYPES = {
    "Pod": "One or more containers that share a network namespace and run on one node.",
    "PodSpec": "What the pod shall be: its containers, volumes and where it may run.",
    "PodStatus": "What the kubelet last said of the pod.",
    "Container": "One container of a pod: an image and how to run it.",
    "ContainerPort": "A port that a container listens on.  It documents; it opens nothing.",
    "Service": "A stable address and name in front of the pods that its selector matches.",
    "ServiceSpec": "What the Service is and whom it leads to.",
    "ServicePort": "One port of a Service and where it leads.",
    "Endpoints": "All addresses behind a Service in one object.  EndpointSlices have replaced it.",
    "EndpointSlice": "Some of the addresses behind a Service; kube-proxy reads these.",
    "Endpoint": "One backend: its addresses and whether it is ready.",
    "Deployment": "Keeps so many pods of a template running, and replaces them step by step when it changes.",
    "DeploymentSpec": "How many pods, of which template, and how a change is rolled out.",
    "ReplicaSet": "Keeps so many pods of a template running.",
    "StatefulSet": "Pods with names and volumes that stay: NAME-0, NAME-1 and so on.",
    "DaemonSet": "One pod on every node that matches.",
    "Job": "Runs pods until enough of them have succeeded.",
    "CronJob": "Makes Jobs by the clock.",
    "Namespace": "A scope for names.",
    "Node": "A machine that runs pods.",
    "ConfigMap": "Plain settings, for environment variables or files in pods.",
    "Secret": "As a ConfigMap, for values that not everybody shall read.",
    "ServiceAccount": "Whom a pod is to the API.",
    "Ingress": "HTTP routing by host and path to Services.",
    "IngressClass": "Which controller serves an Ingress.",
    "NetworkPolicy": "Which traffic to and from pods is allowed.",
    "ObjectMeta": "What every object has: name, labels, owners.",
    "Probe": "A check that the kubelet makes again and again.",
    "Event": "Something that happened to an object, told once or several times.",
}
_FIELDS = {
    "apiVersion": "Group and version that this object is written in.",
    "kind": "Which kind of object this is.",
    "metadata": "Name, labels and the like.",
    "spec": "What is wanted.",
    "status": "What is; written by the cluster.",
    "ObjectMeta.name": "Unique among the objects of this kind in its namespace.",
    "ObjectMeta.namespace": "Where the name holds; empty for objects of the whole cluster.",
    "ObjectMeta.labels": "Keys and values that selectors look for.",
    "ObjectMeta.annotations": "Keys and values that selectors do not look for.",
    "ObjectMeta.uid": "Unique over all time.",
    "ObjectMeta.finalizers": "Who must be done before the object goes away.",
    "ObjectMeta.ownerReferences": "The objects that this one belongs to; it goes when all of them have gone.",
    "ServiceSpec.type": "ClusterIP (within the cluster), NodePort (also on every node), LoadBalancer (also from a cloud's "
    "balancer) or ExternalName (a DNS alias, no proxying).",
    "ServiceSpec.clusterIP": "The virtual address; drawn when it is empty, and never changed.  \"None\": headless, DNS gives "
    "the pods.",
    "ServiceSpec.selector": "Labels of the pods behind the Service; without one its endpoints are written by hand.",
    "ServiceSpec.sessionAffinity": "None, or ClientIP: a client stays with the pod that it first got.",
    "ServiceSpec.externalTrafficPolicy": "Cluster: any endpoint.  Local: only those on the node that was reached; the client's "
    "address is kept.",
    "ServiceSpec.internalTrafficPolicy": "Cluster: any endpoint.  Local: only those on the client's node.",
    "ServiceSpec.publishNotReadyAddresses": "Lead to pods that are not ready, too.",
    "ServicePort.port": "The port of the Service.",
    "ServicePort.targetPort": "The pod's port, a number or the name of a container port; the same as `port` when absent.",
    "ServicePort.nodePort": "The port on every node, for NodePort and LoadBalancer.",
    "ServicePort.protocol": "TCP, UDP or SCTP.",
    "DeploymentSpec.replicas": "How many pods; 1 when absent.",
    "DeploymentSpec.selector": "Which pods are this Deployment's; never changes.",
    "DeploymentSpec.template": "What its pods look like.",
    "DeploymentSpec.strategy": "How pods are replaced when the template changes.",
    "PodSpec.containers": "At least one.",
    "PodSpec.nodeName": "The node that runs it; the scheduler's decision.",
    "PodSpec.nodeSelector": "Labels that the node must have.",
    "PodSpec.restartPolicy": "Always, OnFailure or Never.",
    "PodSpec.hostNetwork": "Use the node's network namespace.",
    "Container.image": "What to run.",
    "Container.command": "Replaces the image's entry point.",
    "Container.args": "Replaces the image's arguments.",
    "Container.readinessProbe": "While it fails, Services lead past the pod.",
    "Container.livenessProbe": "When it fails often enough the container is restarted.",
}  # fmt: skip
_PARAMETERS = {
    "dryRun": "All: do everything but store it.",
    "fieldManager": "Who owns the fields that this request sets.",
    "fieldValidation": "Unknown and doubled fields: Ignore, Warn or Strict.",
    "fieldSelector": "Only objects whose fields have these values.",
    "labelSelector": "Only objects with these labels.",
    "limit": "At most so many; the answer tells how to go on.",
    "continue": "Go on with a list where the answer before left off.",
    "watch": "Go on telling of changes.",
    "pretty": "Break lines.",
}


def of_type(name: str) -> str:
    return _TYPES.get(name.rsplit(".", 1)[-1], "")


def of_field(type_name: str, field: str) -> str:
    return _FIELDS.get(f"{type_name.rsplit('.', 1)[-1]}.{field}") or _FIELDS.get(field, "")


def of_parameter(name: str) -> str:
    return _PARAMETERS.get(name, "")
