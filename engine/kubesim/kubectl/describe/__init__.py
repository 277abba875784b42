"""kubectl describe: a page about one object, by kind.

Belongs here: a module for each family of kinds, with functions `(Page, object) -> None`; `DESCRIBERS` says which is where, and
kinds without a page of their own get the generic one.  Never here: how objects are chosen (that is `commands.describe`).

Source of all pages: kubectl `pkg/describe/describe.go`.
"""

# kind: (module, function)
DESCRIBERS = {
    "ClusterRole": ("rbac", "role"),
    "ClusterRoleBinding": ("rbac", "binding"),
    "ConfigMap": ("config", "config_map"),
    "CronJob": ("jobs", "cron_job"),
    "DaemonSet": ("workloads", "daemon_set"),
    "Deployment": ("workloads", "deployment"),
    "EndpointSlice": ("network", "endpoint_slice"),
    "Endpoints": ("network", "endpoints"),
    "Ingress": ("network", "ingress"),
    "IngressClass": ("network", "ingress_class"),
    "Job": ("jobs", "job"),
    "Namespace": ("config", "namespace"),
    "NetworkPolicy": ("policy", "network_policy"),
    "Node": ("nodes", "node"),
    "Pod": ("pods", "pod"),
    "ReplicaSet": ("workloads", "replica_set"),
    "ReplicationController": ("workloads", "replication_controller"),
    "Role": ("rbac", "role"),
    "RoleBinding": ("rbac", "binding"),
    "Secret": ("config", "secret"),
    "Service": ("network", "service"),
    "ServiceAccount": ("config", "service_account"),
    "StatefulSet": ("workloads", "stateful_set"),
}
