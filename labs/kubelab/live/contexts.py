"""Which live cluster, and whether it may be touched.

A lab makes and breaks things, and runs commands on nodes as root.  So a context whose name does not say that it is a cluster for
trying things is refused, unless the learner says so.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from kubelab.live import commands
from kubesim.errors import LearnerError

# The names that tools give to the contexts of the clusters that they make on one's own computer.
TEST_CLUSTERS = re.compile(
    r"^(kind-.+|minikube(-.+)?|k3d-.+|docker-desktop|docker-for-desktop|rancher-desktop|orbstack|colima(-.+)?|microk8s|kubesim-.+)$"
)
NAME = "kubewalk"

# What `kind create cluster` is given: as the preset "kind" of the embedded cluster, a control plane and two workers.
KIND = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
- role: worker
- role: worker
"""


def choose(cluster: str, *, any_cluster: bool = False) -> str:
    """The context for "kind" (made if there is none), "kind:NAME", or a context's own name.

    LearnerError when there is no such context, or when it does not look like a cluster for trying things.
    """
    if cluster == "kind" or cluster.startswith("kind:"):
        return _kind(cluster.partition(":")[2])
    known = names()
    if cluster not in known:
        raise LearnerError(
            f"no context {cluster!r} in your kubeconfig",
            f"Contexts: {', '.join(known) or 'none'}.  Or cluster='kind': it is made if need be.",
        )
    if not any_cluster and not TEST_CLUSTERS.match(cluster):
        raise LearnerError(
            f"context {cluster!r} does not look like a test cluster: a lab makes and breaks things in its namespace, "
            "and runs commands on nodes",
            "If it is yours to break: kubelab.open(..., any_cluster=True).",
        )
    return cluster


def names() -> list[str]:
    """The contexts of the learner's kubeconfig."""
    said = commands.must(["kubectl", "config", "get-contexts", "-o", "name"], os.environ)
    return said.split()


def kubeconfig(context: str, namespace: str) -> Path:
    """A kubeconfig of the lab's own, that knows this context alone, in this namespace: the learner's is never written."""
    said = commands.must(
        ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "yaml", f"--context={context}"],
        os.environ,
    )
    config: dict[str, Any] = yaml.safe_load(said)
    for each in config["contexts"]:
        each["context"]["namespace"] = namespace
    config["current-context"] = context
    handle, path = tempfile.mkstemp(prefix="kubelab-", suffix=".kubeconfig")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file)
    return Path(path)


def _kind(name: str) -> str:
    """The context of a kind cluster, which is made if it is not there."""
    name = name or NAME
    for program in ("docker", "kind", "kubectl"):
        commands.need(program)
    docker = commands.run(["docker", "info"], os.environ, timeout=30)
    if docker.exit_code:
        raise LearnerError("Docker does not answer", "Start it (Docker Desktop, or: sudo systemctl start docker).")
    clusters = commands.must(["kind", "get", "clusters"], os.environ).split()
    if name not in clusters:
        commands.must(
            ["kind", "create", "cluster", "--name", name, "--wait", "120s", "--config", "-"],
            os.environ,
            stdin=KIND,
            timeout=900,
        )
    return f"kind-{name}"
