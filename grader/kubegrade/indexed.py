"""`kubegrade job`: a manifest that has a Kubernetes cluster grade a class, as an Indexed Job.

Theory of operation
-------------------
Each pod takes its share of the submissions (`kubegrade grade --share INDEX/COMPLETIONS`) from a volume that it can only read, and
writes a gradebook and a journal of its own to another; `kubegrade collect` puts the journals into one book afterwards.  A pod
that is evicted or dies is started again with its index and goes on from its journal.

What a pod may do is as little as there is (Pod Security Standards, "restricted"): it is no root, has no token of the API, no
capability, no file system to write to but its own folders, the container runtime's seccomp profile, bounded memory and
processor; and a NetworkPolicy lets it talk to nobody, not even DNS.  Inside, each submission has Landlock, seccomp and
rlimits around it once more.  The NetworkPolicy holds only where the cluster's network plugin enforces policies.

Sources: kubernetes.io, "Indexed Job for parallel processing", "Pod Security Standards"; KEP-3329 (podFailurePolicy), KEP-3850
(backoffLimitPerIndex).
"""

from __future__ import annotations

from typing import Any

import yaml

# Nobody's: no image has files of this user.
USER = 10001
NAME = "kubegrade"


def manifest(
    *,
    image: str,
    completions: int,
    parallelism: int | None = None,
    namespace: str = "",
    claim: str = "course",
    results: str = "grades",
    memory: int = 2048,
    arguments: tuple[str, ...] = (),
) -> str:
    """The YAML documents: a ServiceAccount without rights, a NetworkPolicy, the Job.

    `claim` is a PersistentVolumeClaim with the course (`submitted/`, and `source/` and `labs/` if it has its own), which many
    nodes must be able to read; `results` one that they can write.  `memory` is in MB for a pod; `arguments` are those of
    `kubegrade grade`.
    """
    objects = [_account(), _policy(), _job(image, completions, parallelism, claim, results, memory, arguments)]
    for each in objects:
        if namespace:
            each["metadata"]["namespace"] = namespace
    text = yaml.safe_dump_all(objects, sort_keys=False, width=120)
    return (
        f"# {completions} pods, each with its share of the class.  When they are done, with both volumes at hand:\n"
        f"#   kubegrade collect COURSE/submitted {results.upper()}\n{text}"
    )


def _account() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "labels": _labels()},
        "automountServiceAccountToken": False,
    }


def _policy() -> dict[str, Any]:
    """No packet in and none out."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "labels": _labels()},
        "spec": {"podSelector": {"matchLabels": _labels()}, "policyTypes": ["Ingress", "Egress"]},
    }


def _job(
    image: str,
    completions: int,
    parallelism: int | None,
    claim: str,
    results: str,
    memory: int,
    arguments: tuple[str, ...],
) -> dict[str, Any]:
    # The Job controller gives each container this variable, and the kubelet puts its value in.
    index = "$(JOB_COMPLETION_INDEX)"
    command = [
        *("kubegrade", "grade", "/course/submitted", "--jobs", "1", "--share", f"{index}/{completions}"),
        *("--gradebook", f"/results/gradebook-{index}.db", *arguments),
    ]
    container = {
        "name": "grade",
        "image": image,
        "command": command,
        "env": [{"name": "HOME", "value": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "1", "memory": f"{memory}Mi", "ephemeral-storage": "100Mi"},
            "limits": {"cpu": "1", "memory": f"{memory}Mi", "ephemeral-storage": "1Gi"},
        },
        "volumeMounts": [
            {"name": "course", "mountPath": "/course", "readOnly": True},
            {"name": "results", "mountPath": "/results"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        # Addresses of the namespace's Services are nobody's business in there.
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "course", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
            {"name": "results", "persistentVolumeClaim": {"claimName": results}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "labels": _labels()},
        "spec": {
            "completionMode": "Indexed",
            "completions": completions,
            "parallelism": min(parallelism or completions, completions),
            # One share that cannot be graded stops none of the others; an eviction is nobody's fault and is not counted.
            "backoffLimitPerIndex": 2,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {"metadata": {"labels": _labels()}, "spec": pod},
        },
    }


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME}
