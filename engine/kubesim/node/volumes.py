"""A pod's volumes: what their files hold, and where they appear in a container.

Sources: `pkg/volume/{configmap,secret,projected,downwardapi,emptydir,hostpath}`; the words of what fails are
`pkg/kubelet/volumemanager`'s.

The files of a ConfigMap, Secret, projected or downward volume are the kubelet's: it writes them again when their source
changes.  An emptyDir is one directory for all containers of the pod, and stays while the pod does; a hostPath is the node's,
and a claim is what the volume is that it is bound to.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from kubesim.client import Object
from kubesim.files import FileSystem
from kubesim.machinery import objects
from kubesim.node import env
from kubesim.programs import tokens
from kubesim.world import World


class NotReady(Exception):
    """The volume cannot be set up (yet): FailedMount, with this message."""


class Source:
    """Where volumes come from: the API, the node and the pod."""

    def __init__(self, world: World, find: env.Find, node_files: FileSystem, allocatable: Mapping[str, str]) -> None:
        self.world = world
        self.find = find
        self.node_files = node_files
        self.allocatable = allocatable


def written(pod: Object, volume: Object, source: Source) -> dict[str, bytes] | None:
    """The files of a volume that the kubelet writes, by relative path; None for one that is a directory of its own.

    Raises NotReady.
    """
    try:
        for kind, plural in (("configMap", "configmaps"), ("secret", "secrets")):
            if volume.get(kind) is not None:
                given = volume[kind]
                name = given.get("name") or given.get("secretName", "")
                return _keys(kind, plural, name, given, pod, source)
        if volume.get("projected") is not None:
            found: dict[str, bytes] = {}
            for each in volume["projected"].get("sources") or ():
                found.update(_projected(each, pod, source))
            return found
        if volume.get("downwardAPI") is not None:
            return _downward(volume["downwardAPI"], pod, source)
    except env.ConfigError as error:
        raise NotReady(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from None
    return None


def _projected(each: Object, pod: Object, source: Source) -> dict[str, bytes]:
    for kind, plural in (("configMap", "configmaps"), ("secret", "secrets")):
        if each.get(kind) is not None:
            return _keys(kind, plural, each[kind]["name"], each[kind], pod, source)
    if each.get("downwardAPI") is not None:
        return _downward(each["downwardAPI"], pod, source)
    if each.get("serviceAccountToken") is not None:
        account = pod["spec"].get("serviceAccountName", "default")
        owner = source.find("serviceaccounts", account, objects.namespace(pod))
        uid = owner["metadata"]["uid"] if owner else ""
        token = tokens.issue(source.world, objects.namespace(pod), account, uid, pod=pod)
        return {each["serviceAccountToken"]["path"]: token.encode()}
    raise env.ConfigError(f"projected volume source {', '.join(each)} is not known to the embedded cluster")


def _keys(kind: str, plural: str, name: str, given: Object, pod: Object, source: Source) -> dict[str, bytes]:
    obj = source.find(plural, name, objects.namespace(pod))
    if obj is None:
        if given.get("optional"):
            return {}
        raise env.ConfigError(f'{kind.lower()} "{name}" not found')
    data = {key: value.encode() for key, value in env.data_of(kind, obj).items()}
    if kind == "configMap":
        data.update({key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()})
    if not given.get("items"):
        return data
    found = {}
    for item in given["items"]:
        if item["key"] in data:
            found[item["path"]] = data[item["key"]]
        elif not given.get("optional"):
            raise env.ConfigError(f"{kind.lower()} references non-existent {kind.lower()} key: {item['key']}")
    return found


def _downward(given: Object, pod: Object, source: Source) -> dict[str, bytes]:
    found = {}
    for item in given.get("items") or ():
        if item.get("fieldRef"):
            text = env.field(pod, item["fieldRef"]["fieldPath"], [""], [])
        else:
            text = env.resource(pod, pod["spec"]["containers"][0], item["resourceFieldRef"], source.allocatable)
        found[item["path"]] = text.encode()
    return found


# -- where they are ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Volume:
    """A volume that is set up: `root` of `files`.  `kept`: its files are the kubelet's, and nobody else writes them."""

    files: FileSystem
    root: str = "/"
    kept: bool = False


def set_up(pod: Object, volume: Object, source: Source) -> Volume:
    """Make the volume ready to be mounted.  Raises NotReady."""
    if volume.get("persistentVolumeClaim") is not None:
        volume = _claimed(pod, volume, source)
    if volume.get("hostPath") is not None:
        return Volume(source.node_files, _host_path(volume, source.node_files))
    made = Volume(FileSystem(clock=lambda: source.world.now))
    contents = written(pod, volume, source)
    if contents is not None:
        made.kept = True
        write(made, contents)
    return made


def _claimed(pod: Object, volume: Object, source: Source) -> Object:
    """The volume that a claim is bound to, in the form of a pod's volume."""
    name = volume["persistentVolumeClaim"]["claimName"]
    claim = source.find("persistentvolumeclaims", name, objects.namespace(pod))
    if claim is None:
        raise NotReady(f"error processing PVC {objects.namespace(pod)}/{name}: PVC not found")
    bound = claim["spec"].get("volumeName", "")
    found = source.find("persistentvolumes", bound, "") if bound else None
    if found is None:
        raise NotReady(f"error processing PVC {objects.namespace(pod)}/{name}: PVC is not bound")
    if found["spec"].get("hostPath") is not None:
        return {"name": bound, "hostPath": found["spec"]["hostPath"]}
    if found["spec"].get("local") is not None:
        return {"name": bound, "hostPath": {"path": found["spec"]["local"]["path"], "type": "Directory"}}
    raise NotReady(
        f'MountVolume.SetUp failed for volume "{bound}" : not simulated: a volume that is neither hostPath nor local'
    )


def write(volume: Volume, contents: Mapping[str, bytes]) -> None:
    """Bring the files of a kept volume up to date (volume/util AtomicWriter)."""
    files = volume.files
    for path in files.walk():
        if files.is_file(path) and path[1:] not in contents:
            files.remove(path)
    for name, data in sorted(contents.items()):
        path = f"/{name}"
        files.mkdir(posixpath.dirname(path), parents=True)
        if not files.is_file(path) or files.read_bytes(path) != data:
            files.write(path, data)


def _host_path(volume: Object, files: FileSystem) -> str:
    """The path on the node, made or checked as its type says (pkg/volume/hostpath: checkType)."""
    given = volume["hostPath"]
    path, kind = FileSystem.join("/", given["path"]), given.get("type", "")
    if kind in ("DirectoryOrCreate", "") and not files.exists(path):
        # Without a type the container runtime makes the directory.
        files.mkdir(path, parents=True)
    elif kind == "FileOrCreate" and not files.exists(path):
        if not files.is_dir(posixpath.dirname(path)):
            raise _wrong_type(volume, f"open {path}: no such file or directory")
        files.write(path, b"")
    wrong = {
        "Directory": not files.is_dir(path) and "is not a directory",
        "DirectoryOrCreate": not files.is_dir(path) and "is not a directory",
        "File": not files.is_file(path) and "is not a file",
        "FileOrCreate": not files.is_file(path) and "is not a file",
        "Socket": "is not a socket",
        "CharDevice": "is not a character device",
        "BlockDevice": "is not a block device",
    }.get(kind)
    if wrong:
        raise _wrong_type(volume, f"{path} {wrong}")
    return path


def _wrong_type(volume: Object, why: str) -> NotReady:
    return NotReady(f'MountVolume.SetUp failed for volume "{volume["name"]}" : hostPath type check failed: {why}')


def mount(files: FileSystem, volume: Volume, given: Object, sub_path: str) -> None:
    """Mount a volume where a container's volumeMount says.

    A subPath of a kept volume is what was there when the container started: updates replace the file it points to, and the
    container keeps the old one.
    """
    path = given["mountPath"].rstrip("/") or "/"
    read_only = volume.kept or bool(given.get("readOnly"))
    if not sub_path:
        files.mount(path, volume.files, volume.root, read_only)
        return
    root = posixpath.join(volume.root, sub_path)
    if volume.kept:
        files.mount(path, _copy(volume.files, root), root, read_only=True)
        return
    if not volume.files.exists(root):
        volume.files.mkdir(root, parents=True)
    files.mount(path, volume.files, root, read_only)


def _copy(files: FileSystem, root: str) -> FileSystem:
    """What is at `root` now, at the same path of its own."""
    kept = {
        path: files.read_bytes(path)
        for path in files.walk()
        if files.is_file(path) and (path == root or path.startswith(f"{root}/"))
    }
    made = FileSystem(kept)
    if root not in kept:
        made.mkdir(root, parents=True)
    return made
