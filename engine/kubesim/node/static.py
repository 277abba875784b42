"""Static pods: pods that a node runs because a file says so, and the mirror pods by which the API shows them.

Sources: `pkg/kubelet/config/file.go`, `common.go` (applyDefaults), `pkg/kubelet/pod/mirror_client.go`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from kubesim import ids
from kubesim.client import Client, Object
from kubesim.errors import ApiError
from kubesim.files import FileSystem
from kubesim.machinery import objects

HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"


def read(files: FileSystem, folder: str, node_name: str, now: float) -> dict[str, Object]:
    """The pods of all manifests in the folder, by uid.  A file that is no pod is left out, as the kubelet does (it logs)."""
    found = {}
    for name in files.listdir(folder) if files.is_dir(folder) else ():
        path = f"{folder.rstrip('/')}/{name}"
        # Hidden files are an editor's (file_linux.go: they are ignored).
        if name.startswith(".") or not files.is_file(path):
            continue
        pod = parse(files.read(path), path, node_name, now)
        if pod is not None:
            found[objects.uid(pod)] = pod
    return found


def parse(text: str, path: str, node_name: str, now: float) -> Object | None:
    """The pod of a manifest, named after its node, with a uid from its content; None when it is no pod."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        pod = yaml.load(text, Loader=loader)
    except yaml.YAMLError:
        return None
    if not isinstance(pod, dict) or pod.get("kind") != "Pod" or not (pod.get("spec") or {}).get("containers"):
        return None
    metadata = pod.setdefault("metadata", {})
    uid = hashlib.md5(f"host:{node_name}file:{path}{text}".encode(), usedforsecurity=False).hexdigest()
    metadata["uid"] = uid
    metadata["name"] = f"{metadata['name']}-{node_name}"
    metadata.setdefault("namespace", "default")
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        HASH: uid,
        SEEN: ids.timestamp(now),
        SOURCE: "file",
    }
    spec = pod["spec"]
    spec["nodeName"] = node_name
    # applyDefaults: it stays on its node whatever happens to that.
    spec.setdefault("tolerations", []).append({"operator": "Exists", "effect": "NoExecute"})
    return pod


def is_mirror(pod: Object) -> bool:
    return MIRROR in objects.annotations(pod)


def ensure_mirror(client: Client, pod: Object, node_name: str) -> Object | None:
    """Have the mirror pod of a static pod in the API; None when it is not possible (yet)."""
    name, namespace = objects.name(pod), objects.namespace(pod)
    known = client.find("pods", name, namespace)
    if known is not None:
        if objects.annotations(known).get(MIRROR) == objects.uid(pod):
            return known
        client.delete("pods", name, namespace, grace_period_seconds=0, uid=objects.uid(known))
    node = client.find("nodes", node_name)
    mirror = objects.copy(pod)
    metadata = mirror["metadata"]
    del metadata["uid"]
    metadata["annotations"][MIRROR] = objects.uid(pod)
    if node is not None:
        metadata["ownerReferences"] = [{**objects.owner_reference(node, "Node", "v1"), "controller": True}]
    try:
        return client.create("pods", mirror, namespace)
    except ApiError:
        # It is refused (a bad manifest, no such namespace): the pod runs all the same, unseen.
        return None
